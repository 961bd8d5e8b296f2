//! Outages that another system knows.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use reqwest::{Method, header::AUTHORIZATION};
use serde::{Deserialize, de::IgnoredAny};
use switchboard_core::{
    breaker::{Breakers, Rests},
    error::{Error, ErrorKind, Result},
    ids::{SecretName, ServiceId},
    limits,
    ports::{Clock, Outage, Secrets, ServiceStatus, StatusReport},
    tenants::{ServiceStatusConfig, Tenant},
    untrusted::{Closed, Untrusted},
};

use crate::{
    outbound::{Outbound, Request, base_url, below},
    secret,
};

const WHO: &str = "the service status source";
/// Below `limits::TOOL_TIME`, so that a slow source is counted by the breaker before the tool gives up.
const TIME: Duration = Duration::from_millis(2_300);
const OUTAGE_ID_CHARS: usize = 64;
const TITLE_CHARS: usize = 200;
const HEALTH_CHARS: usize = 64;

/// Asks for the state of services at `POST {url}/status/batch`, with an optional bearer token. A source that keeps
/// failing is left alone for a while.
pub struct HttpStatus {
    outbound: Arc<Outbound>,
    secrets: Arc<dyn Secrets>,
    breakers: Breakers,
}

/// The answer on the wire: ids are checked, words stay untrusted.
#[derive(Deserialize)]
struct WireReport {
    #[serde(default)]
    outages: Option<Vec<WireOutage>>,
    #[serde(default)]
    known_issues: Option<Vec<WireOutage>>,
    #[serde(default)]
    overall_health: Option<Untrusted<String>>,
}

#[derive(Deserialize)]
struct WireOutage {
    id: OutageId,
    service_ids: Vec<ServiceId>,
    #[serde(default)]
    title: Untrusted<String>,
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct OutageId(String);

/// An object, for whether anything is in it.
#[derive(Deserialize)]
struct AnyObject(BTreeMap<String, IgnoredAny>);

impl Closed for WireReport {}
impl Closed for AnyObject {}

impl HttpStatus {
    /// A source that is called through `outbound` with tokens from `secrets`.
    pub fn new(outbound: Arc<Outbound>, secrets: Arc<dyn Secrets>, clock: Arc<dyn Clock>) -> Self {
        Self { outbound, secrets, breakers: Breakers::new(clock, Rests::Even) }
    }

    async fn ask(
        &self,
        tenant: &Tenant,
        url: &str,
        token: Option<&SecretName>,
        services: &[ServiceId],
    ) -> Result<StatusReport> {
        let base = base_url(url, WHO)?;
        let mut headers = Vec::new();
        if let Some(name) = token {
            let token = secret::required(self.secrets.as_ref(), tenant, name, WHO).await?;
            headers.push((AUTHORIZATION, secret::bearer(name, &token)?));
        }
        let body = serde_json::json!({ "service_ids": services }).to_string().into_bytes();
        let request = Request {
            method: Method::POST,
            url: below(&base, &["status", "batch"]),
            who: WHO,
            credential: token,
            headers,
            body: Some(body),
            reads_body: true,
            time: TIME,
        };
        let answer = self.outbound.send(request).await?.success()?;
        let report: WireReport = answer.json()?;
        let is_bare = report.outages.is_none() && report.known_issues.is_none() && report.overall_health.is_none();
        if is_bare && !answer.json::<AnyObject>()?.0.is_empty() {
            // An error that comes with a success, most likely, and no report that all is well.
            return Err(Error::new(
                ErrorKind::BadAnswer,
                format!("{WHO} answered with none of the fields of a report"),
            ));
        }
        let all = |outages: Option<Vec<WireOutage>>| outages.into_iter().flatten().map(Outage::from).collect();
        let report = StatusReport {
            outages: all(report.outages),
            known_issues: all(report.known_issues),
            overall_health: report.overall_health.map(|health| cut(&health, HEALTH_CHARS)).unwrap_or_default(),
        };
        Ok(report.only(services))
    }
}

#[async_trait]
impl ServiceStatus for HttpStatus {
    async fn status(&self, tenant: &Tenant, services: &[ServiceId]) -> Result<StatusReport> {
        let ServiceStatusConfig::Http { url, token } = &tenant.config.service_status else {
            return Err(Error::new(ErrorKind::Invalid, "the tenant has no service status source configured"));
        };
        if services.is_empty() {
            return Ok(StatusReport { overall_health: "healthy".to_owned(), ..StatusReport::default() });
        }
        if services.len() > limits::STATUS_SERVICES {
            let message = format!("at most {} services can be asked for at once", limits::STATUS_SERVICES);
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        self.breakers.run(tenant, url, WHO, self.ask(tenant, url, token.as_ref(), services)).await
    }
}

impl TryFrom<String> for OutageId {
    type Error = &'static str;

    fn try_from(id: String) -> Result<Self, Self::Error> {
        let fits = (1..=OUTAGE_ID_CHARS).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(id)) } else { Err("must be 1 to 64 printable characters") }
    }
}

impl From<WireOutage> for Outage {
    fn from(outage: WireOutage) -> Self {
        let WireOutage { id, service_ids, title } = outage;
        Self { id: id.0, service_ids, title: cut(&title, TITLE_CHARS) }
    }
}

/// Words for a person, without control characters and of bounded length.
fn cut(text: &Untrusted<String>, chars: usize) -> String {
    text.for_person().to_owned_text().chars().filter(|char| !char.is_control()).take(chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_outages_are_short_and_printable() {
        for (id, fits) in [
            ("INC-1", true),
            (&*"x".repeat(64), true),
            (&*"x".repeat(65), false),
            ("", false),
            ("a b", false),
            ("é", false),
        ] {
            assert_eq!(OutageId::try_from(id.to_owned()).is_ok(), fits, "{id:?}");
        }
    }

    #[test]
    fn words_are_cut_by_characters_and_lose_control_characters() {
        assert_eq!(cut(&Untrusted::new("é\u{1b}[31m".repeat(100)), 7), "é[31mé[");
    }

    #[test]
    fn fuzzed_reports_are_bounded_or_refused() {
        let seed = br#"{"outages":[{"id":"INC-1","service_ids":["SVC204"],"title":"Line down"}],"known_issues":[],"overall_health":"degraded"}"#;
        switchboard_testkit::fuzz::fuzz("status-answer", &[seed], |input| {
            let answer = crate::outbound::answer_of(200, input);
            let Ok(report) = answer.json::<WireReport>() else { return };
            assert!(
                report
                    .outages
                    .into_iter()
                    .flatten()
                    .map(Outage::from)
                    .all(|outage| outage.title.chars().count() <= TITLE_CHARS)
            );
            let health = report.overall_health.map(|health| cut(&health, HEALTH_CHARS));
            assert!(health.is_none_or(|health| health.chars().count() <= HEALTH_CHARS));
        });
    }

    #[test]
    fn fuzzed_customers_are_refused() {
        let seed = br#"{"customer_id":"C-1","is_vip":true,"account_type":"business","language":"de-AT"}"#;
        switchboard_testkit::fuzz::fuzz("customer-answer", &[seed], |input| {
            let Ok(customer) = crate::outbound::answer_of(200, input).json::<switchboard_core::ports::Customer>()
            else {
                return;
            };
            let written = serde_json::to_vec(&customer).unwrap();
            assert_eq!(serde_json::from_slice::<switchboard_core::ports::Customer>(&written).unwrap(), customer);
        });
    }
}
