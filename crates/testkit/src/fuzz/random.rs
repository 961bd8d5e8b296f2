/// What breaks parsers.
pub const TOKENS: &[&[u8]] = &[
    b"\0",
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b";",
    b"=",
    b"%",
    b"&",
    b"?",
    b"#",
    b"/",
    b"..",
    b"\r\n",
    b"\n",
    b"\t",
    b" ",
    b"null",
    b"true",
    b"-",
    b"-1",
    b"0",
    b"00",
    b"1e999",
    b"18446744073709551616",
    b"9223372036854775808",
    b"NaN",
    b"Infinity",
    b"%00",
    b"%ff",
    b"%2e%2e%2f",
    b"\\u0000",
    b"\\ud800",
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xae",
    b"\xf0\x9f\x94\xa5",
    b"\x1b[2J",
    b"/*",
    b"'",
    b"\"x\":1,",
    b"' OR 1=1 --",
    b"{{7*7}}",
    b"${jndi:ldap://x}",
    b"<script>",
    b"\x7f",
    b"\xe2\x80\x8b",
    b"\xcc\x81",
    b"9999-12-31T23:59:60Z",
    b"0000-00-00T00:00:00Z",
    b"+23:59",
    b"(?i)",
    b"(a+)+$",
    b"{1000}",
    b"\\p{L}",
    b"[[:alpha:]]",
    b"*",
    b"+",
];

/// SplitMix64 of Steele, Lea and Flood: the same numbers in every run.
pub struct Random(u64);

impl Random {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The numbers of a name.
    pub fn named(name: &str) -> Self {
        Self::of(name.as_bytes())
    }

    /// The numbers of some bytes (FNV-1a).
    pub fn of(bytes: &[u8]) -> Self {
        let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        Self(bytes.iter().fold(0xcbf2_9ce4_8422_2325, hash))
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.number() % end as u64).expect("a number below a usize")
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of them; there is one.
    pub fn pick<'a, T: ?Sized>(&mut self, from: &'a [&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// `bytes` with one to four damages: bits flipped, pieces taken out, doubled or moved, hostile tokens put in, the end cut off.
pub fn damaged_bytes(random: &mut Random, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let to = (at + 1 + random.below(20)).min(bytes.len());
        match random.below(9) {
            0 | 1 => drop(bytes.splice(at..at, random.pick(TOKENS).iter().copied())),
            2 => drop(bytes.splice(at..to.max(at), random.pick(TOKENS).iter().copied())),
            3 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            4 if at < bytes.len() => bytes[at] = u8::try_from(random.below(256)).expect("a byte"),
            5 if at < to => drop(bytes.drain(at..to)),
            6 if at < to => {
                let piece = bytes[at..to].to_vec();
                let times = if random.one_in(20) { 2_000 } else { 1 + random.below(3) };
                drop(bytes.splice(at..at, piece.repeat(times)));
            }
            7 if at < to => {
                let piece: Vec<u8> = bytes.drain(at..to).collect();
                let place = random.below(bytes.len() + 1);
                drop(bytes.splice(place..place, piece));
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}
