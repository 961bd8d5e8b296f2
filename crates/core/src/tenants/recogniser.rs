use regex::{Regex, RegexBuilder};

use crate::{ids::EntityKind, limits};

/// Finds entities of one kind.
#[derive(Clone, Debug)]
pub struct Recogniser {
    /// What it finds.
    pub kind: EntityKind,
    /// How; group 1 is the value when there is one, else the whole match.
    pub pattern: Regex,
    /// Whether what it finds must not be kept in clear.
    pub sensitive: bool,
}

impl Recogniser {
    /// Compiles a pattern of bounded size. One search runs in linear time whatever the text.
    pub fn new(kind: EntityKind, pattern: &str, sensitive: bool) -> Result<Self, regex::Error> {
        Ok(Self { kind, pattern: bounded(pattern)?, sensitive })
    }
}

/// Compiles one pattern that finds any of `keywords` as whole words, in any case.
pub(super) fn keywords(keywords: &[String]) -> Result<Regex, regex::Error> {
    let any = keywords.iter().map(|word| regex::escape(word.trim())).collect::<Vec<_>>().join("|");
    bounded(&format!(r"(?i)(?:^|[^\p{{Alphabetic}}\d])(?:{any})(?:$|[^\p{{Alphabetic}}\d])"))
}

fn bounded(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(limits::PATTERN_BYTES).dfa_size_limit(limits::PATTERN_BYTES).build()
}
