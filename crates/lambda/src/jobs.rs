//! Batches of the queue of jobs. A message is a hint: the lease decides who works, so a message that comes twice does nothing
//! the second time.

use std::sync::Arc;

use anyhow::Result;
use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use futures_util::future::join_all;
use lambda_runtime::{LambdaEvent, service_fn};
use switchboard_aws::{DynamoStore, Message};
use switchboard_core::{
    jobs::{self, Outcome},
    limits,
    ports::TenantScope,
};

use crate::wire::Wired;

pub(crate) async fn run(wired: Wired) -> Result<()> {
    let wired = Arc::new(wired);
    wired.prepare().await;
    let handler = service_fn(move |event: LambdaEvent<SqsEvent>| {
        let wired = Arc::clone(&wired);
        async move { Ok::<_, lambda_runtime::Error>(batch(&wired, event.payload).await) }
    });
    lambda_runtime::run(handler).await.map_err(|error| anyhow::anyhow!("{error}"))
}

async fn batch(wired: &Wired, event: SqsEvent) -> SqsBatchResponse {
    let results = join_all(event.records.iter().map(|message| one(wired, message))).await;
    let failed = event.records.iter().zip(results).filter(|(_, is_done)| !is_done);
    let mut response = SqsBatchResponse::default();
    response.batch_item_failures = failed
        .map(|(message, _)| {
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = message.message_id.clone().unwrap_or_default();
            failure
        })
        .collect();
    wired.finish().await;
    response
}

/// Whether the message is done with. One that nobody can read fails until the queue puts it with the dead letters, where a
/// person sees it.
async fn one(wired: &Wired, message: &SqsMessage) -> bool {
    let id = message.message_id.as_deref().unwrap_or_default();
    let Some(hint) = Message::parse(message.body.as_deref().unwrap_or_default()) else {
        metrics::counter!("switchboard_messages_unread_total").increment(1);
        tracing::error!(message = id, "a message of the queue of jobs names no event");
        return false;
    };
    // A message that comes again may find that the lease was given to somebody else.
    let is_first = message.attributes.get("ApproximateReceiveCount").is_none_or(|count| count == "1");
    let leased = match hint.leased.filter(|_| is_first) {
        Some((event, token)) => Ok(Some(DynamoStore::leased_in_advance(event, token))),
        None => {
            let scope = TenantScope::of_operator(hint.tenant);
            wired.store.claim(&scope, &[hint.event], limits::LEASE_TIME).await.map(|mut all| all.pop())
        }
    };
    match leased {
        // Done before, or in somebody else's hands: if those die, the sweeper rings again.
        Ok(None) => true,
        Ok(Some(leased)) => jobs::handle(&wired.app, leased).await != Outcome::Left,
        Err(error) => {
            tracing::error!(message = id, error = error.report(), "an event cannot be claimed");
            false
        }
    }
}
