//! Decisions as web hooks, signed as <https://www.standardwebhooks.com> asks.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use reqwest::{
    Method,
    header::{HeaderName, HeaderValue},
};
use secrecy::SecretString;
use serde::Serialize;
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    ids::{CorrelationId, DecisionId, SecretName, TeamId, TicketId},
    ports::{Clock, Desk, DeskReceipt, DeskUpdate, Repeats, Secrets},
    tenants::{DeskConfig, Tenant, WebhookRepeats},
    tickets::PriorityLevel,
    time::Timestamp,
    webhook::SigningKey,
};

use url::Url;

use crate::{
    outbound::{Answer, Outbound, Request, base_url},
    secret,
};

const WHO: &str = "the web hook";
/// What the Standard Webhooks specification advises for one delivery.
const TIME: Duration = Duration::from_secs(15);

/// Sends each decision as a web hook. `webhook-id` is the decision's id and the body is the same in every repetition, so
/// that the receiver, who must remember the ids, sees one effect. Of a receiver that does not, the tenant says so
/// (`repeats`), and where it can be asked instead (`look_up`).
pub struct WebhookDesk {
    outbound: Arc<Outbound>,
    secrets: Arc<dyn Secrets>,
    clock: Arc<dyn Clock>,
}

impl WebhookDesk {
    /// A desk that calls through `outbound` and signs with secrets from `secrets`.
    pub fn new(outbound: Arc<Outbound>, secrets: Arc<dyn Secrets>, clock: Arc<dyn Clock>) -> Self {
        Self { outbound, secrets, clock }
    }

    /// A call signed with the tenant's secret.
    async fn call(
        &self,
        tenant: &Tenant,
        name: &SecretName,
        method: Method,
        url: Url,
        id: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Answer> {
        let secret = secret::required(self.secrets.as_ref(), tenant, name, WHO).await?;
        let key = key(name, &secret)?;
        // The time of this attempt: receivers refuse what is older than some minutes.
        let seconds = (self.clock.now().as_millis() / 1000).to_string();
        let signature = key.sign(id, &seconds, body.as_deref().unwrap_or_default());
        let headers = vec![
            header("webhook-id", id)?,
            header("webhook-timestamp", &seconds)?,
            header("webhook-signature", &signature)?,
        ];
        let request =
            Request { method, url, who: WHO, credential: Some(name), headers, body, reads_body: false, time: TIME };
        self.outbound.send(request).await
    }
}

#[derive(Serialize)]
struct Event<'a> {
    r#type: &'static str,
    timestamp: Timestamp,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    ticket_id: &'a TicketId,
    decision_id: &'a DecisionId,
    assigned_team: &'a TeamId,
    priority_level: PriorityLevel,
    priority_score: f64,
    confidence_score: f64,
    requires_manual_review: bool,
    // Absent from a decision, whose body stays what it was before there were reviews.
    #[serde(skip_serializing_if = "Option::is_none")]
    reviewed_decision_id: Option<&'a DecisionId>,
    tags: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    remove_tags: &'a [String],
    note: &'a str,
    decided_at: Timestamp,
    correlation_id: &'a CorrelationId,
}

#[async_trait]
impl Desk for WebhookDesk {
    async fn update(&self, tenant: &Tenant, update: &DeskUpdate) -> Result<DeskReceipt> {
        let DeskConfig::Webhook { url, secret: name, .. } = &tenant.config.desk else { return Err(no_web_hook()) };
        let url = base_url(url, WHO)?;
        let id = update.decision_id.as_str();
        let answer = self.call(tenant, name, Method::POST, url, id, Some(body(update)?)).await?;
        if answer.status == 409 {
            // Receivers say so while another delivery of the same id is still in work.
            return Err(Error::new(ErrorKind::Unavailable, "the web hook cannot take this now (409)"));
        }
        let answer = answer.success()?;
        Ok(DeskReceipt { text: format!("web hook took decision {id} ({})", answer.status) })
    }

    fn repeats(&self, tenant: &Tenant) -> Repeats {
        match &tenant.config.desk {
            DeskConfig::Webhook { repeats: WebhookRepeats::Never, look_up: Some(_), .. } => Repeats::LookFirst,
            DeskConfig::Webhook { repeats: WebhookRepeats::Never, look_up: None, .. } => Repeats::Never,
            _ => Repeats::Safe,
        }
    }

    async fn look_up(&self, tenant: &Tenant, update: &DeskUpdate) -> Result<Option<DeskReceipt>> {
        let DeskConfig::Webhook { look_up: Some(template), secret: name, .. } = &tenant.config.desk else {
            return Err(Error::new(ErrorKind::Internal, "the web hook has no look_up configured"));
        };
        let id = update.decision_id.as_str();
        // An id has letters, digits and underscores only.
        let url = base_url(&template.replace("{key}", id), WHO)?;
        let answer = self.call(tenant, name, Method::GET, url, id, None).await?;
        match answer.status {
            200 => Ok(Some(DeskReceipt { text: format!("web hook says that it took decision {id}") })),
            404 => Ok(None),
            201..=299 => {
                let message = format!("{WHO} answered a look-up with {}, where 200 says yes and 404 no", answer.status);
                Err(Error::new(ErrorKind::BadAnswer, message).not_applied())
            }
            _ => answer.success().map(|_| None),
        }
    }
}

fn no_web_hook() -> Error {
    Error::new(ErrorKind::Invalid, "the tenant has no web hook configured")
}

fn body(update: &DeskUpdate) -> Result<Vec<u8>> {
    let event = Event {
        r#type: if update.reviewed.is_some() { "ticket.reviewed" } else { "ticket.routed" },
        timestamp: update.decided_at,
        data: Data {
            ticket_id: &update.ticket_id,
            decision_id: &update.decision_id,
            assigned_team: &update.team,
            priority_level: update.priority,
            priority_score: update.priority_score,
            confidence_score: update.confidence,
            requires_manual_review: update.requires_manual_review,
            reviewed_decision_id: update.reviewed.as_ref(),
            tags: &update.tags,
            remove_tags: &update.remove_tags,
            note: &update.note,
            decided_at: update.decided_at,
            correlation_id: &update.correlation_id,
        },
    };
    serde_json::to_vec(&event)
        .map_err(|error| Error::new(ErrorKind::Internal, "a decision cannot be written as JSON").caused_by(error))
}

fn key(name: &SecretName, secret: &SecretString) -> Result<SigningKey> {
    SigningKey::new(secret)
        .map_err(|reason| Error::new(ErrorKind::Invalid, format!("the secret `{name}` for {WHO} {reason}")))
}

fn header(name: &'static str, value: &str) -> Result<(HeaderName, HeaderValue)> {
    let value = HeaderValue::from_str(value)
        .map_err(|error| Error::new(ErrorKind::Internal, "a header of the web hook is malformed").caused_by(error))?;
    Ok((HeaderName::from_static(name), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(secret: &str) -> Result<SigningKey> {
        key(&"hook".parse().unwrap(), &secret.into())
    }

    #[test]
    fn a_secret_that_is_none_is_refused_without_being_told() {
        for secret in ["whsec_$hunter2$", "whsec_", " "] {
            let error = key_of(secret).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.report().contains("`hook`") && !error.report().contains("hunter2"), "{}", error.report());
        }
    }

    #[test]
    fn fuzzed_secrets_are_keys_or_are_refused_without_being_told() {
        let seeds: [&[u8]; 3] = [b"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", b"whsec_aGVsbG8=\n", b"a plain secret"];
        switchboard_testkit::fuzz::fuzz("webhook-secret", &seeds, |input| {
            let text = String::from_utf8_lossy(input);
            match key_of(&text) {
                Ok(key) => {
                    let signed = key.sign("id", "1", input);
                    assert_eq!(signed.len(), "v1,".len() + 44);
                    let other = [input, b"x"].concat();
                    assert_ne!(key.sign("id", "1", &other), signed, "another body, another signature");
                }
                Err(error) => {
                    let quoted = text.trim().strip_prefix("whsec_").unwrap_or_default();
                    assert!(quoted.len() < 12 || !error.report().contains(quoted), "{}", error.report());
                }
            }
        });
    }
}
