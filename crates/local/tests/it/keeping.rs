//! Wipes, and retention by kind of data.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use switchboard_core::{
    error::ErrorKind,
    limits,
    ports::{Clock, EventQueue, ExampleStore, TenantScope, TicketStore},
    tenants::{Retention, RetentionPolicy},
};
use switchboard_local::Swept;
use switchboard_testkit::{sample, world::SeededIds};

use crate::{contracts::open, filled::Filled};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn policy(own: &str) -> RetentionPolicy {
    let mut policy = RetentionPolicy::new(Retention::FOREVER);
    policy.set(sample::parsed("acme"), &serde_json::from_str(own).unwrap());
    policy
}

/// Sweeps until there is nothing left to do, and gives the sum.
async fn sweep(filled: &Filled) -> Swept {
    let mut all = Swept::default();
    loop {
        let swept = filled.store.sweep().await.unwrap();
        all.expired += swept.expired;
        all.unarchived += swept.unarchived;
        all.examples += swept.examples;
        all.customers += swept.customers;
        all.letters += swept.letters;
        if (Swept { queued_again: 0, ..swept }) == Swept::default() {
            return all;
        }
    }
}

async fn rows(filled: &Filled, tenant: &str) -> BTreeMap<&'static str, u64> {
    filled.store.tenant_rows(&sample::scope(tenant)).await.unwrap()
}

#[tokio::test]
async fn each_kind_of_data_goes_in_its_own_time_and_only_that_tenants() {
    let filled = Filled::empty();
    filled.fill("acme", "kaleidoscope", 1).await;
    filled.fill("other", "sextant", 2).await;
    filled.store.sweep().await.unwrap();
    let (before, others) = (rows(&filled, "acme").await, rows(&filled, "other").await);
    filled.clock.advance(DAY * 40);
    filled.store.confirm_clock().await.unwrap();
    let removed = |kind: &str, after: &BTreeMap<&str, u64>| before[kind] - after.get(kind).copied().unwrap_or(0);

    filled.store.set_retention(policy(r#"{"customers_days": 30}"#));
    assert_eq!(sweep(&filled).await, Swept { customers: 2, ..Swept::default() }, "those of an operator have no end");

    filled.store.set_retention(policy(r#"{"examples_days": 30}"#));
    assert_eq!(sweep(&filled).await, Swept { examples: 9, ..Swept::default() });

    filled.clock.advance(Duration::from_secs(3_601));
    filled.store.set_retention(policy(r#"{"events_days": 30}"#));
    let swept = sweep(&filled).await;
    let after = rows(&filled, "acme").await;
    assert_eq!(swept.unarchived as u64, removed("event", &after));
    assert!(swept.unarchived > 0 && after["event"] > 0, "those of open work stay: {after:?}");

    filled.store.set_retention(policy(r#"{"tickets_days": 30}"#));
    // Written back or failed for good: T-3, T-4, T-9, T-10. The rest is unfinished.
    assert_eq!(sweep(&filled).await.expired, 4);
    let state = filled.store.retention_state().await.unwrap();
    assert_eq!((state.overdue, state.clock_suspect_since), (8, None), "kept, and told");
    let after = rows(&filled, "acme").await;
    assert_eq!((after["ticket"], after["ticket_records"]), (8, 8));

    filled.store.set_retention(policy(r#"{"tickets_days": 30, "dead_letters_days": 30}"#));
    let swept = sweep(&filled).await;
    assert_eq!((swept.letters, swept.expired), (2, 2), "dropped as by an operator, then their tickets may go");
    assert_eq!(rows(&filled, "other").await, others, "the other tenant keeps all of its own");
}

#[tokio::test]
async fn a_jump_of_the_clock_deletes_nothing_until_it_is_believed() {
    let filled = Filled::empty();
    filled.fill("acme", "kaleidoscope", 1).await;
    filled.store.set_retention(RetentionPolicy::default());
    filled.store.sweep().await.unwrap();
    let before = rows(&filled, "acme").await;
    let right = filled.clock.now();
    filled.clock.jump(right.plus(DAY * 400));
    assert_eq!(sweep(&filled).await, Swept::default());
    assert_eq!(rows(&filled, "acme").await, before);
    assert!(filled.store.retention_state().await.unwrap().clock_suspect_since.is_some());
    // Another process finds the same: it is in the database.
    let again = open(filled.folder.path(), &filled.clock);
    assert_eq!(again.sweep().await.unwrap().expired, 0);
    filled.clock.jump(right);
    filled.store.sweep().await.unwrap();
    assert_eq!(filled.store.retention_state().await.unwrap().clock_suspect_since, None, "it was set right");
    // The same jump, and it goes on evenly for a day: the server was off, or somebody has set a clock that was wrong.
    filled.clock.jump(right.plus(DAY * 400));
    let mut minutes = 0;
    while filled.store.sweep().await.unwrap().expired == 0 {
        filled.clock.advance(Duration::from_secs(600));
        minutes += 10;
        assert!(minutes <= 25 * 60, "a clock that runs evenly is believed after a day");
    }
    assert!(minutes >= 24 * 60, "{minutes} minutes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumped_before_the_first_sweep_is_not_believed_either() {
    let filled = Filled::empty();
    filled.fill("acme", "kaleidoscope", 1).await;
    filled.store.set_retention(RetentionPolicy::default());
    let before = rows(&filled, "acme").await;
    filled.clock.jump(filled.clock.now().plus(DAY * 4_000));
    assert_eq!(sweep(&filled).await, Swept::default());
    assert_eq!(rows(&filled, "acme").await, before);
}

/// Whether any file of the folder has these bytes.
fn stands_in(folder: &Path, bytes: &[u8]) -> Vec<String> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let has = |path: &std::path::PathBuf| fs::read(path).unwrap().windows(bytes.len()).any(|window| window == bytes);
    files.filter(has).map(|path| path.display().to_string()).collect()
}

async fn wipe(filled: &Filled, scope: &TenantScope) -> BTreeMap<&'static str, u64> {
    let mut removed = BTreeMap::new();
    filled.store.begin_wipe(scope).await.unwrap();
    loop {
        let step = filled.store.wipe_step(scope).await.unwrap();
        if step.is_empty() {
            return removed;
        }
        for (kind, count) in step {
            *removed.entry(kind).or_default() += count;
        }
    }
}

#[tokio::test]
async fn after_a_wipe_no_byte_of_the_tenant_is_left_and_the_other_one_is_as_it_was() {
    let filled = Filled::empty();
    filled.fill("acme", "kaleidoscope", 1).await;
    filled.fill("other", "sextant", 2).await;
    assert!(!stands_in(filled.folder.path(), b"kaleidoscope").is_empty());
    let (there, other) = (rows(&filled, "acme").await, filled.export("other"));
    let scope = sample::scope("acme");
    assert_eq!(filled.store.wipe_step(&scope).await.unwrap_err().kind(), ErrorKind::Conflict, "it is not marked");
    assert_eq!(wipe(&filled, &scope).await, there);
    assert_eq!(rows(&filled, "acme").await, BTreeMap::new());
    assert!(filled.store.scrub().await.unwrap());
    assert_eq!(stands_in(filled.folder.path(), b"kaleidoscope"), Vec::<String>::new());
    assert!(!stands_in(filled.folder.path(), b"sextant").is_empty());
    assert_eq!(filled.export("other"), other);
    assert_eq!(filled.store.integrity().await.unwrap().messages, ["ok"]);
}

#[tokio::test]
async fn a_wiped_tenant_stays_out_until_it_is_readmitted() {
    let filled = Filled::empty();
    filled.fill("acme", "kaleidoscope", 1).await;
    let (scope, ids) = (sample::scope("acme"), SeededIds::new(9));
    // A worker has a ticket in hand while the wipe goes on.
    let in_hand = filled.store.lease(1, Duration::from_secs(60)).await.unwrap().remove(0);
    filled.store.begin_wipe(&scope).await.unwrap();
    filled.store.wipe_step(&scope).await.unwrap();
    // Killed here: the next one finds the mark and goes on.
    let unfinished = filled.store.wiped().await.unwrap();
    assert_eq!((unfinished.len(), unfinished[0].done_at), (1, None));
    let late = filled.store.accept(&scope, vec![sample::new_ticket(&scope, sample::ticket(99), &ids)]).await;
    assert_eq!(late.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(filled.store.add(&scope, vec![sample::example(99)]).await.is_err());
    wipe(&filled, &scope).await;
    let decision = sample::decision(&sample::ticket(6), &ids);
    let routed = sample::routed(&scope, &sample::ticket(6), &decision, &ids);
    assert!(filled.store.decide(&scope, &decision, routed, &in_hand.lease).await.is_err());
    filled.clock.advance(limits::UNFINISHED_AGE * 2);
    filled.store.sweep().await.unwrap();
    let again = open(filled.folder.path(), &filled.clock);
    assert_eq!(again.tenant_rows(&scope).await.unwrap(), BTreeMap::new());
    assert!(again.wiped().await.unwrap()[0].done_at.is_some());
    // Others are not concerned, nor are statements about all tenants.
    filled.fill("other", "sextant", 2).await;
    assert!(again.readmit(&scope).await.unwrap() && !again.readmit(&scope).await.unwrap());
    let accepted = filled.store.accept(&scope, vec![sample::new_ticket(&scope, sample::ticket(99), &ids)]).await;
    assert_eq!(accepted.unwrap().len(), 1);
}
