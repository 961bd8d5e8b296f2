//! Whose request it is, when proxies stand in between.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::Once,
};

use axum::http::HeaderMap;
use ipnet::IpNet;
use serde::Deserialize;

/// Which header the proxies write. Only one is believed: a proxy that writes one passes the other on as the client sent it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientAddressHeader {
    /// `X-Forwarded-For: client, proxy`.
    #[default]
    XForwardedFor,
    /// `Forwarded: for=client, for=proxy` (RFC 7239).
    Forwarded,
}

/// So that it is said once.
static UNNAMED_PROXY: Once = Once::new();

/// The proxies whose word on the client's address is taken.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    header: ClientAddressHeader,
}

impl TrustedProxies {
    /// Proxies in these networks (`10.0.0.0/8`, `fd00::/8`, or single addresses), which write `header`. What is neither is
    /// given back as the error.
    pub fn new(networks: &[String], header: ClientAddressHeader) -> Result<Self, String> {
        let parse = |text: &String| {
            let network = text.parse().or_else(|_| text.parse().map(|address: IpAddr| IpNet::from(address)));
            network.map_err(|_| text.clone())
        };
        Ok(Self { networks: networks.iter().map(parse).collect::<Result<_, _>>()?, header })
    }

    /// Whether `address` is one of them.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// The client of a request that came from `peer`: the last address on its way that is no trusted proxy's. What stands
    /// before that one, the client may have made up.
    pub(crate) fn of(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let name = match self.header {
            ClientAddressHeader::XForwardedFor => "x-forwarded-for",
            ClientAddressHeader::Forwarded => "forwarded",
        };
        if !self.contains(client) {
            if self.networks.is_empty() && headers.contains_key(name) {
                UNNAMED_PROXY.call_once(|| {
                    tracing::warn!(%client, "requests come with {name}, and server.trusted_proxies is empty: if a proxy of yours writes it, name the proxy, or all its clients share one limit");
                });
            }
            return client;
        }
        for value in headers.get_all(name).iter().rev() {
            for element in value.to_str().unwrap_or_default().rsplit(',') {
                let text = match self.header {
                    ClientAddressHeader::XForwardedFor => Some(element),
                    ClientAddressHeader::Forwarded => for_parameter(element),
                };
                // `unknown`, or no address at all: the proxy that wrote it is the last that is known.
                let Some(address) = text.and_then(address) else { return client };
                client = address;
                if !self.contains(client) {
                    return client;
                }
            }
        }
        client
    }
}

fn for_parameter(element: &str) -> Option<&str> {
    element.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then_some(value)
    })
}

/// An address as proxies write it: bare, in quotation marks, in brackets, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let bare = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None if text.matches(':').count() == 1 => text.split_once(':')?.0,
        None => text,
    };
    bare.parse().ok().map(|address: IpAddr| address.to_canonical())
}

/// What an address is counted under: whoever has an IPv6 address has a whole /64 network of them.
pub(super) fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: ClientAddressHeader, peer: &str, values: &[&str], expected: &str) {
        let networks = ["10.0.0.0/8", "192.0.2.7", "fd00::/8"].map(str::to_owned);
        let proxies = TrustedProxies::new(&networks, header).unwrap();
        let mut headers = HeaderMap::new();
        let (name, other) = match header {
            ClientAddressHeader::XForwardedFor => ("x-forwarded-for", "forwarded"),
            ClientAddressHeader::Forwarded => ("forwarded", "x-forwarded-for"),
        };
        headers.insert(other, "for=6.6.6.6".parse().unwrap());
        for value in values {
            headers.append(name, axum::http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let client = proxies.of(peer.parse().unwrap(), &headers);
        assert_eq!(client, expected.parse::<IpAddr>().unwrap(), "{peer} {values:?}");
    }

    #[test]
    fn the_last_address_that_is_no_trusted_proxy_counts() {
        use ClientAddressHeader::{Forwarded, XForwardedFor};
        for (peer, values, expected) in [
            ("203.0.113.5", &["1.2.3.4"][..], "203.0.113.5"),
            ("10.1.1.1", &[], "10.1.1.1"),
            ("10.1.1.1", &["203.0.113.5"], "203.0.113.5"),
            ("::ffff:10.1.1.1", &["203.0.113.5"], "203.0.113.5"),
            ("10.1.1.1", &["1.2.3.4, 203.0.113.5"], "203.0.113.5"),
            ("10.1.1.1", &["1.2.3.4, 203.0.113.5, 10.2.2.2"], "203.0.113.5"),
            ("10.1.1.1", &["1.2.3.4", "203.0.113.5", "10.2.2.2"], "203.0.113.5"),
            ("192.0.2.7", &["203.0.113.5:4711"], "203.0.113.5"),
            ("192.0.2.8", &["203.0.113.5"], "192.0.2.8"),
            ("fd00::1", &["2001:db8::5"], "2001:db8::5"),
            ("fd00::1", &["[2001:db8::5]:4711"], "2001:db8::5"),
            ("10.1.1.1", &["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
            ("10.1.1.1", &["1.2.3.4, rubbish"], "10.1.1.1"),
            ("10.1.1.1", &["1.2.3.4, unknown, 10.2.2.2"], "10.2.2.2"),
            ("10.1.1.1", &[""], "10.1.1.1"),
            ("10.1.1.1", &["1.2.3.4,,"], "10.1.1.1"),
            ("10.1.1.1", &["caf\u{e9}"], "10.1.1.1"),
        ] {
            check(XForwardedFor, peer, values, expected);
        }
        for (peer, values, expected) in [
            ("203.0.113.5", &["for=1.2.3.4"][..], "203.0.113.5"),
            ("10.1.1.1", &["for=203.0.113.5;proto=https;by=10.9.9.9"], "203.0.113.5"),
            ("10.1.1.1", &["For=\"203.0.113.5:4711\""], "203.0.113.5"),
            ("10.1.1.1", &["proto=https;for=\"[2001:db8::5]:4711\""], "2001:db8::5"),
            ("10.1.1.1", &["for=1.2.3.4, for=203.0.113.5, for=10.2.2.2"], "203.0.113.5"),
            ("10.1.1.1", &["for=1.2.3.4, for=_hidden"], "10.1.1.1"),
            ("10.1.1.1", &["by=1.2.3.4"], "10.1.1.1"),
        ] {
            check(Forwarded, peer, values, expected);
        }
    }

    #[test]
    fn what_is_no_network_is_told() {
        let error = TrustedProxies::new(&["10.0.0.0/8".to_owned(), "proxy".to_owned()], Default::default());
        assert_eq!(error.unwrap_err(), "proxy");
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let check =
            |one: &str, other: &str| assert_eq!(counted(one.parse().unwrap()), other.parse::<IpAddr>().unwrap());
        check("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::");
        check("203.0.113.5", "203.0.113.5");
        check("::ffff:203.0.113.5", "203.0.113.5");
    }
}
