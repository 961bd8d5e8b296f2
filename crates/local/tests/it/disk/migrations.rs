//! A file of an older version is opened, and the process dies, the power goes, or the disk runs full in any operation of
//! that: what is left is the old file or the new one, whole, with all that was in it.

use std::sync::Arc;

use rusqlite::{Connection, OpenFlags, params};
use switchboard_core::ports::{Clock, TicketFilter, TicketStore};
use switchboard_faultdisk::{Disk, Entry, Image, Platter, Refusal, Survival};
use switchboard_local::{MIGRATIONS, Role, SqliteStore};
use switchboard_testkit::{
    sample,
    world::{FixedClock, SeededIds},
};

use super::{
    Room, cuts,
    dump::{connect, difference, dump, dump_of},
    spread, survival, volume,
};

const TICKETS: u32 = 60;

fn migrate(connection: &Connection, version: usize) {
    connection
        .execute_batch(&format!("BEGIN; {} PRAGMA user_version = {version}; COMMIT", MIGRATIONS[version - 1]))
        .unwrap();
}

/// Puts tickets in as the first version did: decided, waiting and dead ones. Later versions know these columns too.
fn fill(connection: &Connection) {
    let (scope, ids) = (sample::scope("acme"), SeededIds::new(1));
    connection.execute_batch("BEGIN").unwrap();
    for n in 1..=TICKETS {
        let ticket = sample::ticket(n);
        let decision = sample::decision(&ticket, &ids);
        let new = sample::new_ticket(&scope, ticket.clone(), &ids);
        let routed = sample::routed(&scope, &ticket, &decision, &ids);
        let is_routed = !n.is_multiple_of(3);
        let insert = "INSERT INTO tickets (id, tenant, ticket_id, customer_id, accepted_at, expires_at, routed, decision_id,
                      decided_at, team, category, severity, priority, score, confidence, review, sync)
                      VALUES (?1, 'acme', ?2, ?3, ?4, ?5, ?6, ?7, ?4, iif(?6, 'support', NULL), iif(?6, 'outage', NULL), 1, 1,
                      62.5, 0.8712, ?1 % 2, ?1 % 3 = 2)";
        let times = (ticket.accepted_at.as_millis(), decision.ttl * 1_000);
        let about = decision.decision_id.as_str();
        let row = params![
            n,
            ticket.id.as_str(),
            ticket.customer_id.as_str(),
            times.0,
            times.1,
            is_routed,
            is_routed.then_some(about)
        ];
        connection.execute(insert, row).unwrap();
        let record = serde_json::to_string(&ticket.to_record()).unwrap();
        connection.execute("INSERT INTO ticket_records VALUES (?1, ?2)", params![n, record]).unwrap();
        if is_routed {
            let record = serde_json::to_string(&decision).unwrap();
            connection.execute("INSERT INTO decisions VALUES (?1, ?2)", params![n, record]).unwrap();
        }
        for (event, happened) in [(&new.event, true), (&routed, is_routed)] {
            if happened {
                let kind = event.detail.detail_type();
                let row = params![
                    event.id.as_str(),
                    kind,
                    ticket.id.as_str(),
                    event.correlation_id.as_str(),
                    event.at.as_millis(),
                    event.detail_json()
                ];
                connection.execute("INSERT INTO events VALUES (?1, 'acme', ?2, ?3, ?4, ?5, ?6)", row).unwrap();
            }
        }
        let last = if is_routed { &routed } else { &new.event };
        let sql = match n % 6 {
            0 => "INSERT INTO dead_letters VALUES (?1, 'acme', ?2, 'it cannot be done', 6, 0, 0)",
            1 | 3 | 4 => "INSERT INTO jobs (event, tenant, ticket_id, state, token) VALUES (?1, 'acme', ?2, 1, 7)",
            _ => continue,
        };
        connection.execute(sql, params![last.id.as_str(), ticket.id.as_str()]).unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
}

/// A disk with a filled file of `version`, put away by its last process.
fn old_file(version: usize) -> Image {
    let disk = Disk::empty();
    let connection = connect(&disk, OpenFlags::default()).unwrap();
    connection.execute_batch("PRAGMA journal_mode = WAL").unwrap();
    (1..=version).for_each(|version| migrate(&connection, version));
    fill(&connection);
    drop(connection);
    disk.image()
}

fn open(disk: &Disk) -> Result<SqliteStore, switchboard_local::DataError> {
    let clock: Arc<dyn Clock> = Arc::new(FixedClock::new());
    SqliteStore::open_on(&volume(Room, "FULL"), &disk.path("switchboard.db"), clock, Role::Server)
}

/// What the file may say after a cut, from the old version on: each whole version, and the newest with a new epoch.
fn whole_states(old: &Image) -> Vec<String> {
    let disk = Disk::with(old.clone());
    let connection = connect(&disk, OpenFlags::default()).unwrap();
    let version: usize =
        connection.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0)).unwrap() as usize;
    let mut states = vec![dump_of(&connection).unwrap()];
    for version in version + 1..=MIGRATIONS.len() {
        migrate(&connection, version);
        states.push(dump_of(&connection).unwrap());
    }
    drop(connection);
    states.push(opened(&disk).unwrap());
    states
}

/// Opens the store, and gives what its file says then.
fn opened(disk: &Disk) -> Result<String, String> {
    let store = open(disk).map_err(|error| format!("{error}: {:?}", std::error::Error::source(&error)))?;
    let state = dump(disk).map_err(|error| error.to_string())?;
    drop(store);
    if disk.wait_until_open(0, std::time::Duration::from_secs(30)) { Ok(state) } else { Err("stays open".to_owned()) }
}

fn judge(image: &Image, states: &[String], newest: &[String]) -> Result<(), String> {
    let disk = Disk::with(image.clone());
    let raw = connect(&disk, OpenFlags::default()).and_then(|connection| dump_of(&connection));
    let raw = raw.map_err(|error| error.to_string())?;
    if !states.contains(&raw) {
        return Err(format!("half a version:\n{}", difference(&states[0], &raw)));
    }
    let disk = Disk::with(image.clone());
    let found = opened(&disk)?;
    if newest.contains(&found) { Ok(()) } else { Err(format!("data changed:\n{}", difference(&newest[0], &found))) }
}

/// The versions that a program before this one has left behind.
fn older_versions() -> impl Iterator<Item = usize> {
    1..MIGRATIONS.len()
}

#[test]
fn a_migration_that_is_cut_leaves_the_old_file_or_the_new_one() {
    for version in older_versions() {
        let old = old_file(version);
        let states = whole_states(&old);
        let opened_once = states.last().unwrap().clone();
        let disk = Disk::with(old.clone());
        assert_eq!(opened(&disk).unwrap(), opened_once);
        // An epoch may have begun before the cut, and another one after it.
        let newest = [opened_once, opened(&disk).unwrap()];
        let log: Vec<_> = {
            let disk = Disk::with(old.clone());
            opened(&disk).unwrap();
            let log = disk.log();
            log.into_iter().filter_map(|entry| if let Entry::Did(one) = entry { Some(one) } else { None }).collect()
        };
        let wrong: Vec<_> = spread(log.len(), |cut_in, _| {
            let mut platter = Platter::with(old.clone());
            log[..cut_in].iter().for_each(|operation| platter.play(operation));
            platter.begin(&log[cut_in]);
            let judged = |variant| {
                let survival = survival(cut_in, variant);
                let wrong = judge(&platter.cut(survival), &states, &newest).err()?;
                Some(format!("version {version}, operation {cut_in}, {survival:?}: {wrong}"))
            };
            (0..cuts()).filter_map(judged).collect::<Vec<_>>()
        })
        .into_iter()
        .flatten()
        .collect();
        let all = log.len() as u64 * cuts();
        println!("migration from version {version}: {} operations, {all} cuts, {} wrong", log.len(), wrong.len());
        assert!(wrong.is_empty(), "{} wrong, the first: {}", wrong.len(), wrong[0]);
    }
}

#[test]
fn a_migration_without_room_is_refused_and_done_when_there_is_room() {
    for version in older_versions() {
        let old = old_file(version);
        let right = whole_states(&old).pop().unwrap();
        let takes = {
            let disk = Disk::with(old.clone());
            opened(&disk).unwrap();
            disk.takes()
        };
        let outcomes = spread(usize::try_from(takes).unwrap(), |from, _| {
            let disk = Disk::with(old.clone());
            disk.fill_up(from as u64, u64::MAX, Refusal::NoSpace);
            let refused = opened(&disk).is_err();
            disk.make_room();
            let found = opened(&disk)?;
            // An epoch may have begun before the refusal, so what counts epochs may have counted on.
            let counts = |line: &&str| line.starts_with("process|") || line.starts_with("jobs|");
            let whole = found.lines().filter(|line| !counts(line)).eq(right.lines().filter(|line| !counts(line)));
            if whole { Ok(refused) } else { Err(format!("operation {from}: {}", difference(&right, &found))) }
        });
        let refused = outcomes.iter().filter(|outcome| **outcome == Ok(true)).count();
        println!("migration from version {version} on a full disk: {takes} operations, {refused} starts refused");
        assert!(refused > 0, "a full disk that nobody notices");
        outcomes.into_iter().for_each(|outcome| assert!(outcome.is_ok(), "{outcome:?}"));
    }
}

#[tokio::test]
async fn an_old_file_is_read_as_it_was_written() {
    for version in older_versions() {
        let disk = Disk::with(Platter::with(old_file(version)).cut(Survival::Nothing));
        let store = open(&disk).unwrap();
        let scope = sample::scope("acme");
        let all = store.list(&scope, &TicketFilter::default(), None, 200).await.unwrap().items;
        assert_eq!(all.len(), TICKETS as usize);
        for ticket in all {
            let file = store.ticket(&scope, &ticket.ticket_id).await.unwrap().unwrap();
            let n: u32 = ticket.ticket_id.as_str().trim_start_matches("T-").parse().unwrap();
            assert_eq!(file.ticket.accepted_at, sample::ticket(n).accepted_at);
            assert_eq!(file.decision.is_some(), !n.is_multiple_of(3));
        }
    }
}

/// No test but a measurement, on a true disk: `SWITCHBOARD_TEST_MIGRATION_TICKETS=1000000` sets of how many tickets.
#[test]
#[allow(clippy::disallowed_methods, reason = "it measures true time")]
fn a_large_file_is_migrated_with_all_its_tickets() {
    let tickets: u32 = std::env::var("SWITCHBOARD_TEST_MIGRATION_TICKETS").map_or(1_000, |text| text.parse().unwrap());
    for version in older_versions() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("switchboard.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL").unwrap();
        (1..=version).for_each(|version| migrate(&connection, version));
        connection
            .execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
                 INSERT INTO tickets (tenant, ticket_id, customer_id, accepted_at, expires_at, routed, decision_id, decided_at,
                 team, category, severity, priority, score, confidence, review, sync)
                 SELECT 'acme', 'T-' || i, 'C-' || (i % 9973), i, i + 7776000000, 1, printf('%026d', i), i, 'support',
                 'outage', 1, 1, 62.5, i % 1000 / 1000.0, i % 10 = 0, 1 FROM n",
                [tickets],
            )
            .unwrap();
        drop(connection);
        let begun = std::time::Instant::now();
        let clock: Arc<dyn Clock> = Arc::new(FixedClock::new());
        let store = SqliteStore::open(&path, clock, Role::Server).unwrap();
        println!("{tickets} tickets from version {version} to {}: {:?}", MIGRATIONS.len(), begun.elapsed());
        drop(store);
        let connection = Connection::open(&path).unwrap();
        let count: u32 = connection.query_row("SELECT count(*) FROM tickets", [], |row| row.get(0)).unwrap();
        assert_eq!(count, tickets);
    }
}
