//! The review queue. No index can hold the value of a review, because a category's share moves with every ticket: what waits
//! is read and sorted, which is bounded, and the shares are those of the newest tickets.

use std::{cmp::Ordering, collections::BTreeMap};

use switchboard_core::{
    error::Result,
    ids::{TenantId, TicketId},
    limits,
    ports::{ReviewFilter, ReviewQueue, TicketSummary, WaitingReview},
    tickets::{Decision, TicketRecord},
    time::Timestamp,
    untrusted::Untrusted,
};

use super::{DynamoStore, head, list};
use crate::db::{Find, Item, Read, from_json};

/// Tickets waiting for review that are looked at: the newest. A tenant with more is so far behind that the older ones will
/// hardly be looked at, and the page would take seconds.
const WAITING_READ: usize = 5_000;
/// Decided tickets by which the categories' shares are counted: the newest, which give a share to a percent or two.
const SHARE_TICKETS: usize = 2_000;

/// A place in the queue: the highest value first, then the least sure, then the oldest.
#[derive(Clone, Debug, PartialEq)]
struct Place {
    value: f64,
    confidence: f64,
    at: Timestamp,
    ticket: TicketId,
}

/// A ticket that waits, and when it was decided.
type Line = (TicketSummary, Timestamp);

pub(super) async fn page(
    store: &DynamoStore,
    tenant: &TenantId,
    filter: &ReviewFilter,
    cursor: Option<&str>,
    limit: u32,
) -> Result<ReviewQueue> {
    let after = cursor.map(|cursor| Place::parse(cursor).ok_or_else(list::not_ours)).transpose()?;
    let waiting = waiting(store, tenant, filter).await?;
    let count = waiting.len() as u64;
    let shares = if waiting.is_empty() { BTreeMap::new() } else { shares(store, tenant).await? };
    let mut places = Vec::with_capacity(waiting.len());
    for (summary, decided_at) in waiting {
        let category = summary.primary_category.as_ref().map_or("", |category| category.as_str());
        let confidence = summary.confidence_score.unwrap_or(0.0);
        let value = (1.0 - confidence) * shares.get(category).copied().unwrap_or(0.0);
        let (at, ticket) = (summary.accepted_at, summary.ticket_id.clone());
        places.push((Place { value, confidence, at, ticket }, (summary, decided_at)));
    }
    places.retain(|(place, _)| after.as_ref().is_none_or(|after| place.order(after) == Ordering::Greater));
    places.sort_by(|(one, _), (other, _)| one.order(other));
    let more = places.len() > limit as usize;
    places.truncate(limit as usize);
    let next_cursor = places.last().filter(|_| more).map(|(place, _)| place.cursor());
    let items = items(store, tenant, places).await?;
    Ok(ReviewQueue { waiting: count, items, next_cursor })
}

async fn waiting(store: &DynamoStore, tenant: &TenantId, filter: &ReviewFilter) -> Result<Vec<Line>> {
    let find = Find::by("tickets", "by_review", "review_key", head::of_tenant(tenant, "waiting")).newest_first();
    let mut waiting = Vec::new();
    for item in store.db.all(&find, WAITING_READ).await? {
        let summary = head::summary(&item)?;
        let of_team = filter.team.as_ref().is_none_or(|team| summary.assigned_team.as_ref() == Some(team));
        let of_category =
            filter.category.as_ref().is_none_or(|category| summary.primary_category.as_ref() == Some(category));
        if of_team && of_category {
            waiting.push((summary, item.needed_time("decided_at")?));
        }
    }
    Ok(waiting)
}

/// The part that each category has of the tickets decided lately.
async fn shares(store: &DynamoStore, tenant: &TenantId) -> Result<BTreeMap<String, f64>> {
    let since = store.now().minus(limits::REVIEW_SHARE_TIME).as_millis();
    let find = Find::by("tickets", "by_time", "tenant", tenant.as_str())
        .between("listed", format!("{since:015}"), "999999999999999$")
        .newest_first();
    let mut counts: BTreeMap<String, f64> = BTreeMap::new();
    let (mut all, mut from) = (0.0, None);
    loop {
        let (items, next) = store.db.page(&find, from).await?;
        for category in items.iter().filter_map(|item: &Item| item.text("category")) {
            *counts.entry(category.to_owned()).or_default() += 1.0;
            all += 1.0;
        }
        from = next;
        if from.is_none() || all >= SHARE_TICKETS as f64 {
            break;
        }
    }
    counts.values_mut().for_each(|count| *count /= f64::max(all, 1.0));
    Ok(counts)
}

/// The lines of a page, with what the customers wrote and why somebody should look.
async fn items(store: &DynamoStore, tenant: &TenantId, places: Vec<(Place, Line)>) -> Result<Vec<WaitingReview>> {
    let mut keys = Vec::with_capacity(places.len() * 2);
    for (place, (_, decided_at)) in &places {
        keys.push(head::part(tenant, &place.ticket, head::RECORD));
        keys.push(head::part(tenant, &place.ticket, head::decision_sort(*decided_at)));
    }
    let (mut subjects, mut reasons) = (BTreeMap::new(), BTreeMap::new());
    for item in store.db.fetch("tickets", keys).await? {
        let record = store.bodies.needed(&item, "record").await?;
        if item.text("timestamp") == Some(head::RECORD) {
            let record: TicketRecord = from_json("ticket", &record)?;
            subjects.insert(record.ticket_id, record.subject);
        } else {
            let decision: Decision = from_json("decision", &record)?;
            reasons.insert(decision.ticket_id, decision.review_reasons);
        }
    }
    // One that was deleted since the index was read is left out.
    let line = |(place, (ticket, _)): (Place, Line)| {
        let (subject, review_reasons) = subjects.remove(&ticket.ticket_id).zip(reasons.remove(&ticket.ticket_id))?;
        Some(WaitingReview { ticket, subject: Untrusted::new(subject), review_reasons, value: place.value })
    };
    Ok(places.into_iter().filter_map(line).collect())
}

impl Place {
    fn order(&self, other: &Self) -> Ordering {
        let value = other.value.total_cmp(&self.value).then(self.confidence.total_cmp(&other.confidence));
        value.then(self.at.cmp(&other.at)).then_with(|| self.ticket.cmp(&other.ticket))
    }

    /// The bits of both numbers, so that they come back as they were.
    fn cursor(&self) -> String {
        let place = list::place(self.at, &self.ticket);
        format!("{:016x}-{:016x}-{place}", self.value.to_bits(), self.confidence.to_bits())
    }

    fn parse(cursor: &str) -> Option<Self> {
        let mut parts = cursor.splitn(3, '-');
        let mut number =
            || Some(f64::from_bits(u64::from_str_radix(parts.next()?, 16).ok()?)).filter(|n| n.is_finite());
        let (value, confidence) = (number()?, number()?);
        let (at, ticket) = list::parse_place(parts.next()?)?;
        Some(Self { value, confidence, at, ticket })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_names_its_place_to_the_last_bit() {
        let at = Timestamp::from_millis(1_795_161_600_000);
        let place = Place { value: 0.1 + 0.2, confidence: 1.0 / 3.0, at, ticket: "T-1".parse().unwrap() };
        assert_eq!(Place::parse(&place.cursor()), Some(place));
        for rubbish in ["", "1-2", "zz-0-1-61", "7ff0000000000000-0-1-61", "0-0-99999999999999999999"] {
            assert!(Place::parse(rubbish).is_none(), "{rubbish}");
        }
    }
}
