//! What only the audit log in SQLite promises: whoever changes the file is found out.

use std::sync::Arc;

use rusqlite::Connection;
use switchboard_core::{
    access::{
        Pepper,
        audit::{
            Action,
            chain::{Fault, Verdict},
        },
    },
    error::{Error, ErrorKind},
    ports::{AuditFilter, AuditLog, EventQueue, KeyStore},
};
use switchboard_local::{Role, SqliteStore};
use switchboard_testkit::{sample, world::FixedClock};
use tempfile::TempDir;

use crate::contracts::open;

struct Bench {
    folder: TempDir,
    clock: Arc<FixedClock>,
    log: Arc<SqliteStore>,
}

impl Bench {
    async fn with(entries: u8) -> Self {
        let (folder, clock) = (TempDir::new().unwrap(), Arc::new(FixedClock::new()));
        let log = open(folder.path(), &clock);
        for n in 1..=entries {
            log.append(sample::act(Action::KeyCreate, n)).await.unwrap();
        }
        Self { folder, clock, log }
    }

    /// The file in the hands of somebody who stops at nothing.
    fn intruder(&self) -> Connection {
        let connection = Connection::open(self.folder.path().join("switchboard.db")).unwrap();
        let without_guards = "DROP TRIGGER audit_log_is_not_changed; DROP TRIGGER audit_log_is_not_shortened;
            DROP TRIGGER audit_head_goes_forward; DROP TRIGGER audit_head_stays; DROP INDEX audit_log_by_tenant;";
        connection.execute_batch(without_guards).unwrap();
        connection
    }

    async fn fault(&self) -> Option<(u64, Fault)> {
        match self.log.verify().await.unwrap() {
            Verdict::Whole { .. } => None,
            Verdict::Broken { sequence, fault } => Some((sequence, fault)),
        }
    }

    async fn count(&self) -> usize {
        self.log.list(None, &AuditFilter::default(), 100).await.unwrap().len()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_flipped_byte_of_every_entry_is_found() {
    let bench = Bench::with(4).await;
    let intruder = bench.intruder();
    let mut flipped = 0;
    for sequence in 1..=4_u64 {
        for column in ["record", "hash"] {
            let read = format!("SELECT CAST({column} AS BLOB) FROM audit_log WHERE sequence = ?1");
            let kept: Vec<u8> = intruder.query_row(&read, [sequence as i64], |row| row.get(0)).unwrap();
            let kind = if column == "record" { "TEXT" } else { "BLOB" };
            let write = format!("UPDATE audit_log SET {column} = CAST(?2 AS {kind}) WHERE sequence = ?1");
            for at in 0..kept.len() {
                let mut changed = kept.clone();
                changed[at] ^= 1 << (at % 8);
                intruder.execute(&write, rusqlite::params![sequence as i64, changed]).unwrap();
                assert_eq!(
                    bench.fault().await,
                    Some((sequence, Fault::Changed)),
                    "byte {at} of {column} of {sequence}"
                );
                flipped += 1;
            }
            intruder.execute(&write, rusqlite::params![sequence as i64, kept]).unwrap();
            assert_eq!(bench.fault().await, None, "as it was again");
        }
    }
    assert!(flipped > 4 * (32 + 150), "{flipped}");
    for column in ["hash", "mac"] {
        let read = format!("SELECT {column} FROM audit_head");
        let kept: Vec<u8> = intruder.query_row(&read, [], |row| row.get(0)).unwrap();
        for at in 0..kept.len() {
            let mut changed = kept.clone();
            changed[at] ^= 1;
            intruder.execute(&format!("UPDATE audit_head SET {column} = ?1"), [&changed]).unwrap();
            assert_eq!(bench.fault().await, Some((4, Fault::Head)), "byte {at} of {column} of the head");
        }
        intruder.execute(&format!("UPDATE audit_head SET {column} = ?1"), [&kept]).unwrap();
    }
    assert_eq!(bench.fault().await, None, "as it was again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removed_moved_and_cut_off_entries_are_found() {
    for (what, sql, expected) in [
        ("removed", "DELETE FROM audit_log WHERE sequence = 2", (2, Fault::Missing)),
        ("removed, the others moved up", "DELETE FROM audit_log WHERE sequence = 2;
            UPDATE audit_log SET sequence = sequence - 1 WHERE sequence > 2", (2, Fault::Changed)),
        ("moved", "UPDATE audit_log SET sequence = 9 WHERE sequence = 3", (3, Fault::Missing)),
        ("exchanged", "UPDATE audit_log SET sequence = -1 WHERE sequence = 2;
            UPDATE audit_log SET sequence = 2 WHERE sequence = 3; UPDATE audit_log SET sequence = 3 WHERE sequence = -1",
            (2, Fault::Changed)),
        ("put before the first", "INSERT INTO audit_log (sequence, record, hash)
            SELECT -5, record, hash FROM audit_log WHERE sequence = 1", (1, Fault::Missing)),
        ("cut off", "DELETE FROM audit_log WHERE sequence > 3", (4, Fault::Truncated)),
        ("cut off, with the head set back", "DELETE FROM audit_log WHERE sequence > 3;
            UPDATE audit_head SET sequence = 3, hash = (SELECT hash FROM audit_log WHERE sequence = 3)", (3, Fault::Head)),
        ("emptied", "DELETE FROM audit_log", (1, Fault::Truncated)),
        ("emptied with its head", "DELETE FROM audit_log; DELETE FROM audit_head", (1, Fault::Empty)),
        ("without a head", "DELETE FROM audit_head", (5, Fault::Head)),
    ] {
        let bench = Bench::with(5).await;
        bench.intruder().execute_batch(sql).unwrap();
        assert_eq!(bench.fault().await, Some(expected), "{what}");
        if what != "emptied with its head" {
            // What comes later must not heal it.
            bench.log.append(sample::act(Action::KeyCreate, 9)).await.unwrap();
            let fault = bench.fault().await;
            assert!(fault.is_some(), "{what}, and one more entry");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tables_refuse_to_be_changed_by_mistake() {
    let bench = Bench::with(2).await;
    let connection = Connection::open(bench.folder.path().join("switchboard.db")).unwrap();
    for sql in [
        "UPDATE audit_log SET record = '{}'",
        "DELETE FROM audit_log",
        "UPDATE audit_head SET sequence = 1",
        "UPDATE audit_head SET mac = x'00'",
        "DELETE FROM audit_head",
    ] {
        let error = connection.execute(sql, []).unwrap_err().to_string();
        assert!(error.contains("only appended to"), "{sql}: {error}");
    }
    assert_eq!(bench.fault().await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_of_another_pepper_is_told() {
    let bench = Bench::with(2).await;
    let path = bench.folder.path().join("switchboard.db");
    let store = SqliteStore::open(&path, bench.clock.clone(), Role::Tool).unwrap();
    let verdict = store.seal_audit(Pepper::new([8; 32]).audit_key()).verify().await.unwrap();
    assert_eq!(verdict, Verdict::Broken { sequence: 2, fault: Fault::Head });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_act_and_its_entry_are_one_write() {
    let bench = Bench::with(0).await;
    let scope = sample::scope("acme");
    let id = "01JD000000000000000000000A".parse().unwrap();
    let act = || sample::act(Action::DeadLetterReplay, 1);
    assert!(!bench.log.audited(act(), bench.log.revive(&scope, &id)).await.unwrap());
    assert_eq!(bench.count().await, 0, "what changed nothing is no act");
    let key = sample::key("acme", 1);
    let made = bench.log.create_key(&scope, key.clone(), &[], sample::act(Action::KeyCreate, 1));
    bench.log.audited(sample::act(Action::KeyRotate, 1), made).await.unwrap();
    assert_eq!(bench.count().await, 2, "a write that changes something takes the entry along");
    let again = bench.log.create_key(&scope, key, &[], sample::act(Action::KeyCreate, 1));
    let refused = bench.log.audited(sample::act(Action::KeyRotate, 1), again).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);
    let failed: Result<(), Error> =
        bench.log.audited(act(), async { Err(Error::new(ErrorKind::Internal, "before the write")) }).await;
    assert!(failed.is_err());
    assert_eq!(bench.count().await, 2, "what was undone left nothing");
    bench.log.record_uses(vec![(sample::key("acme", 1).id, sample::key("acme", 1).created_at)]).await.unwrap();
    assert_eq!(bench.count().await, 2, "an act that was not used up does not go on to other writes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_key_nothing_that_belongs_in_the_log_is_done() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("switchboard.db");
    let store = SqliteStore::open(&path, Arc::new(FixedClock::new()), Role::Server).unwrap();
    let key = sample::key("acme", 1);
    let made = store.create_key(&sample::scope("acme"), key.clone(), &[], sample::act(Action::KeyCreate, 1)).await;
    assert_eq!(made.unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(store.key(&key.id).await.unwrap(), None);
}
