//! Words of danger and of patience, in English, Spanish and German.

use std::sync::LazyLock;

use regex::Regex;
use switchboard_core::tickets::Severity;

const CRITICAL: &[&str] = &[
    r"emergency|emergenc(?:y|ies)|life.threatening|medical (?:alert|device)|ambulance|cannot call 911|safety risk",
    r"(?:entire|whole|all of our) (?:office|company|site|hospital|building) (?:is|are)? ?(?:down|offline|without)",
    r"hacked|stolen|sim.?swap|(?:someone|somebody) (?:else )?(?:has )?(?:took|taken) over|fraud(?:ulent)?",
    r"emergencia|urgencia médica|hackead[oa]|suplantación|robado|fraude",
    r"notfall|lebensgefahr|gehackt|betrug|gestohlen|gesamte (?:firma|niederlassung|praxis)",
];
const LOW: &[&str] = &[
    r"no (?:rush|hurry)|not urgent|whenever you (?:can|have)|just (?:wondering|curious|asking)|quick question",
    r"no (?:es|hay) (?:urgente|prisa)|sin prisa|solo (?:una )?(?:pregunta|duda|quería saber)",
    r"nicht (?:dringend|eilig)|keine eile|nur (?:eine )?(?:kurze )?frage",
];
struct Cues {
    critical: Option<Regex>,
    low: Option<Regex>,
}

// invariant: the patterns are valid and every `Option` is `Some`; a test compiles them
static CUES: LazyLock<Cues> = LazyLock::new(|| Cues { critical: any_of(CRITICAL), low: any_of(LOW) });

/// What the words of a text say of its severity, beyond what a model learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cue {
    /// Danger, fraud, or a whole site down.
    Danger,
    /// It can wait.
    Patience,
    /// Nothing in particular.
    None,
}

impl Cue {
    /// Whether it makes that severity more probable.
    pub(super) fn speaks_for(self, severity: Severity) -> bool {
        match self {
            Self::Danger => severity >= Severity::High,
            Self::Patience => severity == Severity::Low,
            Self::None => false,
        }
    }
}

/// Any of the patterns as whole words. The boundaries are ASCII ones: Unicode's would take the engine off its fast path
/// in every text with an umlaut.
fn any_of(patterns: &[&str]) -> Option<Regex> {
    Regex::new(&format!(r"(?i)(?-u:\b)(?:{})(?-u:\b)", patterns.join("|"))).ok()
}

/// What the words of `text` say.
pub(super) fn severity(text: &str) -> Cue {
    let says = |cue: &Option<Regex>| cue.as_ref().is_some_and(|cue| cue.is_match(text));
    if says(&CUES.critical) {
        Cue::Danger
    } else if says(&CUES.low) {
        Cue::Patience
    } else {
        Cue::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_patterns_compile() {
        assert!(CUES.critical.is_some() && CUES.low.is_some());
    }

    #[test]
    fn cues_are_heard_in_three_languages() {
        for (text, expected) in [
            ("please send me the invoice", Cue::None),
            ("my account was hacked", Cue::Danger),
            ("La emergencia continúa", Cue::Danger),
            ("Die gesamte Praxis ist offline", Cue::Danger),
            ("no hay prisa, pero va lento", Cue::Patience),
            ("das ist nicht eilig", Cue::Patience),
        ] {
            assert_eq!(severity(text), expected, "{text}");
        }
    }
}
