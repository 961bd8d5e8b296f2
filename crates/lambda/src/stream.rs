//! The stream of the table of tickets: a decision or a review that was just stored is written back.

use std::sync::Arc;

use anyhow::Result;
use aws_lambda_events::{
    dynamodb::{Event, EventRecord},
    streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse},
};
use futures_util::future::join_all;
use lambda_runtime::{LambdaEvent, service_fn};
use switchboard_core::{
    ids::{EventId, TenantId},
    jobs::{self, Outcome},
    limits,
    ports::TenantScope,
};

use crate::wire::Wired;

pub(crate) async fn run(wired: Wired) -> Result<()> {
    let wired = Arc::new(wired);
    let handler = service_fn(move |event: LambdaEvent<Event>| {
        let wired = Arc::clone(&wired);
        async move { Ok::<_, lambda_runtime::Error>(batch(&wired, event.payload).await) }
    });
    lambda_runtime::run(handler).await.map_err(|error| anyhow::anyhow!("{error}"))
}

/// All records side by side: events of one ticket have leases one at a time. The shard is given back from the first record on
/// that could not be dealt with; those after it come again and find their leases done.
async fn batch(wired: &Wired, event: Event) -> DynamoDbEventResponse {
    let results = join_all(event.records.iter().map(|record| one(wired, record))).await;
    let failed = event.records.iter().zip(results).find(|(_, is_done)| !is_done);
    let mut response = DynamoDbEventResponse::default();
    response.batch_item_failures = failed
        .map(|(record, _)| {
            let mut failure = DynamoDbBatchItemFailure::default();
            failure.item_identifier = record.change.sequence_number.clone();
            failure
        })
        .into_iter()
        .collect();
    wired.finish().await;
    response
}

async fn one(wired: &Wired, record: &EventRecord) -> bool {
    let Some((tenant, event)) = hint(record) else { return true };
    match wired.store.claim(&TenantScope::of_operator(tenant), &[event], limits::LEASE_TIME).await {
        Ok(leased) => match leased.into_iter().next() {
            Some(leased) => jobs::handle(&wired.app, leased).await != Outcome::Left,
            None => true,
        },
        Err(error) => {
            tracing::error!(error = error.report(), "an event cannot be claimed");
            false
        }
    }
}

/// The event that a new item asks for, when it does.
fn hint(record: &EventRecord) -> Option<(TenantId, EventId)> {
    let text = |name: &str| match record.change.new_image.get(name)? {
        serde_dynamo::AttributeValue::S(text) => Some(text.clone()),
        _ => None,
    };
    if record.event_name != "INSERT" {
        return None;
    }
    Some((text("tenant")?.parse().ok()?, text("event")?.parse().ok()?))
}
