//! Severity and sentiment by words that stand for them, in English, Spanish and German.

use std::sync::LazyLock;

use regex::{Regex, RegexSet};
use switchboard_core::tickets::{Sentiment, Severity};

const CRITICAL: &[&str] = &[
    r"emergency|emergenc(?:y|ies)|life.threatening|medical (?:alert|device)|ambulance|cannot call 911|safety risk",
    r"(?:entire|whole|all of our) (?:office|company|site|hospital|building) (?:is|are)? ?(?:down|offline|without)",
    r"hacked|stolen|sim.?swap|(?:someone|somebody) (?:else )?(?:has )?(?:took|taken) over|fraud(?:ulent)?",
    r"emergencia|urgencia médica|hackead[oa]|suplantación|robado|fraude",
    r"notfall|lebensgefahr|gehackt|betrug|gestohlen|gesamte (?:firma|niederlassung|praxis)",
];
const HIGH: &[&str] = &[
    r"urgent(?:ly)?|asap|immediately|right now|critical|as soon as possible",
    r"(?:completely|totally) (?:down|dead|offline)|nothing works|no (?:service|signal|internet|connection) at all",
    r"(?:losing|lost) (?:customers|money|business|orders)|can(?:no|')t work|deadline",
    r"urgente|inmediatamente|cuanto antes|no funciona nada|sin servicio|no puedo trabajar",
    r"dringend|sofort|umgehend|schnellstmöglich|nichts (?:geht|funktioniert)|komplett ausgefallen|nicht arbeiten",
];
const LOW: &[&str] = &[
    r"no (?:rush|hurry)|not urgent|whenever you (?:can|have)|just (?:wondering|curious|asking)|quick question",
    r"no (?:es|hay) (?:urgente|prisa)|sin prisa|solo (?:una )?(?:pregunta|duda|quería saber)",
    r"nicht (?:dringend|eilig)|keine eile|nur (?:eine )?(?:kurze )?frage",
];
const NEGATIVE: &[&str] = &[
    r"angry|furious|ridiculous|unacceptable|outrageous|disgrace(?:ful)?|appalling|terrible|horrible|awful|worst",
    r"fed up|sick of|had enough|joke|scam|rip.?off|useless|incompetent|pathetic|disgusted|disappoint(?:ed|ing)",
    r"frustrat(?:ed|ing)|annoy(?:ed|ing)|never again|waste of|still (?:not|no|nothing|waiting)|third time|lies|lied",
    r"inaceptable|vergüenza|indignad[oa]|hart[oa]|enfadad[oa]|pésim[oa]|estafa|ridículo|horrible|fatal|decepcionad[oa]",
    r"unverschämt|frechheit|unmöglich|inakzeptabel|katastrophe|wütend|sauer|enttäuscht|schlecht(?:er|e|es|este)|abzocke",
    r"zumutung|nervt|unfassbar|lächerlich|reicht es|reicht's",
];
const POSITIVE: &[&str] = &[
    r"great|love|happy|excellent|wonderful|fantastic|brilliant|perfect|amazing|really helpful|so kind|well done",
    r"encantad[oa]|excelente|estupend[oa]|genial|maravillos[oa]|perfecto|content[oa]",
    r"super|toll|klasse|prima|hervorragend|zufrieden|begeistert|freundlich(?:er|e|en)|perfekt",
];

struct Cues {
    critical: RegexSet,
    high: RegexSet,
    low: RegexSet,
    negative: RegexSet,
    positive: RegexSet,
    shouting: Option<Regex>,
}

static CUES: LazyLock<Cues> = LazyLock::new(|| Cues {
    critical: any_of(CRITICAL),
    high: any_of(HIGH),
    low: any_of(LOW),
    negative: any_of(NEGATIVE),
    positive: any_of(POSITIVE),
    shouting: Regex::new(r"!!!|(?:\b[A-ZÄÖÜÑ]{3,}\b[\s,!.]+){4}").ok(),
});

fn any_of(patterns: &[&str]) -> RegexSet {
    let whole_words = patterns.iter().map(|pattern| format!(r"(?i)\b(?:{pattern})\b"));
    // invariant: the patterns above are valid; a test compiles them
    RegexSet::new(whole_words).unwrap_or_else(|_| RegexSet::empty())
}

/// The severity: usual for the category, one step up or down by what the text says. Returns the reason for people.
pub(super) fn severity(text: &str, usual: Severity) -> (Severity, String) {
    let cues = &*CUES;
    if cues.critical.is_match(text) {
        let severity = usual.max(Severity::High);
        return (step(severity, 1), "words of danger, fraud or a whole site down".to_owned());
    }
    if cues.low.is_match(text) {
        return (step(usual, -1), "the customer says that it can wait".to_owned());
    }
    if cues.high.is_match(text) {
        return (step(usual, 1), "words of urgency, one step over the usual of the category".to_owned());
    }
    (usual, "usual for the category".to_owned())
}

fn step(severity: Severity, by: isize) -> Severity {
    let at = Severity::ALL.iter().position(|one| *one == severity).unwrap_or(0);
    let to = at.saturating_add_signed(by).min(Severity::ALL.len() - 1);
    Severity::ALL.get(to).copied().unwrap_or(severity)
}

/// The tone: negative when more words of anger than of joy are there, or when the text shouts.
pub(super) fn sentiment(text: &str) -> Sentiment {
    let cues = &*CUES;
    let negative = cues.negative.matches(text).iter().count()
        + usize::from(cues.shouting.as_ref().is_some_and(|shouting| shouting.is_match(text)));
    let positive = cues.positive.matches(text).iter().count();
    match negative.cmp(&positive) {
        std::cmp::Ordering::Greater => Sentiment::Negative,
        std::cmp::Ordering::Less => Sentiment::Positive,
        std::cmp::Ordering::Equal => Sentiment::Neutral,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_patterns_compile() {
        let cues = &*CUES;
        let lengths = [cues.critical.len(), cues.high.len(), cues.low.len(), cues.negative.len(), cues.positive.len()];
        let lists = [CRITICAL.len(), HIGH.len(), LOW.len(), NEGATIVE.len(), POSITIVE.len()];
        assert_eq!(lengths, lists);
        assert!(cues.shouting.is_some());
    }

    #[test]
    fn severity_moves_by_words_in_three_languages() {
        let check = |text, usual, expected| assert_eq!(severity(text, usual).0, expected, "{text}");
        check("please send me the invoice", Severity::Low, Severity::Low);
        check("Dringend: kein Empfang", Severity::Medium, Severity::High);
        check("no hay prisa, pero va lento", Severity::Medium, Severity::Low);
        check("my account was hacked", Severity::Low, Severity::Critical);
        check("urgent!", Severity::Critical, Severity::Critical);
    }

    #[test]
    fn sentiment_weighs_words() {
        let check = |text, expected| assert_eq!(sentiment(text), expected, "{text}");
        check("This is ridiculous, third time I call", Sentiment::Negative);
        check("Das ist eine Frechheit", Sentiment::Negative);
        check("gracias, todo perfecto", Sentiment::Positive);
        check("when is my appointment?", Sentiment::Neutral);
        check("FIX THIS RIGHT NOW, PLEASE", Sentiment::Negative);
    }
}
