//! What stands before the routes: who is let in, how often, and how many at the same time. A refusal here costs little: no body
//! is read, no key is looked up.

mod admission;
mod backlog;
mod client;
mod limits;
mod rates;

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use switchboard_core::{
    access::Principal,
    deadline,
    error::{Error, PublicCode},
    ids::TenantId,
};

use tokio::sync::OwnedSemaphorePermit;

pub(crate) use admission::{Admission, Place};
pub(crate) use backlog::Backlog;
pub use client::{ClientAddressHeader, TrustedProxies};
pub use limits::Limits;
pub(crate) use rates::Rates;

use crate::{HttpState, Problem};

/// Bytes of path and query. The longest filter of a list has not half of it.
const URI_BYTES: usize = 16 * 1024;
/// Bytes of all header names and values together.
const HEADERS_BYTES: usize = 32 * 1024;

/// What the server knows of the connection that a request came by. A shell whose connections somebody else accepts puts it into
/// the request's extensions; without it no address is counted.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// The other end.
    pub(crate) peer: std::net::IpAddr,
    /// Whether it is encrypted.
    pub(crate) encrypted: bool,
    /// Whether it is one more than the server's connections: only what watches the server is answered.
    pub(crate) surplus: bool,
}

impl Connection {
    /// A request that a gateway took by https from `peer` and hands on.
    pub fn of_gateway(peer: std::net::IpAddr) -> Self {
        Self { peer, encrypted: true, surplus: false }
    }
}

/// The address that a request is counted under, and what it came by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client(std::net::IpAddr);

impl Client {
    /// The address, a proxy's word taken where the operator trusts it.
    pub(crate) fn address(&self) -> std::net::IpAddr {
        self.0
    }

    /// What that address is counted under: a whole /64 network of IPv6.
    pub(crate) fn counted(&self) -> std::net::IpAddr {
        client::counted(self.0)
    }
}

/// Lets a request in, or refuses it before anything is done for it.
pub(crate) async fn middleware(State(state): State<HttpState>, mut request: Request, next: Next) -> Response {
    if let Err(problem) = check_size(request.uri(), request.headers()) {
        return closing(problem);
    }
    if request.uri().path() == "/health/live" {
        return next.run(request).await;
    }
    let connection = request.extensions().get::<Connection>().copied();
    let watches = matches!(request.uri().path(), "/health" | "/metrics");
    if !watches && connection.is_some_and(|connection| connection.surplus) {
        refused("connections");
        return closing(Problem::new(PublicCode::Unavailable, "the server has all the connections that it can serve"));
    }
    let place = match watches {
        true => state.admission.watcher(state.app().clock.as_ref()).await,
        false => state.admission.enter(),
    };
    let Some(place) = place else {
        refused("requests_in_work");
        return Problem::new(PublicCode::Unavailable, admission::FULL).into_response();
    };
    if let Some(connection) = connection {
        let client = state.service.client_address.of(connection.peer, request.headers());
        let counted = if watches { state.rates.watching(client) } else { state.rates.request(client) };
        if let Err(problem) = counted {
            refused("address");
            return problem.into_response();
        }
        request.extensions_mut().insert(Client(client));
    }
    request.extensions_mut().insert(place.clone());
    let asked = Asked::of(&request);
    let Some(limit) = state.service.limits.request_time() else {
        let response = next.run(request).await;
        asked.tell_refusal(response.status());
        return response;
    };
    let work = async { Ok::<_, Error>(next.run(request).await) };
    match deadline::within(state.app().clock.as_ref(), limit, "the request", work).await {
        Ok(response) => {
            asked.tell_refusal(response.status());
            response
        }
        Err(error) => {
            tracing::warn!("a request took longer than its time limit and was given up");
            Problem::from(error).into_response()
        }
    }
}

/// What is told of a request whose caller was refused: nothing that he wrote himself.
struct Asked {
    client: Option<Client>,
    method: Method,
    route: Option<MatchedPath>,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let extensions = request.extensions();
        let (client, route) = (extensions.get().copied(), extensions.get().cloned());
        Self { client, method: request.method().clone(), route }
    }

    /// Logs wrong passwords, keys and tokens (401), and what a caller may not do (403). The rate of an address bounds how
    /// many lines it can cause.
    fn tell_refusal(&self, status: StatusCode) {
        if !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return;
        }
        let client = self.client.map_or_else(|| "unknown".to_owned(), |client| client.0.to_string());
        let method = match self.method {
            Method::GET | Method::POST | Method::PUT | Method::PATCH | Method::DELETE => self.method.as_str(),
            _ => "other",
        };
        let route = self.route.as_ref().map_or("none", MatchedPath::as_str);
        tracing::info!(%client, method, route, status = status.as_u16(), "access refused");
    }
}

/// Counts a request of a caller whose key was checked.
pub(crate) fn identified(state: &HttpState, principal: &Principal) -> Result<(), Problem> {
    state.rates.key(principal).inspect_err(|_| refused("key"))
}

/// Counts a request that is a tenant's and nobody's: a signed web hook.
pub(crate) fn identified_tenant(state: &HttpState, tenant: &TenantId) -> Result<(), Problem> {
    state.rates.tenant(tenant).inspect_err(|_| refused("tenant"))
}

/// Counts an attempt with a wrong key or signature.
pub(crate) fn failed_attempt(state: &HttpState, client: Option<&Client>) {
    if let Some(Client(address)) = client {
        state.rates.failed_attempt(*address);
    }
}

/// Refuses tickets when others were refused a moment ago because too many wait, before their body is read.
pub(crate) fn room(state: &HttpState, tenant: &TenantId) -> Result<(), Problem> {
    let now = state.app().clock.monotonic();
    state.backlog.check(now, tenant).inspect_err(|_| refused("backlog"))
}

/// The same for tickets that have been read; what is given back is held until they are stored.
pub(crate) fn intake(state: &HttpState, tenant: &TenantId) -> Result<Option<OwnedSemaphorePermit>, Problem> {
    let now = state.app().clock.monotonic();
    state.backlog.enter(now, tenant).inspect_err(|_| refused("backlog"))
}

/// What a caller is told whose tickets the core did not take, and others in the next moment, when it concerns them.
pub(crate) fn not_taken(state: &HttpState, tenant: &TenantId, error: Error) -> Problem {
    state.backlog.note(state.app().clock.monotonic(), tenant, error)
}

/// Counts the tickets that a caller sends in, one by one or together.
pub(crate) fn tickets(state: &HttpState, principal: &Principal, tickets: usize) -> Result<(), Problem> {
    state.rates.tickets(principal, tickets).inspect_err(|_| refused("tickets"))
}

/// Counts a ticket that is a tenant's and nobody's.
pub(crate) fn tenant_ticket(state: &HttpState, tenant: &TenantId) -> Result<(), Problem> {
    state.rates.tenant_tickets(tenant, 1).inspect_err(|_| refused("tickets"))
}

fn check_size(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let length = uri.path().len() + uri.query().map_or(0, str::len);
    if length > URI_BYTES {
        let detail = format!("path and query may have at most {URI_BYTES} bytes, these have {length}");
        return Err(Problem::new(PublicCode::UriTooLong, detail));
    }
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if size > HEADERS_BYTES {
        let detail = format!("headers may have at most {HEADERS_BYTES} bytes together, these have {size}");
        return Err(Problem::new(PublicCode::HeadersTooLarge, detail));
    }
    Ok(())
}

/// The answer after which the connection ends.
fn closing(problem: Problem) -> Response {
    let mut response = problem.into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn refused(by: &'static str) {
    metrics::counter!("switchboard_http_refused_total", "limit" => by).increment(1);
}
