//! The contract of [`Embedder`]: a direction for each text, in order, whatever else is in the call; and of each failure its kind,
//! whether it may have to be paid for, and no words of others.

mod failures;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use switchboard_core::{
    limits,
    models::{Embedded, ModelError, ModelErrorKind, Purpose},
    ports::Embedder,
    tenants::{EmbedLink, Tenant},
    untrusted::Untrusted,
};

use super::{
    expect::{expect, expect_eq},
    run_checks,
};
use crate::sample::parsed;
pub use failures::{ASKED, Heard, RemotelyProvided, Turn, remote_embedder};

/// Calls at the same time.
const AT_ONCE: usize = 8;
/// Stands in texts and in what the provider says, and in no error.
pub const MARK: &str = "words-of-others";
/// How far a length may be from 1, and a number of a vector from the same one in another call.
const TOLERANCE: f64 = 1e-3;
/// Texts of any kind, none like another.
const TEXTS: [&str; 6] = [
    "I was charged twice for the same month.",
    "no internet since this morning",
    "ünïcödé 🦀 \u{202e}right to left, 请帮我, नमस्ते",
    "line\nbreaks\r\n\tand \"quotes\" \\ {\"json\": [1]} </text>",
    "[DONE]",
    "a",
];

/// A provider of embeddings.
#[async_trait]
pub trait Provided: Send + Sync {
    /// The adapter.
    fn embedder(&self) -> Arc<dyn Embedder>;

    /// The tenant that is configured for it.
    fn tenant(&self) -> &Tenant;

    /// The model that is asked.
    fn link(&self) -> &EmbedLink;

    /// Dimensions that may be asked for; none where the model has its own alone.
    fn dimensions(&self) -> Vec<u32>;

    /// Whether anybody was asked so far.
    fn was_called(&self) -> bool;
}

type Shared = Arc<dyn Provided>;

/// Runs the contract of `Embedder`; `make` gives a fresh adapter and provider for each check.
pub async fn embedder<P: Provided + 'static>(make: impl AsyncFn() -> P) {
    run_checks!(
        "Embedder",
        Arc::new(make().await) as Shared,
        [
            each_text_has_a_direction_in_its_place,
            a_text_has_the_same_direction_in_every_call,
            both_purposes_have_the_same_dimensions,
            dimensions_are_as_many_as_were_asked_for,
            a_full_call_is_taken,
            a_long_text_is_cut_or_too_long,
            no_texts_are_no_call,
            what_no_call_takes_is_no_call,
            an_unknown_provider_is_invalid,
            many_may_ask_at_once,
        ]
    );
}

fn untrusted(texts: &[&str]) -> Vec<Untrusted<String>> {
    texts.iter().map(|text| Untrusted::new((*text).to_owned())).collect()
}

async fn embed(test: &dyn Provided, texts: &[&str], purpose: Purpose) -> Result<Embedded, ModelError> {
    test.embedder().embed(test.tenant(), test.link(), &untrusted(texts), purpose).await
}

/// The texts in as many calls as the adapter wants, their answers together. Each answer is looked at.
async fn embedded(test: &dyn Provided, texts: &[&str], purpose: Purpose) -> Vec<Vec<f32>> {
    let most = test.embedder().batch(test.tenant(), test.link());
    expect("a call takes a text", most.texts > 0 && most.bytes >= limits::EMBED_TEXT_BYTES, most);
    let mut all = Vec::new();
    for batch in texts.chunks(most.texts) {
        all.extend(checked(embed(test, batch, purpose).await, batch.len()).vectors);
    }
    all
}

/// The answer, which is one as the contract says.
fn checked(answer: Result<Embedded, ModelError>, texts: usize) -> Embedded {
    let answer = answer.unwrap_or_else(|error| panic!("{:?}: {error}", error.kind()));
    expect_eq("vectors", answer.vectors.len(), texts);
    let dimensions = answer.vectors.first().map_or(1, Vec::len);
    expect("dimensions", (1..=limits::EMBED_DIMENSIONS).contains(&dimensions), dimensions);
    for vector in &answer.vectors {
        expect_eq("the same dimensions", vector.len(), dimensions);
        let length = vector.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
        expect("length one", (length - 1.0).abs() < TOLERANCE, length);
    }
    expect("tokens were counted", answer.usage.input_tokens > 0 || texts == 0, answer.usage);
    expect_eq("nothing is answered in words", answer.usage.output_tokens, 0);
    expect("the model has a name", !answer.model.is_empty(), &answer.model);
    answer
}

fn is_same(one: &[f32], other: &[f32]) -> bool {
    let near = |(one, other): (&f32, &f32)| (f64::from(*one) - f64::from(*other)).abs() < TOLERANCE;
    one.len() == other.len() && one.iter().zip(other).all(near)
}

async fn each_text_has_a_direction_in_its_place(test: Shared) {
    let together = embedded(&*test, &TEXTS, Purpose::Passage).await;
    for (n, text) in TEXTS.iter().enumerate() {
        let alone = embedded(&*test, &[text], Purpose::Passage).await;
        expect("the text alone has the direction of its place", is_same(&alone[0], &together[n]), text);
        let others = together.iter().enumerate().filter(|(other, _)| *other != n);
        let twin = others.map(|(_, vector)| vector).find(|vector| is_same(vector, &alone[0]));
        expect("another text has another direction", twin.is_none(), text);
    }
}

async fn a_text_has_the_same_direction_in_every_call(test: Shared) {
    for purpose in [Purpose::Query, Purpose::Passage] {
        let vectors = embedded(&*test, &[TEXTS[0], TEXTS[1], TEXTS[0]], purpose).await;
        let again = embedded(&*test, &[TEXTS[0]], purpose).await;
        expect("twice in one list", is_same(&vectors[0], &vectors[2]), "another direction");
        expect("in another call", is_same(&vectors[0], &again[0]), "another direction");
    }
}

async fn both_purposes_have_the_same_dimensions(test: Shared) {
    let query = embedded(&*test, &TEXTS[..1], Purpose::Query).await;
    let passage = embedded(&*test, &TEXTS[..1], Purpose::Passage).await;
    expect_eq("dimensions", query[0].len(), passage[0].len());
}

async fn dimensions_are_as_many_as_were_asked_for(test: Shared) {
    for dimensions in test.dimensions() {
        let link = EmbedLink { dimensions: Some(dimensions), ..test.link().clone() };
        let texts = untrusted(&TEXTS[..1]);
        let answer = test.embedder().embed(test.tenant(), &link, &texts, Purpose::Query).await;
        expect_eq("dimensions", checked(answer, 1).vectors[0].len(), dimensions as usize);
    }
}

async fn a_full_call_is_taken(test: Shared) {
    let most = test.embedder().batch(test.tenant(), test.link());
    let texts: Vec<String> = (0..most.texts).map(|n| format!("text number {n}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    checked(embed(&*test, &texts, Purpose::Passage).await, most.texts);
}

async fn a_long_text_is_cut_or_too_long(test: Shared) {
    let long = "one more word ".repeat(limits::EMBED_TEXT_BYTES / 14);
    match embed(&*test, &[&long], Purpose::Passage).await {
        Ok(answer) => drop(checked(Ok(answer), 1)),
        Err(error) => expect_eq(&error.to_string(), error.kind(), ModelErrorKind::TooLong),
    }
}

async fn no_texts_are_no_call(test: Shared) {
    let answer = checked(embed(&*test, &[], Purpose::Query).await, 0);
    expect_eq("tokens", answer.usage.input_tokens, 0);
    expect("nobody was asked", !test.was_called(), "a call");
}

async fn what_no_call_takes_is_no_call(test: Shared) {
    let most = test.embedder().batch(test.tenant(), test.link());
    let long = "x".repeat(limits::EMBED_TEXT_BYTES + 1);
    let many = vec!["a"; most.texts + 1];
    for (what, texts, kind) in [
        ("the empty text", vec![""], ModelErrorKind::Invalid),
        ("blanks", vec![" \n\t\u{2003}"], ModelErrorKind::Invalid),
        ("a text of more than any model reads", vec![long.as_str()], ModelErrorKind::TooLong),
        ("too many texts", many, ModelErrorKind::Invalid),
    ] {
        match embed(&*test, &texts, Purpose::Passage).await {
            Ok(_) => panic!("{what}\n  expected: the error {kind:?}\n  seen:     success"),
            Err(error) => expect_eq(what, (error.kind(), error.may_be_billed()), (kind, false)),
        }
        expect("nobody was asked", !test.was_called(), "a call");
    }
}

async fn an_unknown_provider_is_invalid(test: Shared) {
    let link = EmbedLink { provider: parsed("nobody"), ..test.link().clone() };
    let seen = test.embedder().embed(test.tenant(), &link, &untrusted(&[MARK]), Purpose::Query).await;
    let error = failures::expect_failure(&[], "an unknown provider", seen, ModelErrorKind::Invalid);
    expect_eq("nothing was sent", (error.may_be_billed(), test.was_called()), (false, false));
}

async fn many_may_ask_at_once(test: Shared) {
    let alone = embedded(&*test, &TEXTS, Purpose::Passage).await;
    let calls = (0..AT_ONCE).map(|_| {
        let test = Arc::clone(&test);
        tokio::spawn(async move { embedded(&*test, &TEXTS, Purpose::Passage).await })
    });
    for vectors in join_all(calls).await {
        let vectors = vectors.expect("a call that does not panic");
        let same = vectors.iter().zip(&alone).all(|(one, other)| is_same(one, other));
        expect("each caller has its own vectors", same && vectors.len() == alone.len(), "others");
    }
}
