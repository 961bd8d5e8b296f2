//! The public documents of an OIDC issuer.

use std::sync::Arc;

use async_trait::async_trait;
use reqwest::Method;
use switchboard_core::{error::Result, limits, ports::IssuerDocuments, untrusted::Untrusted};
use url::Url;

use crate::outbound::{Outbound, Request};

/// Fetches through the one outbound client, so an issuer in the operator's own network must be among the allowed hosts.
pub struct HttpIssuer {
    outbound: Arc<Outbound>,
}

impl HttpIssuer {
    /// Documents fetched through `outbound`.
    pub fn new(outbound: Arc<Outbound>) -> Self {
        Self { outbound }
    }
}

#[async_trait]
impl IssuerDocuments for HttpIssuer {
    async fn fetch(&self, url: &Url) -> Result<Untrusted<Vec<u8>>> {
        let request = Request {
            method: Method::GET,
            url: url.clone(),
            who: "the OIDC issuer",
            credential: None,
            headers: Vec::new(),
            body: None,
            reads_body: true,
            time: limits::ISSUER_TIME,
        };
        Ok(self.outbound.send(request).await?.success()?.into_body())
    }
}
