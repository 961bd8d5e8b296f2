//! Every operation of the OpenAPI document as something that can be called.
//!
//! The document says which paths, methods, parameters and media types there are. What it cannot say (which scope an
//! operation asks for, a body that it takes) stands in [`KNOWN`]: an operation that is not there fails the tests, so that a
//! new route is attacked from its first day.

use std::collections::BTreeSet;

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Method, Request},
};
use serde_json::{Value, json};
use switchboard_core::access::Scope;

/// Operations that ask for no key: the whole list.
const PUBLIC: &[Known] = &[
    Known { method: "GET", path: "/health", scope: None, body: |_| None },
    Known { method: "GET", path: "/health/live", scope: None, body: |_| None },
    // Its signature says who sends it: `hooks.rs` attacks that.
    Known { method: "POST", path: "/hooks/generic", scope: None, body: |names| Some(ticket(names)) },
    Known {
        method: "POST",
        path: "/session",
        scope: None,
        body: |_| Some(json!({"password": "correct horse battery staple"})),
    },
];

/// Operations for any key in force, whatever its scopes: the whole list.
const ANYBODY: &[Known] = &[
    Known { method: "GET", path: "/session", scope: None, body: |_| None },
    Known { method: "DELETE", path: "/session", scope: None, body: |_| None },
];

/// What the document does not say of an operation.
pub(crate) struct Known {
    method: &'static str,
    path: &'static str,
    /// The scope that it asks for, if any.
    pub(crate) scope: Option<Scope>,
    /// A body that it takes.
    body: fn(&Names) -> Option<Value>,
}

const KNOWN: &[Known] = &[
    Known { method: "POST", path: "/tickets", scope: Some(Scope::TicketsWrite), body: |names| Some(ticket(names)) },
    Known { method: "GET", path: "/tickets", scope: Some(Scope::TicketsRead), body: |_| None },
    Known {
        method: "POST",
        path: "/tickets/batch",
        scope: Some(Scope::TicketsWrite),
        body: |names| Some(json!([ticket(names)])),
    },
    Known { method: "GET", path: "/tickets/{ticket_id}", scope: Some(Scope::TicketsRead), body: |_| None },
    Known {
        method: "POST",
        path: "/tickets/{ticket_id}/review",
        scope: Some(Scope::TicketsReview),
        body: |names| Some(json!({"team": names.team, "category": names.category, "priority": "high", "note": "seen"})),
    },
    Known { method: "GET", path: "/reviews", scope: Some(Scope::TicketsRead), body: |_| None },
    // The document lets it be public; these tests let the operator ask for a key.
    Known { method: "GET", path: "/metrics", scope: Some(Scope::MetricsRead), body: |_| None },
    Known { method: "GET", path: "/audit-log", scope: Some(Scope::AuditRead), body: |_| None },
    Known { method: "GET", path: "/keys", scope: Some(Scope::KeysManage), body: |_| None },
    Known {
        method: "POST",
        path: "/keys",
        scope: Some(Scope::KeysManage),
        body: |names| Some(json!({"name": format!("key for {}", names.ticket_id), "scopes": ["keys:manage"]})),
    },
    Known { method: "DELETE", path: "/keys/{key_id}", scope: Some(Scope::KeysManage), body: |_| None },
    Known {
        method: "POST",
        path: "/keys/{key_id}/rotate",
        scope: Some(Scope::KeysManage),
        // With an end of its own, so that a second rotation gives the same answer as the first.
        body: |_| Some(json!({"overlap_seconds": 86_400, "expires_at": "2027-11-01T00:00:00Z"})),
    },
];

fn ticket(names: &Names) -> Value {
    json!({
        "ticket_id": names.ticket_id,
        "customer_id": names.customer_id,
        "subject": "No internet since this morning",
        "description": "Everything is down and nothing loads. My service is SVC204.",
        "timestamp": "2026-11-20T07:00:00Z",
        "channel": "web",
        "language": "en",
        "attachments": [{"name": "router.jpg", "type": "image/jpeg", "url": "https://files.example.com/router.jpg"}],
        "metadata": {"plan": "gold"},
    })
}

/// Values to call operations with, by what they are called in the document.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) ticket_id: String,
    pub(crate) customer_id: String,
    pub(crate) team: String,
    pub(crate) category: String,
    pub(crate) tickets_cursor: String,
    pub(crate) reviews_cursor: String,
    pub(crate) idempotency_key: String,
    pub(crate) correlation_id: String,
    /// A key that may nothing but `keys:manage`; not the one that calls.
    pub(crate) key_id: String,
    /// A number in the audit log.
    pub(crate) before: String,
    pub(crate) tenant: String,
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Path,
    Query,
    Header,
}

/// A parameter of an operation.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) place: Place,
}

/// An operation of the document.
pub(crate) struct Operation {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) parameters: Vec<Parameter>,
    /// Media types of its body.
    pub(crate) media: Vec<String>,
    /// The statuses that are documented.
    pub(crate) statuses: BTreeSet<u16>,
    known: &'static Known,
    is_public: bool,
}

/// The document of this program.
pub(crate) fn document() -> Value {
    serde_json::to_value(switchboard_http::document()).unwrap()
}

/// All operations of a document; what is not known of one is an error that says where to add it.
pub(crate) fn operations(document: &Value) -> Result<Vec<Operation>, String> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().ok_or("the document has no paths")? {
        for (method, described) in item.as_object().ok_or("a path has no operations")? {
            found.push(operation(path, &method.to_uppercase(), described)?);
        }
    }
    Ok(found)
}

fn operation(path: &str, method: &str, described: &Value) -> Result<Operation, String> {
    let of = |list: &'static [Known]| list.iter().find(|known| known.method == method && known.path == path);
    let is_public = of(PUBLIC).is_some();
    let Some(known) = of(KNOWN).or_else(|| of(ANYBODY)).or_else(|| of(PUBLIC)) else {
        return Err(format!(
            "{method} {path}: nobody knows how to attack it; add it to KNOWN, ANYBODY or PUBLIC in {}",
            file!()
        ));
    };
    let keyed = described["security"].as_array().is_some_and(|security| !security.is_empty());
    if is_public && keyed {
        return Err(format!("{method} {path} is on the list of public operations and asks for a key"));
    }
    let mut parameters = Vec::new();
    for parameter in described["parameters"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let place = match parameter["in"].as_str() {
            Some("path") => Place::Path,
            Some("query") => Place::Query,
            Some("header") => Place::Header,
            other => return Err(format!("{method} {path}: a parameter in {other:?}")),
        };
        parameters.push(Parameter { name: parameter["name"].as_str().unwrap_or_default().to_owned(), place });
    }
    let media = described["requestBody"]["content"].as_object().into_iter().flatten();
    let statuses = described["responses"].as_object().into_iter().flatten();
    Ok(Operation {
        method: method.to_owned(),
        path: path.to_owned(),
        parameters,
        media: media.map(|(media, _)| media.clone()).collect(),
        statuses: statuses.filter_map(|(status, _)| status.parse().ok()).collect(),
        known,
        is_public,
    })
}

impl Operation {
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Whether it asks for a key.
    pub(crate) fn is_keyed(&self) -> bool {
        !self.is_public
    }

    /// The scope that it asks for; none when any key will do, or none is needed.
    pub(crate) fn scope(&self) -> Option<Scope> {
        self.known.scope
    }

    /// A value of that parameter that the operation takes.
    pub(crate) fn value(&self, names: &Names, parameter: &str) -> String {
        match parameter {
            "ticket_id" => names.ticket_id.clone(),
            "customer_id" => names.customer_id.clone(),
            "team" => names.team.clone(),
            "category" => names.category.clone(),
            "priority" => "high".to_owned(),
            "status" => "routed".to_owned(),
            "sync_status" => "success".to_owned(),
            "review_state" => "waiting".to_owned(),
            "since" => "2026-11-01T00:00:00Z".to_owned(),
            "until" => "2027-11-01T00:00:00Z".to_owned(),
            "limit" => "2".to_owned(),
            "cursor" if self.path == "/reviews" => names.reviews_cursor.clone(),
            "cursor" => names.tickets_cursor.clone(),
            "Idempotency-Key" => names.idempotency_key.clone(),
            "x-correlation-id" => names.correlation_id.clone(),
            "key_id" => names.key_id.clone(),
            "before" => names.before.clone(),
            "tenant" | "x-switchboard-tenant" => names.tenant.clone(),
            "webhook-id" => names.idempotency_key.clone(),
            "webhook-timestamp" => "1795161600".to_owned(),
            "webhook-signature" => "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=".to_owned(),
            other => panic!("{}: nobody knows a value for `{other}`; add one in {}", self.name(), file!()),
        }
    }

    /// A body that the operation takes.
    pub(crate) fn body(&self, names: &Names) -> Option<Value> {
        (self.known.body)(names)
    }

    /// A call with these names and nothing in the query.
    pub(crate) fn call(&self, names: &Names) -> Call {
        self.call_at(names, names)
    }

    /// A call with `place` in the path and `names` in the body.
    pub(crate) fn call_at(&self, place: &Names, names: &Names) -> Call {
        let in_path = self.parameters.iter().filter(|parameter| parameter.place == Place::Path);
        let path = in_path.fold(self.path.clone(), |path, Parameter { name, .. }| {
            path.replace(&format!("{{{name}}}"), &escaped(&self.value(place, name)))
        });
        let body = self.body(names);
        let mut headers = Vec::new();
        if let (Some(media), Some(_)) = (self.media.first(), &body) {
            headers.push(("content-type".to_owned(), media.clone().into_bytes()));
        }
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        Call { method: self.method.clone(), path, query: Vec::new(), headers, body }
    }
}

/// A request before it is one.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: String,
    /// The path, escaped.
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Call {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.as_bytes().to_vec()));
        self
    }

    pub(crate) fn parameter(mut self, parameter: &Parameter, value: &str) -> Self {
        match parameter.place {
            Place::Query => self.query.push((parameter.name.clone(), value.to_owned())),
            Place::Header => return self.header(&parameter.name, value),
            Place::Path => {}
        }
        self
    }

    /// Path and query as they stand in the first line.
    pub(crate) fn target(&self) -> String {
        let query: Vec<_> =
            self.query.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
        if query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, query.join("&")) }
    }

    /// Everything that the caller says, to know what an answer may repeat.
    pub(crate) fn said(&self) -> String {
        let headers: String =
            self.headers.iter().map(|(_, value)| String::from_utf8_lossy(value).into_owned() + "\n").collect();
        let query: String = self.query.iter().map(|(_, value)| value.clone() + "\n").collect();
        format!("{}\n{query}{headers}{}", self.path, String::from_utf8_lossy(&self.body))
    }

    /// The request; nothing when its parts are none that a server could be asked for.
    pub(crate) fn request(&self) -> Option<Request<Body>> {
        let method = Method::from_bytes(self.method.as_bytes()).ok()?;
        let mut request =
            Request::builder().method(method).uri(self.target()).body(Body::from(self.body.clone())).ok()?;
        for (name, value) in &self.headers {
            let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_bytes(value)) else {
                return None;
            };
            request.headers_mut().append(name, value);
        }
        Some(request)
    }
}

/// Percent-encoded, as a part of a path or a query.
pub(crate) fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[test]
fn a_route_that_nobody_knows_is_told() {
    let mut document = document();
    assert!(operations(&document).is_ok_and(|found| found.len() == KNOWN.len() + ANYBODY.len() + PUBLIC.len()));
    document["paths"]["/backdoor"] = json!({"get": {"responses": {"200": {}}}});
    let error = operations(&document).err().unwrap();
    assert!(error.starts_with("GET /backdoor: nobody knows how to attack it"), "{error}");
}
