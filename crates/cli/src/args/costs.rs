/// What `costs` is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Costs {
    /// Of the deployment on AWS, by list prices; language models are not in it.
    #[arg(long, required = true)]
    pub(crate) aws: bool,
    /// Tickets a day.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) tickets_per_day: u64,
    /// With a REST API and its usage plan in front, instead of an HTTP API.
    #[arg(long)]
    pub(crate) rest: bool,
}
