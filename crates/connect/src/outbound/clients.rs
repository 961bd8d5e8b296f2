//! Where every HTTP client of the program is built, so that none is without its limits.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reqwest::{
    Client, ClientBuilder,
    dns::{Name, Resolve, Resolving},
    redirect::{Action, Attempt, Policy},
};
use url::Url;

use super::guard::{GuardedResolver, Lookup, SystemLookup, may_be_public};

const CONNECT_TIME: Duration = Duration::from_secs(3);
/// Shorter than the minute after which common load balancers close a connection that is not used.
const IDLE_TIME: Duration = Duration::from_secs(50);
const IDLE_CONNECTIONS_PER_HOST: usize = 32;
/// Hosts that a download may be sent on to, one after the other.
const DOWNLOAD_REDIRECTS: usize = 5;
const DOWNLOAD_CONNECT_TIME: Duration = Duration::from_secs(10);
/// Longest wait for the next piece of a download.
const DOWNLOAD_READ_TIME: Duration = Duration::from_secs(30);
/// For a whole download, however steadily it drips.
const DOWNLOAD_TIME: Duration = Duration::from_secs(3_600);

/// For hosts that tenants name; `None` without root certificates.
pub(super) fn guarded(resolver: impl Resolve + 'static) -> Option<Client> {
    build(calls().https_only(true).dns_resolver(Arc::new(resolver)))
}

/// For hosts that the operator allows. Without root certificates, plain http still works.
pub(super) fn unguarded() -> Option<Client> {
    build(calls()).or_else(|| build(calls().tls_certs_only([])))
}

/// For a file at `url`, which the operator names on the command line. That host may be one of his own network, and the
/// proxy of his environment is used; where a redirect leads must be https and, unless it is the same host, public.
pub(crate) fn for_download(url: &Url) -> Option<Client> {
    let first = url.host_str().unwrap_or_default().to_owned();
    let led_to = Arc::new(Mutex::new(HashSet::new()));
    let guard = Arc::clone(&led_to);
    let follow = Policy::custom(move |attempt| follow(attempt, &first, &guard));
    let resolver = LedToResolver { led_to, guarded: GuardedResolver(SystemLookup) };
    build(
        builder()
            .redirect(follow)
            .dns_resolver(Arc::new(resolver))
            .connect_timeout(DOWNLOAD_CONNECT_TIME)
            .read_timeout(DOWNLOAD_READ_TIME)
            .timeout(DOWNLOAD_TIME),
    )
}

fn follow(attempt: Attempt<'_>, first: &str, led_to: &Mutex<HashSet<String>>) -> Action {
    match may_follow(attempt.url(), attempt.previous().len(), first, led_to) {
        Ok(()) => attempt.follow(),
        Err(why) => attempt.error(why),
    }
}

/// Whether a redirect to `url` may be followed, the one of that number. What it leads to is guarded from now on.
fn may_follow(url: &Url, number: usize, first: &str, led_to: &Mutex<HashSet<String>>) -> Result<(), &'static str> {
    if number > DOWNLOAD_REDIRECTS {
        return Err("too many redirects");
    }
    if url.scheme() != "https" {
        return Err("a redirect away from https");
    }
    let host = url.host_str().unwrap_or_default();
    if host != first {
        if !may_be_public(url) {
            return Err("a redirect to no public address");
        }
        led_to.lock().unwrap_or_else(PoisonError::into_inner).insert(host.to_owned());
    }
    Ok(())
}

/// Guards the hosts that redirects have led to. Others are the operator's choice: the first host, and a proxy.
struct LedToResolver<L> {
    led_to: Arc<Mutex<HashSet<String>>>,
    guarded: GuardedResolver<L>,
}

impl<L: Lookup> Resolve for LedToResolver<L> {
    fn resolve(&self, name: Name) -> Resolving {
        let is_led_to = self.led_to.lock().unwrap_or_else(PoisonError::into_inner).contains(name.as_str());
        if is_led_to {
            return self.guarded.resolve(name);
        }
        let found = self.guarded.0.lookup(name.as_str().to_owned());
        Box::pin(async move { Ok(Box::new(found.await?.into_iter()) as reqwest::dns::Addrs) })
    }
}

fn calls() -> ClientBuilder {
    builder()
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .connect_timeout(CONNECT_TIME)
        .pool_idle_timeout(IDLE_TIME)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_PER_HOST)
}

#[allow(clippy::disallowed_methods, reason = "the one place")]
fn builder() -> ClientBuilder {
    // Another part of the process may have chosen a provider before; any is good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().user_agent(concat!("switchboard/", env!("CARGO_PKG_VERSION"))).referer(false)
}

fn build(builder: ClientBuilder) -> Option<Client> {
    builder
        .build()
        .inspect_err(|error| tracing::warn!(%error, "no calls to other systems: the client cannot be built"))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::tests::Scripted;

    async fn gives(resolver: &LedToResolver<Scripted>, name: &str) -> Vec<String> {
        let found = resolver.resolve(name.parse().unwrap()).await;
        found.map(|found| found.map(|address| address.ip().to_string()).collect()).unwrap_or_default()
    }

    #[tokio::test]
    async fn a_download_follows_to_public_addresses_only() {
        let led_to = Arc::new(Mutex::new(HashSet::new()));
        let lookup = Scripted::new(&[&["10.0.0.1", "93.184.216.34"]]);
        let resolver = LedToResolver { led_to: Arc::clone(&led_to), guarded: GuardedResolver(lookup) };
        let follows =
            |text: &str, number| may_follow(&text.parse().unwrap(), number, "mirror.internal", &led_to).is_ok();
        assert!(follows("https://mirror.internal:8443/b", 1));
        assert!(follows("https://files.example/b", 5));
        for (text, number) in [
            ("https://files.example/b", 6),
            ("http://files.example/b", 1),
            ("http://mirror.internal/b", 1),
            ("https://127.0.0.1/b", 1),
            ("https://[::ffff:169.254.169.254]/latest", 1),
            ("https://2130706433/b", 1),
        ] {
            assert!(!follows(text, number), "{text} at {number}");
        }
        assert_eq!(gives(&resolver, "mirror.internal").await, ["10.0.0.1", "93.184.216.34"]);
        assert_eq!(gives(&resolver, "files.example").await, ["93.184.216.34"]);
    }
}
