//! Expectations whose failure tells what was expected and what was seen.

use std::fmt::Debug;

use switchboard_core::{
    error::{Error, ErrorKind},
    event::Event,
};

/// So many characters of a value are told.
const TOLD: usize = 700;

/// Fails when `seen` is not `expected`.
#[track_caller]
pub(crate) fn expect_eq<T: PartialEq + Debug>(what: &str, seen: T, expected: T) {
    if seen != expected {
        let (seen, expected) = (format!("{seen:?}"), format!("{expected:?}"));
        let same = seen.bytes().zip(expected.bytes()).take_while(|(one, other)| one == other).count();
        panic!("{what}\n  expected: {}\n  seen:     {}", shown(&expected, same), shown(&seen, same));
    }
}

/// Fails when `holds` is false; `seen` tells what was found instead.
#[track_caller]
pub(crate) fn expect(what: &str, holds: bool, seen: impl Debug) {
    assert!(holds, "{what}\n  seen: {}", shown(&format!("{seen:?}"), 0));
}

/// The value of a call that must succeed.
#[track_caller]
pub(crate) fn expect_ok<T>(what: &str, result: Result<T, Error>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{what}\n  expected: success\n  seen:     {:?}: {}", error.kind(), error.report()),
    }
}

/// Fails when the call did not fail with `kind`.
#[track_caller]
pub(crate) fn expect_kind<T: Debug>(what: &str, result: Result<T, Error>, kind: ErrorKind) {
    match result {
        Err(error) if error.kind() == kind => {}
        Err(error) => {
            panic!("{what}\n  expected: the error {kind:?}\n  seen:     {:?}: {}", error.kind(), error.report());
        }
        Ok(value) => {
            let value = format!("{value:?}");
            panic!("{what}\n  expected: the error {kind:?}\n  seen:     success: {}", shown(&value, 0));
        }
    }
}

/// Fails when the events are not the same in every field.
#[track_caller]
pub(crate) fn expect_same_event(what: &str, seen: &Event, expected: &Event) {
    expect_eq(what, fields(seen), fields(expected));
}

/// Fails when the lists do not hold the same events in the same order.
#[track_caller]
pub(crate) fn expect_same_events(what: &str, seen: &[Event], expected: &[Event]) {
    let names = |events: &[Event]| events.iter().map(name).collect::<Vec<_>>();
    expect_eq(what, names(seen), names(expected));
    for (seen, expected) in seen.iter().zip(expected) {
        expect_same_event(what, seen, expected);
    }
}

/// An event in a few words.
pub(crate) fn name(event: &Event) -> String {
    format!("{} of {} {}", event.detail.detail_type(), event.detail.ticket_id(), event.id)
}

fn fields(event: &Event) -> impl PartialEq + Debug {
    (
        event.id.clone(),
        event.tenant.clone(),
        event.at,
        event.correlation_id.clone(),
        event.detail.detail_type(),
        event.detail_json(),
    )
}

/// `text`, or its part around the first difference when it is long.
fn shown(text: &str, difference: usize) -> String {
    if text.len() <= TOLD {
        return text.to_owned();
    }
    let from = text.floor_char_boundary(difference.saturating_sub(TOLD / 3));
    let to = text.floor_char_boundary((from + TOLD).min(text.len()));
    let (before, after) = (if from > 0 { "… " } else { "" }, if to < text.len() { " …" } else { "" });
    format!("{before}{}{after} ({} bytes)", &text[from..to], text.len())
}
