//! Reading JSON from outside so that each mistake names its field.

use serde::de::{DeserializeOwned, IgnoredAny};

use crate::error::FieldError;

/// Why a JSON input was not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// It is no JSON at all.
    #[error("line {line}, column {column}: {detail}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What the parser met.
        detail: String,
    },
    /// It is JSON of another shape.
    #[error("{0}")]
    Shape(FieldError),
}

/// Parses `bytes` into `T`. A wrong type, a missing or an unknown field is told with its JSON pointer.
///
/// The input must be an object: serde's derived code would also take the fields of a struct as a list, in their order.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, JsonError> {
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|first| *first != b'{') {
        serde_json::from_slice::<IgnoredAny>(bytes).map_err(|error| refuse(String::new(), error))?;
        return Err(JsonError::Shape(FieldError::new("", "must be a JSON object")));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let pointer = pointer(error.path());
        refuse(pointer, error.into_inner())
    })?;
    deserializer.end().map_err(|error| refuse(String::new(), error))?;
    Ok(value)
}

/// What is wrong with the input as a whole.
impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        refuse(String::new(), error)
    }
}

fn refuse(pointer: String, error: serde_json::Error) -> JsonError {
    match error.classify() {
        serde_json::error::Category::Data => {
            JsonError::Shape(FieldError::new(shortened(&pointer), shortened(&with_nearest(&without_place(&error)))))
        }
        _ => JsonError::Syntax { line: error.line(), column: error.column(), detail: without_place(&error) },
    }
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{}", escape(key)),
            Segment::Enum { variant } => format!("/{variant}"),
            Segment::Unknown => String::new(),
        })
        .collect()
}

/// A name as a part of a JSON pointer (RFC 6901).
pub fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// What is said back of a caller's own names has a limit.
fn shortened(text: &str) -> String {
    const CHARS: usize = 600;
    match text.char_indices().nth(CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

/// Adds "did you mean" to serde's message about an unknown name, which lists the names that it expects.
pub fn with_nearest(message: &str) -> String {
    let mut names = message.split('`').skip(1).step_by(2);
    let (true, Some(unknown)) = (message.starts_with("unknown "), names.next()) else {
        return message.to_owned();
    };
    match nearest(unknown, names) {
        Some(near) => format!("{message}; did you mean `{near}`?"),
        None => message.to_owned(),
    }
}

/// The name most like `wrong`, when one is near enough to be what was meant.
///
/// Bounded, because `wrong` comes from outside: a long name is nobody's typing error, and no struct has more names.
pub fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LONG: usize = 64;
    const MANY: usize = 1_000;
    if wrong.len() > LONG {
        return None;
    }
    names
        .into_iter()
        .filter(|name| name.len() <= LONG)
        .take(MANY)
        .map(|name| (strsim::damerau_levenshtein(wrong, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len().max(wrong.len()) / 3)
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        inner: Vec<Inner>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        subject: String,
    }

    fn check(input: &str, expected: &str) {
        assert_eq!(parse::<Outer>(input.as_bytes()).unwrap_err().to_string(), expected, "{input}");
    }

    #[test]
    fn each_mistake_names_its_place() {
        check(r#"{"inner":[{"subject":1}]}"#, "/inner/0/subject: invalid type: integer `1`, expected a string");
        check(
            r#"{"inner":[{"subjekt":"a"}]}"#,
            "/inner/0/subjekt: unknown field `subjekt`, expected `subject`; did you mean `subject`?",
        );
        check(r#"{"inner":[{}]}"#, "/inner/0: missing field `subject`");
        check("{\"inner\":\n[", "line 2, column 1: EOF while parsing a list");
        check(r#"{"inner":[]} x"#, "line 1, column 14: trailing characters");
        check("", "line 1, column 0: EOF while parsing a value");
        check("this is no JSON", "line 1, column 2: expected ident");
        check(&format!("{{\"inner\":{}", "[".repeat(100_000)), "/inner/0/0: invalid type: sequence, expected a string");
        for no_object in ["[]", " [1]", "null", "\"text\"", "1"] {
            check(no_object, "/: must be a JSON object");
        }
    }

    #[test]
    fn a_name_that_attacks_the_suggestion_is_cut_short() {
        let name = format!("{}{}", "x".repeat(400_000), "`a".repeat(200_000));
        let error = parse::<Outer>(format!("{{\"{name}\":1}}").as_bytes()).unwrap_err().to_string();
        assert!(error.len() < 3_000, "{} bytes", error.len());
    }

    #[test]
    fn far_names_are_not_suggested() {
        assert_eq!(nearest("zzz", ["subject", "description"]), None);
        assert_eq!(nearest("costumer_id", ["subject", "customer_id"]), Some("customer_id"));
    }
}
