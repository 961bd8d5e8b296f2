//! Severity and sentiment by words that stand for them, in English, Spanish and German.

use std::sync::LazyLock;

use regex::Regex;
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
    critical: Option<Regex>,
    high: Option<Regex>,
    low: Option<Regex>,
    negative: Option<Regex>,
    positive: Option<Regex>,
    shouting: Option<Regex>,
}

// invariant: the patterns are valid and every `Option` is `Some`; a test compiles them
static CUES: LazyLock<Cues> = LazyLock::new(|| Cues {
    critical: any_of(CRITICAL),
    high: any_of(HIGH),
    low: any_of(LOW),
    negative: any_of(NEGATIVE),
    positive: any_of(POSITIVE),
    shouting: Regex::new(r"!!!|(?:(?-u:\b)[A-ZÄÖÜÑ]{3,}[ ,!.]+){4}").ok(),
});

/// Any of the patterns as whole words. The boundaries are ASCII ones: Unicode's would take the engine off its fast path
/// in every text with an umlaut.
fn any_of(patterns: &[&str]) -> Option<Regex> {
    Regex::new(&format!(r"(?i)(?-u:\b)(?:{})(?-u:\b)", patterns.join("|"))).ok()
}

fn count(cue: Option<&Regex>, text: &str) -> usize {
    cue.map_or(0, |cue| cue.find_iter(text).take(10).count())
}

/// The severity: usual for the category, one step up or down by what the text says. Returns the reason for people.
pub(super) fn severity(text: &str, usual: Severity) -> (Severity, String) {
    let cues = &*CUES;
    if count(cues.critical.as_ref(), text) > 0 {
        let severity = usual.max(Severity::High);
        return (step(severity, 1), "words of danger, fraud or a whole site down".to_owned());
    }
    if count(cues.low.as_ref(), text) > 0 {
        return (step(usual, -1), "the customer says that it can wait".to_owned());
    }
    if count(cues.high.as_ref(), text) > 0 {
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
    let negative = count(cues.negative.as_ref(), text) + count(cues.shouting.as_ref(), text);
    let positive = count(cues.positive.as_ref(), text);
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
        for cue in [&cues.critical, &cues.high, &cues.low, &cues.negative, &cues.positive, &cues.shouting] {
            assert!(cue.is_some());
        }
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
