//! Short texts: keys, ids, times, cursors.

use secrecy::ExposeSecret;
use switchboard_core::{
    access::{ApiKey, Scope},
    ids::{CorrelationId, DecisionId, KeyId, Language, TenantId, TicketId},
    ports::{ReviewFilter, TicketFilter, TicketStore},
    tickets::PriorityLevel,
    time::Timestamp,
};
use switchboard_local::{Role, SqliteStore};
use switchboard_testkit::{
    fuzz::fuzz,
    sample,
    world::{FixedClock, SeededIds},
};

/// A text that is taken is written as it was read.
fn same<T: std::str::FromStr + std::fmt::Display>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string(), text);
    }
}

#[test]
fn ids() {
    fuzz("id", &[b"T-1", b"telecorp", b"de-AT", b"01M7VZGKT03340MQKP508D0A6G", b"c15c0289ec2d0a91"], |input| {
        let text = String::from_utf8_lossy(input);
        same::<TicketId>(&text);
        same::<TenantId>(&text);
        same::<CorrelationId>(&text);
        same::<Language>(&text);
        same::<KeyId>(&text);
        same::<DecisionId>(&text);
        same::<PriorityLevel>(&text);
        assert!(text.parse::<Scope>().is_ok() || text.parse::<Scope>().is_err());
    });
}

#[test]
fn times() {
    let seeds: [&[u8]; 4] = [
        b"2026-11-20T08:15:30.25+01:00",
        b"1970-01-01T00:00:00Z",
        b"9999-12-31T23:59:59Z",
        b"2026-11-20T08:15:30Z[Europe/Vienna]",
    ];
    fuzz("timestamp", &seeds, |input| {
        let text = String::from_utf8_lossy(input);
        if let Ok(time) = text.parse::<Timestamp>() {
            let written = time.to_string();
            assert_eq!(written.parse::<Timestamp>().expect("what was written is read"), time, "{written}");
        }
    });
}

#[test]
fn keys() {
    let key = ApiKey::generate(&SeededIds::new(5)).reveal();
    fuzz("api-key", &[key.expose_secret().as_bytes()], |input| {
        let text = String::from_utf8_lossy(input);
        if let Ok(read) = text.parse::<ApiKey>() {
            assert_eq!(read.reveal().expose_secret(), text, "one key has one form");
        }
    });
}

#[test]
fn cursors() {
    let folder = tempfile::tempdir().unwrap();
    let clock = std::sync::Arc::new(FixedClock::new());
    let store = SqliteStore::open(&folder.path().join("db"), clock, Role::Server).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let scope = sample::scope("acme");
    fuzz("cursor", &[b"1795161600000-3", b"3fd2c3c9eecbfb16-3fe69e1b089a0275-39"], |input| {
        let cursor = String::from_utf8_lossy(input);
        let list = runtime.block_on(store.list(&scope, &TicketFilter::default(), Some(&cursor), 5));
        let queue = runtime.block_on(store.review_queue(&scope, &ReviewFilter::default(), Some(&cursor), 5));
        for error in list.err().into_iter().chain(queue.err()) {
            assert_eq!(error.kind(), switchboard_core::error::ErrorKind::Invalid, "{}", error.report());
        }
    });
}
