//! One keep-alive connection to the server under test.

use std::net::SocketAddr;

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// None before the first request, and after one that failed.
pub(crate) type Connection = Option<SendRequest<Full<Bytes>>>;

/// Sends a ticket: the answer's status, and whether it says when to come again.
pub(crate) async fn post(
    connection: &mut Connection,
    address: SocketAddr,
    key: &str,
    body: Bytes,
) -> Result<(u16, bool)> {
    let (status, retry_after, _) = request(connection, address, key, Method::POST, "/tickets", body).await?;
    Ok((status, retry_after))
}

/// Status, whether the answer says when to come again, and its body.
pub(crate) async fn request(
    connection: &mut Connection,
    address: SocketAddr,
    key: &str,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<(u16, bool, Bytes)> {
    let sender = ready(connection, address).await?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("x-api-key", key)
        .header("content-type", "application/json")
        .body(Full::new(body))?;
    let response = sender.send_request(request).await?;
    let (status, retry_after) = (response.status().as_u16(), response.headers().contains_key("retry-after"));
    Ok((status, retry_after, response.into_body().collect().await?.to_bytes()))
}

/// The connection, which is made anew when there is none any more, when it can take a request.
pub(crate) async fn ready(connection: &mut Connection, address: SocketAddr) -> Result<&mut SendRequest<Full<Bytes>>> {
    if connection.as_ref().is_none_or(SendRequest::is_closed) {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(driver);
        *connection = Some(sender);
    }
    let Some(sender) = connection else { anyhow::bail!("no connection") };
    sender.ready().await?;
    Ok(sender)
}
