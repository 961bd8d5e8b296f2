//! Decisions written back to Zendesk.

mod wire;

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use reqwest::{
    Method,
    header::{AUTHORIZATION, HeaderValue},
};
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    ids::{SecretName, TicketId},
    ports::{Desk, DeskReceipt, DeskUpdate, Secrets},
    tenants::{DeskConfig, Tenant},
    tickets::PriorityLevel,
};
use tokio::sync::Mutex;
use url::Url;

use crate::{
    outbound::{Answer, Outbound, Request, base_url, below},
    secret,
};
use wire::{CommentsPage, Cursor, TicketAnswer, TicketState, WrittenAnswer};

const WHO: &str = "zendesk";
/// For one of the calls; `limits::DESK_TIME` holds for all together.
const TIME: Duration = Duration::from_secs(10);
/// Comments on one page, the most that Zendesk gives.
const PAGE_COMMENTS: &str = "100";
/// Pages that are searched for our note: all of the 5,000 comments that a ticket can have.
const COMMENT_PAGES: usize = 50;
/// Beginnings of one update, when others change the ticket between our read and our write.
const TRIES: usize = 3;
/// Locks that keep updates of one ticket apart. Tickets that share one wait for each other, no more.
const LOCKS: usize = 64;

/// Sets group, priority and tags of the ticket and adds an internal note, all in one write.
///
/// Repeating is harmless although Zendesk takes an idempotency key for creating tickets only. Group, priority and tags are
/// set, so setting them again changes nothing. The note would be added twice, so it ends with the decision's id and is
/// looked for before anything is written. Between look and write another worker could write the same note; the write
/// therefore carries the `updated_at` that was read before the look, and Zendesk refuses it when the ticket has changed
/// since. That also stops a write of ours that was delayed on its way and arrives after its own repetition, and it keeps
/// the tags that others set meanwhile.
///
/// Zendesk's `updated_at` counts whole seconds, so two writes within one second are not told apart. Within this process
/// a lock closes that gap; between processes the event's lease does.
pub struct ZendeskDesk {
    outbound: Arc<Outbound>,
    secrets: Arc<dyn Secrets>,
    locks: [Mutex<()>; LOCKS],
}

impl ZendeskDesk {
    /// A desk that calls through `outbound` with API tokens from `secrets`.
    pub fn new(outbound: Arc<Outbound>, secrets: Arc<dyn Secrets>) -> Self {
        Self { outbound, secrets, locks: std::array::from_fn(|_| Mutex::new(())) }
    }

    fn lock_of(&self, place: &Place<'_>) -> &Mutex<()> {
        let mut hasher = DefaultHasher::new();
        (place.base.as_str(), place.ticket).hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % LOCKS as u64).unwrap_or(0);
        &self.locks[index]
    }
}

/// A ticket in somebody's Zendesk, and the right to change it.
struct Place<'a> {
    outbound: &'a Outbound,
    base: Url,
    ticket: u64,
    credential: &'a SecretName,
    authorization: HeaderValue,
}

#[async_trait]
impl Desk for ZendeskDesk {
    async fn update(&self, tenant: &Tenant, update: &DeskUpdate) -> Result<DeskReceipt> {
        let DeskConfig::Zendesk { url, email, token, ticket_prefix } = &tenant.config.desk else {
            return Err(Error::new(ErrorKind::Invalid, "the tenant has no Zendesk configured"));
        };
        let ticket = ticket_number(&update.ticket_id, ticket_prefix)?;
        let group = group_number(tenant, update)?;
        let secret = secret::required(self.secrets.as_ref(), tenant, token, WHO).await?;
        let place = Place {
            outbound: &self.outbound,
            base: base_url(url, WHO)?,
            ticket,
            credential: token,
            authorization: secret::basic(token, &format!("{email}/token"), &secret)?,
        };
        let marker = format!("Switchboard decision {}", update.decision_id);
        let _alone = self.lock_of(&place).lock().await;
        for _ in 0..TRIES {
            let state = place.read().await?;
            if place.has_note(&marker).await? {
                return Ok(DeskReceipt { text: format!("zendesk ticket {ticket} had it already") });
            }
            if place.write(update, group, &marker, &state).await? == Written::Done {
                return Ok(DeskReceipt { text: format!("zendesk ticket {ticket} updated") });
            }
        }
        let message = format!("zendesk ticket {ticket} was changed by others {TRIES} times during the update");
        // Each write was refused.
        Err(Error::new(ErrorKind::Unavailable, message).not_applied())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    Done,
    ChangedByOthers,
}

impl Place<'_> {
    async fn read(&self) -> Result<TicketState> {
        let answer = self.call(Method::GET, self.ticket_url(), None).await?;
        let TicketAnswer { ticket } = self.known(answer)?.json()?;
        self.is_ours(ticket.id).map_err(Error::not_applied)?;
        Ok(ticket)
    }

    /// Looks through all comments: with cursors Zendesk does not promise an order, so an early end would prove nothing.
    async fn has_note(&self, marker: &str) -> Result<bool> {
        let mut after: Option<Cursor> = None;
        for _ in 0..COMMENT_PAGES {
            let answer = self.call(Method::GET, self.comments_url(after.as_ref()), None).await?;
            let page: CommentsPage = self.known(answer)?.json()?;
            if page.comments.iter().any(|comment| comment.is_note_with(marker)) {
                return Ok(true);
            }
            match page.meta.next() {
                Some(cursor) => after = Some(cursor),
                None => return Ok(false),
            }
        }
        let message = format!("zendesk lists more than {COMMENT_PAGES} pages of comments for ticket {}", self.ticket);
        Err(Error::new(ErrorKind::BadAnswer, message).not_applied())
    }

    async fn write(&self, update: &DeskUpdate, group: u64, marker: &str, state: &TicketState) -> Result<Written> {
        let body = serde_json::json!({ "ticket": {
            "group_id": group,
            "priority": priority(update.priority),
            "tags": tags(state.tags.for_storage(), &update.tags, &update.remove_tags),
            "comment": { "body": format!("{}\n\n{marker}", update.note), "public": false },
            "safe_update": true,
            "updated_stamp": state.updated_at.as_str(),
        }});
        let answer = self.call(Method::PUT, self.ticket_url(), Some(body.to_string().into_bytes())).await?;
        match answer.status {
            409 => return Ok(Written::ChangedByOthers),
            422 => return Err(self.unprocessable(&answer)),
            _ => {}
        }
        let written: WrittenAnswer = self.known(answer)?.json()?;
        self.is_ours(written.ticket.id)?;
        // A success without effect would be taken for done for ever.
        if written.has_note(marker) || self.has_note(marker).await? {
            return Ok(Written::Done);
        }
        let message = format!("zendesk says that ticket {} is updated, and our note is not there", self.ticket);
        Err(Error::new(ErrorKind::BadAnswer, message))
    }

    async fn call(&self, method: Method, url: Url, body: Option<Vec<u8>>) -> Result<Answer> {
        let request = Request {
            method,
            url,
            who: WHO,
            credential: Some(self.credential),
            headers: vec![(AUTHORIZATION, self.authorization.clone())],
            body,
            reads_body: true,
            time: TIME,
        };
        self.outbound.send(request).await
    }

    fn known(&self, answer: Answer) -> Result<Answer> {
        if answer.status == 404 {
            let message = format!("zendesk ticket {} does not exist, or our agent may not see it", self.ticket);
            return Err(Error::new(ErrorKind::Refused, message));
        }
        answer.success()
    }

    fn is_ours(&self, number: u64) -> Result<()> {
        if number == self.ticket {
            return Ok(());
        }
        Err(Error::new(ErrorKind::BadAnswer, format!("zendesk answered with another ticket than {}", self.ticket)))
    }

    fn unprocessable(&self, answer: &Answer) -> Error {
        let code = answer.json::<wire::Refusal>().ok().and_then(|refusal| refusal.code());
        let code = code.map(|code| format!(" and calls it {code}")).unwrap_or_default();
        let message = format!(
            "zendesk refuses the update of ticket {}{code}; it may be closed, or the team's group not exist (422)",
            self.ticket
        );
        Error::new(ErrorKind::Refused, message)
    }

    fn ticket_url(&self) -> Url {
        below(&self.base, &["api", "v2", "tickets", &format!("{}.json", self.ticket)])
    }

    /// Built here, not taken from the answer: a link of the other side could lead our credentials elsewhere.
    fn comments_url(&self, after: Option<&Cursor>) -> Url {
        let mut url = below(&self.base, &["api", "v2", "tickets", &self.ticket.to_string(), "comments.json"]);
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("sort_order", "desc").append_pair("sort", "-created_at");
            query.append_pair("page[size]", PAGE_COMMENTS);
            if let Some(Cursor(after)) = after {
                query.append_pair("page[after]", after);
            }
        }
        url
    }
}

fn ticket_number(id: &TicketId, prefix: &str) -> Result<u64> {
    let number = id.as_str().strip_prefix(prefix).filter(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
    number.and_then(|number| number.parse().ok()).ok_or_else(|| {
        let message = format!("ticket `{id}` is none of zendesk's: its id must be `{prefix}` and a number");
        Error::new(ErrorKind::Invalid, message)
    })
}

fn group_number(tenant: &Tenant, update: &DeskUpdate) -> Result<u64> {
    let group = tenant.team(&update.team).and_then(|team| team.desk_group.as_deref());
    group.and_then(|group| group.parse().ok()).ok_or_else(|| {
        let message = format!("team `{}` has no zendesk group: set the group's number as its desk_group", update.team);
        Error::new(ErrorKind::Invalid, message)
    })
}

fn priority(level: PriorityLevel) -> &'static str {
    match level {
        PriorityLevel::Critical => "urgent",
        PriorityLevel::High => "high",
        PriorityLevel::Medium => "normal",
        PriorityLevel::Low => "low",
    }
}

/// What is there and still holds, in its order, then what is new.
fn tags<'a>(present: &'a [String], ours: &'a [String], gone: &[String]) -> Vec<&'a str> {
    let mut all: Vec<&str> = Vec::with_capacity(present.len() + ours.len());
    for tag in present.iter().chain(ours) {
        let holds = ours.contains(tag) || !gone.contains(tag);
        if holds && !all.contains(&tag.as_str()) {
            all.push(tag);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(words: &str) -> Vec<String> {
        words.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn tags_are_united_in_order_and_once_without_those_that_hold_no_more() {
        let check = |present: &str, ours: &str, gone: &str, expected: &[&str]| {
            assert_eq!(tags(&texts(present), &texts(ours), &texts(gone)), expected);
        };
        check("vip old", "new old new", "", &["vip", "old", "new"]);
        check("", "a", "", &["a"]);
        check("a", "", "", &["a"]);
        check("vip needs_review category_a", "category_b", "needs_review category_a", &["vip", "category_b"]);
        check("category_a", "category_a", "category_a", &["category_a"]);
    }

    #[test]
    fn the_ticket_number_is_what_stands_behind_the_prefix() {
        let number = |id: &str, prefix: &str| ticket_number(&id.parse().unwrap(), prefix).ok();
        assert_eq!(number("ZD-4711", "ZD-"), Some(4711));
        assert_eq!(number("4711", ""), Some(4711));
        for (id, prefix) in [("4711", "ZD-"), ("ZD-", "ZD-"), ("ZD-x", "ZD-"), ("ZD-+1", "ZD-"), ("ZD--1", "ZD-")] {
            assert_eq!(number(id, prefix), None, "{id}");
        }
        assert_eq!(number("18446744073709551616", ""), None);
    }
}
