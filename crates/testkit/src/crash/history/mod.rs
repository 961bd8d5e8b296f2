//! What clients asked and saw, with times, and whether one store that loses nothing could have answered so (as Jepsen does it).
//!
//! Of each ticket the archive gives the order of its decision and its reviews: the store wrote them one after the other. So
//! nothing has to be searched. It is enough that this one order agrees with what every client saw, and when: what had ended
//! before something else began comes before it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

/// Something that a client asked for. Times are since the start of the run, by one monotonic clock.
#[derive(Clone, Debug)]
pub struct Call {
    /// When it was sent; of what is sent until it is answered, the first time.
    pub begun: Duration,
    /// When its answer was there; `None` when none came, and it may have been done or not.
    pub ended: Option<Duration>,
    /// What.
    pub what: Asked,
}

/// What was asked for, and what the answer was.
#[derive(Clone, Debug)]
pub enum Asked {
    /// A ticket was sent in; it ended with 202.
    Accept {
        /// Its id.
        ticket: String,
    },
    /// A ticket was read.
    Read {
        /// Its id.
        ticket: String,
        /// What it showed; `None` when there was no such ticket.
        seen: Option<Seen>,
    },
    /// A ticket was reviewed.
    Review {
        /// Its id.
        ticket: String,
        /// What the client wrote, in no other review.
        note: String,
        /// The review, as the answer named it; `None` without an answer.
        review: Option<String>,
    },
}

/// What a ticket showed.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Its decision, once there was one.
    pub decision: Option<String>,
    /// Its newest review and the note in it.
    pub review: Option<(String, String)>,
    /// What had happened to it, in the order told: `accepted`, `routed` …
    pub timeline: Vec<String>,
}

/// An event of the archive. The archive is in the order in which things were written.
#[derive(Clone, Debug)]
pub struct Archived {
    /// The ticket.
    pub ticket: String,
    /// What happened.
    pub what: Happened,
}

/// What happened to a ticket. Ids are of decisions and of reviews.
#[derive(Clone, Debug)]
pub enum Happened {
    /// It was accepted.
    Received,
    /// It was decided.
    Routed(String),
    /// It was reviewed.
    Reviewed {
        /// The review.
        id: String,
        /// Whether the desk is told of it.
        write_back: bool,
    },
    /// The desk has that decision or review.
    Synced(String),
}

/// A promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// What was acknowledged, or seen once, is there from then on.
    Visible,
    /// A ticket is accepted once, and only when somebody sent it.
    ReceivedOnce,
    /// It has one decision, which never changes and never goes away.
    OneDecision,
    /// An acknowledged review is recorded once, and nothing is recorded that nobody asked for.
    EveryReview,
    /// Reviews stand in the order in which they were asked for, and nobody sees an older one after a newer one.
    ReviewOrder,
    /// Received, then routed, then the rest; told to the desk after it was decided.
    TicketOrder,
}

/// A promise that was broken.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Which.
    pub promise: Promise,
    /// How.
    pub how: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}: {}", self.promise, self.how)
    }
}

/// Holds `history` against `archive`. `last` is what each acknowledged ticket showed after all clients had stopped and all
/// work was done.
pub fn check(history: &[Call], archive: &[Archived], last: &BTreeMap<String, Seen>) -> Vec<Broken> {
    let mut tickets = BTreeMap::<&str, Ticket<'_>>::new();
    for call in history {
        tickets.entry(call.what.ticket()).or_default().take(call);
    }
    for event in archive {
        tickets.entry(&event.ticket).or_default().archive.push(&event.what);
    }
    for (id, seen) in last {
        tickets.entry(id).or_default().last = Some(seen);
    }
    tickets.iter().flat_map(|(id, ticket)| ticket.check(id)).collect()
}

impl Asked {
    fn ticket(&self) -> &str {
        match self {
            Self::Accept { ticket } | Self::Read { ticket, .. } | Self::Review { ticket, .. } => ticket,
        }
    }
}

/// All that is known of one ticket.
#[derive(Default)]
struct Ticket<'a> {
    sent: bool,
    acknowledged: Option<Duration>,
    reads: Vec<Read<'a>>,
    reviews: Vec<Review<'a>>,
    archive: Vec<&'a Happened>,
    last: Option<&'a Seen>,
}

struct Read<'a> {
    begun: Duration,
    ended: Duration,
    seen: Option<&'a Seen>,
}

struct Review<'a> {
    begun: Duration,
    /// When it was acknowledged, and as which review.
    ended: Option<(Duration, &'a str)>,
    note: &'a str,
}

impl<'a> Ticket<'a> {
    fn take(&mut self, call: &'a Call) {
        match &call.what {
            Asked::Accept { .. } => {
                self.sent = true;
                self.acknowledged = self.acknowledged.into_iter().chain(call.ended).min();
            }
            Asked::Read { seen, .. } => {
                // A read without an answer saw nothing.
                let read = call.ended.map(|ended| Read { begun: call.begun, ended, seen: seen.as_ref() });
                self.reads.extend(read);
            }
            Asked::Review { note, review, .. } => {
                let ended = call.ended.zip(review.as_deref());
                self.reviews.push(Review { begun: call.begun, ended, note });
            }
        }
    }

    fn check(&self, id: &str) -> Vec<Broken> {
        let mut broken = Vec::new();
        let mut breaks = |promise, how: String| broken.push(Broken { promise, how: format!("{id}: {how}") });
        self.is_visible(&mut breaks);
        self.has_one_decision(&mut breaks);
        self.has_every_review(&mut breaks);
        self.reviews_are_in_order(&mut breaks);
        self.happened_in_order(&mut breaks);
        broken
    }

    fn is_visible(&self, breaks: &mut impl FnMut(Promise, String)) {
        let times = self.archive.iter().filter(|what| matches!(what, Happened::Received)).count();
        let fits = if self.acknowledged.is_some() { times == 1 } else { times <= usize::from(self.sent) };
        if !fits {
            breaks(
                Promise::ReceivedOnce,
                format!("is in the archive {times} times, sent: {}, acknowledged: {:?}", self.sent, self.acknowledged),
            );
        }
        if self.acknowledged.is_some() && self.last.is_none() {
            breaks(Promise::Visible, "was acknowledged and is gone".to_owned());
        }
        let shown = self.reads.iter().filter(|read| read.seen.is_some()).map(|read| read.ended).min();
        let Some(since) = self.acknowledged.into_iter().chain(shown).min() else { return };
        for read in self.reads.iter().filter(|read| read.seen.is_none() && read.begun > since) {
            breaks(Promise::Visible, format!("was there at {since:?} and not for a read at {:?}", read.begun));
        }
    }

    fn has_one_decision(&self, breaks: &mut impl FnMut(Promise, String)) {
        let routed = |what: &&'a Happened| if let Happened::Routed(id) = what { Some(id.as_str()) } else { None };
        let recorded: Vec<_> = self.archive.iter().filter_map(routed).collect();
        if recorded.len() > 1 || recorded.is_empty() && self.acknowledged.is_some() {
            breaks(Promise::OneDecision, format!("has {} decisions: {recorded:?}", recorded.len()));
        }
        let reads = self.reads.iter().filter_map(|read| read.seen);
        for decision in reads.chain(self.last).filter_map(|seen| seen.decision.as_deref()) {
            if !recorded.contains(&decision) {
                breaks(Promise::OneDecision, format!("showed {decision}, and the archive has {recorded:?}"));
            }
        }
        let shows = |read: &&Read<'_>| read.seen.is_some_and(|seen| seen.decision.is_some());
        let seen = self.reads.iter().filter(shows).map(|read| read.ended);
        let reviewed = self.reviews.iter().filter_map(|review| Some(review.ended?.0));
        if let Some(since) = seen.chain(reviewed).min() {
            for read in self.reads.iter().filter(|read| read.begun > since && !shows(read)) {
                breaks(
                    Promise::OneDecision,
                    format!("was decided at {since:?} and not for a read at {:?}", read.begun),
                );
            }
        }
        if self.last.is_some_and(|seen| seen.decision.is_none()) {
            breaks(Promise::OneDecision, "has none at the end".to_owned());
        }
    }

    /// The reviews of the archive in their order.
    fn recorded(&self) -> Vec<&'a str> {
        let reviewed = |what: &&'a Happened| match what {
            Happened::Reviewed { id, .. } => Some(id.as_str()),
            _ => None,
        };
        self.archive.iter().filter_map(reviewed).collect()
    }

    fn has_every_review(&self, breaks: &mut impl FnMut(Promise, String)) {
        let recorded = self.recorded();
        let acknowledged: BTreeSet<_> = self.reviews.iter().filter_map(|review| Some(review.ended?.1)).collect();
        for id in &acknowledged {
            let times = recorded.iter().filter(|other| *other == id).count();
            if times != 1 {
                breaks(Promise::EveryReview, format!("review {id} was acknowledged and is recorded {times} times"));
            }
        }
        let answers = self.reviews.iter().filter(|review| review.ended.is_some()).count();
        if answers != acknowledged.len() {
            breaks(Promise::EveryReview, format!("{answers} reviews were answered by {acknowledged:?}"));
        }
        let unasked = recorded.iter().filter(|id| !acknowledged.contains(*id)).count();
        let unanswered = self.reviews.len() - answers;
        if unasked > unanswered {
            breaks(
                Promise::EveryReview,
                format!("{unasked} reviews are recorded beside the acknowledged ones, and {unanswered} had no answer"),
            );
        }
    }

    fn reviews_are_in_order(&self, breaks: &mut impl FnMut(Promise, String)) {
        let recorded = self.recorded();
        let place = |id: &str| recorded.iter().position(|other| *other == id);
        // What is known to have been written at a moment: acknowledged, or seen.
        let mut known: Vec<(Duration, usize)> = Vec::new();
        known.extend(self.reviews.iter().filter_map(|review| {
            let (ended, id) = review.ended?;
            Some((ended, place(id)?))
        }));
        known.extend(self.reads.iter().filter_map(|read| Some((read.ended, place(&read.seen?.review.as_ref()?.0)?))));
        let newest_before = |moment: Duration| known.iter().filter(|(at, _)| *at < moment).map(|(_, n)| *n).max();
        for review in &self.reviews {
            let Some((_, id)) = review.ended else { continue };
            if let (Some(own), Some(before)) = (place(id), newest_before(review.begun))
                && own <= before
            {
                let before = recorded[before];
                breaks(
                    Promise::ReviewOrder,
                    format!("review {id} stands before {before}, which was there when it was asked for"),
                );
            }
        }
        for read in &self.reads {
            let Some(seen) = read.seen else { continue };
            let shown = seen.review.as_ref().and_then(|(id, _)| place(id));
            if shown < newest_before(read.begun) {
                breaks(
                    Promise::ReviewOrder,
                    format!("a read at {:?} saw {:?}, and a newer one was there before", read.begun, seen.review),
                );
            }
            if let Some((id, note)) = &seen.review {
                self.was_asked_for(id, note, read.ended, breaks);
            }
        }
        if let Some(last) = self.last {
            let shown = last.review.as_ref().map(|(id, _)| id.as_str());
            if shown != recorded.last().copied() {
                breaks(
                    Promise::ReviewOrder,
                    format!("shows review {shown:?} at the end, and the last one recorded is {:?}", recorded.last()),
                );
            }
        }
    }

    /// A review that somebody saw is one that somebody had asked for by then, with that note.
    fn was_asked_for(&self, id: &str, note: &str, seen: Duration, breaks: &mut impl FnMut(Promise, String)) {
        let of_note = self.reviews.iter().find(|review| review.note == note);
        let fits = of_note.is_some_and(|review| review.begun <= seen && review.ended.is_none_or(|(_, own)| own == id));
        if !fits {
            breaks(
                Promise::EveryReview,
                format!("showed review {id} with the note {note:?}, which was not asked for so"),
            );
        }
    }

    fn happened_in_order(&self, breaks: &mut impl FnMut(Promise, String)) {
        let mut known = BTreeSet::new();
        let mut received = false;
        for what in &self.archive {
            let fits = match what {
                Happened::Received => {
                    let first = !received && known.is_empty();
                    received = true;
                    first
                }
                Happened::Routed(id) => {
                    let first = known.is_empty();
                    known.insert(id);
                    received && first
                }
                Happened::Reviewed { id, .. } => !known.is_empty() && known.insert(id),
                Happened::Synced(id) => known.contains(id),
            };
            if !fits {
                breaks(
                    Promise::TicketOrder,
                    format!("{what:?} is out of its place in the archive: {:?}", self.archive),
                );
            }
        }
        for seen in self.reads.iter().filter_map(|read| read.seen).chain(self.last) {
            let words: Vec<_> = seen.timeline.iter().map(String::as_str).collect();
            let begins = match words.as_slice() {
                [] => false,
                ["accepted"] => seen.decision.is_none(),
                ["accepted", "routed", rest @ ..] => {
                    seen.decision.is_some() && rest.iter().all(|word| !["accepted", "routed"].contains(word))
                }
                _ => false,
            };
            if !begins {
                breaks(Promise::TicketOrder, format!("a timeline is out of order: {words:?}"));
            }
        }
    }
}

#[cfg(test)]
mod tests;
