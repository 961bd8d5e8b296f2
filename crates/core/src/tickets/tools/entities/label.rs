//! What the words before a number call it: a phone number, an order, a version.

/// What a number is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    Phone,
    Card,
    TaxId,
    Version,
    /// Another number that is nobody's personal data: an order, a parcel, a serial number.
    Other,
}

/// Words are looked at backwards, this many at most.
const WORDS: usize = 6;
/// Bytes that are looked at; enough for six words.
const BYTES: usize = 80;

const PHONE: &[&str] = &[
    "phone",
    "telephon",
    "telefon",
    "teléfono",
    "handy",
    "mobil",
    "móvil",
    "movil",
    "celular",
    "rufnummer",
    "anruf",
    "whatsapp",
    "llam",
    "llám",
    "dial",
    "erreich",
    "landline",
    "festnetz",
    "rückruf",
    "callback",
    "zurückruf",
    "ruft",
    "durchwahl",
];
const PHONE_WORDS: &[&str] = &["tel", "tlf", "tfno", "call", "calling", "cell", "fax", "sms"];
const CARD_WORDS: &[&str] = &[
    "card",
    "cards",
    "cc",
    "kreditkarte",
    "karte",
    "kartennummer",
    "kreditkartennummer",
    "tarjeta",
    "visa",
    "mastercard",
    "amex",
    "maestro",
];
const TAX_ID: &[&str] = &[
    "ssn",
    "social",
    "sozial",
    "steuer",
    "tax",
    "dni",
    "nie",
    "nif",
    "nino",
    "insurance",
    "identidad",
    "fiscal",
    "itin",
];
const VERSION: &[&str] =
    &["version", "versión", "firmware", "release", "build", "software", "driver", "treiber", "kernel"];
const VERSION_WORDS: &[&str] = &["v", "ver", "vers", "sw", "fw", "rev", "update"];
const OTHER: &[&str] = &[
    "order",
    "bestell",
    "auftrag",
    "pedido",
    "invoice",
    "rechnung",
    "factura",
    "track",
    "sendung",
    "seguimiento",
    "serial",
    "serien",
    "serie",
    "ticket",
    "vorgang",
    "incidencia",
    "customer",
    "kunden",
    "cliente",
    "account",
    "konto",
    "cuenta",
    "contract",
    "vertrag",
    "contrato",
    "referen",
    "paket",
    "parcel",
    "paquete",
    "envío",
    "shipment",
    "article",
    "artikel",
    "artículo",
    "model",
    "batch",
    "charge",
    "zähler",
    "meter",
    "contador",
    "policy",
    "póliza",
    "transac",
    "transak",
    "confirmation",
    "bestätigung",
    "booking",
    "buchung",
    "reserva",
    "product",
    "produkt",
    "barcode",
    "device",
    "gerät",
    "dispositivo",
    "albarán",
];
const OTHER_WORDS: &[&str] = &[
    "ref", "sn", "s/n", "imei", "sku", "isbn", "ean", "upc", "case", "fall", "caso", "lote", "item", "part", "code",
    "código", "zip", "plz", "points", "puntos", "punkte", "po", "rma",
];

const NUMBER: &[&str] = &["number", "nummer", "número", "numero"];
const MY: &[&str] = &["my", "meine", "meiner", "mi"];
/// Words whose dot does not end a sentence.
const ABBREVIATIONS: &[&str] =
    &["tel", "tlf", "no", "nr", "nro", "núm", "num", "ref", "mob", "ver", "vers", "best", "rech"];
/// What stands before one of these is said of something else.
const AND: &[&str] = &["and", "und", "y"];

/// The nearest word before a number that says what it is. A digit, a bracket or an `@` ends the look, because what lies
/// beyond is said of something else; so does the end of a sentence.
pub(super) fn label(before: &str) -> Option<Label> {
    let mut from = before.len().saturating_sub(BYTES);
    while !before.is_char_boundary(from) {
        from += 1;
    }
    let mut rest = &before[from..];
    let mut number = false;
    for _ in 0..WORDS {
        let word_end = rest.trim_end_matches(|char: char| !char.is_alphabetic() && !is_barrier(char)).len();
        let between = &rest[word_end..];
        rest = &rest[..word_end];
        let word_start = rest
            .rfind(|char: char| !char.is_alphabetic() && char != '/')
            .map_or(0, |at| at + rest[at..].chars().next().map_or(1, char::len_utf8));
        let word = &rest[word_start..];
        let word = word.to_lowercase();
        let sentence_ends = between.contains(['!', '?', ';'])
            || between.contains("\n\n")
            || (between.contains('.') && !ABBREVIATIONS.contains(&word.as_str()));
        if word.is_empty() || sentence_ends || AND.contains(&word.as_str()) {
            return None;
        }
        if let Some(label) = of_word(&word) {
            return Some(label);
        }
        // "My number" is the one to call; "my order number" has been found at "order".
        if number && MY.contains(&word.as_str()) {
            return Some(Label::Phone);
        }
        number |= NUMBER.contains(&word.as_str());
        rest = &rest[..word_start];
    }
    None
}

/// Whether the words after a number say that it is a telephone number, as in a signature: `416 60 039 office`.
pub(super) fn is_phone_by_what_follows(after: &str) -> bool {
    const PLACES: &[&str] = &[
        "office", "fax", "mobile", "cell", "home", "work", "handy", "mobil", "büro", "privat", "móvil", "fijo",
        "oficina",
    ];
    let word = after.trim_start_matches([' ', '-', '(', '/', ',']);
    let length = word.find(|char: char| !char.is_alphabetic()).unwrap_or(word.len());
    // The longest of them has eight bytes; a longer word need not be copied.
    length <= 16 && PLACES.contains(&word[..length].to_lowercase().as_str())
}

fn is_barrier(char: char) -> bool {
    char.is_numeric() || matches!(char, '[' | ']' | '@')
}

fn of_word(word: &str) -> Option<Label> {
    let has = |stems: &[&str]| stems.iter().any(|stem| word.contains(stem));
    if PHONE_WORDS.contains(&word) || has(PHONE) || word.starts_with("ruf") {
        Some(Label::Phone)
    } else if CARD_WORDS.contains(&word) {
        Some(Label::Card)
    } else if VERSION_WORDS.contains(&word) || has(VERSION) {
        Some(Label::Version)
    } else if OTHER_WORDS.contains(&word) || has(OTHER) {
        Some(Label::Other)
    } else if TAX_ID.iter().any(|stem| word.starts_with(stem)) {
        Some(Label::TaxId)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(before: &str, expected: Option<Label>) {
        assert_eq!(label(before), expected, "{before}");
    }

    #[test]
    fn the_nearest_word_names_the_number() {
        check("Call me at ", Some(Label::Phone));
        check("Tel. ", Some(Label::Phone));
        check("meine Telefonnummer lautet ", Some(Label::Phone));
        check("my order number is ", Some(Label::Other));
        check("call me about order ", Some(Label::Other));
        check("Sendungsnummer: ", Some(Label::Other));
        check("firmware v", Some(Label::Version));
        check("My number is ", Some(Label::Phone));
        check("Order no. ", Some(Label::Other));
        check("my SSN is ", Some(Label::TaxId));
        check("S/N ", Some(Label::Other));
    }

    #[test]
    fn sentences_numbers_and_brackets_end_the_look() {
        check("My order has arrived. ", None);
        check("the points are gone. ", None);
        check("call me\n\n", None);
        check("order 4711 and ", None);
        check("my phone and ", None);
        check("phone [phone] ", None);
        check("", None);
        check("🦀é", None);
    }
}
