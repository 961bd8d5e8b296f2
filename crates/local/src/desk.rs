use std::{fs, io, path::PathBuf};

use async_trait::async_trait;
use serde_json::json;
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    ports::{Desk, DeskReceipt, DeskUpdate},
    tenants::{DeskConfig, Tenant},
};

use crate::files;

/// A desk of files: one JSON file a decision or review, for systems that import a folder, and for the demo.
pub struct FolderDesk {
    tenants: PathBuf,
}

impl FolderDesk {
    /// `tenants` is the folder of all tenants; the configured path lies in the tenant's own.
    pub fn new(tenants: PathBuf) -> Self {
        Self { tenants }
    }
}

#[async_trait]
impl Desk for FolderDesk {
    async fn update(&self, tenant: &Tenant, update: &DeskUpdate) -> Result<DeskReceipt> {
        let DeskConfig::Folder { path } = &tenant.config.desk else {
            return Err(Error::new(ErrorKind::Internal, "the tenant's desk is no folder"));
        };
        let folder = self.tenants.join(tenant.id.as_str()).join(path);
        // The decision names the file, so a repetition finds it there and changes nothing.
        let file = folder.join(format!("{}.json", update.decision_id));
        let text = json!({
            "ticket_id": update.ticket_id,
            "decision_id": update.decision_id,
            "assigned_team": update.team,
            "priority_level": update.priority,
            "priority_score": update.priority_score,
            "confidence_score": update.confidence,
            "requires_manual_review": update.requires_manual_review,
            "reviewed_decision_id": update.reviewed,
            "tags": update.tags,
            "remove_tags": update.remove_tags,
            "note": update.note,
            "decided_at": update.decided_at,
            "correlation_id": update.correlation_id,
        });
        let receipt = DeskReceipt { text: format!("written to {}.json of the desk's folder", update.decision_id) };
        let written = tokio::task::spawn_blocking(move || -> io::Result<()> {
            if file.exists() {
                return Ok(());
            }
            fs::create_dir_all(&folder)?;
            files::write_private(&file, format!("{text:#}\n").as_bytes())
        })
        .await;
        match written {
            Ok(Ok(())) => Ok(receipt),
            Ok(Err(error)) => {
                Err(Error::new(ErrorKind::Unavailable, "the desk's folder cannot be written").caused_by(error))
            }
            Err(error) => Err(Error::new(ErrorKind::Internal, "writing the desk's file stopped").caused_by(error)),
        }
    }
}
