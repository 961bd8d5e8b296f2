//! A server that is killed with a hundred thousand tickets in its queue, and what the next one needs to go on.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::{load::ticket, receiver::Receiver, server::Server};

const BATCH: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(300);

/// Queues `waiting` tickets, kills the server, starts another one, and sends a single ticket into the queue.
pub(crate) async fn run(mut server: Server, receiver: &Receiver, waiting: usize) -> Result<Value> {
    let mut sender = connect(&server).await?;
    let (mut sent, filling) = (0, Instant::now());
    while sent - receiver.seen() < waiting {
        ensure!(filling.elapsed() < PATIENCE, "the queue does not fill: {sent} sent, {} done", receiver.seen());
        let mut body = BytesMut::new();
        for n in sent..sent + BATCH {
            body.put(ticket("import", n));
            body.put_u8(b'\n');
        }
        let status = post(&mut sender, &server, "/tickets/batch", "application/x-ndjson", body.freeze()).await?;
        ensure!(status == 202, "a batch was answered with {status}");
        sent += BATCH;
    }
    let filled = filling.elapsed();
    let (done, killed) = (receiver.seen(), server.kill()?);
    server.start_again().await?;
    let alive = killed.elapsed();
    receiver.wait_for(done + 1, PATIENCE).await.context("nothing goes on after the kill")?;
    let goes_on = killed.elapsed();
    let mut sender = connect(&server).await?;
    let single = Instant::now();
    let status = post(&mut sender, &server, "/tickets", "application/json", ticket("single", 0)).await?;
    ensure!(status == 202, "the single ticket was answered with {status}");
    let at_the_desk = loop {
        if receiver.has_ticket("single-0") {
            break single.elapsed();
        }
        ensure!(single.elapsed() < PATIENCE, "the single ticket does not come through");
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    let left = sent - receiver.seen();
    receiver.wait_for(sent + 1, PATIENCE).await?;
    let ms = |time: Duration| time.as_millis() as u64;
    Ok(json!({
        "sent": sent,
        "waiting_at_the_kill": sent - done,
        "filled_in_s": (filled.as_secs_f64() * 10.0).round() / 10.0,
        "kill_to_first_answer_ms": ms(alive),
        "kill_to_first_write_back_ms": ms(goes_on),
        "single_ticket_written_back_ms": ms(at_the_desk),
        "still_waiting_then": left,
        "all_done_after_s": (killed.elapsed().as_secs_f64() * 10.0).round() / 10.0,
        "dead_letters": server.dead_letters()?,
    }))
}

async fn connect(server: &Server) -> Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(server.address()).await?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn post(
    sender: &mut SendRequest<Full<Bytes>>,
    server: &Server,
    path: &str,
    media: &str,
    body: Bytes,
) -> Result<u16> {
    let request = Request::post(path)
        .header("host", "localhost")
        .header("x-api-key", server.key())
        .header("content-type", media)
        .body(Full::new(body))?;
    sender.ready().await.with_context(|| format!("the connection ended before {path}"))?;
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    response.into_body().collect().await?;
    Ok(status)
}
