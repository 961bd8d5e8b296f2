use std::path::PathBuf;

use switchboard_core::{ids::TrialName, time::Timestamp};
use switchboard_knowledge::eval::Gate;

/// What `eval` is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Eval {
    /// Labelled texts, of which a part is held back for the test; `-` for standard input.
    #[arg(value_name = "DATA", required_unless_present_any = ["train", "trial"], conflicts_with_all = ["train", "test"])]
    pub(crate) file: Option<PathBuf>,
    /// Choose from which sureness on the tenant's language models stand: asks them about labelled texts that the local classifier
    /// is not sure of, and shows what each choice costs and gives. The labels are the tenant's categories or teams.
    #[arg(long, requires = "file", conflicts_with_all = ["holdout", "shots", "gates"])]
    pub(crate) tune: bool,
    /// With --tune: so many texts at most, drawn by chance. Each may cost a call of each model.
    #[arg(long, value_name = "TEXTS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..), requires = "tune")]
    pub(crate) texts: u32,
    /// Compare the tenant's configuration with the one that is tried beside it, on the tickets that took part; with a name, an
    /// earlier trial.
    #[arg(long, value_name = "NAME", num_args = 0..=1, conflicts_with_all = ["file", "train", "test", "holdout", "shots", "gates"])]
    #[expect(clippy::option_option, reason = "the option may stand alone, with a value, or not at all")]
    pub(crate) trial: Option<Option<TrialName>>,
    /// With --trial: tickets accepted from this time on (RFC 3339).
    #[arg(long, requires = "trial")]
    pub(crate) since: Option<Timestamp>,
    /// With --trial: tickets accepted before this time (RFC 3339).
    #[arg(long, requires = "trial")]
    pub(crate) until: Option<Timestamp>,
    /// Labelled texts to learn from, beside --test.
    #[arg(long, value_name = "FILE", requires = "test")]
    pub(crate) train: Option<PathBuf>,
    /// Labelled texts to test with.
    #[arg(long, value_name = "FILE", requires = "train")]
    pub(crate) test: Option<PathBuf>,
    /// The share of the texts of each label that is held back.
    #[arg(long, value_name = "SHARE", default_value_t = 0.2, value_parser = share)]
    pub(crate) holdout: f64,
    /// Learn from so many texts of each label only.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) shots: Option<u32>,
    /// A figure that must be reached, such as accuracy>=0.9; exit code 1 if it is not. May be repeated.
    #[arg(long = "gate", value_name = "METRIC>=NUMBER")]
    pub(crate) gates: Vec<Gate>,
    #[command(flatten)]
    pub(crate) measuring: Measuring,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Audit {
    /// Labelled tickets: the label is the team or the category.
    pub(crate) file: PathBuf,
    /// The column of the date; guessed when absent.
    #[arg(long, value_name = "NAME")]
    pub(crate) date_column: Option<String>,
    #[command(flatten)]
    pub(crate) measuring: Measuring,
}

/// What `eval` and `audit` share.
#[derive(Debug, clap::Args)]
pub(crate) struct Measuring {
    /// The column of the text; may be repeated, then they are joined. Guessed when absent.
    #[arg(long = "text-column", value_name = "NAME")]
    pub(crate) text_columns: Vec<String>,
    /// The column of the label; guessed when absent.
    #[arg(long, value_name = "NAME")]
    pub(crate) label_column: Option<String>,
    /// The stages that answer: words alone, or words and then meaning. Both when the embedding model is installed.
    #[arg(long)]
    pub(crate) stage: Option<Stages>,
    /// Take a sample of so many rows of a larger file.
    #[arg(long, value_name = "ROWS", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// Where orders, samples and splits come from.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Write a report with plots, in one file.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Stages {
    /// Words alone.
    One,
    /// Words, and meaning where words are unsure.
    Both,
}

/// A share that leaves something on both sides.
fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "is not a number".to_owned())?;
    if share > 0.0 && share < 1.0 { Ok(share) } else { Err("must lie between 0 and 1".to_owned()) }
}
