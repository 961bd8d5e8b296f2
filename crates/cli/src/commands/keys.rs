use std::process::ExitCode;

use anyhow::{Result, bail};
use secrecy::ExposeSecret;
use serde_json::json;
use switchboard_core::{
    access::{Scope, new_key},
    ports::{Clock, KeyRecord, KeyStore},
};

use super::Session;
use crate::{args::Keys, output};

pub(super) async fn run(session: Session, command: Keys) -> Result<ExitCode> {
    let wired = session.open()?;
    let scope = session.scope(wired.tenants.as_ref()).await?;
    let clock: &dyn Clock = wired.app.clock.as_ref();
    match command {
        Keys::Create { mut scopes, name, expires } => {
            if scopes.is_empty() {
                scopes = Scope::TICKETS.to_vec();
            }
            if expires.is_some_and(|end| end <= clock.now()) {
                bail!("--expires lies in the past");
            }
            let (key, record) = new_key(&wired.app, &wired.pepper, scope.tenant().clone(), name, scopes, expires);
            wired.store.create_key(&scope, record.clone()).await?;
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
        }
        Keys::List => {
            let keys = wired.store.list_keys(&scope).await?;
            if session.global.json {
                let shown = |key: &KeyRecord| {
                    json!({
                        "id": key.id, "name": key.name, "scopes": key.scopes, "created_at": key.created_at,
                        "expires_at": key.expires_at, "revoked_at": key.revoked_at,
                    })
                };
                output::json(&keys.iter().map(shown).collect::<Vec<_>>())?;
                return Ok(ExitCode::SUCCESS);
            }
            let now = clock.now();
            let rows = keys.into_iter().map(|key| {
                let state = match (key.revoked_at, key.expires_at) {
                    (Some(at), _) => format!("revoked {at}"),
                    (None, Some(end)) if end <= now => format!("expired {end}"),
                    (None, Some(end)) => format!("until {end}"),
                    (None, None) => "in force".to_owned(),
                };
                vec![key.id.to_string(), key.name.clone(), names(&key.scopes), key.created_at.to_string(), state]
            });
            output::table(&["id", "name", "may", "made", "state"], rows.collect(), "no keys");
        }
        Keys::Revoke { id } => {
            if !wired.store.revoke_key(&scope, &id, clock.now()).await? {
                bail!("tenant `{}` has no key `{id}`", scope.tenant());
            }
            if session.global.json {
                output::json(&json!({"revoked": id}))?;
            } else {
                println!("revoked {id}; a running server refuses it within five seconds");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn names(scopes: &[Scope]) -> String {
    scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(", ")
}
