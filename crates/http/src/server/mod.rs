//! Connections: how many there are, how long they may take, and how they end. `axum::serve` has none of this.
//!
//! What hyper answers by itself, before a route sees the request, has no body: 400 for what is no HTTP, 431 for more than
//! [`HEADERS`] headers or a head that does not fit its buffer, 414 for a path over 64 KiB. A request whose headers do not arrive in
//! time gets no answer: the connection ends.

mod places;
mod stream;
mod tls;

use std::{convert::Infallible, future::Future, io, net::IpAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body, http::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use switchboard_core::{
    deadline,
    error::{Error, ErrorKind},
    ports::Clock,
};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

pub use tls::{Tls, TlsError};

use crate::{HttpState, door::Connection, routes::router};
use places::{Place, Places};
use stream::Guarded;

/// Headers of a request.
const HEADERS: usize = 100;
/// Bytes of a request's head, and of what is read ahead of its body.
const BUFFER_BYTES: usize = 128 * 1024;
/// Time for a TLS handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// Time for the headers of a connection that is one too many.
const SURPLUS_HEADER_TIME: Duration = Duration::from_secs(2);
/// Wait after a connection could not be accepted for want of something, such as file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Serves all routes on `listener`, over TLS when there is a certificate, until `stop` comes; then ends when the requests in
/// hand are answered. The caller bounds how long it waits for that.
pub async fn serve(listener: TcpListener, state: HttpState, tls: Option<Arc<Tls>>, stop: impl Future<Output = ()>) {
    let places = Places::new(&state.service.limits);
    let door = Arc::new(Door { router: router(state.clone()), state, tls });
    let graceful = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok((stream, peer)) => (stream, peer.ip().to_canonical()),
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted");
                door.clock().sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        let is_proxy = door.state.service.client_address.contains(peer);
        let Some(place) = places.take((!is_proxy).then_some(peer)) else {
            metrics::counter!("switchboard_http_refused_total", "limit" => "connections").increment(1);
            continue;
        };
        tokio::spawn(Arc::clone(&door).connection(stream, peer, place, graceful.watcher()));
    }
    drop(listener);
    graceful.shutdown().await;
}

/// What all connections share.
struct Door {
    state: HttpState,
    router: Router,
    tls: Option<Arc<Tls>>,
}

impl Door {
    fn clock(&self) -> &Arc<dyn Clock> {
        &self.state.service.app.clock
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, peer: IpAddr, place: Place, watcher: Watcher) {
        // Answers are small: each one goes at once.
        let _ = stream.set_nodelay(true);
        let connection = Connection { peer, encrypted: self.tls.is_some(), surplus: place.is_surplus() };
        let stream = Guarded::new(stream, Arc::clone(self.clock()), self.state.service.limits.answer_time());
        let Some(tls) = &self.tls else { return self.requests(stream, connection, watcher).await };
        let handshake = async {
            let accepted = tls.acceptor().accept(stream).await;
            accepted.map_err(|error| Error::new(ErrorKind::Refused, "the TLS handshake failed").caused_by(error))
        };
        match deadline::within(self.clock().as_ref(), HANDSHAKE_TIME, "the TLS handshake", handshake).await {
            Ok(stream) => self.requests(stream, connection, watcher).await,
            Err(error) => tracing::debug!(%peer, error = error.report(), "a connection was given up"),
        }
        drop(place);
    }

    async fn requests<S>(&self, stream: S, connection: Connection, watcher: Watcher)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
    {
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(connection);
            let router = self.router.clone();
            async move {
                Ok::<_, Infallible>(router.oneshot(request.map(Body::new)).await.unwrap_or_else(|never| match never {}))
            }
        });
        let header_time = match connection.surplus {
            true => Some(SURPLUS_HEADER_TIME),
            false => self.state.service.limits.header_time(),
        };
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(header_time)
            .keep_alive(!connection.surplus)
            .max_headers(HEADERS)
            .max_buf_size(BUFFER_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = watcher.watch(served).await {
            // The client's doing: it went away, was too slow, or does not speak HTTP.
            tracing::debug!(peer = %connection.peer, %error, "a connection ended");
        }
    }
}

/// Whether accepting failed for the one connection that was to be accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
