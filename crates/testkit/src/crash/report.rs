//! What came of a run, in figures.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use serde_json::Value;

use super::{
    Plan, effects,
    history::{Archived, Asked, Call, Promise, Seen, check},
    product::Product,
};
use crate::doubles::WebhookDouble;

/// So many broken promises are printed.
const SHOWN: usize = 20;

/// What came of a run. `Display` prints all of it.
#[derive(Debug, Default)]
pub struct Report {
    /// Times that the server was killed.
    pub kills: usize,
    /// The plan's seed.
    pub seed: u64,
    /// The plan's clients.
    pub clients: usize,
    /// Tickets that got a 202.
    pub acknowledged: usize,
    /// Reviews that were answered.
    pub reviews: usize,
    /// Reviews without an answer, which may have been done or not.
    pub unanswered: usize,
    /// Reads that were answered.
    pub reads: usize,
    /// Requests that were sent again, because the server was dead or full.
    pub retries: usize,
    /// Web hooks that came to the ticketing system before the last kill.
    pub delivered_under_fire: usize,
    /// Web hooks that came to the ticketing system.
    pub deliveries: usize,
    /// Those of them that repeated one before, under the same key.
    pub repeated: usize,
    /// Updates that the ticketing system failed six times running, and an operator replayed.
    pub replayed: usize,
    /// Events that were in hand at three deaths and then ran alone.
    pub alone: usize,
    /// Acknowledged tickets that were gone, not decided or not told to the ticketing system in the end.
    pub lost: usize,
    /// Tickets with more decisions, reviews or effects than they should have.
    pub doubled: usize,
    /// Whether the database was sound in the end.
    pub integrity: bool,
    /// Every promise that was broken, and everything else that is not as it should be.
    pub broken: Vec<String>,
    /// From the start of a server to the first acknowledgement of its life, at most.
    pub slowest_start: Duration,
    /// How long the server was killed.
    pub killing: Duration,
    /// How long it took from then until all work was done and checked.
    pub settling: Duration,
}

impl Report {
    pub(super) fn of(plan: &Plan, history: &[Call]) -> Self {
        let mut report = Self { kills: plan.kills, seed: plan.seed, clients: plan.clients, ..Self::default() };
        for call in history {
            match (&call.what, call.ended) {
                (Asked::Accept { .. }, Some(_)) => report.acknowledged += 1,
                (Asked::Accept { .. }, None) => {}
                (Asked::Read { .. }, _) => report.reads += 1,
                (Asked::Review { .. }, Some(_)) => report.reviews += 1,
                (Asked::Review { .. }, None) => report.unanswered += 1,
            }
        }
        report
    }

    /// Whether every promise was kept.
    pub fn is_kept(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.integrity && self.broken.is_empty()
    }

    /// A desk that fails 13 % of its calls fails one in 200,000 updates six times running, which makes it a dead letter, as it
    /// should. Nothing may be there for any other reason.
    pub(super) fn given_up(&mut self, letters: &[Value]) {
        self.replayed = letters.len();
        for letter in letters.iter().filter(|letter| letter["failed"] != 6) {
            self.broken.push(format!("a dead letter that the desk did not fail six times: {letter}"));
        }
    }

    /// Holds what the clients saw against the archive.
    pub(super) fn hold(&mut self, history: &[Call], archive: &[Archived], last: &BTreeMap<String, Seen>) {
        let broken = check(history, archive, last);
        let tickets = |promises: &[Promise]| {
            let of_these = broken.iter().filter(|broken| promises.contains(&broken.promise));
            of_these.filter_map(|broken| broken.how.split(':').next()).collect::<BTreeSet<_>>().len()
        };
        self.lost += tickets(&[Promise::Visible]);
        self.doubled += tickets(&[Promise::OneDecision, Promise::ReceivedOnce]);
        self.broken.extend(broken.iter().map(ToString::to_string));
    }

    /// Holds what the ticketing system got against the archive.
    pub(super) fn hold_effects(&mut self, archive: &[Archived], double: &WebhookDouble) {
        let (deliveries, first) = (double.deliveries(), double.effects());
        self.deliveries = deliveries.len();
        self.repeated = deliveries.len() - first.len();
        let mut told = BTreeMap::new();
        for (id, body) in &first {
            let body: Value = serde_json::from_slice(body).expect("a web hook in JSON");
            if body["data"]["decision_id"] != id.as_str() {
                self.broken.push(format!("the web hook {id} is about {}", body["data"]["decision_id"]));
            }
            told.insert(id.clone(), body["data"]["ticket_id"].as_str().unwrap_or_default().to_owned());
        }
        for delivery in deliveries.iter().filter(|delivery| first[&delivery.id] != delivery.body) {
            self.broken.push(format!("the web hook {} said something else the second time", delivery.id));
        }
        if double.refused() > 0 {
            self.broken.push(format!("{} web hooks were not signed as they should be", double.refused()));
        }
        let wrong = effects::check(archive, &told);
        self.lost += wrong.missing.len();
        self.doubled += wrong.too_many.len();
        self.broken.extend(
            wrong.missing.iter().map(|ticket| format!("{ticket}: the ticketing system lacks its newest state")),
        );
        self.broken
            .extend(wrong.too_many.iter().map(|ticket| format!("{ticket}: the ticketing system has too much of it")));
    }

    /// Looks at what the operator sees.
    pub(super) fn look_at(&mut self, product: &Product, last: &BTreeMap<String, Seen>) {
        if last.len() != self.acknowledged {
            self.broken.push(format!("{} tickets are there, and {} were acknowledged", last.len(), self.acknowledged));
        }
        for (what, arguments) in [("dead letters", ["dlq", "list"]), ("held effects", ["effects", "list"])] {
            let left = product.json(&[arguments[0], arguments[1], "--tenant", "acme"]);
            if left != Value::Array(Vec::new()) {
                self.broken.push(format!("there are {what} in the end: {left}"));
            }
        }
        let doctor = product.json(&["doctor"]);
        let findings = doctor["findings"].as_array().cloned().unwrap_or_default();
        let database = findings.iter().find(|finding| finding["what"] == "database");
        let detail = database.and_then(|finding| finding["detail"].as_str()).unwrap_or_default();
        self.integrity = detail.starts_with("integrity ok");
        if doctor["good"] != true || !self.integrity {
            self.broken.push(format!("the doctor finds something: {doctor}"));
        }
        let log = product.log();
        self.alone = log.matches("runs alone").count();
        if let Some(line) = log.lines().find(|line| line.contains("panicked") || line.contains("broke an invariant")) {
            self.broken.push(format!("the log says: {line}"));
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "kills {}, seed {}, clients {}", self.kills, self.seed, self.clients)?;
        writeln!(
            out,
            "acknowledged {} tickets and {} reviews, {} reviews without an answer; {} reads; {} requests tried again",
            self.acknowledged, self.reviews, self.unanswered, self.reads, self.retries
        )?;
        writeln!(
            out,
            "deliveries {}, {} of them between kills, repeated {}; updates that the desk failed six times and that were replayed {}; interrupted events that ran alone {}",
            self.deliveries, self.delivered_under_fire, self.repeated, self.replayed, self.alone
        )?;
        // The rule of three: none in N means below 3/N at 95 %.
        let bound = 300.0 / self.kills.max(1) as f64;
        let integrity = if self.integrity { "ok" } else { "NOT OK" };
        writeln!(
            out,
            "lost {}, doubled {}, integrity {integrity}, promises broken {} (when none: below {bound:.2} % a kill, at 95 %)",
            self.lost,
            self.doubled,
            self.broken.len()
        )?;
        let (killing, settling) = (self.killing.as_secs_f64(), self.settling.as_secs_f64());
        writeln!(
            out,
            "{killing:.0} s of kills, {settling:.0} s until all work was done and checked; first acknowledgement of a life after {} ms at most",
            self.slowest_start.as_millis()
        )?;
        for broken in self.broken.iter().take(SHOWN) {
            writeln!(out, "BROKEN {broken}")?;
        }
        if self.broken.len() > SHOWN {
            writeln!(out, "and {} more", self.broken.len() - SHOWN)?;
        }
        Ok(())
    }
}
