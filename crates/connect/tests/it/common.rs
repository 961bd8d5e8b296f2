use std::{sync::Arc, time::Duration};

use switchboard_connect::{Outbound, OutboundPolicy};
use switchboard_core::error::{Error, ErrorKind, Retry};
use switchboard_testkit::{
    doubles::{Fault, Server},
    world::MapSecrets,
};

/// Stands in every secret of these tests, and in no error message.
pub(crate) const SECRET: &str = "s3cr3t-of-the-test";

/// The client, allowed to reach these doubles.
pub(crate) fn outbound(allowed: &[&Server]) -> Arc<Outbound> {
    let allow_hosts = allowed.iter().map(|server| server.host()).collect();
    Arc::new(Outbound::new(OutboundPolicy { allow_hosts }).unwrap())
}

pub(crate) fn secrets() -> Arc<MapSecrets> {
    Arc::new(MapSecrets::new().with("token", SECRET))
}

/// Checks the kind of a failure, and that neither a secret nor the other side's words are in its report.
#[track_caller]
pub(crate) fn check_error(error: &Error, kind: ErrorKind, what: &str) {
    let report = error.report();
    assert_eq!(error.kind(), kind, "{what}: {report}");
    for forbidden in [SECRET, "words of the other side", "it works", "?key=", "czNjcjN0"] {
        assert!(!report.contains(forbidden), "{what}: {report}");
    }
}

/// Faults that mean the same to every adapter.
pub(crate) fn common_faults() -> Vec<(Fault, ErrorKind)> {
    vec![
        (Fault::status(400), ErrorKind::Refused),
        (Fault::status(401), ErrorKind::Refused),
        (Fault::status(403), ErrorKind::Refused),
        (Fault::status(408), ErrorKind::Timeout),
        (Fault::status(410), ErrorKind::Refused),
        (Fault::status(413), ErrorKind::Refused),
        (Fault::status(422), ErrorKind::Refused),
        (Fault::status(425), ErrorKind::Throttled),
        (Fault::status(429), ErrorKind::Throttled),
        (Fault::status(500), ErrorKind::Unavailable),
        (Fault::status(502), ErrorKind::Unavailable),
        (Fault::status(503), ErrorKind::Unavailable),
        (Fault::status(504), ErrorKind::Unavailable),
        (Fault::status(304), ErrorKind::BadAnswer),
        (Fault::Redirect { to: "http://127.0.0.1:9/".to_owned() }, ErrorKind::BadAnswer),
        (Fault::Drop, ErrorKind::Unavailable),
        (Fault::ApplyThenDrop, ErrorKind::Unavailable),
    ]
}

/// Faults of the body, for adapters that read it.
pub(crate) fn body_faults() -> Vec<(Fault, ErrorKind)> {
    vec![
        (Fault::Garbage, ErrorKind::BadAnswer),
        (Fault::Body(String::new()), ErrorKind::BadAnswer),
        (Fault::Body("{".repeat(100_000)), ErrorKind::BadAnswer),
        (Fault::Body("\"words of the other side\"".to_owned()), ErrorKind::BadAnswer),
        (Fault::Oversized { bytes: 10 * 1024 * 1024 }, ErrorKind::BadAnswer),
    ]
}

/// The wish of `Retry-After` reaches the caller.
#[track_caller]
pub(crate) fn check_wish(error: &Error, seconds: u64) {
    assert_eq!(error.retry(), Retry::After(Duration::from_secs(seconds)), "{}", error.report());
}

/// Busy for now, with a wish.
pub(crate) fn busy(status: u16, seconds: u64) -> Fault {
    Fault::Answer { status, retry_after: Some(seconds.to_string()) }
}
