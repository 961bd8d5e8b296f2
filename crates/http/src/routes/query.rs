//! Parameters of lists.

use std::str::FromStr;

use axum::extract::rejection::QueryRejection;
use switchboard_core::{
    error::{Error, ErrorKind},
    json::with_nearest,
    limits,
};

use crate::Problem;

const DEFAULT_LIMIT: u32 = 50;

/// The parameter `limit`.
pub(super) fn page_limit(text: Option<String>) -> Result<u32, Problem> {
    let limit = parse::<u32>("limit", text)?.unwrap_or(DEFAULT_LIMIT);
    if !(1..=limits::PAGE_TICKETS).contains(&limit) {
        return Err(Problem::invalid_parameter("limit", format!("must be from 1 to {}", limits::PAGE_TICKETS)));
    }
    Ok(limit)
}

/// The failure of a list whose other parameters are valid.
pub(super) fn refused_cursor(error: Error) -> Problem {
    match error.kind() {
        ErrorKind::Invalid => Problem::invalid_parameter("cursor", error.to_string()),
        _ => error.into(),
    }
}

/// What is wrong with the query as a whole: an unknown parameter, or one that is there twice.
pub(super) fn refused(rejection: &QueryRejection) -> Problem {
    let text = rejection.body_text();
    let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
    // The name stands before the message when the parser knows it, and in backticks else.
    let (name, message) = text.split_once(": ").unwrap_or(("", text));
    let name = if name.is_empty() { message.split('`').nth(1).unwrap_or_default() } else { name };
    Problem::invalid_parameter(name, with_nearest(message))
}

pub(super) fn parse<T: FromStr<Err: std::fmt::Display>>(
    name: &str,
    text: Option<String>,
) -> Result<Option<T>, Problem> {
    let parsed =
        text.map(|text| text.parse().map_err(|error: T::Err| Problem::invalid_parameter(name, error.to_string())));
    parsed.transpose()
}

pub(super) fn word<T: Copy>(name: &str, text: Option<String>, words: &[(&str, T)]) -> Result<Option<T>, Problem> {
    let Some(text) = text else { return Ok(None) };
    match words.iter().find(|(word, _)| *word == text) {
        Some((_, value)) => Ok(Some(*value)),
        None => {
            let names: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            Err(Problem::invalid_parameter(name, format!("must be one of: {}", names.join(", "))))
        }
    }
}
