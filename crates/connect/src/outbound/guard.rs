use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::CertificateError;
use switchboard_core::error::{Error, ErrorKind, Result};
use url::{Host, Url};

use crate::address::is_public;

/// The only port below [`FREE_PORTS`] that is called without the operator's leave.
const HTTPS_PORT: u16 = 443;
/// From here on any port may serve https; the ones below belong to other protocols.
const FREE_PORTS: u16 = 1024;

/// Why a name gives no address to connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NameTrouble {
    #[error("the name leads to no public address")]
    NotPublic,
    #[error("the name is not known")]
    Unknown,
}

/// What a lookup finds, when it is done.
pub(super) type Found = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Where names are looked up.
pub(super) trait Lookup: Send + Sync + 'static {
    /// All addresses of `name`, with any port.
    fn lookup(&self, name: String) -> Found;
}

/// The system's resolver.
pub(super) struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, name: String) -> Found {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) })
    }
}

/// Resolves names and gives only public addresses: what is connected to is what was checked, also when the name's owner
/// answers differently each time.
pub(super) struct GuardedResolver<L>(pub(super) L);

impl<L: Lookup> Resolve for GuardedResolver<L> {
    fn resolve(&self, name: Name) -> Resolving {
        let found = self.0.lookup(name.as_str().to_owned());
        Box::pin(async move {
            let found = found.await.map_err(|_| NameTrouble::Unknown)?;
            let public = public_only(found.into_iter())?;
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

pub(super) fn public_only(found: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, NameTrouble> {
    let (public, refused): (Vec<_>, Vec<_>) = found.partition(|address| is_public(address.ip()));
    match (public.is_empty(), refused.is_empty()) {
        (false, _) => Ok(public),
        (true, false) => Err(NameTrouble::NotPublic),
        (true, true) => Err(NameTrouble::Unknown),
    }
}

/// Checks what can be checked before the name is resolved. An address in the URL never gets to the resolver.
pub(super) fn check_url(url: &Url, who: &str) -> Result<()> {
    let host = url.host_str().unwrap_or_default();
    if url.scheme() != "https" {
        let message = format!("{who} must be called by https; to allow http, add `{host}` to outbound.allow_hosts");
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    if !may_be_public(url) {
        return Err(not_public(who, host));
    }
    match url.port_or_known_default() {
        Some(HTTPS_PORT | FREE_PORTS..) => Ok(()),
        port => {
            let port = port.unwrap_or_default();
            let message = format!(
                "{who} is at port {port}, where no https is expected; to allow it, add `{host}:{port}` to \
                 outbound.allow_hosts"
            );
            Err(Error::new(ErrorKind::Invalid, message))
        }
    }
}

/// Whether the host is a public address, or a name, which shows only when it is resolved.
pub(super) fn may_be_public(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => is_public(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => is_public(IpAddr::V6(address)),
        Some(Host::Domain(name)) => is_name(name),
        None => false,
    }
}

/// Whether this can be the name of a machine; one dot may stand at its end.
fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 254 && name.strip_suffix('.').unwrap_or(name).split('.').all(is_label)
}

fn not_public(who: &str, host: &str) -> Error {
    let message = format!("{who} is at `{host}`, no public address; to allow it, add it to outbound.allow_hosts");
    Error::new(ErrorKind::Invalid, message)
}

/// Tells a failed call in words of ours. The error itself is not handed on: it carries the URL, and what the other side
/// put into its certificate.
pub(super) fn trouble(error: &reqwest::Error, who: &str, host: &str) -> Error {
    let cause = causes(error).find_map(known_cause);
    if cause == Some(Cause::Name(NameTrouble::NotPublic)) {
        return not_public(who, host);
    }
    if error.is_timeout() && !error.is_connect() {
        return Error::new(ErrorKind::Timeout, format!("{who} gave no answer in time"));
    }
    let (happened, words) = match (error.is_connect(), cause) {
        (true, None) if error.is_timeout() => ("cannot be reached", "no connection in time".to_owned()),
        (true, None) => ("cannot be reached", "no connection".to_owned()),
        (true, Some(cause)) => ("cannot be reached", cause.words()),
        (false, None) => ("broke off", "the connection ended".to_owned()),
        (false, Some(cause)) => ("broke off", cause.words()),
    };
    let told = Error::new(ErrorKind::Unavailable, format!("{who} at `{host}` {happened}: {words}"));
    // Name, connection and handshake come before the request is written.
    if error.is_connect() { told.not_applied() } else { told }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Name(NameTrouble),
    Tls(&'static str),
    Io(io::ErrorKind),
}

impl Cause {
    fn words(self) -> String {
        match self {
            Self::Name(trouble) => trouble.to_string(),
            Self::Tls(words) => words.to_owned(),
            Self::Io(kind) => kind.to_string(),
        }
    }
}

fn causes<'a>(error: &'a reqwest::Error) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(std::error::Error::source(error), |error| error.source())
}

fn known_cause(error: &(dyn std::error::Error + 'static)) -> Option<Cause> {
    if let Some(trouble) = error.downcast_ref::<NameTrouble>() {
        return Some(Cause::Name(*trouble));
    }
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(Cause::Tls(tls_words(tls)));
    }
    // An I/O error hides what it wraps from `source`, and wrappers are wrapped.
    let error = error.downcast_ref::<io::Error>()?;
    match error.get_ref() {
        Some(inner) => known_cause(inner),
        None => Some(Cause::Io(error.kind())),
    }
}

fn tls_words(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(wrong) => match wrong {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "its certificate has expired",
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is for another name"
            }
            CertificateError::UnknownIssuer => "its certificate comes from an issuer that is not trusted",
            CertificateError::Revoked => "its certificate is revoked",
            _ => "its certificate is not valid",
        },
        _ => "the TLS handshake failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(addresses: &[&str]) -> Result<Vec<SocketAddr>, NameTrouble> {
        public_only(addresses.iter().map(|address| address.parse().unwrap()))
    }

    #[test]
    fn only_public_addresses_are_connected_to() {
        assert_eq!(found(&["127.0.0.1:0", "[::1]:0"]), Err(NameTrouble::NotPublic));
        assert_eq!(found(&["169.254.169.254:0", "8.8.8.8:0"]), Ok(vec!["8.8.8.8:0".parse().unwrap()]));
        assert_eq!(found(&[]), Err(NameTrouble::Unknown));
    }
}
