//! Which column is which: by the names that exports use.

use serde::Serialize;

use super::{DatasetError, ReadOptions};

/// What a column can be wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The text.
    Text,
    /// The label.
    Label,
    /// The date.
    Date,
}

impl std::fmt::Display for Field {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Text => "text",
            Self::Label => "label",
            Self::Date => "date",
        })
    }
}

/// The columns that are read, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Columns {
    /// The parts of the text, in the order in which they are joined.
    pub text: Vec<String>,
    /// The label.
    pub label: String,
    /// The date, if there is one.
    pub date: Option<String>,
}

/// Columns that hold a whole text, whatever stands beside them.
const WHOLE_TEXTS: &[&str] = &["text", "ticket_text", "full_text"];
/// Columns that hold the first part of a text.
const HEADS: &[&str] = &["subject", "title", "summary", "short_description", "ticket_subject", "headline"];
/// Columns that hold a text, or its second part.
const BODIES: &[&str] = &[
    "description",
    "body",
    "message",
    "content",
    "utterance",
    "question",
    "query",
    "sentence",
    "instruction",
    "details",
    "comment",
    "complaint",
    "narrative",
    "ticket_description",
    "ticket_body",
    "consumer_complaint_narrative",
];
/// Columns that hold the label, whatever stands beside them.
const PLAIN_LABELS: &[&str] = &["label"];
/// Columns that hold the label.
const LABELS: &[&str] = &[
    "category",
    "intent",
    "team",
    "queue",
    "topic",
    "class",
    "assigned_team",
    "assignment_group",
    "group",
    "department",
    "topic_group",
    "ticket_type",
    "product",
    "target",
];
/// A list of labels is taken where nothing else is there.
const LABEL_LISTS: &[&str] = &["labels", "categories", "intents", "tags"];
/// Columns that hold the time at which a ticket came, the likelier first.
const DATES: &[&str] = &[
    "created_at",
    "created",
    "created_on",
    "creation_date",
    "created_date",
    "date_created",
    "opened_at",
    "opened",
    "received_at",
    "date_received",
    "submitted_at",
    "date",
    "timestamp",
    "time",
];

impl Columns {
    /// Finds the columns among `found`: those that are named, or else the usual ones.
    pub(super) fn find(found: &[String], options: &ReadOptions<'_>) -> Result<Self, DatasetError> {
        let text = if options.text_columns.is_empty() {
            guess_text(found)?
        } else {
            options.text_columns.iter().map(|name| named(found, name, Field::Text)).collect::<Result<_, _>>()?
        };
        let label = match options.label_column {
            Some(name) => named(found, name, Field::Label)?,
            None => guess_label(found)?,
        };
        let date = match options.date_column {
            Some(name) => Some(named(found, name, Field::Date)?),
            None => DATES.iter().find_map(|date| found.iter().find(|name| plain(name) == *date)).cloned(),
        };
        Ok(Self { text, label, date })
    }
}

/// The column of that name; another case is taken too.
fn named(found: &[String], name: &str, field: Field) -> Result<String, DatasetError> {
    let exact = found.iter().find(|one| *one == name);
    let other_case = || found.iter().find(|one| one.trim().to_lowercase() == name.trim().to_lowercase());
    exact.or_else(other_case).cloned().ok_or_else(|| DatasetError::NoSuchColumn {
        field,
        name: name.to_owned(),
        found: found.to_vec(),
    })
}

fn guess_text(found: &[String]) -> Result<Vec<String>, DatasetError> {
    if let Some(whole) = among(found, WHOLE_TEXTS).first() {
        return Ok(vec![whole.clone()]);
    }
    let (heads, bodies) = (among(found, HEADS), among(found, BODIES));
    match (heads.as_slice(), bodies.as_slice()) {
        ([], []) => Err(DatasetError::NoColumn { field: Field::Text, found: found.to_vec() }),
        ([only], []) | ([], [only]) => Ok(vec![only.clone()]),
        ([head], [body]) => Ok(vec![head.clone(), body.clone()]),
        _ => Err(DatasetError::ManyColumns { field: Field::Text, found: [heads, bodies].concat() }),
    }
}

fn guess_label(found: &[String]) -> Result<String, DatasetError> {
    for usual in [PLAIN_LABELS, LABELS, LABEL_LISTS] {
        let labels = among(found, usual);
        match labels.as_slice() {
            [] => {}
            [only] => return Ok(only.clone()),
            _ => return Err(DatasetError::ManyColumns { field: Field::Label, found: labels }),
        }
    }
    Err(DatasetError::NoColumn { field: Field::Label, found: found.to_vec() })
}

/// The columns whose plain names are in `usual`; of the same plain name, the first.
fn among(found: &[String], usual: &[&str]) -> Vec<String> {
    let mut names: Vec<&String> = Vec::new();
    for name in found {
        if usual.contains(&plain(name).as_str()) && !names.iter().any(|known| plain(known) == plain(name)) {
            names.push(name);
        }
    }
    names.into_iter().cloned().collect()
}

/// `Short description`, `shortDescription` and `SHORT-DESCRIPTION` are all `short_description`.
fn plain(name: &str) -> String {
    let mut plain = String::new();
    let mut after_small = false;
    for char in name.trim().chars() {
        let is_word = char.is_alphanumeric();
        if (char.is_uppercase() && after_small || !is_word) && !plain.ends_with('_') {
            plain.push('_');
        }
        if is_word {
            plain.extend(char.to_lowercase());
        }
        after_small = char.is_lowercase();
    }
    plain.trim_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(found: &[&str], text: &[&str], label: &str) {
        let found: Vec<String> = found.iter().map(|name| (*name).to_owned()).collect();
        let columns = Columns::find(&found, &ReadOptions::default()).expect("they are told apart");
        assert_eq!((columns.text, columns.label.as_str()), (text.iter().map(|s| (*s).to_owned()).collect(), label));
    }

    #[test]
    fn usual_exports_are_understood() {
        check(&["id", "text", "label", "category"], &["text"], "label");
        check(&["Ticket ID", "Subject", "Description", "Assigned Team"], &["Subject", "Description"], "Assigned Team");
        check(&["number", "shortDescription", "assignment_group"], &["shortDescription"], "assignment_group");
        check(&["title", "body", "queue"], &["title", "body"], "queue");
        check(&["Body", "Intent"], &["Body"], "Intent");
        check(&["utterance", "labels"], &["utterance"], "labels");
        check(&["Document", "text", "Topic_group"], &["text"], "Topic_group");
    }

    #[test]
    fn what_is_open_is_asked() {
        let found = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let none = ReadOptions::default();
        let said = |names: &[&str]| Columns::find(&found(names), &none).unwrap_err().to_string();
        assert_eq!(said(&["a", "b"]), "no column looks like the text; there are: `a`, `b`");
        assert_eq!(said(&["text", "b"]), "no column looks like the label; there are: `text`, `b`");
        assert_eq!(said(&["message", "content", "label"]), "several columns could be the text: `message`, `content`");
        assert_eq!(said(&["text", "team", "category"]), "several columns could be the label: `team`, `category`");
        let names = found(&["Message", "content", "team", "category", "Opened"]);
        let text = ["message".to_owned(), "content".to_owned()];
        let options = ReadOptions { text_columns: &text, label_column: Some("team"), date_column: None };
        let columns = Columns::find(&names, &options).unwrap();
        assert_eq!((columns.text.len(), columns.date.as_deref()), (2, Some("Opened")));
        let wrong = ReadOptions { label_column: Some("nope"), ..options };
        let error = Columns::find(&names, &wrong).unwrap_err();
        assert_eq!(error.field(), Some(Field::Label));
        assert!(error.to_string().starts_with("there is no column `nope` for the label; there are: `Message`"));
    }
}
