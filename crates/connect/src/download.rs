//! Files that the operator asks for by a command, such as the embedding model. A tenant never gets here, so the operator's own
//! mirror may be asked; redirects are followed, as package hosts use them, but only by https and to public addresses.

use std::io::Write;

use reqwest::header::ACCEPT_ENCODING;
use switchboard_core::error::{Error, ErrorKind, Result};
use url::Url;

use crate::outbound::for_download;

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
    let client = for_download(url).ok_or_else(|| {
        Error::new(ErrorKind::Unavailable, "the download cannot start: this machine has no root certificates")
    })?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let broken = |error: reqwest::Error| {
        // The address may carry a password or a token.
        Error::new(ErrorKind::Unavailable, format!("the download from {host} failed")).caused_by(error.without_url())
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
