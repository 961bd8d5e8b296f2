use std::{process::ExitCode, time::Duration};

use anyhow::{Result, anyhow, bail};
use secrecy::ExposeSecret;
use serde_json::json;
use switchboard_core::{
    access::{
        Scope,
        keys::{self, Wish},
    },
    error::Error,
    ids::KeyId,
    ports::{KeyRecord, TenantScope},
    time::Timestamp,
};

use crate::{args::Keys, commands::Session, operator, output, wire::Core};

pub(in crate::commands) async fn run(session: Session, command: Keys) -> Result<ExitCode> {
    let core = session.core().await?;
    let scope = session.scope(core.app.tenants.as_ref()).await?;
    match command {
        Keys::Create { scopes, name, expires } => create(&session, &core, &scope, scopes, name, expires).await,
        Keys::List => list(&session, &core, &scope).await,
        Keys::Rotate { id, overlap, expires } => rotate(&session, &core, &scope, &id, overlap, expires).await,
        Keys::Revoke { id } => {
            keys::revoke(&core.app, &scope, &operator::by(), &id).await.map_err(told)?;
            if session.global.json {
                output::json(&json!({"revoked": id}))?;
            } else {
                println!("revoked {id}; a running server refuses it within five seconds");
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn create(
    session: &Session,
    core: &Core,
    scope: &TenantScope,
    mut scopes: Vec<Scope>,
    name: String,
    expires_at: Option<Timestamp>,
) -> Result<ExitCode> {
    if scopes.is_empty() {
        scopes = Scope::TICKETS.to_vec();
    }
    let wish = Wish { name, scopes, expires_at };
    if let Some(mistake) = wish.mistakes(core.app.clock.now(), None).first() {
        bail!("{} {}", option_of(&mistake.pointer), mistake.detail);
    }
    let (key, record) = keys::create(&core.app, &core.pepper, scope, &operator::by(), wish).await.map_err(told)?;
    let text = key.reveal();
    if session.global.json {
        let scopes = &record.scopes;
        output::json(
            &json!({"key": text.expose_secret(), "id": record.id, "tenant": record.tenant, "scopes": scopes}),
        )?;
    } else {
        println!("{}", text.expose_secret());
        eprintln!("shown this once; it reaches tenant `{}` and may: {}", record.tenant, names(&record.scopes));
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(session: &Session, core: &Core, scope: &TenantScope) -> Result<ExitCode> {
    let (keys, now) = (core.app.keys.list_keys(scope).await?, core.app.clock.now());
    if session.global.json {
        let shown = |key: &KeyRecord| {
            json!({
                "id": key.id, "name": key.name, "scopes": key.scopes, "created_at": key.created_at,
                "expires_at": key.expires_at, "revoked_at": key.revoked_at, "used_at": key.used_at,
                "ends_soon": key.ends_soon(now).is_some(),
            })
        };
        output::json(&keys.iter().map(shown).collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = keys.into_iter().map(|key| {
        let state = match (key.revoked_at, key.expires_at) {
            (Some(at), _) => format!("revoked {at}"),
            (None, Some(end)) if end <= now => format!("expired {end}"),
            (None, Some(end)) if key.ends_soon(now).is_some() => format!("ENDS SOON: {end}"),
            (None, Some(end)) => format!("until {end}"),
            (None, None) => "in force".to_owned(),
        };
        let used = key.used_at.map_or_else(|| "never".to_owned(), |at| at.to_string());
        vec![key.id.to_string(), key.name.clone(), names(&key.scopes), key.created_at.to_string(), used, state]
    });
    output::table(&["id", "name", "may", "made", "last used", "state"], rows.collect(), "no keys");
    Ok(ExitCode::SUCCESS)
}

async fn rotate(
    session: &Session,
    core: &Core,
    scope: &TenantScope,
    id: &KeyId,
    overlap: Duration,
    expires: Option<Timestamp>,
) -> Result<ExitCode> {
    if expires.is_some_and(|end| end <= core.app.clock.now()) {
        bail!("--expires lies in the past");
    }
    let (app, pepper, by) = (&core.app, &core.pepper, operator::by());
    let rotated = keys::rotate(app, pepper, scope, &by, id, overlap, expires).await.map_err(told)?;
    let (text, record) = (rotated.key.reveal(), &rotated.record);
    if session.global.json {
        output::json(&json!({
            "key": text.expose_secret(), "id": record.id, "tenant": record.tenant, "scopes": record.scopes,
            "expires_at": record.expires_at, "replaces": id, "replaced_expires_at": rotated.old_expires_at,
        }))?;
    } else {
        println!("{}", text.expose_secret());
        eprintln!("shown this once; the old key {id} works until {}", rotated.old_expires_at);
    }
    Ok(ExitCode::SUCCESS)
}

/// The option that stands for a field of a wish.
fn option_of(pointer: &str) -> String {
    match pointer {
        "/expires_at" => "--expires".to_owned(),
        "/scopes" => "--scope".to_owned(),
        other => other.replacen('/', "--", 1),
    }
}

fn told(error: Error) -> anyhow::Error {
    anyhow!(error.report())
}

fn names(scopes: &[Scope]) -> String {
    scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(", ")
}
