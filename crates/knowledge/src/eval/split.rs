//! Which texts are learned from and which are tested: no text is on both sides, however often it occurs.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use serde::Serialize;

use crate::{
    dataset::Row,
    is_out_of_scope,
    learn::{Random, holdout},
};

/// Rows to learn from and rows to test.
#[derive(Debug, Default)]
pub struct Split {
    /// Rows to learn from.
    pub train: Vec<Row>,
    /// Rows to test.
    pub test: Vec<Row>,
}

/// The same text under several labels: what nobody can get right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Conflicts {
    /// Texts that occur with more than one label.
    pub texts: usize,
    /// Rows that have these texts.
    pub rows: usize,
    /// The accuracy over all rows of somebody who answers each text with its most frequent label: no classifier can be
    /// better on these rows.
    pub ceiling: f64,
}

/// A text without case and with single blanks, as a number.
pub(super) fn text_key(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    for word in text.split_whitespace() {
        for char in word.chars().flat_map(char::to_lowercase) {
            char.hash(&mut hasher);
        }
        ' '.hash(&mut hasher);
    }
    hasher.finish()
}

/// A label as [`crate::Corpus`] tells it apart.
fn label_key(label: &str) -> String {
    if is_out_of_scope(label) { String::new() } else { label.trim().to_lowercase() }
}

/// The rows without repetitions of a text under the same label, and how many these were. Otherwise a template that was sent a
/// thousand times would fill the test, and be known beforehand.
pub fn deduplicate(rows: Vec<Row>) -> (Vec<Row>, usize) {
    let all = rows.len();
    let mut known = HashSet::new();
    let kept: Vec<Row> =
        rows.into_iter().filter(|row| known.insert((text_key(&row.text), label_key(&row.label)))).collect();
    let repeated = all - kept.len();
    (kept, repeated)
}

/// Holds back `share` of the texts of each label; all rows of one text go to the same side.
pub fn split_by_text(rows: Vec<Row>, share: f64, seed: u64) -> Split {
    let numbers = label_numbers(&rows);
    let mut group_of: HashMap<u64, usize> = HashMap::new();
    let mut labels = Vec::new();
    let groups: Vec<usize> = rows
        .iter()
        .zip(&numbers)
        .map(|(row, label)| {
            *group_of.entry(text_key(&row.text)).or_insert_with(|| {
                labels.push(*label);
                labels.len() - 1
            })
        })
        .collect();
    let held = holdout(&labels, share, seed);
    let mut split = Split::default();
    for (row, group) in rows.into_iter().zip(groups) {
        let side = if held.get(group) == Some(&true) { &mut split.test } else { &mut split.train };
        side.push(row);
    }
    split
}

/// `shots` rows of each label, chosen by `seed`; out of scope counts as a label.
pub fn few_shot(rows: Vec<Row>, shots: usize, seed: u64) -> Vec<Row> {
    let numbers = label_numbers(&rows);
    let mut order: Vec<usize> = (0..rows.len()).collect();
    Random::new(seed).shuffle(&mut order);
    let mut taken: HashMap<u32, usize> = HashMap::new();
    let mut is_kept = vec![false; rows.len()];
    for row in order {
        let taken = taken.entry(numbers.get(row).copied().unwrap_or_default()).or_default();
        if *taken < shots
            && let Some(kept) = is_kept.get_mut(row)
        {
            *kept = true;
            *taken += 1;
        }
    }
    rows.into_iter().zip(is_kept).filter(|(_, kept)| *kept).map(|(row, _)| row).collect()
}

/// What rows of the same text with other labels cost.
pub fn conflicts(rows: &[Row]) -> Conflicts {
    let numbers = label_numbers(rows);
    let mut labels_of: HashMap<u64, BTreeMap<u32, usize>> = HashMap::new();
    for (row, label) in rows.iter().zip(numbers) {
        *labels_of.entry(text_key(&row.text)).or_default().entry(label).or_default() += 1;
    }
    let mut found = Conflicts::default();
    let mut best = 0;
    for labels in labels_of.values() {
        best += labels.values().max().copied().unwrap_or_default();
        if labels.len() > 1 {
            found.texts += 1;
            found.rows += labels.values().sum::<usize>();
        }
    }
    found.ceiling = super::metrics::share(best, rows.len());
    found
}

fn label_numbers(rows: &[Row]) -> Vec<u32> {
    let mut numbers: HashMap<String, u32> = HashMap::new();
    rows.iter()
        .map(|row| {
            let next = numbers.len() as u32;
            *numbers.entry(label_key(&row.label)).or_insert(next)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str, label: &str) -> Row {
        Row { text: text.to_owned(), label: label.to_owned(), line: 0, date: None }
    }

    #[test]
    fn no_text_is_on_both_sides() {
        let rows: Vec<Row> = (0..300).map(|n| row(&format!("Text  {}", n % 100), ["a", "b", "OOS"][n % 3])).collect();
        let (kept, repeated) = deduplicate(rows);
        assert_eq!((kept.len(), repeated), (300, 0), "each text has three labels");
        let split = split_by_text(kept, 0.2, 1);
        assert_eq!(split.train.len() + split.test.len(), 300);
        assert!((50..=70).contains(&split.test.len()), "{}", split.test.len());
        let trained: HashSet<u64> = split.train.iter().map(|row| text_key(&row.text)).collect();
        assert!(split.test.iter().all(|row| !trained.contains(&text_key(&row.text))));
    }

    #[test]
    fn the_same_text_is_the_same_whatever_its_blanks_and_case() {
        let (kept, repeated) = deduplicate(vec![
            row("Hello  you", "a"),
            row("hello you\n", "A "),
            row("hello you", "b"),
            row("helloyou", "a"),
        ]);
        assert_eq!((kept.len(), repeated), (3, 1));
    }

    #[test]
    fn few_shots_are_few_of_each() {
        let rows: Vec<Row> = (0..100).map(|n| row(&n.to_string(), if n < 95 { "a" } else { "b" })).collect();
        let kept = few_shot(rows.clone(), 10, 1);
        assert_eq!(kept.iter().filter(|row| row.label == "a").count(), 10);
        assert_eq!(kept.iter().filter(|row| row.label == "b").count(), 5);
        assert_eq!(kept, few_shot(rows.clone(), 10, 1));
        assert_ne!(kept, few_shot(rows, 10, 2));
    }

    #[test]
    fn conflicting_labels_are_a_ceiling() {
        let rows = [row("x", "a"), row("x", "a"), row("x", "b"), row("y", "a"), row("z", "b")];
        assert_eq!(conflicts(&rows), Conflicts { texts: 1, rows: 3, ceiling: 0.8 });
        assert_eq!(conflicts(&[]).ceiling, 0.0);
    }
}
