//! The server under every double: connections that can be cut, and faults between the network and the API.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, Request, State, connect_info::Connected},
    http::{StatusCode, header::LOCATION, header::RETRY_AFTER},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    serve::{IncomingStream, Listener},
};
use futures_util::stream;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};

use super::faults::{Fault, Faults};

const CHUNK_BYTES: usize = 16 * 1024;

/// A running server: where it is, how it misbehaves, how often it was asked.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

#[derive(Default)]
struct Shared {
    faults: Faults,
    requests: AtomicU64,
    connections: AtomicU64,
}

impl Server {
    pub(super) async fn start(api: Router) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port on 127.0.0.1");
        let address = listener.local_addr().expect("the address of a bound port");
        let shared = Arc::new(Shared::default());
        let stop = CancellationToken::new();
        let app = api
            .layer(from_fn_with_state(shared.clone(), misbehave))
            .into_make_service_with_connect_info::<Connection>();
        let listener = CuttingListener { listener, stop: stop.clone(), shared: Arc::clone(&shared) };
        let stopped = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                _ = axum::serve(listener, app).into_future() => {}
            }
        });
        Self { address, shared, _stop: stop.drop_guard() }
    }

    /// The base URL: `http://127.0.0.1:40123`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Host and port, as an operator would allow them: `127.0.0.1:40123`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Requests so far, faulty ones too.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Connections so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// The next request meets `fault`; several wait in a queue.
    pub fn next(&self, fault: Fault) {
        self.shared.faults.push(false, fault);
    }

    /// The next request that would change something meets `fault`.
    pub fn next_write(&self, fault: Fault) {
        self.shared.faults.push(true, fault);
    }

    /// From now on this part of all requests, 0 to 1, meets `fault`. Several rates are tried in turn.
    pub fn rate(&self, probability: f64, fault: Fault) {
        self.shared.faults.rate(probability, fault);
    }

    /// Starts the randomness of the rates anew; the same seed gives the same faults.
    pub fn seed(&self, seed: u64) {
        self.shared.faults.seed(seed);
    }

    /// Forgets all faults.
    pub fn heal(&self) {
        self.shared.faults.heal();
    }
}

#[allow(clippy::disallowed_methods, reason = "the other side of a network has a time of its own")]
async fn misbehave(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(Connection(connection)): ConnectInfo<Connection>,
    request: Request,
    next: Next,
) -> Response {
    shared.requests.fetch_add(1, Ordering::SeqCst);
    let Some(fault) = shared.faults.take(request.method()) else { return next.run(request).await };
    match fault {
        Fault::Answer { status, retry_after } => {
            let mut response = bare(status);
            if let Some(value) = retry_after {
                response.headers_mut().insert(RETRY_AFTER, value.parse().expect("a header"));
            }
            response
        }
        Fault::ApplyThenAnswer { status } => {
            next.run(request).await;
            bare(status)
        }
        Fault::Drop => {
            connection.cancel();
            bare(500)
        }
        Fault::ApplyThenDrop => {
            next.run(request).await;
            connection.cancel();
            bare(500)
        }
        Fault::Delay(time) => {
            tokio::time::sleep(time).await;
            next.run(request).await
        }
        Fault::ApplyThenDelay(time) => {
            let response = next.run(request).await;
            tokio::time::sleep(time).await;
            response
        }
        Fault::Body(body) => body.into_response(),
        Fault::Garbage => {
            next.run(request).await;
            "<html>\u{fffd} it works </html>".into_response()
        }
        Fault::Oversized { bytes } => {
            let text = std::iter::once(Bytes::from_static(b"\""))
                .chain((0..bytes.div_ceil(CHUNK_BYTES)).map(|_| Bytes::from_static(&[b'x'; CHUNK_BYTES])))
                .chain(std::iter::once(Bytes::from_static(b"\"")));
            Body::from_stream(stream::iter(text.map(Ok::<_, Infallible>))).into_response()
        }
        Fault::Drip { every } => {
            let drops = stream::unfold((), move |()| async move {
                tokio::time::sleep(every).await;
                Some((Ok::<_, Infallible>(Bytes::from_static(b" ")), ()))
            });
            Body::from_stream(drops).into_response()
        }
        Fault::Redirect { to } => (StatusCode::FOUND, [(LOCATION, to)]).into_response(),
    }
}

fn bare(status: u16) -> Response {
    // The words are there to be found, should a caller ever pass on what the other side wrote.
    (StatusCode::from_u16(status).expect("a status"), "words of the other side").into_response()
}

/// Cancelled, it ends the connection of a request.
#[derive(Clone)]
struct Connection(CancellationToken);

impl Connected<IncomingStream<'_, CuttingListener>> for Connection {
    fn connect_info(stream: IncomingStream<'_, CuttingListener>) -> Self {
        Self(stream.io().cut.clone())
    }
}

struct CuttingListener {
    listener: TcpListener,
    stop: CancellationToken,
    shared: Arc<Shared>,
}

impl Listener for CuttingListener {
    type Io = CutStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (CutStream, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        // As real servers do: the pieces of a stream wait for nobody's acknowledgement.
        let _ = stream.set_nodelay(true);
        self.shared.connections.fetch_add(1, Ordering::SeqCst);
        let cut = self.stop.child_token();
        (CutStream { stream, is_cut: Box::pin(cut.clone().cancelled_owned()), cut }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that fails on our side once it is cut; the server then drops it.
struct CutStream {
    stream: TcpStream,
    cut: CancellationToken,
    is_cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl CutStream {
    fn stream(&mut self, context: &mut Context<'_>) -> io::Result<Pin<&mut TcpStream>> {
        match self.is_cut.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionReset.into()),
            Poll::Pending => Ok(Pin::new(&mut self.stream)),
        }
    }
}

impl AsyncRead for CutStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream(context)?.poll_read(context, to)
    }
}

impl AsyncWrite for CutStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.stream(context)?.poll_write(context, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream(context)?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream(context)?.poll_shutdown(context)
    }
}
