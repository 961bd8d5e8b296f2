use super::{csv, home, put, rows, timeless};

#[test]
fn an_export_alone_says_what_to_expect() {
    let home = home();
    let mut file = "Created at;Subject;Description;Assigned team\n".to_owned();
    for (n, (text, team)) in rows(0, 360).into_iter().enumerate() {
        file += &format!("2024-{:02}-10 08:00;{text};and more;{team}\n", n / 60 + 1);
    }
    file += "2024-06-30;my parcel is late;;delivery\n2024-06-30;locked out please please number 8;and more;billing\n";
    let file = put(&home, "export.csv", file);
    let text = home.ok(&["audit", &file]);
    insta::assert_snapshot!("audit_table", timeless(&text).replace(&file, "FILE"));
    let found = home.json(&["audit", &file]);
    assert_eq!((&found["n"], &found["months"]["tickets_per_month"]), (&362.into(), &60.0.into()));
    assert_eq!(found["data"]["columns"]["text"], serde_json::json!(["Subject", "Description"]));
    assert_eq!((&found["rare_labels"][0]["label"], &found["cost_usd_per_item"]), (&"delivery".into(), &0.0.into()));
    for precision in ["0.9", "0.95", "0.97", "0.98"] {
        let coverage = found["coverage_at_precision"][precision].as_f64().unwrap();
        let routed = found["routed_per_month"][precision].as_f64().unwrap();
        assert!((routed - 60.0 * coverage).abs() < 1e-6, "{precision}");
    }
}

#[test]
fn conflicting_labels_are_a_ceiling() {
    let home = home();
    let mut all = rows(0, 120);
    all.extend(rows(0, 30).into_iter().map(|(text, _)| (text, "network")));
    let file = put(&home, "export.csv", csv(&all));
    let found = home.json(&["audit", &file]);
    assert_eq!((&found["conflicts"]["texts"], &found["repeated_rows"]), (&20.into(), &10.into()));
    let ceiling = found["conflicts"]["ceiling"].as_f64().unwrap();
    assert!((ceiling - 130.0 / 150.0).abs() < 1e-9, "{ceiling}");
    assert!(found["advice"].to_string().contains("agree on one label"), "{}", found["advice"]);
}
