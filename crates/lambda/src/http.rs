//! Requests of API Gateway: the router of the single binary, with other people's connections in front.

use std::{net::IpAddr, sync::Arc};

use anyhow::Result;
use axum::{Router, middleware};
use lambda_http::{RequestExt as _, request::RequestContext};
use switchboard_core::access::uses::Uses;
use switchboard_http::{Connection, HttpState, Limits, Service, SignIn, TrustedProxies};

use crate::{no_operator::NoOperator, wire::Wired};

pub(crate) async fn run(wired: Wired) -> Result<()> {
    let router = router(wired);
    lambda_http::run(router).await.map_err(|error| anyhow::anyhow!("{error}"))
}

fn router(wired: Wired) -> Router {
    let uses = Arc::<Uses>::default();
    let (app, end) = (wired.app.clone(), wired.end);
    let written = Arc::clone(&uses);
    let state = HttpState::new(Service {
        app: wired.app,
        pepper: wired.pepper,
        secrets: wired.secrets,
        sign_in: SignIn { operator: Arc::new(NoOperator), oidc: wired.oidc, uses, is_https: true },
        environment: wired.environment,
        metrics_need_key: true,
        // API Gateway throttles keys and addresses for all instances together; these bound one instance.
        limits: Limits::default(),
        client_address: TrustedProxies::default(),
        render_metrics: Box::new(|| "# the metrics are in CloudWatch, in the namespace Switchboard\n".to_owned()),
    });
    let around = move |mut request: axum::extract::Request, next: middleware::Next| {
        let (app, written, end) = (app.clone(), Arc::clone(&written), end.clone());
        async move {
            if let Some(peer) = peer(request.extensions()) {
                request.extensions_mut().insert(Connection::of_gateway(peer));
            }
            let response = next.run(request).await;
            // An instance may be frozen or ended after the answer: what is to be kept is written before.
            let now = app.clock.monotonic();
            if let Err(error) = written.write(app.keys.as_ref(), &NoOperator, now, false).await {
                tracing::error!(error = error.report(), "when keys were last used cannot be written");
            }
            end.finish().await;
            response
        }
    };
    switchboard_http::router(state).layer(middleware::from_fn(around))
}

/// The client's address as API Gateway saw it.
fn peer(extensions: &axum::http::Extensions) -> Option<IpAddr> {
    match extensions.request_context_ref()? {
        RequestContext::ApiGatewayV2(context) => context.http.source_ip.as_deref()?.parse().ok(),
        RequestContext::ApiGatewayV1(context) => context.identity.source_ip.as_deref()?.parse().ok(),
        _ => None,
    }
}
