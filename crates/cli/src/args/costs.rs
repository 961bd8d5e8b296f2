use switchboard_core::ids::CustomerId;

/// What `costs` is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Costs {
    /// Of the deployment on AWS, by list prices; language models are not in it.
    #[arg(long)]
    pub(crate) aws: bool,
    /// Tickets a day, with --aws.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1_000,
        requires = "aws",
        value_parser = clap::value_parser!(u64).range(1..=1_000_000_000)
    )]
    pub(crate) tickets_per_day: u64,
    /// With a REST API and its usage plan in front, instead of an HTTP API, with --aws.
    #[arg(long, requires = "aws")]
    pub(crate) rest: bool,
    /// What was spent for this customer today, too.
    #[arg(long, value_name = "ID", conflicts_with = "aws")]
    pub(crate) customer: Option<CustomerId>,
}
