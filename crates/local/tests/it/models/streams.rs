//! Answers as they are written.

use futures_util::{FutureExt, StreamExt};
use switchboard_core::models::{AnswerStream, StreamEvent};

use super::*;

/// The words and how it ended: with the tokens, or with a failure.
async fn read(mut stream: AnswerStream) -> (String, Option<std::result::Result<Usage, ModelErrorKind>>) {
    let (mut text, mut end) = (String::new(), None);
    while let Some(piece) = stream.next().await {
        assert!(end.is_none(), "nothing comes after the end");
        match piece {
            Ok(StreamEvent::Text(words)) => text.push_str(words.for_storage()),
            Ok(StreamEvent::ToolUse(_)) => {}
            Ok(StreamEvent::End { usage, .. }) => end = Some(Ok(usage)),
            Err(error) => end = Some(Err(error.kind())),
        }
    }
    (text, end)
}

impl World {
    async fn stream(&self) -> std::result::Result<AnswerStream, ModelError> {
        self.gateway.stream(&self.tenant, &self.asked()).await
    }
}

#[tokio::test]
async fn a_stream_is_paid_at_its_end() {
    let world = World::new(|_, _, _| says("one two three"));
    let stream = world.stream().await.unwrap();
    assert_eq!(world.spent().await.open, world.worst());
    assert_eq!(read(stream).await, ("one two three".to_owned(), Some(Ok(USAGE))));
    assert_eq!(world.spent().await, Spend { spent: price_of_one(), open: NanoUsd::ZERO, calls: 1 });
}

#[tokio::test]
async fn a_stream_that_is_dropped_stays_paid_at_its_worst() {
    let world = World::new(|_, _, _| says("one two three"));
    let mut stream = world.stream().await.unwrap();
    assert!(stream.next().await.is_some());
    drop(stream);
    assert_eq!(world.spent().await, Spend { spent: world.worst(), open: world.worst(), calls: 1 });
}

#[tokio::test]
async fn before_its_first_word_another_model_takes_over_and_afterwards_none() {
    let world =
        World::new(|_, link, _| if link.model == "a" { fails(ModelErrorKind::Down) } else { says("hello you") });
    assert_eq!(read(world.stream().await.unwrap()).await.0, "hello you");
    assert_eq!(world.model.called(), ["a", "a", "a", "b"]);

    let world = World::new(|_, _, _| Turn::BreaksOff("hello ".to_owned(), error(ModelErrorKind::Down).billed()));
    let outcome = read(world.stream().await.unwrap()).await;
    assert_eq!(outcome, ("hello ".to_owned(), Some(Err(ModelErrorKind::Down))));
    assert_eq!(world.model.called(), ["a"]);
    assert_eq!(world.spent().await, Spend { spent: world.worst(), open: NanoUsd::ZERO, calls: 1 });
}

#[tokio::test]
async fn a_stream_that_stands_still_ends_in_its_time() {
    let world = World::new(|_, _, _| Turn::Hangs("hello ".to_owned()));
    let (began, stream) = (world.clock.monotonic(), world.stream().await.unwrap());
    assert_eq!(read(stream).await, ("hello ".to_owned(), Some(Err(ModelErrorKind::Down))));
    assert_eq!(world.clock.monotonic() - began, Duration::from_secs(10));
    assert_eq!(world.spent().await, Spend { spent: world.worst(), open: NanoUsd::ZERO, calls: 1 });
}

#[tokio::test]
async fn streams_that_break_off_count_for_the_breaker() {
    let world = World::new(|_, _, _| Turn::BreaksOff("hello ".to_owned(), error(ModelErrorKind::Down)));
    for _ in 0..10 {
        let _ = read(world.stream().await.unwrap()).await;
    }
    assert_eq!(world.model.called(), ["a", "a", "a", "a", "a", "b", "b", "b", "b", "b"]);
    assert!(world.stream().now_or_never().unwrap().is_err(), "both are left alone");
}
