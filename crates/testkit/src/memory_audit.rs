//! An audit log in memory, for worlds without a disk.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use switchboard_core::{
    access::audit::{
        AuditEntry, NewAuditEntry,
        chain::{AuditKey, ChainHash, Check, KeptEntry, Verdict},
    },
    error::{Error, ErrorKind, Result},
    ports::{AuditFilter, AuditLog, Clock, TenantScope},
};

/// A log that is kept as long as the process runs. A clone is the same log.
#[derive(Clone)]
pub struct MemoryAudit {
    clock: Arc<dyn Clock>,
    entries: Arc<Mutex<Vec<(AuditEntry, KeptEntry)>>>,
}

impl MemoryAudit {
    /// An empty log whose entries get the time of `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, entries: Arc::default() }
    }
}

fn key() -> AuditKey {
    AuditKey::new([7; 32])
}

#[async_trait]
impl AuditLog for MemoryAudit {
    async fn append(&self, entry: NewAuditEntry) -> Result<u64> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let sequence = entries.len() as u64 + 1;
        let entry = entry.at(sequence, self.clock.now());
        let failed = |error| Error::new(ErrorKind::Internal, "an entry is no JSON").caused_by(error);
        let record = serde_json::to_vec(&entry).map_err(failed)?;
        let last = entries.last().and_then(|(_, kept)| kept.hash.as_slice().try_into().ok()).map(ChainHash);
        let hash = last.unwrap_or_default().then(&record).0.to_vec();
        entries.push((entry, KeptEntry { sequence, record, hash }));
        Ok(sequence)
    }

    async fn list(&self, scope: Option<&TenantScope>, filter: &AuditFilter, limit: u32) -> Result<Vec<AuditEntry>> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let is_own = |entry: &AuditEntry| scope.is_none_or(|scope| entry.tenant.as_ref() == Some(scope.tenant()));
        let numbered = entries.iter().map(|(entry, _)| entry.clone()).filter(is_own).zip(1..).map(|(entry, number)| {
            AuditEntry { sequence: if filter.own_numbers { number } else { entry.sequence }, ..entry }
        });
        let numbered: Vec<_> = numbered.collect();
        let is_meant = |entry: &AuditEntry| {
            filter.since.is_none_or(|since| entry.at >= since)
                && filter.action.is_none_or(|action| entry.action == action)
                && filter.before.is_none_or(|before| entry.sequence < before)
        };
        Ok(numbered.into_iter().rev().filter(is_meant).take(limit as usize).collect())
    }

    async fn verify(&self) -> Result<Verdict> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key();
        let mut check = Check::new(&key);
        entries.iter().for_each(|(_, kept)| check.entry(kept));
        let last = entries.last().and_then(|(_, kept)| kept.hash.as_slice().try_into().ok()).map(ChainHash);
        Ok(check.finish(last.map(|last| key.sign(entries.len() as u64, &last)).as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        contracts::{self, UnderTest, access::audit_log::Log},
        world::FixedClock,
    };

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_log_in_memory_keeps_the_contract() {
        contracts::audit_log(async || {
            let clock = Arc::new(FixedClock::new());
            let log = Arc::new(MemoryAudit::new(clock.clone()));
            UnderTest::open(move || {
                let (log, clock) = (log.clone(), clock.clone());
                async move { Log { log: log.clone(), other: log, clock } }
            })
            .await
        })
        .await;
    }
}
