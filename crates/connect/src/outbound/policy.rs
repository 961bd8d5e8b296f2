use std::{collections::HashSet, net::Ipv6Addr};

use switchboard_core::error::{Error, ErrorKind, Result};
use url::Url;

/// Where calls to other systems may go.
#[derive(Clone, Debug, Default)]
pub struct OutboundPolicy {
    /// Hosts that may be called with plain http and at any address, as `host` for all its ports or `host:port`. They are
    /// the operator's own systems; an IPv6 address with a port stands in brackets.
    pub allow_hosts: Vec<String>,
}

/// Host and port; no port means every port.
pub(super) struct AllowedHosts(HashSet<(String, Option<u16>)>);

impl OutboundPolicy {
    pub(super) fn parse(&self) -> Result<AllowedHosts> {
        let mut hosts = HashSet::new();
        for entry in &self.allow_hosts {
            let host = parse_entry(entry).ok_or_else(|| {
                let message = format!("outbound.allow_hosts: `{entry}` must be a host or host:port");
                Error::new(ErrorKind::Invalid, message)
            })?;
            hosts.insert(host);
        }
        Ok(AllowedHosts(hosts))
    }
}

impl AllowedHosts {
    pub(super) fn contains(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let listed = |port| self.0.contains(&(host.to_owned(), port));
        listed(None) || listed(url.port_or_known_default())
    }
}

fn parse_entry(entry: &str) -> Option<(String, Option<u16>)> {
    if let Ok(address) = entry.parse::<Ipv6Addr>() {
        return canonical(&format!("[{address}]")).map(|host| (host, None));
    }
    let (host, port) = match entry.rsplit_once(':') {
        Some((host, port)) if !entry.ends_with(']') => (host, Some(port.parse().ok()?)),
        _ => (entry, None),
    };
    canonical(host).map(|host| (host, port))
}

/// The host as a URL spells it, so that every spelling of the same address is the same.
fn canonical(host: &str) -> Option<String> {
    if host.contains(['/', '\\', '?', '#', '@']) || host.trim() != host {
        return None;
    }
    let url = Url::parse(&format!("http://{host}/")).ok()?;
    if url.port().is_some() {
        return None;
    }
    url.host_str().filter(|host| !host.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(entry: &str, url: &str) -> bool {
        let policy = OutboundPolicy { allow_hosts: vec![entry.to_owned()] };
        policy.parse().unwrap().contains(&Url::parse(url).unwrap())
    }

    #[test]
    fn a_host_alone_stands_for_all_its_ports() {
        assert!(allows("crm.internal", "http://crm.internal/a"));
        assert!(allows("crm.internal", "https://CRM.internal:8443/a"));
        assert!(!allows("crm.internal", "http://other.internal/"));
        assert!(!allows("crm.internal", "http://a.crm.internal/"));
        assert!(!allows("crm.internal", "http://crm.internal.evil.example/"));
    }

    #[test]
    fn a_port_stands_for_itself() {
        assert!(allows("127.0.0.1:8080", "http://127.0.0.1:8080/"));
        assert!(allows("127.0.0.1:8080", "http://2130706433:8080/"));
        assert!(!allows("127.0.0.1:8080", "http://127.0.0.1:8081/"));
        assert!(allows("crm:80", "http://crm/"));
        assert!(allows("crm:443", "https://crm/"));
        assert!(!allows("crm:443", "http://crm/"));
    }

    #[test]
    fn ipv6_is_taken_with_and_without_brackets() {
        assert!(allows("::1", "http://[::1]:9/"));
        assert!(allows("[::1]", "http://[0:0::1]:9/"));
        assert!(allows("[::1]:9", "http://[::1]:9/"));
        assert!(!allows("[::1]:9", "http://[::1]:8/"));
    }

    #[test]
    fn what_is_no_host_is_refused_by_name() {
        for entry in ["", ":80", "http://crm", "crm/path", "crm:port", "crm:99999", "a b", " crm", "user@crm", "a:1:2"]
        {
            let policy = OutboundPolicy { allow_hosts: vec![entry.to_owned()] };
            let error = policy.parse().err().unwrap_or_else(|| panic!("{entry:?} is taken"));
            assert!(error.to_string().starts_with("outbound.allow_hosts: "), "{error}");
        }
    }
}
