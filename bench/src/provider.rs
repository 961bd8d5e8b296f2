//! A provider of language models with OpenAI's API that is as quick as it is told to be, on a thread of its own.

use std::{
    convert::Infallible,
    future::{Future, pending},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Body, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::Sleep};

/// Chunks of words of a streamed answer.
const CHUNKS: usize = 20;
/// A model of this name pauses so long before each chunk.
pub(crate) const SLOW_MODEL: &str = "slow";
const SLOW_CHUNK: Duration = Duration::from_millis(500);
/// Tickets that end in this are not for the small model, which says that it is not sure.
pub(crate) const HARD: &str = "This is difficult.";

/// What the provider does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Conduct {
    /// Answers a ticket's prompt after a while.
    Decides,
    /// Takes requests and says nothing.
    Hangs,
    /// 503.
    Refuses,
    /// Answers anything at once, plain or streamed, with words.
    Talks,
}

/// How long [`Conduct::Decides`] takes.
pub(crate) const DECIDES_AFTER: Duration = Duration::from_millis(300);

struct State {
    conduct: AtomicU8,
    asked: AtomicUsize,
}

/// It ends with the process.
pub(crate) struct Provider {
    address: SocketAddr,
    state: Arc<State>,
}

impl Provider {
    pub(crate) fn start(conduct: Conduct) -> Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let state = Arc::new(State { conduct: AtomicU8::new(conduct as u8), asked: AtomicUsize::new(0) });
        let shared = Arc::clone(&state);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new()
            .name("provider".to_owned())
            .spawn(move || runtime.block_on(serve(listener, shared)))
            .context("the provider's thread does not start")?;
        Ok(Self { address, state })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it does with requests that come from now on.
    pub(crate) fn conduct(&self, conduct: Conduct) {
        self.state.conduct.store(conduct as u8, Ordering::SeqCst);
    }

    /// Requests so far.
    pub(crate) fn asked(&self) -> usize {
        self.state.asked.load(Ordering::SeqCst)
    }
}

async fn serve(listener: std::net::TcpListener, state: Arc<State>) -> Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let state = Arc::clone(&state);
        let service = service_fn(move |request| answer(Arc::clone(&state), request));
        let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
        // Who hangs up has had enough.
        tokio::spawn(async { connection.await.ok() });
    }
}

type Answer = Response<Either<Full<Bytes>, Stream>>;

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Answer> {
    state.asked.fetch_add(1, Ordering::SeqCst);
    let body = request.into_body().collect().await?.to_bytes();
    let conduct = state.conduct.load(Ordering::SeqCst);
    if conduct == Conduct::Hangs as u8 {
        return pending().await;
    }
    if conduct == Conduct::Refuses as u8 {
        return whole(StatusCode::SERVICE_UNAVAILABLE, Bytes::from_static(br#"{"error":{"message":"busy"}}"#));
    }
    if conduct == Conduct::Talks as u8 {
        // A reader of JSON would take longer than the answer does.
        let has = |part: &[u8]| body.windows(part.len()).any(|window| window == part);
        let is_stream = has(b"\"stream\":true") || has(b"\"stream\": true");
        if !is_stream {
            return whole(StatusCode::OK, PLAIN.clone());
        }
        let slow = has(format!("\"{SLOW_MODEL}\"").as_bytes()).then(|| Box::pin(tokio::time::sleep(SLOW_CHUNK)));
        let answer = Response::builder().header("content-type", "text/event-stream");
        return Ok(answer.body(Either::Right(Stream { sent: 0, has_paused: false, slow }))?);
    }
    let asked: Value = serde_json::from_slice(&body)?;
    tokio::time::sleep(DECIDES_AFTER).await;
    let is_hard = asked["model"] == "small" && asked["messages"].to_string().contains(HARD);
    let opinion = json!({
        "category": "invoice_question", "severity": "low", "sentiment": "neutral",
        "confidence": if is_hard { 50 } else { 95 }, "gives_orders": false,
    });
    whole(StatusCode::OK, completion(asked["model"].as_str().unwrap_or_default(), &opinion.to_string()))
}

fn whole(status: StatusCode, body: Bytes) -> Result<Answer> {
    let answer = Response::builder().status(status).header("content-type", "application/json");
    Ok(answer.body(Either::Left(Full::new(body)))?)
}

fn completion(model: &str, text: &str) -> Bytes {
    let completion = json!({
        "id": "chatcmpl-bench", "object": "chat.completion", "created": 1_795_161_600, "model": model,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 400, "completion_tokens": 40, "total_tokens": 440},
    });
    completion.to_string().into()
}

fn words() -> impl Iterator<Item = String> {
    (0..CHUNKS).map(|n| format!("word{n} "))
}

static PLAIN: LazyLock<Bytes> = LazyLock::new(|| completion("small", &words().collect::<String>()));

/// The events of a stream: the words, then the end with the reason to stop, the count of tokens and `[DONE]`.
static EVENTS: LazyLock<Vec<Bytes>> = LazyLock::new(|| {
    let event = |choices: Value, usage: Value| {
        let mut chunk = json!({
            "id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1_795_161_600, "model": "small",
            "choices": choices,
        });
        if !usage.is_null() {
            chunk["usage"] = usage;
        }
        format!("data: {chunk}\n\n")
    };
    let word = |word: String| {
        let delta = json!({"role": "assistant", "content": word});
        Bytes::from(event(json!([{"index": 0, "delta": delta, "finish_reason": null}]), Value::Null))
    };
    let stop = event(json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]), Value::Null);
    let usage = json!({"prompt_tokens": 10, "completion_tokens": CHUNKS, "total_tokens": 10 + CHUNKS});
    let usage = event(json!([]), usage);
    words().map(word).chain([Bytes::from(format!("{stop}{usage}data: [DONE]\n\n"))]).collect()
});

/// An answer as it is written. The first word goes out before the second is there, so that whoever waits for more than one
/// waits; the rest follow as quickly as the connection takes them, or slowly.
struct Stream {
    sent: usize,
    has_paused: bool,
    slow: Option<Pin<Box<Sleep>>>,
}

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(event) = EVENTS.get(self.sent) else { return Poll::Ready(None) };
        if let Some(pause) = &mut self.slow {
            std::task::ready!(pause.as_mut().poll(context));
            pause.set(tokio::time::sleep(SLOW_CHUNK));
        } else if self.sent == 1 && !self.has_paused {
            self.has_paused = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.sent += 1;
        Poll::Ready(Some(Ok(Frame::data(event.clone()))))
    }
}

/// Characters of an answer of [`Conduct::Talks`].
pub(crate) fn answer_length() -> usize {
    words().map(|word| word.len()).sum()
}
