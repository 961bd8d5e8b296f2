//! A client of the HTTP door.

use std::{sync::Once, time::Duration};

use reqwest::{
    Client, ClientBuilder, Method, RequestBuilder,
    header::{CONTENT_TYPE, HeaderMap},
};
use serde_json::Value;

use crate::wait::{SOON, until};

static PROVIDER: Once = Once::new();

/// A client with one key.
#[derive(Clone)]
pub(crate) struct Api {
    http: Client,
    url: String,
    key: Option<String>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// A plain client without proxies and root certificates.
pub(crate) fn client() -> Client {
    plain().build().unwrap()
}

#[allow(clippy::disallowed_methods, reason = "the other side of our own server")]
fn plain() -> ClientBuilder {
    PROVIDER.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    Client::builder().no_proxy().tls_certs_only([]).timeout(Duration::from_secs(60))
}

impl Api {
    pub(crate) fn new(url: &str, key: Option<&str>) -> Self {
        Self { http: client(), url: url.to_owned(), key: key.map(str::to_owned) }
    }

    /// The server at `address` under the name `host`, which need not resolve.
    #[cfg(feature = "aws")]
    pub(crate) fn at(host: &str, address: std::net::SocketAddr, key: &str) -> Self {
        let (http, port) = (plain().resolve(host, address).build().unwrap(), address.port());
        Self { http, url: format!("http://{host}:{port}"), key: Some(key.to_owned()) }
    }

    /// A request to `path` with the key, if there is one.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.key {
            Some(key) => request.header("x-api-key", key),
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_as(path, "application/json", body.to_string().into_bytes()).await
    }

    pub(crate) async fn post_as(&self, path: &str, content_type: &str, body: Vec<u8>) -> Answer {
        Answer::of(self.request(Method::POST, path).header(CONTENT_TYPE, content_type).body(body)).await
    }

    /// Sends a ticket in, which must be accepted.
    pub(crate) async fn accept(&self, ticket: &Value) -> Value {
        let answer = self.post("/tickets", ticket).await;
        assert_eq!(answer.status, 202, "{ticket}: {}", answer.text());
        answer.json()
    }

    /// The ticket, which must be there.
    pub(crate) async fn ticket(&self, id: &str) -> Value {
        let answer = self.get(&format!("/tickets/{id}")).await;
        assert_eq!(answer.status, 200, "{id}: {}", answer.text());
        answer.json()
    }

    /// The ticket, once its write-back is `state`.
    pub(crate) async fn ticket_when(&self, id: &str, state: &str) -> Value {
        self.ticket_until(id, state, |ticket| ticket["sync_status"] == state).await
    }

    /// The ticket, once `is_so`.
    pub(crate) async fn ticket_until(&self, id: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let look = async || Some(self.ticket(id).await).filter(&is_so);
        until(&format!("ticket {id} {what}"), SOON, look).await
    }

    /// All tickets of a list, over all its pages.
    pub(crate) async fn list_all(&self, query: &str) -> Vec<Value> {
        let mut found = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("/tickets?limit=200{query}{cursor}")).await;
            assert_eq!(page.status, 200, "{query}: {}", page.text());
            let page = page.json();
            found.extend(page["items"].as_array().unwrap().clone());
            let Some(next) = page["next_cursor"].as_str() else { return found };
            cursor = format!("&cursor={next}");
        }
    }

    /// Waits until nothing waits and nothing is leased.
    pub(crate) async fn wait_idle(&self, limit: Duration) {
        until("the queue is empty", limit, async || {
            let health = self.get("/health").await.json();
            let detail = health["components"]["queue"]["detail"].as_str()?.to_owned();
            detail.starts_with("0 waiting, 0 in work").then_some(())
        })
        .await;
    }
}

impl Answer {
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        Self::try_of(request).await.unwrap_or_else(|error| panic!("no answer: {error:?}"))
    }

    pub(crate) async fn try_of(request: RequestBuilder) -> reqwest::Result<Self> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Self { status, headers, body: response.bytes().await?.to_vec() })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The last part of the problem's type; checks that the answer is a whole problem document.
    #[track_caller]
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        assert!(!self.header("x-correlation-id").is_empty(), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{problem}");
        for name in ["title", "detail"] {
            assert!(problem[name].as_str().is_some_and(|text| !text.is_empty()), "{name} is missing: {problem}");
        }
        let kind = problem["type"].as_str().and_then(|kind| kind.strip_prefix("urn:switchboard:problem:"));
        kind.unwrap_or_else(|| panic!("no type: {problem}")).to_owned()
    }
}
