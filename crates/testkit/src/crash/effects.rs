//! What the ticketing system was told, against the archive: everything that it should have, once, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use super::history::{Archived, Happened};

/// What is wrong with the effects.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Tickets whose newest decision or review the ticketing system never got.
    pub(super) missing: BTreeSet<String>,
    /// Tickets of which it got something that is no decision and no review that asks for it, or that the archive has twice.
    pub(super) too_many: BTreeSet<String>,
}

/// Holds `effects`, the ids that came and their tickets, against `archive`.
///
/// The newest review that the desk is told of owns the write-back; when there is none, the decision does. What is older may
/// have been told before, or not: it ends without sending once it is overtaken.
pub(super) fn check(archive: &[Archived], effects: &BTreeMap<String, String>) -> Wrong {
    let mut wrong = Wrong::default();
    let mut allowed = BTreeMap::<&str, &str>::new();
    let mut owners = BTreeMap::<&str, &str>::new();
    let mut synced = BTreeSet::new();
    for event in archive {
        let ticket = event.ticket.as_str();
        match &event.what {
            Happened::Routed(id) | Happened::Reviewed { id, write_back: true } => {
                allowed.insert(id, ticket);
                owners.insert(ticket, id);
            }
            Happened::Synced(id) if !synced.insert(id.as_str()) => {
                wrong.too_many.insert(ticket.to_owned());
            }
            Happened::Synced(_) | Happened::Received | Happened::Reviewed { write_back: false, .. } => {}
        }
    }
    for (ticket, owner) in owners {
        if effects.get(owner).map(String::as_str) != Some(ticket) || !synced.contains(owner) {
            wrong.missing.insert(ticket.to_owned());
        }
    }
    for (id, ticket) in effects {
        if allowed.get(id.as_str()) != Some(&ticket.as_str()) {
            wrong.too_many.insert(ticket.clone());
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archived(what: Happened) -> Archived {
        Archived { ticket: "T".to_owned(), what }
    }

    fn routed() -> Archived {
        archived(Happened::Routed("D".to_owned()))
    }

    fn reviewed(id: &str, write_back: bool) -> Archived {
        archived(Happened::Reviewed { id: id.to_owned(), write_back })
    }

    fn synced(id: &str) -> Archived {
        archived(Happened::Synced(id.to_owned()))
    }

    /// How many tickets miss something, and how many have too much.
    #[track_caller]
    fn found(archive: &[Archived], told: &[&str]) -> (usize, usize) {
        let effects = told.iter().map(|id| ((*id).to_owned(), "T".to_owned())).collect();
        let wrong = check(archive, &effects);
        (wrong.missing.len(), wrong.too_many.len())
    }

    #[test]
    fn what_the_desk_should_have_once_is_right() {
        assert_eq!(found(&[routed(), synced("D")], &["D"]), (0, 0));
        let reviewed_after = [routed(), synced("D"), reviewed("R", true), synced("R"), reviewed("S", false)];
        assert_eq!(found(&reviewed_after, &["D", "R"]), (0, 0));
        assert_eq!(
            found(&[routed(), reviewed("R", true), synced("R")], &["R"]),
            (0, 0),
            "overtaken before it was sent"
        );
        assert_eq!(
            found(&[routed(), reviewed("R", true), synced("R")], &["D", "R"]),
            (0, 0),
            "overtaken while it was sent"
        );
    }

    #[test]
    fn what_the_desk_lacks_is_found() {
        assert_eq!(found(&[routed(), synced("D")], &[]), (1, 0), "recorded and never sent");
        assert_eq!(found(&[routed()], &["D"]), (1, 0), "sent and not recorded");
        assert_eq!(found(&[routed(), synced("D"), reviewed("R", true)], &["D"]), (1, 0));
    }

    #[test]
    fn what_the_desk_has_too_much_is_found() {
        assert_eq!(found(&[routed(), synced("D")], &["D", "D2"]), (0, 1), "the same under another key");
        assert_eq!(found(&[routed(), synced("D"), synced("D")], &["D"]), (0, 1), "recorded twice");
        assert_eq!(found(&[routed(), synced("D"), reviewed("R", false)], &["D", "R"]), (0, 1), "not to be told");
        let elsewhere = [("D".to_owned(), "U".to_owned())].into_iter().collect();
        let wrong = check(&[routed(), synced("D")], &elsewhere);
        assert_eq!((wrong.missing.len(), wrong.too_many.len()), (1, 1), "told of another ticket");
    }
}
