use std::{
    io::{BufRead, IsTerminal, Read},
    process::ExitCode,
};

use anyhow::{Context, Result, anyhow, bail};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use switchboard_core::{
    access::{
        audit::Action,
        password::{PASSWORD_BYTES_MOST, PasswordHash},
    },
    ports::OperatorStore,
};

use crate::{args::Admin, commands::Session, operator, output};

pub(in crate::commands) async fn run(session: Session, command: Admin) -> Result<ExitCode> {
    let Admin::SetPassword = command;
    let wired = session.open().await?;
    let password = tokio::task::spawn_blocking(read_password).await.context("the password cannot be read")??;
    let ids = wired.app.ids.clone();
    let hashing = tokio::task::spawn_blocking(move || PasswordHash::of(&password, ids.as_ref()));
    let hash = hashing.await.context("the password cannot be hashed")?.map_err(|error| anyhow!(error.report()))?;
    let act = operator::by().did(Action::PasswordSet, None);
    wired.store.set_password(hash, act).await.map_err(|error| anyhow!(error.report()))?;
    if session.global.json {
        output::json(&json!({"password": "set"}))?;
    } else {
        println!("The password is set; all sessions have ended. Sign in by POST /session.");
    }
    Ok(ExitCode::SUCCESS)
}

/// From a terminal twice and unseen; else the first line of standard input.
fn read_password() -> Result<SecretString> {
    if !std::io::stdin().is_terminal() {
        let mut line = String::new();
        let most = PASSWORD_BYTES_MOST as u64 + 2;
        std::io::stdin().lock().take(most).read_line(&mut line).context("standard input cannot be read")?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned().into());
    }
    let terminal = console::Term::stderr();
    let ask = |prompt: &str| -> Result<SecretString> {
        terminal.write_str(prompt).context("the terminal cannot be written to")?;
        Ok(terminal.read_secure_line().context("the terminal cannot be read")?.into())
    };
    let (password, again) = (ask("New password: ")?, ask("Once more: ")?);
    if password.expose_secret() != again.expose_secret() {
        bail!("the two are not the same; nothing was changed");
    }
    Ok(password)
}
