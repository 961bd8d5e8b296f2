//! Remembers for a moment that no more tickets can be taken, so that those who come next are refused before their body is read.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use switchboard_core::{
    error::{Error, ErrorKind},
    ids::TenantId,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Problem;

/// How long a refusal holds for those who come next; then some are let in again, to see.
const HOLDS: Duration = Duration::from_millis(200);
/// How long after that only a few are let in at a time: else everybody who waited would rush in at once.
const CAREFUL: Duration = Duration::from_secs(1);
/// So many of them.
const AT_A_TIME: usize = 16;

/// Refusals of the last moments.
pub(crate) struct Backlog {
    refusals: Mutex<HashMap<Option<TenantId>, Refusal>>,
    few: Arc<Semaphore>,
}

struct Refusal {
    until: Duration,
    problem: Problem,
}

impl Default for Backlog {
    fn default() -> Self {
        Self { refusals: Mutex::default(), few: Arc::new(Semaphore::new(AT_A_TIME)) }
    }
}

impl Backlog {
    /// Refuses a tenant's tickets when others were refused a moment ago for having too many waiting, or when as many as are let
    /// in at a time are in already.
    pub(crate) fn check(&self, now: Duration, tenant: &TenantId) -> Result<(), Problem> {
        self.enter(now, tenant).map(drop)
    }

    /// The same, for tickets that are to be stored now; what is given back is held meanwhile.
    pub(crate) fn enter(&self, now: Duration, tenant: &TenantId) -> Result<Option<OwnedSemaphorePermit>, Problem> {
        let refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if refusals.is_empty() {
            return Ok(None);
        }
        let of = |whose| refusals.get(&whose).filter(|refusal| now < refusal.until + CAREFUL);
        let Some(refusal) = of(None).or_else(|| of(Some(tenant.clone()))) else { return Ok(None) };
        if now < refusal.until {
            return Err(refusal.problem.clone());
        }
        Arc::clone(&self.few).try_acquire_owned().map(Some).map_err(|_| refusal.problem.clone())
    }

    /// The problem that `error` is, remembered when it says that too many tickets wait, of one tenant or of all.
    pub(crate) fn note(&self, now: Duration, tenant: &TenantId, error: Error) -> Problem {
        let whose = match error.kind() {
            ErrorKind::BacklogFull => Some(tenant.clone()),
            ErrorKind::Overloaded => None,
            _ => return error.into(),
        };
        let problem = Problem::from(error);
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.retain(|_, refusal| now < refusal.until + CAREFUL);
        refusals.insert(whose, Refusal { until: now + HOLDS, problem: problem.clone() });
        problem
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_holds_for_a_moment_for_those_whom_it_concerns() {
        let backlog = Backlog::default();
        let (acme, globex): (TenantId, TenantId) = ("acme".parse().unwrap(), "globex".parse().unwrap());
        let note = |now, tenant, kind| {
            backlog.note(now, tenant, Error::new(kind, "too many wait"));
        };
        let at = Duration::from_secs(9);
        for kind in [ErrorKind::Conflict, ErrorKind::Unavailable, ErrorKind::QuotaExceeded] {
            note(at, &acme, kind);
            backlog.check(at, &acme).unwrap();
        }
        note(at, &acme, ErrorKind::BacklogFull);
        assert_eq!(backlog.check(at, &acme).unwrap_err().status, 429);
        backlog.check(at, &globex).unwrap();
        note(at, &acme, ErrorKind::Overloaded);
        assert_eq!(backlog.check(at + HOLDS / 2, &globex).unwrap_err().status, 503);
        let few: Vec<_> = (0..AT_A_TIME).map(|_| backlog.enter(at + HOLDS, &acme).unwrap()).collect();
        assert_eq!(backlog.check(at + HOLDS, &globex).unwrap_err().status, 503, "a few at a time");
        drop(few);
        backlog.check(at + HOLDS, &globex).unwrap();
        assert!(backlog.enter(at + HOLDS + CAREFUL, &acme).unwrap().is_none(), "all are let in again");
        note(at + HOLDS + CAREFUL, &globex, ErrorKind::BacklogFull);
        assert_eq!(backlog.refusals.lock().unwrap().len(), 1, "what is over is forgotten");
    }
}
