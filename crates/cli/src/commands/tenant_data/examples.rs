use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;
use switchboard_core::ports::{ExampleSource, ExampleStore};

use super::{super::Session, confirm};
use crate::{args::Examples, output};

pub(crate) async fn examples(session: Session, command: Examples) -> Result<ExitCode> {
    let wired = session.open()?;
    let scope = session.scope(wired.tenants.as_ref()).await?;
    let counts = wired.store.counts(&scope, None).await?;
    match command {
        Examples::Count => {
            if session.global.json {
                output::json(&json!({"import": counts.imported, "review": counts.reviewed}))?;
            } else {
                println!("{} imported, {} from reviews", counts.imported, counts.reviewed);
            }
        }
        Examples::Clear { source, yes } => {
            let count = match source {
                ExampleSource::Import => counts.imported,
                ExampleSource::Review => counts.reviewed,
            };
            let tenant = scope.tenant();
            confirm(&format!("This removes {count} examples of tenant {tenant}."), tenant.as_str(), yes)?;
            let removed = wired.store.clear(&scope, source).await?;
            if session.global.json {
                output::json(&json!({"source": source, "removed": removed}))?;
            } else {
                println!("{removed} examples removed.");
                println!(
                    "Models that have learned from them stay in force until `switchboard train --tenant {tenant}`."
                );
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
