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
    Some(Detected { language: code.parse().ok()?, probability: found.confidence() })
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
