//! A double of Zendesk's ticket API.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    ops::Deref,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::HeaderMap,
    response::Response,
    routing::get,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use switchboard_core::time::Timestamp;

use super::{Server, answer, has_authorization, lock};

const PAGE_COMMENTS: usize = 100;
/// 2026-11-20T08:00:00Z.
const START_MILLIS: i64 = 1_795_161_600_000;

type Shared = Arc<Mutex<Zendesk>>;
/// Status and body of an answer that says no.
type Refusal = (u16, Value);
type Change = Box<dyn FnOnce(&mut ZendeskTicket) + Send>;

/// Knows tickets and their comments, and refuses a safe update of what has changed meanwhile, as the real one does: by an
/// `updated_at` in whole seconds.
pub struct ZendeskDouble {
    server: Server,
    state: Shared,
}

/// A ticket.
#[derive(Clone, Debug, Default)]
pub struct ZendeskTicket {
    /// The group that has it.
    pub group_id: Option<u64>,
    /// `low`, `normal`, `high` or `urgent`.
    pub priority: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// A closed ticket cannot be changed any more.
    pub is_closed: bool,
    /// Its comments, oldest first.
    pub comments: Vec<ZendeskComment>,
    /// Writes that were tried.
    pub puts: usize,
    /// Seconds since the double was started.
    updated_at: i64,
}

/// A comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZendeskComment {
    /// Its text.
    pub body: String,
    /// Whether the customer sees it.
    pub public: bool,
}

struct Zendesk {
    authorization: String,
    groups: BTreeSet<u64>,
    tickets: BTreeMap<u64, ZendeskTicket>,
    before_writes: VecDeque<Change>,
    page_comments: usize,
    seconds: i64,
    time_stands_still: bool,
}

impl ZendeskDouble {
    /// Starts one without tickets, for that agent and API token, with these groups.
    pub async fn start(email: &str, token: &str, groups: &[u64]) -> Self {
        let authorization = format!("Basic {}", BASE64_STANDARD.encode(format!("{email}/token:{token}")));
        let state = Arc::new(Mutex::new(Zendesk {
            authorization,
            groups: groups.iter().copied().collect(),
            tickets: BTreeMap::new(),
            before_writes: VecDeque::new(),
            page_comments: PAGE_COMMENTS,
            seconds: 0,
            time_stands_still: false,
        }));
        let api = Router::new()
            .route("/api/v2/tickets/{id}", get(show).put(update))
            .route("/api/v2/tickets/{id}/comments.json", get(comments))
            .with_state(Arc::clone(&state));
        Self { server: Server::start(api).await, state }
    }

    /// Opens a ticket with the customer's first comment.
    pub fn open(&self, id: u64) {
        let mut zendesk = lock(&self.state);
        let updated_at = zendesk.tick();
        let comments = vec![ZendeskComment { body: "Nothing loads.".to_owned(), public: true }];
        zendesk.tickets.insert(id, ZendeskTicket { comments, updated_at, ..ZendeskTicket::default() });
    }

    /// The ticket as it is now; an empty one when there is none.
    pub fn ticket(&self, id: u64) -> ZendeskTicket {
        lock(&self.state).tickets.get(&id).cloned().unwrap_or_default()
    }

    /// Internal notes of the ticket that have `text` in them.
    pub fn notes_with(&self, id: u64, text: &str) -> usize {
        let is_note = |comment: &&ZendeskComment| !comment.public && comment.body.contains(text);
        self.ticket(id).comments.iter().filter(is_note).count()
    }

    /// Somebody changes the ticket.
    pub fn change(&self, id: u64, change: impl FnOnce(&mut ZendeskTicket)) {
        let mut zendesk = lock(&self.state);
        let now = zendesk.tick();
        if let Some(ticket) = zendesk.tickets.get_mut(&id) {
            change(ticket);
            ticket.updated_at = now;
        }
    }

    /// Somebody changes the ticket right before the next write to it: after its sender has read it. Several wait in a
    /// queue, one for each write.
    pub fn before_write(&self, change: impl FnOnce(&mut ZendeskTicket) + Send + 'static) {
        lock(&self.state).before_writes.push_back(Box::new(change));
    }

    /// Comments on one page, at most 100.
    pub fn page_comments(&self, comments: usize) {
        lock(&self.state).page_comments = comments.clamp(1, PAGE_COMMENTS);
    }

    /// From now on all happens within one second, so that `updated_at` tells no change.
    pub fn stop_time(&self) {
        lock(&self.state).time_stands_still = true;
    }
}

impl Deref for ZendeskDouble {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Zendesk {
    /// A second passes.
    fn tick(&mut self) -> i64 {
        if !self.time_stands_still {
            self.seconds += 1;
        }
        self.seconds
    }

    fn refusal(&self, headers: &HeaderMap, id: &str) -> Result<u64, Refusal> {
        if !has_authorization(headers, &self.authorization) {
            return Err((401, json!({"error": "Couldn't authenticate you"})));
        }
        let id = id.strip_suffix(".json").unwrap_or(id).parse().ok().filter(|id| self.tickets.contains_key(id));
        id.ok_or_else(|| (404, json!({"error": "RecordNotFound", "description": "Not found"})))
    }
}

async fn show(State(state): State<Shared>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let zendesk = lock(&state);
    match zendesk.refusal(&headers, &id) {
        Ok(id) => answer(200, json!({"ticket": json_of(id, &zendesk.tickets[&id])})),
        Err((status, body)) => answer(status, body),
    }
}

async fn update(
    State(state): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let mut zendesk = lock(&state);
    let id = match zendesk.refusal(&headers, &id) {
        Ok(id) => id,
        Err((status, body)) => return answer(status, body),
    };
    let change = zendesk.before_writes.pop_front();
    let changed_at = if change.is_some() { zendesk.tick() } else { 0 };
    let now = zendesk.tick();
    let Zendesk { groups, tickets, .. } = &mut *zendesk;
    let Some(ticket) = tickets.get_mut(&id) else { return answer(500, json!({})) };
    if let Some(change) = change {
        change(ticket);
        ticket.updated_at = changed_at;
    }
    ticket.puts += 1;
    if let Err((status, body)) = apply(ticket, &body["ticket"], groups) {
        return answer(status, body);
    }
    ticket.updated_at = now;
    let events: Vec<_> = body["ticket"]
        .get("comment")
        .map(|comment| json!({"id": now, "type": "Comment", "body": comment["body"], "public": comment["public"]}))
        .into_iter()
        .collect();
    answer(200, json!({"ticket": json_of(id, ticket), "audit": {"id": now, "events": events}}))
}

/// Makes all of the change or none of it.
fn apply(ticket: &mut ZendeskTicket, wish: &Value, groups: &BTreeSet<u64>) -> Result<(), Refusal> {
    let invalid = |field: &str| {
        let details = json!({field: [{"description": format!("{field}: is invalid")}]});
        (422, json!({"error": "RecordInvalid", "description": "Record validation errors", "details": details}))
    };
    if wish["safe_update"] == true || wish["safe_update"] == "true" {
        let Some(stamp) = wish["updated_stamp"].as_str() else {
            return Err((400, json!({"error": "InvalidValue", "description": "updated_stamp is missing"})));
        };
        if stamp != text_of(ticket.updated_at) {
            let description = "Safe Update prevented the update due to outdated ticket data. \
                               Please fetch the latest ticket data and try again.";
            return Err((409, json!({"error": "UpdateConflict", "description": description})));
        }
    }
    if ticket.is_closed {
        return Err(invalid("status"));
    }
    let mut changed = ticket.clone();
    if let Some(group) = wish.get("group_id") {
        let group = group.as_u64().filter(|group| groups.contains(group)).ok_or_else(|| invalid("group"))?;
        changed.group_id = Some(group);
    }
    if let Some(priority) = wish.get("priority") {
        let known = priority.as_str().filter(|priority| ["low", "normal", "high", "urgent"].contains(priority));
        changed.priority = Some(known.ok_or_else(|| invalid("priority"))?.to_owned());
    }
    if let Some(tags) = wish.get("tags") {
        let tags: Option<Vec<_>> =
            tags.as_array().and_then(|tags| tags.iter().map(|tag| tag.as_str().map(str::to_owned)).collect());
        changed.tags = tags.ok_or_else(|| invalid("tags"))?;
    }
    if let Some(comment) = wish.get("comment") {
        let body = comment["body"].as_str().filter(|body| !body.is_empty()).ok_or_else(|| invalid("comment"))?;
        let public = comment["public"].as_bool().unwrap_or(true);
        changed.comments.push(ZendeskComment { body: body.to_owned(), public });
    }
    *ticket = changed;
    Ok(())
}

/// With `page[size]` by cursor, where only `sort` counts; without it by offset, where only `sort_order` does.
async fn comments(
    State(state): State<Shared>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let zendesk = lock(&state);
    let id = match zendesk.refusal(&headers, &id) {
        Ok(id) => id,
        Err((status, body)) => return answer(status, body),
    };
    let number = |name: &str| query.get(name).and_then(|number| number.parse::<usize>().ok());
    let word = |name: &str| query.get(name).map(String::as_str);
    let mut all: Vec<_> = zendesk.tickets[&id].comments.iter().enumerate().map(json_of_comment).collect();
    let newest_first = match number("page[size]") {
        Some(_) => word("sort") == Some("-created_at"),
        None => word("sort_order") == Some("desc"),
    };
    if newest_first {
        all.reverse();
    }
    let count = all.len();
    let Some(size) = number("page[size]") else {
        let from = number("page").unwrap_or(1).saturating_sub(1) * PAGE_COMMENTS;
        let page: Vec<_> = all.into_iter().skip(from).take(PAGE_COMMENTS).collect();
        return answer(200, json!({"comments": page, "count": count, "next_page": null, "previous_page": null}));
    };
    let from = word("page[after]").and_then(|cursor| cursor.strip_prefix("after=")?.parse().ok()).unwrap_or(0);
    let to = (from + size.min(zendesk.page_comments)).min(count);
    let page: Vec<_> = all.into_iter().skip(from).take(to - from).collect();
    let cursor = format!("after={to}");
    // A link that must not be followed: it would take the credentials to somebody else.
    let next =
        (to < count).then(|| format!("http://127.0.0.1:9/api/v2/tickets/{id}/comments.json?page[after]={cursor}"));
    let meta = json!({"has_more": to < count, "after_cursor": cursor, "before_cursor": format!("before={from}")});
    answer(200, json!({"comments": page, "meta": meta, "links": {"next": next, "prev": null}}))
}

fn json_of(id: u64, ticket: &ZendeskTicket) -> Value {
    json!({
        "id": id,
        "url": format!("https://example.zendesk.com/api/v2/tickets/{id}.json"),
        "subject": "No internet",
        "status": if ticket.is_closed { "closed" } else { "open" },
        "priority": ticket.priority,
        "group_id": ticket.group_id,
        "tags": ticket.tags,
        "updated_at": text_of(ticket.updated_at),
    })
}

fn json_of_comment((n, comment): (usize, &ZendeskComment)) -> Value {
    json!({
        "id": n,
        "type": "Comment",
        "author_id": 1,
        "body": comment.body,
        "plain_body": comment.body,
        "public": comment.public,
    })
}

/// As Zendesk writes times: in whole seconds.
fn text_of(seconds: i64) -> String {
    let time = Timestamp::from_millis(START_MILLIS).plus(Duration::from_secs(seconds.unsigned_abs()));
    time.to_string().replace(".000Z", "Z")
}
