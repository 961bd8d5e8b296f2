//! The one HTTP client for calls to other systems.
//!
//! Tenants say where these calls go, so the client keeps them away from the operator's own network: only https, only
//! addresses of the public internet, checked after the name was resolved and on the very address that is connected to,
//! no redirects, no proxies, no ports of other protocols, no decompression, and an answer is read up to a limit and within
//! one time limit for all of it. The operator lists the hosts of his own that may be called all the same
//! ([`OutboundPolicy::allow_hosts`]).
//!
//! `clients` builds every HTTP client of the program; `clippy.toml` forbids building one elsewhere.

mod answer;
mod clients;
mod guard;
mod policy;
mod streamed;

use std::time::Duration;

use reqwest::{
    Client, Method, Response,
    dns::Resolve,
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
};
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    ids::SecretName,
    limits,
    untrusted::Untrusted,
};
use url::Url;

pub use answer::Answer;
#[cfg(test)]
pub(crate) use answer::tests::answer_of;
pub(crate) use clients::for_download;
pub use policy::OutboundPolicy;
pub use streamed::{Opened, StreamLimits, Streamed};

use crate::retry_after::retry_after;
use guard::{GuardedResolver, SystemLookup, trouble};
use policy::AllowedHosts;

/// A call to another system.
pub struct Request<'a> {
    /// What to do.
    pub method: Method,
    /// Where.
    pub url: Url,
    /// The other system in error messages, in words of ours: `zendesk`, `the customer source`.
    pub who: &'a str,
    /// The secret to look at when the other system refuses the credentials.
    pub credential: Option<&'a SecretName>,
    /// Headers beside the usual ones. Secrets among them are marked sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// A body in JSON.
    pub body: Option<Vec<u8>>,
    /// Whether the body of a success is read; if not, it may be anything.
    pub reads_body: bool,
    /// The time for all of it: name, connection, request, answer.
    pub time: Duration,
}

/// The client. One is shared by all adapters, so that connections are reused.
pub struct Outbound {
    allowed: AllowedHosts,
    /// For every host.
    guarded: Option<Client>,
    /// For the hosts that the operator allows. It has connections of its own, so none of them is ever used for others.
    unguarded: Option<Client>,
}

impl Outbound {
    /// A client under that policy. An entry of `allow_hosts` that is no host is `Invalid`. A machine without root
    /// certificates is no error here but at each call by https: it may have no use for calls to the outside.
    pub fn new(policy: OutboundPolicy) -> Result<Self> {
        Self::resolving_by(policy, GuardedResolver(SystemLookup))
    }

    /// The same, where `resolver` finds the public addresses of hosts that the operator did not list.
    fn resolving_by(policy: OutboundPolicy, resolver: impl Resolve + 'static) -> Result<Self> {
        let allowed = policy.parse()?;
        Ok(Self { allowed, guarded: clients::guarded(resolver), unguarded: clients::unguarded() })
    }

    /// Makes the call and gives the answer, whatever its status ([`Answer::success`] judges it), except for redirects,
    /// which are `BadAnswer`.
    ///
    /// Errors: `Invalid` when the host may not be called, `Unavailable` when there is no connection, `Timeout`, and
    /// `BadAnswer` when the answer to a success is larger than [`limits::ANSWER_BYTES`]. The error tells whether the other
    /// side may have acted: never by a method that only reads, nor before the request was written.
    pub async fn send(&self, request: Request<'_>) -> Result<Answer> {
        let only_reads = request.method.is_safe();
        let outcome = self.exchange(request).await;
        outcome.map_err(|error| if only_reads { error.not_applied() } else { error })
    }

    /// Makes the call and gives the answer piece by piece when it is a success, and whole when it is not. [`Request::time`]
    /// bounds all of it, as in [`Outbound::send`]; `reads_body` says nothing here.
    ///
    /// Errors: those of [`Outbound::send`], and `Timeout` when the answer does not begin within [`StreamLimits::idle`].
    pub async fn open(&self, request: Request<'_>, limits: StreamLimits) -> Result<Opened> {
        let who = request.who.to_owned();
        let begun = tokio::time::timeout(limits.idle, self.call(request)).await;
        let (answer, response, host) = begun.map_err(|_| streamed::too_late(&who))??;
        if (200..300).contains(&answer.status) {
            return Ok(Opened::Streamed(Streamed::new(response, who, host, limits)));
        }
        let body = tokio::time::timeout(limits.idle, read(response, &who, &host)).await;
        // The status of a failure says enough.
        let body = body.ok().and_then(Result::ok).unwrap_or_default();
        Ok(Opened::Failed(Answer { body: Untrusted::new(body), ..answer }))
    }

    async fn exchange(&self, request: Request<'_>) -> Result<Answer> {
        let reads_body = request.reads_body;
        let (answer, response, host) = self.call(request).await?;
        let is_success = response.status().is_success();
        if is_success && !reads_body {
            return Ok(answer);
        }
        match read(response, &answer.who, &host).await {
            Ok(body) => Ok(Answer { body: Untrusted::new(body), ..answer }),
            // The status of a failure says enough.
            Err(_) if !is_success => Ok(answer),
            Err(error) => Err(error),
        }
    }

    /// The answer up to its body, the body, and the host that it comes from.
    async fn call(&self, request: Request<'_>) -> Result<(Answer, Response, String)> {
        let Request { method, url, who, credential, headers, body, reads_body: _, time } = request;
        let client = self.client_for(&url, who)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let only_reads = method.is_safe();
        let mut call = client
            .request(method, url)
            .timeout(time)
            .header(ACCEPT, "application/json")
            .header(ACCEPT_ENCODING, "identity")
            .headers(headers.into_iter().collect::<HeaderMap>());
        if let Some(body) = body {
            call = call.header(CONTENT_TYPE, "application/json").body(body);
        }
        let response = call.send().await.map_err(|error| trouble(&error, who, &host))?;
        let status = response.status();
        if status.is_redirection() {
            let message = format!("{who} answered with a redirect ({}); configure the final address", status.as_u16());
            return Err(Error::new(ErrorKind::BadAnswer, message));
        }
        let answer = Answer {
            status: status.as_u16(),
            retry_after: wish(&response),
            body: Untrusted::new(Vec::new()),
            who: who.to_owned(),
            credential: credential.cloned(),
            only_reads,
        };
        Ok((answer, response, host))
    }

    fn client_for(&self, url: &Url, who: &str) -> Result<&Client> {
        if !url.username().is_empty() || url.password().is_some() {
            let message = format!("the address of {who} must not carry a user or password; name a secret instead");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let client = if self.allowed.contains(url) {
            &self.unguarded
        } else {
            guard::check_url(url, who)?;
            &self.guarded
        };
        client.as_ref().ok_or_else(|| {
            let message = format!("{who} cannot be called: this machine has no root certificates (ca-certificates)");
            Error::new(ErrorKind::Unavailable, message).not_applied()
        })
    }
}

/// The base URL of another system, as the tenant's configuration has it.
pub(crate) fn base_url(text: &str, who: &str) -> Result<Url> {
    let url = Url::parse(text).ok().filter(|url| url.has_host() && !url.cannot_be_a_base());
    url.ok_or_else(|| Error::new(ErrorKind::Invalid, format!("the address of {who} is no URL with a host")))
}

/// `base` with more path segments; what stands in a segment is escaped.
pub(crate) fn below(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    // invariant: `base_url` lets only URLs through that can have a path
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

fn wish(response: &Response) -> Option<Duration> {
    let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    retry_after(text(RETRY_AFTER)?, text(DATE))
}

async fn read(mut response: Response, who: &str, host: &str) -> Result<Vec<u8>> {
    let too_large =
        || Error::new(ErrorKind::BadAnswer, format!("{who} answered with more than {} bytes", limits::ANSWER_BYTES));
    let announced = response.content_length().unwrap_or(0);
    if usize::try_from(announced).is_ok_and(|length| length > limits::ANSWER_BYTES) {
        return Err(too_large());
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| trouble(&error, who, host))? {
        if body.len() + chunk.len() > limits::ANSWER_BYTES {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests;
