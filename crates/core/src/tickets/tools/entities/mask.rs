//! What may be kept of a value that must not be kept.

/// How many characters at the end may be told, so that a customer knows which card or account is meant.
const TOLD: usize = 4;
/// A shorter value is covered whole: four of its characters would be too much of it.
const LONG_ENOUGH: usize = 9;

/// `written` with all but its end covered: `**** 1111`. Of a secret nothing is told.
pub(super) fn mask(written: &str, stand_in: &str) -> String {
    let letters: Vec<char> = written.chars().filter(|char| char.is_alphanumeric()).collect();
    let tells_end = matches!(stand_in, "card_number" | "iban" | "tax_id") && letters.len() >= LONG_ENOUGH;
    if !tells_end {
        return "****".to_owned();
    }
    let end: String = letters[letters.len() - TOLD..].iter().collect();
    format!("**** {end}")
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn only_the_end_is_told() {
        assert_eq!(mask("4111 1111-1111 1112", "card_number"), "**** 1112");
        assert_eq!(mask("DE89 3704 0044 0532 0130 00", "iban"), "**** 3000");
        assert_eq!(mask("1234567L", "tax_id"), "****");
        assert_eq!(mask("sk-0123456789abcdef", "secret"), "****");
        assert_eq!(mask("MDM-00FF12AB", "modem_serial"), "****");
    }
}
