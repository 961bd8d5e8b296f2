//! Customers that another system knows.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use reqwest::{Method, header::AUTHORIZATION};
use switchboard_core::{
    breaker::{Breakers, Rests},
    error::{Error, ErrorKind, Result},
    ids::{CustomerId, SecretName},
    ports::{Clock, Customer, CustomerDirectory, Secrets},
    tenants::{CustomersConfig, Tenant},
};

use crate::{
    outbound::{Outbound, Request, base_url, below},
    secret,
};

const WHO: &str = "the customer source";
/// Below `limits::TOOL_TIME`, so that a slow source is counted by the breaker before the tool gives up.
const TIME: Duration = Duration::from_millis(2_300);

/// Looks customers up at `GET {url}/customers/{id}`, with an optional bearer token. A source that keeps failing is left
/// alone for a while.
pub struct HttpCustomers {
    outbound: Arc<Outbound>,
    secrets: Arc<dyn Secrets>,
    breakers: Breakers,
}

impl HttpCustomers {
    /// A directory that calls through `outbound` with tokens from `secrets`.
    pub fn new(outbound: Arc<Outbound>, secrets: Arc<dyn Secrets>, clock: Arc<dyn Clock>) -> Self {
        Self { outbound, secrets, breakers: Breakers::new(clock, Rests::Even) }
    }

    async fn ask(
        &self,
        tenant: &Tenant,
        url: &str,
        token: Option<&SecretName>,
        id: &CustomerId,
    ) -> Result<Option<Customer>> {
        let base = base_url(url, WHO)?;
        // A URL cannot hold these as a segment, however they are escaped: it would lead elsewhere.
        if matches!(id.as_str(), "." | "..") {
            return Ok(None);
        }
        let mut headers = Vec::new();
        if let Some(name) = token {
            let token = secret::required(self.secrets.as_ref(), tenant, name, WHO).await?;
            headers.push((AUTHORIZATION, secret::bearer(name, &token)?));
        }
        let request = Request {
            method: Method::GET,
            url: below(&base, &["customers", id.as_str()]),
            who: WHO,
            credential: token,
            headers,
            body: None,
            reads_body: true,
            time: TIME,
        };
        let answer = self.outbound.send(request).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        let customer: Customer = answer.success()?.json()?;
        if customer.customer_id != *id {
            return Err(Error::new(ErrorKind::BadAnswer, format!("{WHO} answered with another customer")));
        }
        Ok(Some(customer))
    }
}

#[async_trait]
impl CustomerDirectory for HttpCustomers {
    async fn customer(&self, tenant: &Tenant, id: &CustomerId) -> Result<Option<Customer>> {
        let CustomersConfig::Http { url, token, .. } = &tenant.config.customers else {
            return Err(Error::new(ErrorKind::Invalid, "the tenant has no customer source configured"));
        };
        self.breakers.run(tenant, url, WHO, self.ask(tenant, url, token.as_ref(), id)).await
    }
}
