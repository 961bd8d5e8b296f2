//! Lists of tickets, newest first, by the index that leaves most out.

use switchboard_core::{
    error::{Error, ErrorKind, Result},
    ids::{CustomerId, TenantId, TicketId},
    ports::{Page, PastDecision, ReviewState, TicketFilter, TicketSummary},
    tickets::SyncStatus,
    time::Timestamp,
};

use super::{DynamoStore, head};
use crate::db::{Find, Item, Read, pair};

/// Lines of an index that are read at once when a filter leaves some out.
const LOOK: usize = 200;

/// A place behind the last one.
const END: &str = "999999999999999$";

/// Reads heads from an index, the newest first.
struct Heads<'a> {
    store: &'a DynamoStore,
    find: Find,
    /// Whether the index has whole heads, or only their keys.
    whole: bool,
    from: Option<Item>,
    done: bool,
}

impl Heads<'_> {
    /// The next ones; `None` at the end.
    async fn next(&mut self) -> Result<Option<Vec<Item>>> {
        if self.done {
            return Ok(None);
        }
        let (items, from) = self.store.db.page(&self.find, self.from.take()).await?;
        self.done = from.is_none();
        self.from = from;
        if self.whole {
            return Ok(Some(items));
        }
        // An index may be behind; the heads themselves are not.
        let key = |item: &Item| Ok(pair("ticket_id", item.needed("ticket_id")?, "timestamp", head::HEAD));
        let keys = items.iter().map(key).collect::<Result<Vec<_>>>()?;
        let mut heads = self.store.db.fetch("tickets", keys).await?;
        heads.sort_by(|one, other| other.text("listed").cmp(&one.text("listed")));
        Ok(Some(heads))
    }
}

pub(super) async fn list(
    store: &DynamoStore,
    tenant: &TenantId,
    filter: &TicketFilter,
    cursor: Option<&str>,
    limit: u32,
) -> Result<Page<TicketSummary>> {
    let (limit, before) = (limit as usize, cursor.map(parse_cursor).transpose()?);
    let (find, whole) = best_index(tenant, filter);
    let low = filter.since.map_or_else(|| "0".to_owned(), |since| format!("{:015}", since.as_millis()));
    let until = filter.until.map_or_else(|| END.to_owned(), |until| format!("{:015}", until.as_millis()));
    // Both bounds of a range are inside, so the ticket of the cursor itself comes again.
    let high = before.as_ref().map_or(until.clone(), |before| before.clone().min(until));
    let looks = if leaves_out(filter) { LOOK } else { limit + 2 };
    let find = find.between("listed", low, high).newest_first().at_most(looks);
    let mut heads = Heads { store, find, whole, from: None, done: false };
    let mut items = Vec::with_capacity(limit + 1);
    while items.len() <= limit
        && let Some(found) = heads.next().await?
    {
        for item in found.iter().filter(|item| item.text("listed") != before.as_deref()) {
            let summary = head::summary(item)?;
            if fits(filter, &summary) {
                items.push(summary);
            }
        }
    }
    let more = items.len() > limit;
    items.truncate(limit);
    let next_cursor = items.last().filter(|_| more).map(|last| place(last.accepted_at, &last.ticket_id));
    Ok(Page { items, next_cursor })
}

fn best_index(tenant: &TenantId, filter: &TicketFilter) -> (Find, bool) {
    let by = |index, hash, value: &str| Find::by("tickets", index, hash, head::of_tenant(tenant, value));
    if let Some(customer) = &filter.customer {
        return (by("by_customer", "customer_key", customer.as_str()), false);
    }
    match filter.review {
        Some(ReviewState::Waiting) => return (by("by_review", "review_key", "waiting"), true),
        Some(ReviewState::Done) => return (by("by_review", "review_key", "done"), true),
        Some(ReviewState::NotNeeded) | None => {}
    }
    if let Some(sync) = filter.sync.filter(|sync| *sync != SyncStatus::Success) {
        return (by("by_sync", "sync_key", sync.word()), false);
    }
    if let Some(team) = &filter.team {
        return (by("by_team", "team_key", team.as_str()), false);
    }
    (Find::by("tickets", "by_time", "tenant", tenant.as_str()), true)
}

/// Whether more is asked for than times.
fn leaves_out(filter: &TicketFilter) -> bool {
    let TicketFilter { team, customer, priority, status, sync, review, since: _, until: _ } = filter;
    let words = priority.is_some() || status.is_some() || sync.is_some() || review.is_some();
    words || team.is_some() || customer.is_some()
}

fn fits(filter: &TicketFilter, one: &TicketSummary) -> bool {
    let TicketFilter { team, customer, priority, status, sync, review, since, until } = filter;
    team.as_ref().is_none_or(|team| one.assigned_team.as_ref() == Some(team))
        && customer.as_ref().is_none_or(|customer| one.customer_id == *customer)
        && priority.is_none_or(|priority| one.priority_level == Some(priority))
        && status.is_none_or(|status| one.status == status)
        && sync.is_none_or(|sync| one.sync_status == sync)
        && review.is_none_or(|review| one.review_state == review)
        && since.is_none_or(|since| one.accepted_at >= since)
        && until.is_none_or(|until| one.accepted_at < until)
}

pub(super) async fn history(
    store: &DynamoStore,
    tenant: &TenantId,
    customer: &CustomerId,
    except: &TicketId,
    limit: u32,
) -> Result<Vec<PastDecision>> {
    let limit = limit as usize;
    let customer_key = head::of_tenant(tenant, customer.as_str());
    // Two more: the ticket that is asked for, and one that is not decided yet.
    let find = Find::by("tickets", "by_customer", "customer_key", customer_key).newest_first().at_most(limit + 2);
    let mut heads = Heads { store, find, whole: false, from: None, done: false };
    let mut past = Vec::with_capacity(limit);
    while past.len() < limit
        && let Some(found) = heads.next().await?
    {
        let decided = found.iter().filter(|item| item.is("routed") && item.text("ticket") != Some(except.as_str()));
        for item in decided {
            past.push(head::past(item)?);
        }
    }
    past.truncate(limit);
    Ok(past)
}

/// A cursor: the time and the ticket, in hexadecimal, so that it stands in a URL as it is.
pub(super) fn place(at: Timestamp, ticket: &TicketId) -> String {
    let mark: String = ticket.as_str().bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{mark}", at.as_millis())
}

/// The place in the order of lists that a cursor names.
pub(super) fn parse_place(cursor: &str) -> Option<(Timestamp, TicketId)> {
    let (at, mark) = cursor.split_once('-')?;
    let byte = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
    let (pairs, []) = mark.as_bytes().as_chunks::<2>() else { return None };
    let bytes = pairs.iter().map(|pair| byte(pair)).collect::<Option<Vec<u8>>>()?;
    let at = at.parse().ok().filter(|at| (0..1_000_000_000_000_000).contains(at))?;
    Some((Timestamp::from_millis(at), String::from_utf8(bytes).ok()?.parse().ok()?))
}

pub(super) fn not_ours() -> Error {
    Error::new(ErrorKind::Invalid, "the cursor is not one that a page of this list gave")
}

fn parse_cursor(cursor: &str) -> Result<String> {
    let (at, ticket) = parse_place(cursor).ok_or_else(not_ours)?;
    Ok(head::listed(at, ticket.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_rubbish_is_not() {
        let (at, ticket) = (Timestamp::from_millis(1_795_161_600_000), "ZD/4711#2".parse().unwrap());
        assert_eq!(parse_place(&place(at, &ticket)), Some((at, ticket)));
        for rubbish in ["", "-", "1-", "-1-61", "1-6", "1-zz", "1-20", "99999999999999999-61"] {
            assert!(parse_place(rubbish).is_none(), "{rubbish}");
        }
    }
}
