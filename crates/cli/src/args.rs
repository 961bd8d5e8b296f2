mod access;
mod aws;
mod costs;
mod effects;
mod evaluate;
mod keeping;
mod models;

use std::{net::SocketAddr, path::PathBuf};

pub(crate) use access::{Admin, AuditLog, Keys};
pub(crate) use aws::Aws;
use clap::{Parser, Subcommand};
pub(crate) use costs::Costs;
pub(crate) use effects::{Effects, ResolutionArgs};
pub(crate) use evaluate::{Audit, Eval, Measuring, Stages};
pub(crate) use keeping::{Backup, Examples, Export, Restore, Retention, Tenants};
pub(crate) use models::{Models, Source};
use switchboard_core::{
    ids::{CategoryId, EventId, TeamId, TenantId, TicketId},
    tickets::{PriorityLevel, SyncStatus},
    time::Timestamp,
};

/// Routes support tickets: one program, one SQLite file, nothing else.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done in part (some rows were refused, or a check found something).
#[derive(Debug, Parser)]
#[command(name = "switchboard", version, propagate_version = true)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Global {
    /// The settings file; `switchboard.toml` in the data folder when absent.
    #[arg(long, global = true, value_name = "FILE", env = "SWITCHBOARD_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// The data folder; the platform's own when absent.
    #[arg(long, global = true, value_name = "DIR", env = "SWITCHBOARD_DATA")]
    pub(crate) data: Option<PathBuf>,
    /// The tenant; may be left out when there is only one.
    #[arg(long, global = true, value_name = "ID")]
    pub(crate) tenant: Option<TenantId>,
    /// Work on the deployment on AWS that the section `aws` of the settings names, instead of a data folder.
    #[arg(long, global = true, conflicts_with = "data")]
    pub(crate) aws: bool,
    /// Keep each call of a language model in this folder, without personal data (`models.record`).
    #[arg(long, global = true, value_name = "DIR", conflicts_with_all = ["cassettes", "aws"])]
    pub(crate) record: Option<PathBuf>,
    /// Ask no language model: answer from what --record has kept in this folder (`models.cassettes`).
    #[arg(long, global = true, value_name = "DIR", conflicts_with = "aws")]
    pub(crate) cassettes: Option<PathBuf>,
    /// Print JSON for programs instead of tables for people.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Log more; twice for everything.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Log errors only, and draw no progress.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the server.
    Serve {
        /// Where to listen, such as 127.0.0.1:8080; port 0 picks a free one and prints it.
        #[arg(long, value_name = "ADDR:PORT")]
        listen: Option<SocketAddr>,
        /// Load the demo tenant into a new data folder (the default).
        #[arg(long, conflicts_with = "no_demo")]
        demo: bool,
        /// Start a new data folder without the demo tenant.
        #[arg(long)]
        no_demo: bool,
    },
    /// Route tickets from a file without a server and without storing anything: a ticket in JSON, or many in JSONL or CSV.
    Route {
        /// The file; `-` for standard input.
        file: PathBuf,
    },
    /// Measure on labelled texts how well tickets are classified: CSV, JSONL, or a JSON array.
    Eval(Box<Eval>),
    /// Say from an export of labelled tickets alone what to expect of automatic routing.
    Audit(Box<Audit>),
    /// Read tickets.
    #[command(subcommand)]
    Tickets(Tickets),
    /// List the tickets that wait for review, the most instructive first; confirm and correct decisions.
    Reviews(Reviews),
    /// Look after events that nobody works on any more.
    #[command(subcommand)]
    Dlq(Dlq),
    /// Look at what left the system, and say what is so where that is not known.
    #[command(subcommand)]
    Effects(Effects),
    /// Read and replay the archive of the last seven days.
    #[command(subcommand)]
    Events(Events),
    /// Make, rotate and revoke API keys.
    #[command(subcommand)]
    Keys(Keys),
    /// Look after the operator's password.
    #[command(subcommand)]
    Admin(Admin),
    /// Read and check the record of administrative acts.
    #[command(subcommand)]
    AuditLog(AuditLog),
    /// Look at tenants, and remove one with everything of it.
    #[command(subcommand)]
    Tenants(Tenants),
    /// Train the tenant's classifier from its configuration, imported history and reviews. The new model is put in force
    /// unless it is worse on the held-back examples.
    Train {
        /// Learn from this file of labelled tickets, too (CSV or JSON lines).
        #[arg(long, value_name = "FILE")]
        tickets: Option<PathBuf>,
        #[command(flatten)]
        columns: HistoryColumns,
        /// Put it in force also when it is worse.
        #[arg(long)]
        force: bool,
    },
    /// Bring a tenant in that `switchboard export` wrote, or labelled tickets of the past for the classifier to learn from: those
    /// are data only, nothing is routed.
    Import {
        /// The file; an export may come from standard input, as `-`.
        file: PathBuf,
        /// What wrote labelled tickets. `zendesk` is its JSON export, one ticket a line; its groups are matched with the teams'
        /// desk_group. An export of Switchboard is known by its first line.
        #[arg(long, value_enum)]
        from: Option<HistoryFormat>,
        #[command(flatten)]
        columns: HistoryColumns,
        /// Of an export: work on its unfinished tickets from now on. Without, they are held, for the old system may still do so.
        #[arg(long, conflicts_with = "from")]
        resume: bool,
    },
    /// Write everything of a tenant as JSON lines: configuration, tickets, decisions, reviews, events, examples, customers.
    Export(Export),
    /// Write one file with everything that a restore needs, while the server runs.
    Backup(Backup),
    /// Put a backup into an empty data folder. No server may work on it.
    Restore(Restore),
    /// Look at what the classifier learns from beside the configuration, and remove it.
    #[command(subcommand)]
    Examples(Examples),
    /// Look after a deployment on AWS. Where it is, the section `aws` of the settings says.
    #[command(subcommand)]
    Aws(Aws),
    /// Show how long data are kept; confirm the clock.
    #[command(subcommand)]
    Retention(Retention),
    /// Run stored tickets through a changed configuration or another model, without effects, and show what would change.
    /// Here, --config names the tenant's changed configuration, in JSON or TOML.
    Replay {
        #[command(flatten)]
        which: ReplaySelection,
    },
    /// Look at trained models, take one back, or install the embedding model.
    #[command(subcommand)]
    Models(Models),
    /// Show what a tenant has spent on language models, or reckon what it costs to run.
    Costs(Costs),
    /// Check data, settings, tenants and secrets, and say what to mend.
    Doctor,
    /// Print the OpenAPI document.
    Openapi,
    /// Print the settings with their explanations.
    Settings,
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Tickets {
    /// List tickets, newest first.
    List {
        /// Assigned to this team.
        #[arg(long)]
        team: Option<TeamId>,
        /// Of this customer.
        #[arg(long)]
        customer: Option<switchboard_core::ids::CustomerId>,
        /// Of this priority.
        #[arg(long)]
        priority: Option<PriorityLevel>,
        /// With this write-back state.
        #[arg(long)]
        sync: Option<SyncStatus>,
        /// Only those that wait for review.
        #[arg(long)]
        review: bool,
        /// At most so many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
    },
    /// Show a ticket with its decision and what happened to it.
    Show {
        /// The ticket.
        id: TicketId,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Reviews {
    #[command(flatten)]
    pub(crate) queue: ReviewSelection,
    #[command(subcommand)]
    pub(crate) command: Option<ReviewCommand>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReviewSelection {
    /// Assigned to this team.
    #[arg(long)]
    pub(crate) team: Option<TeamId>,
    /// Of this category.
    #[arg(long)]
    pub(crate) category: Option<CategoryId>,
    /// At most so many; 50 when absent.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) limit: Option<u32>,
}

impl ReviewSelection {
    /// Whether anything was selected. Clap's own check would also refuse the global options before a subcommand.
    pub(crate) fn is_given(&self) -> bool {
        self.team.is_some() || self.category.is_some() || self.limit.is_some()
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReviewCommand {
    /// Confirm decisions: they are right as they were made.
    Confirm {
        /// The tickets.
        #[arg(required = true)]
        ids: Vec<TicketId>,
    },
    /// Correct a decision. What is left out is as decided; another category alone brings its own team.
    #[command(group = clap::ArgGroup::new("correction").required(true).multiple(true))]
    Correct {
        /// The ticket.
        id: TicketId,
        /// The team that should have it.
        #[arg(long, group = "correction")]
        team: Option<String>,
        /// What it is about.
        #[arg(long, group = "correction")]
        category: Option<String>,
        /// How urgent it is.
        #[arg(long, group = "correction")]
        priority: Option<PriorityLevel>,
        /// Why, for the agents at the desk.
        #[arg(long)]
        note: Option<String>,
    },
}

/// What wrote a file of labelled tickets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum HistoryFormat {
    Zendesk,
    Csv,
    Jsonl,
}

/// Where the text and the label of labelled tickets stand.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct HistoryColumns {
    /// The column of the text; more than one are joined. Guessed from the names when absent.
    #[arg(long, value_name = "NAME")]
    pub(crate) text_column: Vec<String>,
    /// The column with the category or team, by id or name. Guessed from the names when absent.
    #[arg(long, value_name = "NAME")]
    pub(crate) label_column: Option<String>,
    /// What a label of the file stands for here, such as 'Invoices=billing'; may be given often.
    #[arg(long, value_name = "THEIRS=OURS")]
    pub(crate) map: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReplaySelection {
    /// Tickets accepted from this time on (RFC 3339).
    #[arg(long)]
    pub(crate) since: Option<Timestamp>,
    /// Tickets accepted before this time (RFC 3339).
    #[arg(long)]
    pub(crate) until: Option<Timestamp>,
    /// At most so many, newest first.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) limit: u32,
    /// By this trained model instead of the one in force.
    #[arg(long, value_name = "VERSION")]
    pub(crate) model: Option<switchboard_core::ids::ModelVersion>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Dlq {
    /// List dead letters, newest first.
    List {
        /// At most so many.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Show one.
    Show {
        /// The event.
        id: EventId,
    },
    /// Put back into the queue.
    Replay {
        /// The events.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        ids: Vec<EventId>,
        /// All of the tenant.
        #[arg(long)]
        all: bool,
    },
    /// Remove for good. The ticket stays; nobody will work on it by himself.
    Drop {
        /// The events.
        #[arg(required = true)]
        ids: Vec<EventId>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct EventSelection {
    /// From this time on (RFC 3339).
    #[arg(long)]
    pub(crate) since: Option<Timestamp>,
    /// Before this time (RFC 3339).
    #[arg(long)]
    pub(crate) until: Option<Timestamp>,
    /// Of this name, such as TicketReceived.
    #[arg(long = "type", value_name = "NAME")]
    pub(crate) detail_type: Option<String>,
    /// About this ticket.
    #[arg(long)]
    pub(crate) ticket: Option<TicketId>,
    /// At most so many, oldest first.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) limit: u32,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Events {
    /// List archived events, oldest first.
    List {
        #[command(flatten)]
        which: EventSelection,
    },
    /// Queue archived events again. What is done already stays as it is.
    Replay {
        #[command(flatten)]
        which: EventSelection,
    },
}
