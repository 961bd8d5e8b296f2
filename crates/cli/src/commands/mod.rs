//! One file a command.

mod access;
mod audit;
#[cfg(feature = "aws")]
mod aws;
pub(crate) mod backup;
mod costs;
mod dlq;
mod doctor;
mod effects;
mod eval;
mod events;
mod import;
mod models;
mod replay;
mod retention;
mod reviews;
mod route;
mod serve;
mod tenant_data;
mod tenants;
mod tickets;
mod train;

use std::{io::IsTerminal, process::ExitCode};

use anyhow::{Context, Result, bail};
use clap::CommandFactory;
use switchboard_core::{
    ids::TenantId,
    ports::{TenantScope, TenantSource},
};
use switchboard_local::Role;
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    args::{Args, Command, Global},
    data::{DataFolder, ServerLock},
    settings::{self, LogFormat, Settings},
    wire::{self, Core, Wired},
};

/// Done, but not with everything.
pub(crate) const IN_PART: u8 = 3;

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let global = args.global;
    match args.command {
        Command::Openapi => {
            println!("{}", switchboard_http::document().to_pretty_json()?);
            return Ok(ExitCode::SUCCESS);
        }
        Command::Settings => {
            print!("{}", settings::DEFAULTS);
            return Ok(ExitCode::SUCCESS);
        }
        Command::Costs(asked) if asked.aws => return costs::costs(&asked, global.json),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Args::command(), "switchboard", &mut std::io::stdout());
            return Ok(ExitCode::SUCCESS);
        }
        _ => {}
    }
    let data = DataFolder::find(global.data.as_deref())?;
    // For `replay`, --config names the tenant's configuration that is tried, not the settings.
    let mut global = global;
    let tenant_config = match args.command {
        Command::Replay { .. } => global.config.take(),
        _ => None,
    };
    let mut settings = settings::load(global.config.as_deref(), &data.settings())?;
    settings.models.choose(&mut global)?;
    let is_server = matches!(args.command, Command::Serve { .. });
    start_log(&global, &settings, is_server)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no async runtime")?;
    runtime.block_on(async {
        let context = Session { global, data, settings };
        match args.command {
            Command::Serve { listen, no_demo, demo: _ } => serve::serve(context, listen, !no_demo).await,
            Command::Route { file } => route::route(context, &file).await,
            Command::Eval(eval) => eval::run(context, &eval).await,
            Command::Audit(audit) => audit::audit(&context, &audit),
            Command::Tickets(command) => tickets::run(context, command).await,
            Command::Reviews(reviews) => reviews::run(context, reviews).await,
            Command::Dlq(command) => dlq::run(context, command).await,
            Command::Effects(command) => effects::run(context, command).await,
            Command::Events(command) => events::run(context, command).await,
            Command::Keys(command) => access::keys::run(context, command).await,
            Command::Admin(command) => access::admin::run(context, command).await,
            Command::AuditLog(command) => access::audit_log::run(context, command).await,
            Command::Tenants(command) => tenants::run(context, command).await,
            Command::Train { tickets, columns, force } => train::train(context, tickets, columns, force).await,
            Command::Import { file, from, columns, resume } => {
                import::import(context, file, from, columns, resume).await
            }
            Command::Export(export) => tenant_data::export(context, export).await,
            Command::Backup(arguments) => backup::backup(context, arguments).await,
            Command::Restore(arguments) => backup::restore(context, arguments).await,
            Command::Examples(command) => tenant_data::examples(context, command).await,
            Command::Retention(command) => retention::run(context, command).await,
            Command::Replay { which } => replay::replay(context, which, tenant_config.as_deref()).await,
            Command::Models(command) => models::run(context, command).await,
            Command::Doctor => doctor::doctor(context).await,
            #[cfg(feature = "aws")]
            Command::Aws(command) => aws::run(context, command).await,
            #[cfg(not(feature = "aws"))]
            Command::Aws(_) => bail!(wire::WITHOUT_AWS),
            Command::Costs(asked) => costs::spend(&context, &asked).await,
            Command::Openapi | Command::Settings | Command::Completions { .. } => Ok(ExitCode::SUCCESS),
        }
    })
}

/// What every command gets.
pub(crate) struct Session {
    pub(crate) global: Global,
    pub(crate) data: DataFolder,
    pub(crate) settings: Settings,
}

impl Session {
    /// Opens what `--aws` or the data folder means, for commands that work on either.
    pub(crate) async fn core(&self) -> Result<Core> {
        if self.global.aws {
            #[cfg(feature = "aws")]
            return crate::aws::core(&self.settings).await;
            #[cfg(not(feature = "aws"))]
            bail!(wire::WITHOUT_AWS);
        }
        Ok(self.open().await?.into())
    }

    /// Opens existing data beside a server that may run.
    pub(crate) async fn open(&self) -> Result<Wired> {
        if self.global.aws {
            bail!("this command works on a data folder only: leave --aws out");
        }
        if self.data.is_new() {
            let folder = self.data.root().display();
            bail!(
                "there is no data in {folder} yet; start `switchboard serve` once, or name another folder by --data DIR"
            );
        }
        backup::finish_interrupted(&self.data)?;
        self.wire().await
    }

    /// The same, when a restore is known not to be under way.
    pub(crate) async fn wire(&self) -> Result<Wired> {
        let _lock = self.lock_if_older()?;
        wire::wire(&self.data, &self.settings, Role::Tool).await
    }

    /// Opening data of an older version brings their tables forward, which is for who has the server's lock: a server that
    /// runs is of that older version, and would go on writing into tables that it does not know.
    pub(crate) fn lock_if_older(&self) -> Result<Option<ServerLock>> {
        if !switchboard_local::is_older(&self.data.database())? {
            return Ok(None);
        }
        let folder = self.data.root().display();
        let lock = self.data.try_lock()?;
        lock.map(Some).with_context(|| {
            format!(
                "a server of an older version works on {folder}; stop it or start it with this version, then try again"
            )
        })
    }

    /// The tenant that is meant.
    pub(crate) async fn tenant(&self, tenants: &dyn TenantSource) -> Result<TenantId> {
        let known = tenants.list().await?;
        let names = || known.iter().map(TenantId::as_str).collect::<Vec<_>>().join(", ");
        match (&self.global.tenant, known.as_slice()) {
            (Some(named), known) if known.contains(named) => Ok(named.clone()),
            (Some(named), []) => bail!("there is no tenant `{named}`; there is none at all yet"),
            (Some(named), _) => bail!("there is no tenant `{named}`; there are: {}", names()),
            (None, [only]) => Ok(only.clone()),
            (None, []) => bail!("there is no tenant yet; put one into {}", self.data.tenants().display()),
            (None, _) => bail!("name the tenant by --tenant; there are: {}", names()),
        }
    }

    pub(crate) async fn scope(&self, tenants: &dyn TenantSource) -> Result<TenantScope> {
        Ok(TenantScope::of_operator(self.tenant(tenants).await?))
    }
}

fn start_log(global: &Global, settings: &Settings, is_server: bool) -> Result<()> {
    let level = match (global.quiet, global.verbose) {
        (true, _) => "error",
        (false, 0) if !is_server => "warn",
        (false, 0) => settings.log.level.as_str(),
        (false, 1) => "debug",
        (false, _) => "trace",
    };
    let filter = EnvFilter::try_new(level).with_context(|| format!("log.level: `{level}` is no level or filter"))?;
    let registry = tracing_subscriber::registry().with(filter);
    let ansi = std::io::stderr().is_terminal();
    match settings.log.format {
        LogFormat::Text => registry.with(fmt::layer().with_writer(std::io::stderr).with_ansi(ansi)).init(),
        LogFormat::Json => registry.with(fmt::layer().json().with_writer(std::io::stderr)).init(),
    }
    Ok(())
}
