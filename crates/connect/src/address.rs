//! Which addresses a call to the outside may reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether `address` lies in the public internet. Everything else belongs to some machine, network or protocol of the
/// operator's surroundings: loopback, private networks, the cloud's metadata service, multicast, reserved ranges.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let refused = match address.octets() {
        // "this" network, private, loopback
        [0 | 10 | 127, ..] => true,
        // carrier-grade NAT
        [100, second, ..] => second & 0xc0 == 64,
        // link-local, home of the metadata services
        [169, 254, ..] => true,
        [172, second, ..] => second & 0xf0 == 16,
        // protocol assignments, documentation
        [192, 0, 0 | 2, _] => true,
        // 6to4 relays, given up
        [192, 88, 99, _] => true,
        [192, 168, ..] => true,
        // benchmarks
        [198, 18 | 19, ..] => true,
        // documentation
        [198, 51, 100, _] | [203, 0, 113, _] => true,
        // multicast, reserved, broadcast
        [224..=255, ..] => true,
        _ => false,
    };
    !refused
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(embedded) = embedded_v4(address) {
        return is_public_v4(embedded);
    }
    match address.segments() {
        // protocol assignments, among them Teredo, which carries an IPv4 address that the other side chose
        [0x2001, second, ..] if second < 0x0200 => false,
        // documentation
        [0x2001, 0x0db8, ..] => false,
        [0x3fff, second, ..] if second < 0x1000 => false,
        // 6to4, which carries an IPv4 address as well
        [0x2002, ..] => false,
        // the only block given out for use in the public internet; not in it are loopback, unspecified,
        // IPv4-compatible, unique-local, link-local, site-local, multicast and all that is reserved
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// The IPv4 address that the system or its network turns this address into: IPv4-mapped, or NAT64's well-known prefix,
/// which is how an IPv6-only network reaches the public IPv4 internet.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.octets() {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
        | [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] => Some(Ipv4Addr::new(a, b, c, d)),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests;
