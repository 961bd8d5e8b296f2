//! The collection of a ticket: its head, its record, its decision, its reviews.

use switchboard_core::{
    error::Result,
    ids::{DecisionId, TenantId, TicketId},
    limits,
    ports::{NewTicket, PastDecision, ReviewState, TicketFile, TicketStatus, TicketSummary},
    tickets::{Decision, PriorityLevel, SyncState, SyncStatus, Ticket, TicketRecord},
    time::Timestamp,
};

use super::DynamoStore;
use crate::{
    db::{Find, Item, Read, Write, from_json, millis, n, pair, s},
    queue::{ticket_key, ttl},
};

/// The sort key of the head.
pub(crate) const HEAD: &str = "0";
/// The sort key of the record.
pub(crate) const RECORD: &str = "1";

/// The partition of a ticket's collection.
pub(crate) fn collection(tenant: &TenantId, ticket: &TicketId) -> String {
    format!("t#{}", ticket_key(tenant, ticket))
}

/// An item of a ticket's collection.
pub(crate) fn part(tenant: &TenantId, ticket: &TicketId, sort: impl Into<String>) -> Item {
    pair("ticket_id", collection(tenant, ticket), "timestamp", sort)
}

/// The sort key of the decision made then.
pub(crate) fn decision_sort(at: Timestamp) -> String {
    format!("d#{at}")
}

/// The sort key of a review.
pub(crate) fn review_sort(at: Timestamp, id: &DecisionId) -> String {
    format!("r#{at}#{id}")
}

/// The place of a ticket in lists.
pub(crate) fn listed(at: Timestamp, ticket: &str) -> String {
    format!("{:015}#{ticket}", at.as_millis())
}

/// What an index leads by.
pub(crate) fn of_tenant(tenant: &TenantId, value: &str) -> String {
    format!("{tenant}#{value}")
}

/// The head of a new ticket.
pub(super) fn new_head(tenant: &TenantId, new: &NewTicket) -> Item {
    let ticket = &new.ticket;
    let mut item = part(tenant, &ticket.id, HEAD);
    let mut put = |name: &str, value| item.insert(name.to_owned(), value);
    put("tenant", s(tenant.as_str()));
    put("ticket", s(ticket.id.as_str()));
    put("customer", s(ticket.customer_id.as_str()));
    put("accepted_at", millis(ticket.accepted_at));
    put("listed", s(listed(ticket.accepted_at, ticket.id.as_str())));
    put("customer_key", s(of_tenant(tenant, ticket.customer_id.as_str())));
    put("sync", s(SyncStatus::Pending.word()));
    put("sync_key", s(of_tenant(tenant, SyncStatus::Pending.word())));
    put("sync_failures", n(0));
    put("ttl", ttl(ticket.accepted_at, limits::TICKET_RETENTION));
    item
}

/// Sets the state of the write-back. What has succeeded is most, and in no index of its own.
pub(crate) fn set_sync(write: Write, tenant: &TenantId, status: SyncStatus) -> Write {
    let key = (status != SyncStatus::Success).then(|| s(of_tenant(tenant, status.word())));
    write.set("sync", s(status.word())).set_or_remove("sync_key", key)
}

pub(super) fn ticket(record: &str) -> Result<Ticket> {
    from_json::<TicketRecord>("ticket", record).map(Ticket::from)
}

/// How the write-back goes, by the head.
fn sync_state(head: &Item) -> Result<SyncState> {
    Ok(SyncState {
        status: head.parsed("sync")?,
        failed_attempts: head.number("sync_failures").unwrap_or(0),
        receipt: head.text("sync_receipt").map(str::to_owned),
        last_error: head.text("sync_error").map(str::to_owned),
        changed_at: head.time("sync_changed_at"),
    })
}

/// Whether somebody should look, by the head.
pub(super) fn review_state(head: &Item) -> ReviewState {
    match (head.is("reviewed"), head.is("review")) {
        (true, _) => ReviewState::Done,
        (false, true) => ReviewState::Waiting,
        (false, false) => ReviewState::NotNeeded,
    }
}

/// A line of a list, by the head.
pub(super) fn summary(head: &Item) -> Result<TicketSummary> {
    Ok(TicketSummary {
        ticket_id: head.parsed("ticket")?,
        customer_id: head.parsed("customer")?,
        accepted_at: head.needed_time("accepted_at")?,
        status: if head.is("routed") { TicketStatus::Routed } else { TicketStatus::Accepted },
        assigned_team: head.optional("team")?,
        primary_category: head.optional("category")?,
        priority_level: head.optional::<PriorityLevel>("priority")?,
        priority_score: head.number("score"),
        confidence_score: head.number("confidence"),
        review_state: review_state(head),
        sync_status: head.parsed("sync")?,
    })
}

/// A line of a history, by the head of a routed ticket.
pub(super) fn past(head: &Item) -> Result<PastDecision> {
    Ok(PastDecision {
        ticket_id: head.parsed("ticket")?,
        at: head.needed_time("decided_at")?,
        category: head.parsed("category")?,
        severity: head.parsed("severity")?,
        priority: head.parsed("priority")?,
        requires_manual_review: head.is("review"),
    })
}

/// All items of a ticket's collection.
pub(super) async fn items(store: &DynamoStore, tenant: &TenantId, id: &TicketId) -> Result<Vec<Item>> {
    store.db.all(&Find::of("tickets", "ticket_id", collection(tenant, id)), usize::MAX).await
}

pub(super) fn find<'a>(items: &'a [Item], sort: &str) -> Option<&'a Item> {
    items.iter().find(|item| item.text("timestamp") == Some(sort))
}

pub(super) async fn ticket_file(store: &DynamoStore, tenant: &TenantId, id: &TicketId) -> Result<Option<TicketFile>> {
    let items = items(store, tenant, id).await?;
    let (Some(head), Some(record)) = (find(&items, HEAD), find(&items, RECORD)) else { return Ok(None) };
    let mut file = TicketFile {
        ticket: ticket(&store.bodies.needed(record, "record").await?)?,
        decision: None,
        review: None,
        sync: sync_state(head)?,
        sync_of: head.optional("sync_of")?,
    };
    if head.is("routed") {
        let sort = decision_sort(head.needed_time("decided_at")?);
        if let Some(item) = find(&items, &sort) {
            file.decision = Some(from_json::<Decision>("decision", &store.bodies.needed(item, "record").await?)?);
        }
    }
    if let Some(newest) = head.text("review_id") {
        let item = items.iter().find(|item| item.text("review_id") == Some(newest) && item.text("record").is_some());
        file.review = item.map(|item| from_json("review", item.needed("record")?)).transpose()?;
    }
    Ok(Some(file))
}
