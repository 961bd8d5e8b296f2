use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;
use switchboard_core::{
    access::audit::{Action, Details, Label},
    ports::{ExampleSource, ExampleStore},
};

use super::{super::Session, confirm};
use crate::{args::Examples, operator, output};

pub(crate) async fn examples(session: Session, command: Examples) -> Result<ExitCode> {
    let wired = session.open().await?;
    let scope = session.scope(wired.app.tenants.as_ref()).await?;
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
            let details = Details { source: Some(Label::new(source.word())), count: Some(count), ..Details::default() };
            let act = operator::by().did(Action::ExamplesClear, Some(tenant)).with(details);
            let removed = wired.store.audited(act, wired.store.clear(&scope, source)).await?;
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
