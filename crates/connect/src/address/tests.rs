pub(crate) mod iana;

use proptest::prelude::*;
use url::{Host, Url};

use super::*;

/// The verdict on the host of `https://{host}/`: `None` when it is a name, or no host at all.
fn verdict(host: &str) -> Option<bool> {
    match Url::parse(&format!("https://{host}/")).ok()?.host()? {
        Host::Ipv4(address) => Some(is_public(address.into())),
        Host::Ipv6(address) => Some(is_public(address.into())),
        Host::Domain(_) => None,
    }
}

#[test]
fn nothing_but_the_public_internet_is_reached() {
    let refused = [
        // loopback, in the spellings that browsers and libraries take
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "0177.0.0.01",
        "00000177.1",
        "017700000001",
        "127.255.255.254",
        "１２７.０.０.１",
        "①②⑦.⓪.⓪.①",
        "127。0。0。1",
        "%31%32%37.0.0.1",
        // this network
        "0",
        "0.0.0.0",
        "0.1.2.3",
        // private
        "10.0.0.1",
        "10.255.255.255",
        "0xa.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "192.168.255.255",
        "3232235521",
        // carrier-grade NAT
        "100.64.0.1",
        "100.127.255.255",
        // link-local and metadata
        "169.254.0.1",
        "169.254.169.254",
        "0xa9fea9fe",
        "2852039166",
        "0251.0376.0251.0376",
        // special
        "192.0.0.1",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        // IPv6
        "[::]",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::2]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fdff::1]",
        "[fe80::1]",
        "[febf::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[100::1]",
        "[2001:db8::1]",
        "[3fff::1]",
        "[3fff:fff::1]",
        "[5f00::1]",
        "[2001:2::1]",
        "[2001:10::1]",
        "[4000::1]",
        // IPv4 within IPv6
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::ffff:10.0.0.1]",
        "[::ffff:169.254.169.254]",
        "[::127.0.0.1]",
        "[::8.8.8.8]",
        "[::ffff:0:127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::1]",
        "[2002:7f00:1::1]",
        "[2002:808:808::1]",
        "[2001::1]",
        "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
    ];
    for host in refused {
        assert_eq!(verdict(host), Some(false), "{host}");
    }
}

#[test]
fn the_public_internet_is_reached() {
    let public = [
        "8.8.8.8",
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.1",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.1",
        "192.0.3.1",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "134744072",
        "[2606:4700:4700::1111]",
        "[2a00:1450:4001:82a::200e]",
        "[2001:4860:4860::8888]",
        "[2001:200::1]",
        "[2003::1]",
        "[3ffe::1]",
        "[::ffff:8.8.8.8]",
        "[64:ff9b::8.8.8.8]",
    ];
    for host in public {
        assert_eq!(verdict(host), Some(true), "{host}");
    }
}

#[test]
fn what_is_no_address_is_left_to_the_resolver_or_refused_by_the_parser() {
    for host in
        ["localhost", "localhost.", "127.0.0.1.nip.io", "metadata.google.internal", "1.2.3.4.5", "256.1.1.1", "[::1"]
    {
        assert_eq!(verdict(host), None, "{host}");
    }
}

/// An address anywhere, or in or right beside an entry of a registry, where mistakes are.
fn any_address() -> impl Strategy<Value = IpAddr> {
    let v4 = |number: u128| IpAddr::V4(Ipv4Addr::from(u32::try_from(number & 0xffff_ffff).unwrap_or(0)));
    let near = |registry: &'static [(&'static str, u32, bool)], bits: u32| {
        (0..registry.len(), any::<u128>(), 0..6_u8).prop_map(move |(n, random, place)| {
            let (first, last) = iana::bounds(&registry[n], bits);
            match place {
                0 => first,
                1 => last,
                2 => first.wrapping_sub(1),
                3 => last.wrapping_add(1),
                _ => first + random % (last - first).saturating_add(1),
            }
        })
    };
    let near_v4 = near(iana::IPV4, 32).boxed();
    prop_oneof![
        any::<u32>().prop_map(|number| IpAddr::V4(number.into())),
        near_v4.clone().prop_map(v4),
        any::<u128>().prop_map(iana::v6),
        any::<u128>().prop_map(|number| iana::v6(number >> 3 | 1 << 125)),
        near(iana::IPV6, 128).prop_map(iana::v6),
        near_v4.clone().prop_map(|number| iana::v6(0xffff << 32 | number & 0xffff_ffff)),
        near_v4.prop_map(|number| iana::v6(0x0064_ff9b << 96 | number & 0xffff_ffff)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 50_000, ..ProptestConfig::default() })]

    #[test]
    fn the_rule_agrees_with_the_registries(address in any_address()) {
        let expected = iana::is_globally_reachable(address) && !iana::is_refused_all_the_same(address);
        prop_assert_eq!(is_public(address), expected, "{}", address);
    }
}
