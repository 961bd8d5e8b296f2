//! Files from other systems: exports of labelled texts, service status, trained models.

use std::{fs, io::BufReader};

use serde_json::json;
use sha2::{Digest, Sha256};
use switchboard_core::{
    learning::Lesson,
    limits,
    ports::{Classifier, Learner, ServiceStatus},
};
use switchboard_knowledge::{LocalClassifier, dataset};
use switchboard_local::FileStatus;
use switchboard_testkit::{fuzz::fuzz, sample};

const CSV: &[u8] = b"id;subject;description;team;created_at\r\n1;\"No \"\"net\"\"\";\"since\r\nmorning\";support;2026-11-20\r\n2;Invoice;wrong;billing;2026-11-21\r\n";
const ZENDESK: &[u8] =
    b"{\"id\":1,\"subject\":\"No net\",\"description\":\"since morning\",\"group\":\"support\",\"tags\":[\"a\"],\"created_at\":\"2026-11-20T08:00:00Z\"}\n{\"id\":2,\"subject\":\"Invoice\",\"description\":\"wrong\",\"group\":\"billing\"}\n";
const UTF_16: &[u8] = b"\xff\xfet\0e\0x\0t\0,\0l\0a\0b\0e\0l\0\n\0a\0,\0b\0\n\0";

#[test]
fn exports() {
    let array = br#"[{"text":"No net","label":"support"},{"text":"Invoice","label":["billing","other"]}]"#;
    fuzz("dataset", &[CSV, ZENDESK, array, UTF_16, b"text,label\nf\xfcr,x\n"], |input| {
        let (mut rows, mut chars) = (0, 0);
        let read = dataset::read(BufReader::with_capacity(64, input), &dataset::ReadOptions::default(), &mut |row| {
            rows += 1;
            chars += row.text.chars().count() + row.label.chars().count();
            assert!(row.text.chars().count() <= limits::READ_CHARS);
        });
        // A byte can become one character, and a subject has a blank line after it.
        assert!(chars <= 2 * input.len() + 3 * rows, "{chars} characters of {} bytes", input.len());
        match read {
            Ok(report) => {
                assert_eq!(report.usable, rows as u64);
                let skipped: u64 = report.skipped.iter().map(|skipped| skipped.rows).sum();
                assert_eq!(report.rows, report.usable + skipped, "every row is used or told");
            }
            Err(error) => assert!(error.to_string().len() < 100 * 1_024),
        }
    });
}

#[test]
fn service_status() {
    let folder = tempfile::tempdir().unwrap();
    let tenant =
        sample::tenant_with(|config| config["service_status"] = json!({"kind": "file", "path": "service-status.json"}));
    fs::create_dir(folder.path().join("acme")).unwrap();
    let source = FileStatus::new(folder.path().to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let seed = include_bytes!("../../../../../examples/telecorp/service-status.json");
    fuzz("service-status", &[seed], |input| {
        fs::write(folder.path().join("acme/service-status.json"), input).unwrap();
        // An answer or an error, and no panic.
        let _ = runtime.block_on(source.status(&tenant, &[sample::parsed("SVC204")]));
    });
}

#[test]
fn models() {
    let classifier = LocalClassifier::new(1);
    let tenant = sample::tenant();
    let trained = classifier.train(&tenant, &Lesson::default(), &|_, _| ()).unwrap();
    let (begin, body) = trained.artifact.split_at(8 + 32);
    let version = sample::parsed("01M7VZGKT03340MQKP508D0A6G");
    let ticket = sample::ticket(1);
    fuzz("model", &[body], |body| {
        // With the hash that belongs to it: the decoder is what is tried, not SHA-256.
        let file = [&begin[..8], Sha256::digest(body).as_slice(), body].concat();
        if classifier.install(&tenant.id, Some((&version, &file))).is_ok() {
            let said = classifier.classify(&tenant, &ticket).expect("a model that was taken answers");
            assert!(said.categories.iter().all(|one| (0.0..=1.0).contains(&one.probability)), "{said:?}");
        }
    });
    fuzz("model-file", &[&trained.artifact], |file| {
        let taken = classifier.install(&tenant.id, Some((&version, file))).is_ok();
        assert!(!taken || file == trained.artifact, "a file that was changed is refused");
    });
}
