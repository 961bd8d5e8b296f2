//! Points in time: milliseconds since 1970 in UTC, written as RFC 3339.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use utoipa::ToSchema;

const DAY_MILLIS: i64 = 24 * 3600 * 1000;

/// A point in time with millisecond precision. JSON and text form: `2026-11-20T08:15:30.250Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-11-20T08:15:30.250Z")]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since 1970-01-01 UTC, held within the years 1970 to 9999.
    pub fn from_millis(millis: i64) -> Self {
        const END_OF_9999: i64 = 253_402_207_200_000;
        Self(millis.clamp(0, END_OF_9999))
    }

    /// Milliseconds since 1970-01-01 UTC.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// This point moved forward, held within the range of [`Timestamp::from_millis`].
    pub fn plus(self, duration: Duration) -> Self {
        Self::from_millis(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This point moved back, held within the range of [`Timestamp::from_millis`].
    pub fn minus(self, duration: Duration) -> Self {
        Self::from_millis(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The days since 1970-01-01 UTC.
    pub fn day(self) -> i64 {
        self.0 / DAY_MILLIS
    }

    /// Time until the next day in UTC begins: more than nothing, at most a day.
    pub fn until_midnight(self) -> Duration {
        Duration::from_millis(u64::try_from(DAY_MILLIS - self.0 % DAY_MILLIS).unwrap_or(0))
    }

    /// Time from `earlier` to this point; zero when the clock went back.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

impl FromStr for Timestamp {
    type Err = NotATimestamp;

    fn from_str(text: &str) -> Result<Self, NotATimestamp> {
        let time: jiff::Timestamp = text.parse().map_err(|_| NotATimestamp)?;
        if time.as_millisecond() < 0 {
            return Err(NotATimestamp);
        }
        Ok(Self::from_millis(time.as_millisecond()))
    }
}

/// The text is no RFC 3339 time between 1970 and 9999.
#[derive(Debug, thiserror::Error)]
#[error("must be an RFC 3339 time such as 2026-11-20T08:15:30Z, not before 1970")]
pub struct NotATimestamp;

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_keeps_milliseconds_and_utc() {
        let time: Timestamp = "2026-11-20T09:15:30.25+01:00".parse().unwrap();
        assert_eq!(time.to_string(), "2026-11-20T08:15:30.250Z");
        assert_eq!(Timestamp::from_millis(0).to_string(), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in ["", "yesterday", "2026-13-01T00:00:00Z", "1969-12-31T23:59:59Z", "2026-11-20"] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    #[test]
    fn arithmetic_never_overflows() {
        assert_eq!(Timestamp::from_millis(i64::MAX).plus(Duration::MAX), Timestamp::from_millis(i64::MAX));
        assert_eq!(Timestamp::from_millis(5).minus(Duration::from_secs(1)).as_millis(), 0);
        assert_eq!(Timestamp::from_millis(5).since(Timestamp::from_millis(9)), Duration::ZERO);
    }
}
