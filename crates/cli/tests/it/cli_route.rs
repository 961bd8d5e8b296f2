//! `switchboard route`: tickets from files, without a server and without storing anything.

use std::{collections::BTreeMap, fs};

use serde_json::Value;

use crate::{
    server::Home,
    tenant::{acme, ticket},
};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/telecorp");

fn decisions(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_three_hundred_example_tickets_are_routed_without_a_data_folder() {
    let home = Home::new();
    let ran = home.run(&["route", &format!("{EXAMPLES}/tickets.jsonl"), "--json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let decisions = decisions(&ran.stdout);
    assert_eq!(decisions.len(), 300);
    assert!(!home.data().exists(), "nothing is stored");
    let labels = fs::read_to_string(format!("{EXAMPLES}/labels.csv")).unwrap();
    let teams: BTreeMap<_, _> = labels
        .lines()
        .skip(1)
        .map(|line| line.split(',').collect::<Vec<_>>())
        .map(|cells| (cells[0].to_owned(), cells[2].to_owned()))
        .collect();
    let right = decisions
        .iter()
        .filter(|one| teams[one["ticket_id"].as_str().unwrap()] == one["assigned_team"].as_str().unwrap())
        .count();
    println!("{right} of 300 example tickets go to the labelled team");
    assert!(right >= 150, "{right} of 300 right: worse than the simplest classifier should be");
    // The same input gives the same decisions.
    let again = home.ok(&["route", &format!("{EXAMPLES}/tickets.jsonl"), "--json"]);
    for (one, other) in decisions.iter().zip(self::decisions(&again)) {
        for name in ["ticket_id", "assigned_team", "priority_score", "confidence_score", "reasoning"] {
            assert_eq!(one[name], other[name], "{name}");
        }
    }
}

#[test]
fn one_ticket_is_explained_for_people() {
    let home = Home::new();
    let file = home.beside("ticket.json");
    fs::write(&file, format!("{:#}", ticket("T-1"))).unwrap();
    let text = home.ok(&["route", file.to_str().unwrap()]);
    for part in ["T-1  No internet since this morning", "Assigned to Network Operations", "Priority", "SVC204", "sure)"]
    {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let json = home.ok(&["route", file.to_str().unwrap(), "--json"]);
    assert_eq!(decisions(&json)[0]["assigned_team"], "network_operations");
    assert!(!home.data().exists());
}

#[test]
fn standard_input_is_taken_in_every_form() {
    let home = Home::new();
    let line = ticket("T-1").to_string();
    let csv = "subject,description\n\"No internet\",\"Nothing loads, \"\"at all\"\".\nPlease help\"\n";
    for (what, input, expected) in [
        ("one ticket", line.clone(), vec!["T-1"]),
        ("an array", format!("[{line},{}]", ticket("T-2")), vec!["T-1", "T-2"]),
        ("lines", format!("{line}\n\n{}\n", ticket("T-2")), vec!["T-1", "T-2"]),
        ("CSV, whose tickets need no names", csv.to_owned(), vec!["row-1"]),
        ("CSV from a spreadsheet, with a byte order mark", format!("\u{feff}{csv}"), vec!["row-1"]),
        ("JSON with a byte order mark", format!("\u{feff}{line}"), vec!["T-1"]),
    ] {
        let ran = home.run_with_input(&["route", "-", "--json"], &input);
        assert_eq!(ran.code, Some(0), "{what}: {ran:?}");
        let decisions = decisions(&ran.stdout);
        let ids: Vec<_> = decisions.iter().map(|one| one["ticket_id"].as_str().unwrap()).collect();
        assert_eq!(ids, expected, "{what}");
    }
}

#[test]
fn bad_rows_are_named_by_their_numbers_and_the_others_are_routed() {
    let home = Home::new();
    let lines = format!("{}\nnot json\n[1]\n{{\"subject\":\"x\"}}\n{}\n", ticket("T-1"), ticket("T-5"));
    let ran = home.run_with_input(&["route", "-", "--json"], &lines);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert_eq!(decisions(&ran.stdout).len(), 2);
    for part in [
        "row 2: expected ident",
        "row 3: must be a JSON object",
        "row 4: /description: is missing",
        "3 rows were refused",
    ] {
        assert!(ran.stderr.contains(part), "{part} is not in {}", ran.stderr);
    }
    let csv = "ticket_id,subject,description,colour\nT-1,a,b,\nT-2,a,b,red\nT-3,a\n";
    let ran = home.run_with_input(&["route", "-", "--json"], csv);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert_eq!(decisions(&ran.stdout).len(), 1);
    for part in ["row 2: /colour: unknown field `colour`", "row 3: ", "2 rows were refused"] {
        assert!(ran.stderr.contains(part), "{part} is not in {}", ran.stderr);
    }
}

#[test]
fn input_that_is_no_list_of_tickets_is_refused() {
    let home = Home::new();
    let latin1 = home.beside("latin1.json");
    fs::write(&latin1, b"{\"subject\":\"St\xf6rung\"}").unwrap();
    let refused = |ran: crate::server::Ran, part: &str| {
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.contains(part), "{part} is not in {ran:?}");
        assert_eq!(ran.stdout, "");
    };
    refused(home.run_with_input(&["route", "-"], "  \n"), "is empty");
    refused(home.run_with_input(&["route", "-"], "<xml/>"), "neither JSON, JSONL nor CSV");
    refused(home.run(&["route", "/none.json"]), "/none.json cannot be read");
    refused(home.run(&["route", latin1.to_str().unwrap()]), "cannot be read as UTF-8");
}

/// With data, its tenants route; and nothing of it is stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_data_the_tenant_that_is_named_routes() {
    let home = Home::new();
    home.put_tenant(&acme(&serde_json::json!({"kind": "none"})));
    let server = home.start();
    for (tenant, team) in [("acme", "support"), ("telecorp", "network_operations")] {
        let ran = home.run_with_input(&["route", "-", "--json", "--tenant", tenant], &ticket("T-1").to_string());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(decisions(&ran.stdout)[0]["assigned_team"], team);
    }
    assert_eq!(server.demo_api().list_all("").await.len(), 0);
}
