//! One form for what was found, where it is certain.

/// What a recogniser's match turned out to be.
pub(super) enum Verdict {
    /// It is one, in this form.
    Form(String),
    /// It is one, and has no form more certain than how it is written.
    AsWritten,
    /// It only looked like one.
    NotOne,
}

pub(super) fn normalize(kind: &str, value: &str) -> Verdict {
    match kind {
        "money" => match amount(value) {
            Some((value, currency)) => Verdict::Form(format!("{value:.2} {currency}")),
            None => Verdict::NotOne,
        },
        "emails" => Verdict::Form(value.to_lowercase()),
        "phones" => phone(value),
        "dates" => date(value),
        _ => Verdict::AsWritten,
    }
}

/// The amount and its currency (ISO 4217). The last separator is the decimal one when one or two digits follow it; with
/// three digits after it, it groups thousands.
pub fn amount(text: &str) -> Option<(f64, &'static str)> {
    let lower = text.to_lowercase();
    let currency = if lower.contains('€') || lower.contains("eur") {
        "EUR"
    } else if lower.contains('£') || lower.contains("gbp") {
        "GBP"
    } else {
        "USD"
    };
    let number: String = text.chars().filter(|char| char.is_ascii_digit() || ".,".contains(*char)).collect();
    let number = number.trim_matches(['.', ',']);
    let (whole, cents) = match number.rfind(['.', ',']) {
        Some(at) if number.len() - at <= 3 => (&number[..at], &number[at + 1..]),
        _ => (number, ""),
    };
    let whole: String = whole.chars().filter(char::is_ascii_digit).collect();
    let value: f64 = format!("{whole}.{cents}0").parse().ok()?;
    (value < 1e12).then_some((value, currency))
}

fn phone(text: &str) -> Verdict {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    // E.164 allows 15 digits; national numbers written in one block of fewer than nine are more often something else.
    if !(7..=15).contains(&digits.len()) {
        return Verdict::NotOne;
    }
    if text.starts_with('+') {
        return Verdict::Form(format!("+{digits}"));
    }
    if let Some(international) = digits.strip_prefix("00") {
        return Verdict::Form(format!("+{international}"));
    }
    let in_groups = text.chars().any(|char| !char.is_ascii_digit());
    if in_groups || digits.len() >= 9 { Verdict::AsWritten } else { Verdict::NotOne }
}

fn date(text: &str) -> Verdict {
    let parts: Vec<Option<i16>> = text.split(['-', '.', '/']).map(|part| part.parse().ok()).collect();
    let [Some(first), Some(second), Some(third)] = parts[..] else { return Verdict::AsWritten };
    let valid = |year: i16, month: i16, day: i16| {
        let (month, day) = (i8::try_from(month).ok()?, i8::try_from(day).ok()?);
        (1900..=2100).contains(&year).then(|| jiff::civil::Date::new(year, month, day).ok())?
    };
    if text.contains('-') {
        return valid(first, second, third).map_or(Verdict::NotOne, |date| Verdict::Form(date.to_string()));
    }
    let day_first = valid(third, second, first);
    if text.contains('.') {
        return day_first.map_or(Verdict::NotOne, |date| Verdict::Form(date.to_string()));
    }
    // With slashes, who writes the month first cannot be told unless only one order gives a date.
    match (day_first, valid(third, first, second)) {
        (None, None) => Verdict::NotOne,
        (Some(one), None) | (None, Some(one)) => Verdict::Form(one.to_string()),
        (Some(one), Some(other)) if one == other => Verdict::Form(one.to_string()),
        (Some(_), Some(_)) => Verdict::AsWritten,
    }
}
