//! `Retry-After`: how long the other side asks to be left alone.

use std::time::Duration;

use jiff::fmt::rfc2822;

/// A wish beyond a day is no plan any more.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Reads the header: seconds, or a date. A date is held against the answer's own `Date`, so that the clocks of both sides
/// need not agree; without one it says nothing.
pub(crate) fn retry_after(retry_after: &str, date: Option<&str>) -> Option<Duration> {
    let wish = retry_after.trim();
    let asked = if !wish.is_empty() && wish.bytes().all(|byte| byte.is_ascii_digit()) {
        Duration::from_secs(wish.parse().unwrap_or(u64::MAX))
    } else {
        let seconds = http_date(wish)?.saturating_sub(http_date(date?)?);
        Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
    };
    Some(asked.min(LONGEST))
}

/// Seconds since 1970 of a date such as `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(text: &str) -> Option<i64> {
    let text = text.trim();
    let time = rfc2822::DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text).ok()?;
    Some(time.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: Option<&str> = Some("Fri, 20 Nov 2026 08:00:00 GMT");

    fn check(header: &str, date: Option<&str>, expected: Option<u64>) {
        assert_eq!(retry_after(header, date), expected.map(Duration::from_secs), "{header:?} at {date:?}");
    }

    #[test]
    fn seconds_are_read() {
        check("0", DATE, Some(0));
        check(" 93 ", None, Some(93));
        check("86401", None, Some(86_400));
        check("99999999999999999999999999", None, Some(86_400));
    }

    #[test]
    fn dates_are_held_against_the_date_of_the_answer() {
        check("Fri, 20 Nov 2026 08:01:30 GMT", DATE, Some(90));
        check("Fri, 20 Nov 2026 07:00:00 GMT", DATE, Some(0));
        check("Mon, 20 Nov 2028 08:00:00 GMT", DATE, Some(86_400));
        check("Fri, 20 Nov 2026 08:01:30 GMT", None, None);
        check("Fri, 20 Nov 2026 08:01:30 GMT", Some("soon"), None);
    }

    #[test]
    fn anything_else_says_nothing() {
        for header in ["", "soon", "-5", "1.5", "1e3", "0x10", "Fri, 99 Nov 2026 08:01:30 GMT", "２"] {
            check(header, DATE, None);
        }
    }

    #[test]
    fn fuzzed_headers_say_at_most_a_day() {
        let seeds: [&[u8]; 3] = [
            b"120\nFri, 20 Nov 2026 08:00:00 GMT",
            b"Fri, 20 Nov 2026 08:01:30 GMT\nFri, 20 Nov 2026 08:00:00 GMT",
            b"0\n",
        ];
        switchboard_testkit::fuzz::fuzz("retry-after", &seeds, |input| {
            let input = String::from_utf8_lossy(input);
            let (header, date) = input.split_once('\n').unwrap_or((&input, ""));
            assert!(retry_after(header, Some(date)).is_none_or(|wait| wait <= LONGEST));
            assert!(retry_after(header, None).is_none_or(|wait| wait <= LONGEST));
        });
    }
}
