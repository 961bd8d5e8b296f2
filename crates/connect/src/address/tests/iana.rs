//! What IANA says of special addresses, as data: the registries of special-purpose addresses for IPv4 and IPv6 (RFC 6890 and
//! its updates, as of 2025-10), and beside them multicast and what is not given out. The guard's own rule is written
//! otherwise, so that each can be held against the other.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Network, bits of its prefix, whether it is globally reachable. The longest prefix counts.
pub(crate) const IPV4: &[(&str, u32, bool)] = &[
    ("0.0.0.0", 8, false),
    ("0.0.0.0", 32, false),
    ("10.0.0.0", 8, false),
    ("100.64.0.0", 10, false),
    ("127.0.0.0", 8, false),
    ("169.254.0.0", 16, false),
    ("172.16.0.0", 12, false),
    ("192.0.0.0", 24, false),
    ("192.0.0.0", 29, false),
    ("192.0.0.8", 32, false),
    ("192.0.0.9", 32, true),
    ("192.0.0.10", 32, true),
    ("192.0.0.170", 31, false),
    ("192.0.2.0", 24, false),
    ("192.31.196.0", 24, true),
    ("192.52.193.0", 24, true),
    ("192.88.99.0", 24, false),
    ("192.168.0.0", 16, false),
    ("192.175.48.0", 24, true),
    ("198.18.0.0", 15, false),
    ("198.51.100.0", 24, false),
    ("203.0.113.0", 24, false),
    ("224.0.0.0", 4, false),
    ("240.0.0.0", 4, false),
    ("255.255.255.255", 32, false),
];

/// The same for IPv6. `2000::/3` is what is given out for the public internet.
pub(crate) const IPV6: &[(&str, u32, bool)] = &[
    ("::", 0, false),
    ("2000::", 3, true),
    ("::1", 128, false),
    ("::", 128, false),
    ("::ffff:0:0", 96, false),
    ("64:ff9b::", 96, true),
    ("64:ff9b:1::", 48, false),
    ("100::", 64, false),
    ("100:0:0:1::", 64, false),
    ("2001::", 23, false),
    ("2001::", 32, false),
    ("2001:1::1", 128, true),
    ("2001:1::2", 128, true),
    ("2001:1::3", 128, true),
    ("2001:2::", 48, false),
    ("2001:3::", 32, true),
    ("2001:4:112::", 48, true),
    ("2001:10::", 28, false),
    ("2001:20::", 28, true),
    ("2001:30::", 28, true),
    ("2001:db8::", 32, false),
    ("2002::", 16, false),
    ("2620:4f:8000::", 48, true),
    ("3fff::", 20, false),
    ("5f00::", 16, false),
    ("fc00::", 7, false),
    ("fe80::", 10, false),
    ("ff00::", 8, false),
];

/// What the registries say of the address. Of one that carries an IPv4 address and is delivered there, what they say of
/// that one.
pub(crate) fn is_globally_reachable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => longest(IPV4, u128::from(u32::from(address)), 32).unwrap_or(true),
        IpAddr::V6(address) => {
            let low = u32::try_from(u128::from(address) & 0xffff_ffff).unwrap();
            let carried = || is_globally_reachable(IpAddr::V4(Ipv4Addr::from(low)));
            if u128::from(address) >> 32 == 0xffff {
                return carried();
            }
            let listed = longest(IPV6, u128::from(address), 128).unwrap();
            listed && (u128::from(address) >> 32 != 0x0064_ff9b << 64 || carried())
        }
    }
}

/// Networks that the registries let through and the guard does not: protocol assignments, where nobody's web service is.
pub(crate) fn is_refused_all_the_same(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[..3] == [192, 0, 0],
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => is_refused_all_the_same(IpAddr::V4(mapped)),
            None => {
                let segments = address.segments();
                let carries = segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0];
                let carried = Ipv4Addr::from(u32::from(segments[6]) << 16 | u32::from(segments[7]));
                segments[0] == 0x2001 && segments[1] < 0x200 || carries && is_refused_all_the_same(IpAddr::V4(carried))
            }
        },
    }
}

/// The first and last address of an entry, as numbers.
pub(crate) fn bounds(entry: &(&str, u32, bool), bits: u32) -> (u128, u128) {
    let first = match entry.0.parse().unwrap() {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    };
    let hosts = bits - entry.1;
    (first, if hosts == 128 { u128::MAX } else { first | ((1 << hosts) - 1) })
}

fn longest(registry: &[(&str, u32, bool)], address: u128, bits: u32) -> Option<bool> {
    let holds = |entry: &&(&str, u32, bool)| {
        let (first, last) = bounds(entry, bits);
        (first..=last).contains(&address)
    };
    registry.iter().filter(holds).max_by_key(|entry| entry.1).map(|entry| entry.2)
}

/// The address of that number.
pub(crate) fn v6(number: u128) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from(number))
}
