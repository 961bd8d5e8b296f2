//! Cold starts of a Lambda function: a Runtime API of our own starts a process, gives it one invocation, and looks at the clock when
//! the answer comes. No virtual machine starts in it, so the figures compare programs and promise no absolute time.

use std::{
    future::pending,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc};

use crate::process;

/// Starts whose figures count, after one that warms the disk's cache.
const STARTS: usize = 10;
/// Invocations of a process that is warm.
const WARM: usize = 50;
const PATIENCE: Duration = Duration::from_secs(30);

/// A function under measurement.
pub(crate) struct Function {
    /// The program with its arguments.
    command: Vec<String>,
    /// What it is invoked with: the JSON of an event.
    event: Value,
    /// Whether that is an answer to it.
    is_answer: fn(&Value) -> bool,
}

impl Function {
    /// The function in the role of `SWITCHBOARD_ROLE`, since the process has this one's environment. `http` is asked for
    /// `/health/live`, a worker is given an empty batch, and the schedule looks for what was missed.
    pub(crate) fn of_role(role: &str, command: Vec<String>) -> Result<Self> {
        let (event, is_answer): (Value, fn(&Value) -> bool) = match role {
            "http" => (request("/health/live"), |answer| answer["statusCode"] == 200),
            "jobs" | "stream" => (json!({"Records": []}), |answer| answer["batchItemFailures"] == json!([])),
            "schedule" => (json!({}), |answer| answer["rung"].is_u64()),
            other => bail!("SWITCHBOARD_ROLE: `{other}` is none of http, jobs, stream, schedule"),
        };
        Ok(Self { command, event, is_answer })
    }
}

#[derive(Clone)]
struct Api {
    event: Arc<str>,
    /// Invocations that are still to be given.
    left: Arc<Mutex<usize>>,
    answers: mpsc::UnboundedSender<Result<Value, String>>,
}

/// Starts the function again and again; milliseconds from the process's start to its first answer, memory, and processor time.
pub(crate) async fn measure(function: &Function) -> Result<Value> {
    let mut starts = Vec::new();
    let mut last = Value::Null;
    for number in 0..=STARTS {
        let run = once(function).await.with_context(|| format!("start {number} of {:?}", function.command))?;
        if number > 0 {
            starts.push(run.first.as_secs_f64() * 1e3);
            last = json!({
                "memory_mb": run.memory, "cpu_ms_for_warm_and_start": run.cpu * 1e3,
                "warm_median_ms": run.warm.as_secs_f64() * 1e3,
            });
        }
    }
    starts.sort_by(f64::total_cmp);
    Ok(json!({
        "function": function.command,
        "start_to_first_answer_ms": {"min": starts[0], "median": starts[STARTS / 2], "max": starts[STARTS - 1]},
        "last": last,
    }))
}

struct Run {
    first: Duration,
    warm: Duration,
    memory: Value,
    cpu: f64,
}

async fn once(function: &Function) -> Result<Run> {
    let (send, mut answers) = mpsc::unbounded_channel();
    let api = Api { event: function.event.to_string().into(), left: Arc::new(Mutex::new(1)), answers: send };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let router = Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route("/2018-06-01/runtime/invocation/{id}/{what}", post(answer))
        .route("/2018-06-01/runtime/init/error", post(failed))
        .with_state(api.clone());
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let (program, arguments) = function.command.split_first().context("no program")?;
    let started = Instant::now();
    let process = Command::new(program)
        .args(arguments)
        .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
        .env("AWS_LAMBDA_FUNCTION_NAME", "bench")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("starting {program}"))?;
    let process = Ended(process);
    check(&mut answers, function.is_answer).await?;
    let first = started.elapsed();
    let mut warm = Vec::new();
    for _ in 0..WARM {
        let began = Instant::now();
        *api.left.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        check(&mut answers, function.is_answer).await?;
        warm.push(began.elapsed());
    }
    warm.sort();
    let id = process.0.id();
    let run = Run { first, warm: warm[WARM / 2], memory: process::memory(id)?, cpu: process::cpu(id)? };
    drop(process);
    server.abort();
    Ok(run)
}

async fn check(
    answers: &mut mpsc::UnboundedReceiver<Result<Value, String>>,
    is_answer: fn(&Value) -> bool,
) -> Result<()> {
    let answer = tokio::time::timeout(PATIENCE, answers.recv()).await.context("no answer in time")?;
    let answer = answer.context("the server is gone")?.map_err(|error| anyhow::anyhow!("it failed: {error}"))?;
    if !is_answer(&answer) {
        bail!("it answered {answer}");
    }
    Ok(())
}

/// A process that ends when this is dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Nothing can be done about a process that cannot be stopped.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn next(State(api): State<Api>) -> Response {
    loop {
        {
            let mut left = api.left.lock().unwrap_or_else(PoisonError::into_inner);
            if *left > 0 {
                *left -= 1;
                break;
            }
        }
        if api.answers.is_closed() {
            return pending().await;
        }
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    let headers = [
        ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd"),
        ("lambda-runtime-deadline-ms", "32503680000000"),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:000000000000:function:bench"),
        ("lambda-runtime-trace-id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0"),
        ("content-type", "application/json"),
    ];
    (headers, api.event.to_string()).into_response()
}

async fn answer(
    State(api): State<Api>,
    Path((_, what)): Path<(String, String)>,
    _: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let text = || String::from_utf8_lossy(&body).into_owned();
    let answer = match what.as_str() {
        "response" => serde_json::from_slice(&body).map_err(|error| format!("{error}: {}", text())),
        _ => Err(text()),
    };
    // Nobody waits any more when the measurement was given up.
    let _ = api.answers.send(answer);
    StatusCode::ACCEPTED
}

async fn failed(State(api): State<Api>, body: Bytes) -> StatusCode {
    let _ = api.answers.send(Err(String::from_utf8_lossy(&body).into_owned()));
    StatusCode::ACCEPTED
}

/// A `GET` as API Gateway's HTTP API hands it on (payload 2.0).
fn request(path: &str) -> Value {
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "",
        "headers": {"host": "api.example.com"},
        "requestContext": {
            "accountId": "000000000000", "apiId": "api", "domainName": "api.example.com", "domainPrefix": "api",
            "http": {"method": "GET", "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7", "userAgent": "bench"},
            "requestId": "id", "routeKey": "$default", "stage": "$default",
            "time": "21/Nov/2026:08:00:00 +0000", "timeEpoch": 1_795_248_000_000_u64,
        },
        "isBase64Encoded": false,
    })
}
