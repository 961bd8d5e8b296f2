//! Arguments of what keeps, moves and removes data.

use std::path::PathBuf;

use clap::Subcommand;
use switchboard_core::{ids::TenantId, ports::ExampleSource};

#[derive(Debug, clap::Args)]
pub(crate) struct Backup {
    /// The file to write; `-` for standard output.
    pub(crate) file: PathBuf,
    /// Leave out the tenants' secrets of the data folder. The pepper is in it all the same: no API key works without it.
    #[arg(long)]
    pub(crate) without_secrets: bool,
    /// Replace the file if it is there.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    /// The backup; `-` for standard input.
    pub(crate) file: PathBuf,
    /// Restore although the folder has data: they are kept aside, in a folder `before-restore-…` in it.
    #[arg(long)]
    pub(crate) force: bool,
    /// Check the whole backup and put nothing in place.
    #[arg(long, conflicts_with = "force")]
    pub(crate) check: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// The file to write; `-` for standard output.
    pub(crate) file: PathBuf,
    /// Replace the file if it is there.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Examples {
    /// Say how many the tenant has, by source.
    Count,
    /// Remove all of one source. Models that have learned from them stay in force until the next training.
    Clear {
        /// `import` for imported history, `review` for what people said of tickets.
        source: ExampleSource,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Retention {
    /// Show how long each kind of data is kept, and what waits.
    Show,
    /// Say that the clock is right although it has jumped ahead: what is past its time is deleted from now on.
    Confirm,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Tenants {
    /// List the tenants.
    List,
    /// Check configurations and name every mistake.
    Check {
        /// A configuration file; all tenants of the data folder when absent.
        file: Option<PathBuf>,
    },
    /// Remove a tenant with everything of it: tickets, events, examples, customers, keys, models, secrets, configuration. It may
    /// run beside the server. Backups and exports keep what they have.
    Wipe {
        /// The tenant.
        id: TenantId,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
        /// Only say what there is to remove.
        #[arg(long, conflicts_with = "yes")]
        dry_run: bool,
        /// Rewrite the database at the end also when it is large and a server works on it, which then cannot write meanwhile.
        #[arg(long)]
        rewrite: bool,
    },
    /// Let the id of a wiped tenant be used again.
    Readmit {
        /// The tenant.
        id: TenantId,
    },
}
