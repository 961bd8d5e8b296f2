//! When keys and sessions were last used: remembered at each use, written seldom and never while a request waits.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::session::TokenHash;
use crate::{
    error::Result,
    ids::KeyId,
    limits,
    ports::{KeyStore, OperatorStore},
    time::Timestamp,
};

/// The last uses that are not written yet. Only what was authenticated gets in, so there are no more entries than keys and
/// sessions.
#[derive(Default)]
pub struct Uses {
    keys: Noted<KeyId>,
    sessions: Noted<TokenHash>,
}

struct Noted<Id>(Mutex<HashMap<Id, Use>>);

#[derive(Clone, Copy)]
struct Use {
    last: Timestamp,
    is_written: bool,
    /// Monotonic; `None` before the first time.
    written_at: Option<Duration>,
}

impl<Id> Default for Noted<Id> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<Id: Clone + Eq + Hash> Noted<Id> {
    fn note(&self, id: &Id, at: Timestamp) {
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match uses.get_mut(id) {
            Some(known) => (known.last, known.is_written) = (at, false),
            None => {
                uses.insert(id.clone(), Use { last: at, is_written: false, written_at: None });
            }
        }
    }

    /// Those whose time to be written has come; they count as written. What was not used for long is forgotten.
    fn take(&self, now: Duration, all: bool) -> Vec<(Id, Timestamp)> {
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = |at: &Option<Duration>| at.is_none_or(|at| now.saturating_sub(at) >= limits::USE_NOTED_EVERY);
        uses.retain(|_, known| !known.is_written || !is_due(&known.written_at));
        let mut due = Vec::new();
        for (id, known) in uses.iter_mut().filter(|(_, known)| !known.is_written) {
            if all || is_due(&known.written_at) {
                (known.is_written, known.written_at) = (true, Some(now));
                due.push((id.clone(), known.last));
            }
        }
        due
    }
}

impl Uses {
    /// A key was used.
    pub fn of_key(&self, id: &KeyId, at: Timestamp) {
        self.keys.note(id, at);
    }

    /// A session was used.
    pub fn of_session(&self, token: &TokenHash, at: Timestamp) {
        self.sessions.note(token, at);
    }

    /// Writes what is due: each key and session at most once in [`limits::USE_NOTED_EVERY`], or with `all` everything, as at
    /// the end of the process. `now` is monotonic. What fails is not tried again before the next use.
    pub async fn write(
        &self,
        keys: &dyn KeyStore,
        operator: &dyn OperatorStore,
        now: Duration,
        all: bool,
    ) -> Result<()> {
        let due = self.keys.take(now, all);
        if !due.is_empty() {
            keys.record_uses(due).await?;
        }
        for (token, at) in self.sessions.take(now, all) {
            operator.touch_session(&token, at).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_written_at_most_once_a_minute_and_the_newest_counts() {
        let uses = Noted::<u32>::default();
        let (second, at) = (Duration::from_secs, Timestamp::from_millis);
        uses.note(&1, at(1));
        uses.note(&1, at(2));
        assert_eq!(uses.take(second(10), false), [(1, at(2))]);
        assert_eq!(uses.take(second(11), false), []);
        uses.note(&1, at(3));
        assert_eq!(uses.take(second(69), false), [], "not within a minute");
        uses.note(&1, at(4));
        assert_eq!(uses.take(second(70), false), [(1, at(4))]);
        uses.note(&1, at(5));
        assert_eq!(uses.take(second(71), true), [(1, at(5))], "all at the end");
        assert_eq!(uses.take(second(200), false), []);
        assert!(uses.0.lock().unwrap().is_empty(), "forgotten");
    }
}
