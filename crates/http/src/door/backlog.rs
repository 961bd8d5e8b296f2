//! Remembers for a moment that no more tickets can be taken, so that those who come next are refused before their body is read.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use switchboard_core::{
    error::{Error, ErrorKind},
    ids::TenantId,
};

use crate::Problem;

/// How long a refusal holds for those who come next; then somebody is let in again, to see.
const HOLDS: Duration = Duration::from_millis(200);

/// Refusals of the last moments.
#[derive(Default)]
pub(crate) struct Backlog(Mutex<HashMap<Option<TenantId>, Refusal>>);

struct Refusal {
    until: Duration,
    problem: Problem,
}

impl Backlog {
    /// Refuses a tenant's tickets when others were refused a moment ago for having too many waiting.
    pub(crate) fn check(&self, now: Duration, tenant: &TenantId) -> Result<(), Problem> {
        let refusals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if refusals.is_empty() {
            return Ok(());
        }
        let of = |whose| refusals.get(&whose).filter(|refusal| now < refusal.until);
        match of(None).or_else(|| of(Some(tenant.clone()))) {
            Some(refusal) => Err(refusal.problem.clone()),
            None => Ok(()),
        }
    }

    /// The problem that `error` is, remembered when it says that too many tickets wait, of one tenant or of all.
    pub(crate) fn note(&self, now: Duration, tenant: &TenantId, error: Error) -> Problem {
        let whose = match error.kind() {
            ErrorKind::BacklogFull => Some(tenant.clone()),
            ErrorKind::Overloaded => None,
            _ => return error.into(),
        };
        let problem = Problem::from(error);
        let mut refusals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.retain(|_, refusal| now < refusal.until);
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
        backlog.check(at + HOLDS, &acme).unwrap();
        note(at + HOLDS, &globex, ErrorKind::BacklogFull);
        assert_eq!(backlog.0.lock().unwrap().len(), 1, "what is over is forgotten");
    }
}
