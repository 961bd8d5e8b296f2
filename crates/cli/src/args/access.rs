use std::time::Duration;

use clap::Subcommand;
use switchboard_core::{access::Scope, ids::KeyId, time::Timestamp};

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Make a key and print it, once.
    Create {
        /// What it may do; all of tickets when absent.
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<Scope>,
        /// What people call it.
        #[arg(long, default_value = "")]
        name: String,
        /// From when on it is refused (RFC 3339).
        #[arg(long)]
        expires: Option<Timestamp>,
    },
    /// List the keys, newest first.
    List,
    /// Replace a key: print a new one with the same name and scopes, and let the old one work for a while beside it.
    Rotate {
        /// The public part: what stands between the second and third `_`.
        id: KeyId,
        /// How long both work, such as 24h, 90m or 7d; never longer than the old one would have.
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
        overlap: Duration,
        /// From when on the new one is refused (RFC 3339); as long as the old one was made for when absent.
        #[arg(long)]
        expires: Option<Timestamp>,
    },
    /// Revoke a key: it is refused within five seconds.
    Revoke {
        /// The public part: what stands between the second and third `_`.
        id: KeyId,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Admin {
    /// Set the password with which the operator signs in over HTTP, and end all sessions. It is asked for without being
    /// shown; when standard input is no terminal, its first line is the password.
    SetPassword,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditLog {
    /// List acts, newest first; with --tenant those about one tenant alone.
    List {
        /// From this time on (RFC 3339).
        #[arg(long)]
        since: Option<Timestamp>,
        /// At most so many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        limit: u32,
    },
    /// Check that no entry was changed, removed, added or moved; exit code 3 and the first bad number if one was.
    Verify,
}

/// A time span: a number and one of s, m, h and d.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "must be a number with s, m, h or d, such as 24h".to_owned();
    let (at, _) = text.char_indices().next_back().ok_or_else(wrong)?;
    let (number, unit) = text.split_at(at);
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spans_are_a_number_and_a_unit() {
        for (text, seconds) in [("0s", 0), ("90s", 90), ("90m", 5_400), ("24h", 86_400), ("7d", 604_800)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "h", "24", "-1h", "1.5h", "1w", "1é", "99999999999999999999d", "999999999999999999d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
