//! What a provider on the other side of a network does when it makes no vectors.

use std::{error::Error as _, sync::Arc};

use async_trait::async_trait;
use switchboard_core::{
    models::{Embedded, ModelError, ModelErrorKind, Purpose},
    ports::Embedder,
};

use super::{
    super::{
        expect::{expect, expect_eq},
        run_checks,
    },
    MARK, Provided, TEXTS, checked, embedded, untrusted,
};

/// A provider on the other side of a network, and the hand that makes it do things.
#[async_trait]
pub trait RemotelyProvided: Provided {
    /// The same adapter, whose patience with silence ends within a second.
    fn impatient(&self) -> Arc<dyn Embedder>;

    /// What the next call meets; whether this provider can do that at all.
    async fn does(&self, turn: Turn) -> bool;

    /// The calls so far, as the provider got them.
    fn heard(&self) -> Vec<Heard>;

    /// What must not be in any error: keys, and parts of them.
    fn secrets(&self) -> Vec<String>;
}

/// What the provider does with a call for [`ASKED`]. What it says of its own has [`MARK`] in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Vectors of other lengths than one.
    Scaled,
    /// Vectors, and no count of the tokens.
    Uncounted,
    /// A vector too few.
    Fewer,
    /// A vector too many.
    More,
    /// Vectors of different dimensions.
    Uneven,
    /// Vectors without numbers.
    Empty,
    /// Something in place of a number.
    NoNumber,
    /// Vectors of zeros.
    Zeros,
    /// An answer that is none.
    Malformed,
    /// Too many calls of this account; how many seconds it is to wait, when it says so.
    Throttles(Option<u64>),
    /// No room for anybody.
    Overloaded,
    /// An error of the provider's own.
    Fails,
    /// The credentials are wrong.
    Unauthorised,
    /// The model does not exist.
    UnknownModel,
    /// A text is longer than the model reads.
    TooLong,
    /// The connection ends in the middle of the answer.
    Cut,
    /// The answer begins, and then nothing more happens.
    Silent,
    /// The answer has no end.
    Endless,
    /// Nobody is there.
    GoesAway,
}

/// The texts of a call that meets a [`Turn`], as far as one call takes them. They have [`MARK`] in them.
pub const ASKED: [&str; 2] =
    ["I was charged twice for the same month, words-of-others.", "No internet, words-of-others."];

/// A call, as a provider got it.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// The texts.
    pub texts: Vec<String>,
    /// The model.
    pub model: String,
    /// The dimensions that were asked for.
    pub dimensions: Option<u64>,
    /// The purpose, where the provider's interface has one.
    pub purpose: Option<Purpose>,
}

type Shared = Arc<dyn RemotelyProvided>;

/// Runs what the contract of `Embedder` says of providers on the other side of a network, beside [`super::embedder`].
pub async fn remote_embedder<P: RemotelyProvided + 'static>(make: impl AsyncFn() -> P) {
    run_checks!(
        "Embedder on the other side of a network",
        Arc::new(make().await) as Shared,
        [
            texts_reach_the_model_as_they_are,
            vectors_of_any_length_are_brought_to_one,
            what_is_not_counted_is_counted_at_its_most,
            vectors_that_make_no_sense_are_bad_output,
            each_failure_has_its_kind,
            an_answer_that_breaks_off_is_down,
            silence_is_down,
            an_endless_answer_is_given_up,
            nobody_there_is_down,
        ]
    );
}

/// Checks kind and price of a failure, and that it quotes nobody: neither in words nor in its causes nor for debugging.
pub(super) fn expect_failure(
    secrets: &[String],
    what: &str,
    result: Result<Embedded, ModelError>,
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
    for forbidden in secrets.iter().map(String::as_str).chain([MARK, "charged twice"]) {
        expect(&format!("{what}: no `{forbidden}` in the error"), !told.contains(forbidden), &told);
    }
    error
}

/// As many of the texts as a call takes.
fn asked(test: &dyn RemotelyProvided) -> &'static [&'static str] {
    let most = test.embedder().batch(test.tenant(), test.link()).texts;
    &ASKED[..most.min(ASKED.len())]
}

async fn ask(test: &dyn RemotelyProvided, embedder: Arc<dyn Embedder>) -> Result<Embedded, ModelError> {
    let texts = untrusted(asked(test));
    embedder.embed(test.tenant(), test.link(), &texts, Purpose::Passage).await
}

async fn fails(test: &dyn RemotelyProvided, turn: Turn, kind: ModelErrorKind) -> Option<ModelError> {
    if !test.does(turn).await {
        return None;
    }
    let outcome = ask(test, test.embedder()).await;
    Some(expect_failure(&test.secrets(), &format!("{turn:?}"), outcome, kind))
}

async fn texts_reach_the_model_as_they_are(test: Shared) {
    for purpose in [Purpose::Query, Purpose::Passage] {
        let before = test.heard().len();
        embedded(&*test, &TEXTS, purpose).await;
        let heard: Vec<_> = test.heard().split_off(before);
        let texts: Vec<_> = heard.iter().flat_map(|call| call.texts.clone()).collect();
        expect_eq("the texts in their order", texts, TEXTS.map(str::to_owned).to_vec());
        for call in heard {
            expect_eq("the model", &call.model, &test.link().model);
            expect_eq("dimensions", call.dimensions, None);
            expect("the purpose", call.purpose.is_none_or(|seen| seen == purpose), call.purpose);
        }
    }
}

async fn vectors_of_any_length_are_brought_to_one(test: Shared) {
    let texts = asked(&*test).len();
    let plain = checked(ask(&*test, test.embedder()).await, texts);
    expect("the provider can answer such vectors", test.does(Turn::Scaled).await, "it cannot");
    let scaled = checked(ask(&*test, test.embedder()).await, texts);
    let same = scaled.vectors.iter().zip(&plain.vectors).all(|(one, other)| super::is_same(one, other));
    expect("the same directions", same, "others");
}

async fn what_is_not_counted_is_counted_at_its_most(test: Shared) {
    if !test.does(Turn::Uncounted).await {
        return;
    }
    let texts = asked(&*test);
    let answer = checked(ask(&*test, test.embedder()).await, texts.len());
    let bytes: usize = texts.iter().map(|text| text.len()).sum();
    expect("a token for each byte", answer.usage.input_tokens >= bytes as u64, answer.usage);
}

async fn vectors_that_make_no_sense_are_bad_output(test: Shared) {
    let mut seen = 0;
    for turn in [Turn::Fewer, Turn::More, Turn::Uneven, Turn::Empty, Turn::NoNumber, Turn::Zeros, Turn::Malformed] {
        if let Some(error) = fails(&*test, turn, ModelErrorKind::BadOutput).await {
            expect(&format!("{turn:?}: it may have to be paid for"), error.may_be_billed(), &error);
            seen += 1;
        }
    }
    expect("the provider can answer nonsense", seen >= 4, seen);
}

async fn each_failure_has_its_kind(test: Shared) {
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
        let Some(error) = fails(&*test, turn, kind).await else { continue };
        expect_eq(&format!("{turn:?}: the wish"), error.retry_after().map(|wait| wait.as_secs()), wish);
        expect_eq(&format!("{turn:?}: the price"), error.may_be_billed(), false);
        calls += 1;
        expect_eq(&format!("{turn:?}: one call asks once"), test.heard().len(), calls);
    }
    expect("the provider can fail", calls >= 4, calls);
    embedded(&*test, &TEXTS, Purpose::Query).await;
}

async fn an_answer_that_breaks_off_is_down(test: Shared) {
    let error = fails(&*test, Turn::Cut, ModelErrorKind::Down).await;
    expect("it may have to be paid for", error.is_some_and(|error| error.may_be_billed()), "not");
}

async fn silence_is_down(test: Shared) {
    expect("the provider can be silent", test.does(Turn::Silent).await, "it cannot");
    let outcome = ask(&*test, test.impatient()).await;
    let error = expect_failure(&test.secrets(), "silence", outcome, ModelErrorKind::Down);
    expect("it may have to be paid for", error.may_be_billed(), &error);
}

async fn an_endless_answer_is_given_up(test: Shared) {
    let error = fails(&*test, Turn::Endless, ModelErrorKind::BadOutput).await;
    expect("it may have to be paid for", error.is_some_and(|error| error.may_be_billed()), "not");
}

async fn nobody_there_is_down(test: Shared) {
    fails(&*test, Turn::GoesAway, ModelErrorKind::Down).await.expect("the provider can go away");
}
