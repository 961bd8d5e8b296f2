//! The figures on a public set of annotated sentences (presidio-research). It is not part of the repository: with
//! `SWITCHBOARD_DATA` set to the folder that has `pii/presidio/train.jsonl`, the test measures and prints, else it has nothing
//! to do.

use super::super::{
    find,
    measure::{Marked, measure},
};

/// The set's types that we have a kind for.
const KINDS: &[(&str, &str)] = &[
    ("CREDIT_CARD", "card_numbers"),
    ("DATE_TIME", "dates"),
    ("DOMAIN_NAME", "urls"),
    ("EMAIL_ADDRESS", "emails"),
    ("IBAN_CODE", "ibans"),
    ("IP_ADDRESS", "ip_addresses"),
    ("PHONE_NUMBER", "phones"),
    ("STREET_ADDRESS", "addresses"),
    ("US_SSN", "tax_ids"),
];

#[test]
fn the_public_set_is_measured() {
    let Ok(folder) = std::env::var("SWITCHBOARD_DATA") else { return };
    let lines = std::fs::read_to_string(format!("{folder}/pii/presidio/train.jsonl")).unwrap();
    let show = std::env::var_os("SWITCHBOARD_SHOW_MISTAKES").is_some();
    let mut rows = Vec::new();
    for line in lines.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = row["text"].as_str().unwrap();
        let mut bytes: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        bytes.push(text.len());
        let place =
            |span: &serde_json::Value, name: &str| bytes[usize::try_from(span[name].as_u64().unwrap()).unwrap()];
        let known: Vec<Marked> = row["spans"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|span| {
                let (_, kind) = KINDS.iter().find(|(name, _)| span["type"] == *name)?;
                Some(Marked { kind: (*kind).to_owned(), range: place(span, "start")..place(span, "end") })
            })
            .collect();
        let given: Vec<Marked> = find(&[], text)
            .into_iter()
            .filter(|found| KINDS.iter().any(|(_, kind)| found.kind.as_str() == *kind))
            .map(|found| Marked { kind: found.kind.as_str().to_owned(), range: found.range })
            .collect();
        if show {
            let misses = known.iter().filter(|one| {
                !given.iter().any(|other| {
                    other.kind == one.kind && other.range.start < one.range.end && one.range.start < other.range.end
                })
            });
            misses.for_each(|one| println!("- {} {:?} in {text:?}", one.kind, &text[one.range.clone()]));
            let extra = given.iter().filter(|one| {
                !known.iter().any(|other| {
                    other.kind == one.kind && other.range.start < one.range.end && one.range.start < other.range.end
                })
            });
            extra.for_each(|one| println!("+ {} {:?} in {text:?}", one.kind, &text[one.range.clone()]));
        }
        rows.push((known, given));
    }
    let scores = measure(rows.iter().map(|(known, given)| (&known[..], &given[..])));
    println!("| kind | known | precision | recall | F1 | exact |");
    for (kind, score) in &scores {
        let exact = score.exact as f64 / score.known.max(1) as f64;
        println!(
            "| {kind} | {} | {:.3} | {:.3} | {:.3} | {exact:.3} |",
            score.known,
            score.precision(),
            score.recall(),
            score.f1()
        );
    }
    assert!(scores["emails"].recall() > 0.99 && scores["ibans"].recall() > 0.99);
}
