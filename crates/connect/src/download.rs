//! Files that the operator asks for by a command, such as the embedding model. A tenant never gets here, so the operator's own
//! mirror may be asked; redirects are followed, as package hosts use them, but only to https.

use std::{io::Write, time::Duration};

use reqwest::{Client, header::ACCEPT_ENCODING, redirect::Policy};
use switchboard_core::error::{Error, ErrorKind, Result};
use url::Url;

/// Hosts that a download may be sent on to, one after the other.
const REDIRECTS: usize = 5;
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// Longest wait for the next piece.
const READ_TIME: Duration = Duration::from_secs(30);

/// Writes what `url` answers to `to`, at most `most` bytes; `progress` is told the bytes so far and all of them, where they
/// are announced.
///
/// Errors: `Invalid` for an address that is not https, `NotFound` and `Refused` by the answer, `Unavailable` when the
/// connection fails, `BadAnswer` when there is more.
pub async fn download(
    url: &Url,
    to: &mut (dyn Write + Send),
    most: u64,
    progress: &(dyn Fn(u64, Option<u64>) + Sync),
) -> Result<()> {
    if url.scheme() != "https" {
        return Err(Error::new(ErrorKind::Invalid, "files are downloaded by https only"));
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let follow = Policy::custom(|attempt| {
        if attempt.previous().len() > REDIRECTS {
            attempt.error("too many redirects")
        } else if attempt.url().scheme() != "https" {
            attempt.error("a redirect away from https")
        } else {
            attempt.follow()
        }
    });
    let client = Client::builder()
        .user_agent(concat!("switchboard/", env!("CARGO_PKG_VERSION")))
        .redirect(follow)
        .referer(false)
        .connect_timeout(CONNECT_TIME)
        .read_timeout(READ_TIME)
        .build()
        .map_err(|error| Error::new(ErrorKind::Unavailable, "the download cannot start").caused_by(error))?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let broken = |error: reqwest::Error| {
        Error::new(ErrorKind::Unavailable, format!("the download from {host} failed")).caused_by(error)
    };
    let mut response = client.get(url.clone()).header(ACCEPT_ENCODING, "identity").send().await.map_err(broken)?;
    let status = response.status();
    if !status.is_success() {
        let kind = if status.as_u16() == 404 { ErrorKind::NotFound } else { ErrorKind::Refused };
        return Err(Error::new(kind, format!("{host} answered {status}")));
    }
    let all = response.content_length();
    let mut so_far = 0u64;
    while let Some(piece) = response.chunk().await.map_err(broken)? {
        so_far += piece.len() as u64;
        if so_far > most {
            return Err(Error::new(ErrorKind::BadAnswer, format!("{host} sends more than {most} bytes")));
        }
        to.write_all(&piece)
            .map_err(|error| Error::new(ErrorKind::Internal, "the download cannot be written").caused_by(error))?;
        progress(so_far, all);
    }
    Ok(())
}
