use switchboard_core::ids::Language;
use whatlang::{Detector, Lang};

/// Fewer letters tell nothing reliable.
const ENOUGH_LETTERS: usize = 12;
/// More characters add time and no certainty.
const ENOUGH_CHARS: usize = 600;

/// A language with its probability.
#[derive(Clone, Debug, PartialEq)]
pub struct Detected {
    /// The language.
    pub language: Language,
    /// 0 to 1.
    pub probability: f64,
}

/// The language of `text` among those that the tenant serves, or among all when it names none; `None` when it is too
/// short to tell.
pub fn detect_language(text: &str, served: &[Language]) -> Option<Detected> {
    let start: String = text.chars().take(ENOUGH_CHARS).collect();
    if start.chars().filter(|char| char.is_alphabetic()).count() < ENOUGH_LETTERS {
        return None;
    }
    let allowed: Vec<Lang> = served.iter().filter_map(|language| from_code(language.base())).collect();
    let detector = if allowed.is_empty() { Detector::new() } else { Detector::with_allowlist(allowed) };
    let found = detector.detect(&start)?;
    let code = CODES.iter().find(|(lang, _)| *lang == found.lang()).map(|(_, code)| code)?;
    Some(Detected { language: code.parse().ok()?, probability: worth(found.confidence()) })
}

/// What whatlang's confidence turned out to be worth: (confidence, share that was right) among five languages, on the first 3 to 40
/// words of the texts in `crates/knowledge/data`.
const WORTH: [(f64, f64); 9] = [
    (0.0, 0.4),
    (0.04, 0.44),
    (0.08, 0.53),
    (0.15, 0.64),
    (0.25, 0.75),
    (0.4, 0.9),
    (0.65, 0.98),
    (0.9, 0.998),
    (1.0, 1.0),
];

fn worth(confidence: f64) -> f64 {
    let above = WORTH.iter().position(|(at, _)| *at >= confidence).unwrap_or(WORTH.len() - 1).max(1);
    match WORTH.get(above - 1..=above) {
        Some([(from, low), (to, high)]) => low + (high - low) * ((confidence - from) / (to - from)).clamp(0.0, 1.0),
        _ => confidence,
    }
}

fn from_code(code: &str) -> Option<Lang> {
    CODES.iter().find(|(_, known)| *known == code).map(|(lang, _)| *lang)
}

const CODES: &[(Lang, &str)] = &[
    (Lang::Eng, "en"),
    (Lang::Spa, "es"),
    (Lang::Deu, "de"),
    (Lang::Fra, "fr"),
    (Lang::Ita, "it"),
    (Lang::Por, "pt"),
    (Lang::Nld, "nl"),
    (Lang::Pol, "pl"),
    (Lang::Tur, "tr"),
    (Lang::Swe, "sv"),
    (Lang::Dan, "da"),
    (Lang::Nob, "nb"),
    (Lang::Fin, "fi"),
    (Lang::Ces, "cs"),
    (Lang::Rus, "ru"),
    (Lang::Ukr, "uk"),
    (Lang::Ara, "ar"),
    (Lang::Heb, "he"),
    (Lang::Hin, "hi"),
    (Lang::Cmn, "zh"),
    (Lang::Jpn, "ja"),
    (Lang::Kor, "ko"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confidence_becomes_what_it_is_worth() {
        assert_eq!(worth(0.0), 0.4);
        assert_eq!(worth(1.0), 1.0);
        assert!((worth(0.2) - 0.695).abs() < 1e-9);
        let rising: Vec<f64> = (0..=100).map(|n| worth(f64::from(n) / 100.0)).collect();
        assert!(rising.windows(2).all(|pair| pair[0] <= pair[1]));
    }
}
