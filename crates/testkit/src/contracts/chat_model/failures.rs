//! What a provider does when it does not answer.

use std::error::Error as _;

use switchboard_core::models::{ModelError, ModelErrorKind};

use super::{
    super::expect::{expect, expect_eq},
    MARK, Provided, Shared, Turn, both, chat, collect, prompt, streamed,
};

/// Checks kind and price of a failure, and that it quotes nobody: neither in words nor in its causes nor for debugging.
pub(super) fn expect_failure<T>(
    test: &dyn Provided,
    what: &str,
    result: Result<T, ModelError>,
    kind: ModelErrorKind,
) -> ModelError {
    let Err(error) = result else { panic!("{what}\n  expected: the error {kind:?}\n  seen:     success") };
    let mut told = format!("{error} {error:?}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        told = format!("{told} {inner} {inner:?}");
        cause = inner.source();
    }
    expect_eq(&format!("{what}: {error}"), error.kind(), kind);
    for forbidden in test.secrets().iter().map(String::as_str).chain([MARK, "My line"]) {
        expect(&format!("{what}: no `{forbidden}` in the error"), !told.contains(forbidden), &told);
    }
    error
}

/// A failure before anything was written: both ways of asking give it as the answer of the call.
async fn fails(test: &dyn Provided, turn: Turn, kind: ModelErrorKind) -> [ModelError; 2] {
    let what = format!("{turn:?}");
    test.does(turn.clone()).await;
    let plain = expect_failure(test, &what, chat(test, &prompt()).await, kind);
    test.does(turn).await;
    let begun = test.model().stream(test.tenant(), test.link(), &prompt()).await;
    [plain, expect_failure(test, &format!("{what}, streamed"), begun, kind)]
}

pub(super) async fn a_refusal_is_one(test: Shared) {
    fails(&*test, Turn::Refuses, ModelErrorKind::Refused).await;
    test.does(Turn::Filters).await;
    expect_failure(&*test, "the filter", chat(&*test, &prompt()).await, ModelErrorKind::Refused);
    test.does(Turn::Filters).await;
    // It may stop what has already begun.
    expect_failure(&*test, "the filter, streamed", streamed(&*test, &prompt()).await, ModelErrorKind::Refused);
}

pub(super) async fn each_failure_has_its_kind(test: Shared) {
    let mut calls = 0;
    for (turn, kind, wish) in [
        (Turn::Throttles(None), ModelErrorKind::Throttled, None),
        (Turn::Throttles(Some(7)), ModelErrorKind::Throttled, Some(7)),
        (Turn::Overloaded, ModelErrorKind::Overloaded, None),
        (Turn::Fails, ModelErrorKind::Down, None),
        (Turn::Unauthorised, ModelErrorKind::Unauthorised, None),
        (Turn::UnknownModel, ModelErrorKind::Invalid, None),
        (Turn::TooLong, ModelErrorKind::TooLong, None),
    ] {
        for error in fails(&*test, turn.clone(), kind).await {
            expect_eq(&format!("{turn:?}: the wish"), error.retry_after().map(|wait| wait.as_secs()), wish);
            expect_eq(&format!("{turn:?}: the price"), error.may_be_billed(), false);
            calls += 1;
        }
        expect_eq(&format!("{turn:?}: one call asks once"), test.heard().len(), calls);
    }
    both(&*test, Turn::Says("Back.".to_owned()), &prompt()).await;
}

pub(super) async fn an_answer_that_makes_no_sense_is_bad_output(test: Shared) {
    for error in fails(&*test, Turn::Malformed, ModelErrorKind::BadOutput).await {
        expect("it may have to be paid for", error.may_be_billed(), &error);
    }
}

pub(super) async fn an_answer_that_breaks_off_is_down(test: Shared) {
    let cut = Turn::CutAfter("one two three ".to_owned());
    test.does(cut.clone()).await;
    let plain = expect_failure(&*test, "a cut", chat(&*test, &prompt()).await, ModelErrorKind::Down);
    expect("it may have to be paid for", plain.may_be_billed(), &plain);
    test.does(cut).await;
    let stream = test.model().stream(test.tenant(), test.link(), &prompt()).await;
    let (text, end) = collect(stream.unwrap_or_else(|error| panic!("the stream had begun: {error}"))).await;
    expect_eq("what was written before the cut", text, "one two three ".to_owned());
    let error = expect_failure(&*test, "a cut stream", end, ModelErrorKind::Down);
    expect("it may have to be paid for", error.may_be_billed(), &error);
}

pub(super) async fn silence_is_down(test: Shared) {
    let impatient = test.impatient();
    test.does(Turn::SilentAfter("one two ".to_owned())).await;
    let seen = impatient.chat(test.tenant(), test.link(), &prompt()).await;
    let error = expect_failure(&*test, "silence", seen, ModelErrorKind::Down);
    expect("it may have to be paid for", error.may_be_billed(), &error);
    test.does(Turn::SilentAfter("one two ".to_owned())).await;
    let stream = impatient.stream(test.tenant(), test.link(), &prompt()).await;
    let (text, end) = collect(stream.unwrap_or_else(|error| panic!("the stream had begun: {error}"))).await;
    expect_eq("what was written before the silence", text, "one two ".to_owned());
    let error = expect_failure(&*test, "a silent stream", end, ModelErrorKind::Down);
    expect("it may have to be paid for", error.may_be_billed(), &error);
}

pub(super) async fn an_endless_answer_is_given_up(test: Shared) {
    test.does(Turn::Endless).await;
    let error = expect_failure(&*test, "no end", chat(&*test, &prompt()).await, ModelErrorKind::BadOutput);
    expect("it may have to be paid for", error.may_be_billed(), &error);
    test.does(Turn::Endless).await;
    let seen = streamed(&*test, &prompt()).await;
    let error = expect_failure(&*test, "no end, streamed", seen, ModelErrorKind::BadOutput);
    expect("it may have to be paid for", error.may_be_billed(), &error);
}

pub(super) async fn nobody_there_is_down(test: Shared) {
    fails(&*test, Turn::GoesAway, ModelErrorKind::Down).await;
}
