use std::{sync::Arc, time::Duration};

use serde_json::json;
use switchboard_core::{
    ids::TicketId,
    limits,
    ports::{Clock, ExampleStore, TicketStore},
    time::Timestamp,
};
use switchboard_local::{SystemClock, SystemIds};
use switchboard_testkit::{doubles::WebhookDouble, sample, world::FixedClock};

use super::stack::{LONG, Stack, scope};
use crate::{desks::HOOK_SECRET, wait::until};

/// A ticket is stored, and its process dies before it wakes anybody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_stored_and_never_published_is_published_by_the_schedule() {
    let stack = Stack::deployed();
    let double = WebhookDouble::start(HOOK_SECRET).await;
    let (id, api) = stack.tenant("missed", &double, |_| ()).await;
    let before = SystemClock::new().now().minus(Duration::from_secs(120));
    let store = stack.store(Arc::new(FixedClock::at(before, Duration::ZERO))).await;
    let (scope, ids) = (scope(&id), SystemIds::default());
    let mut ticket = sample::ticket(1);
    ticket.accepted_at = before;
    let ticket_id: TicketId = ticket.id.clone();
    let new = sample::new_ticket(&scope, ticket, &ids);
    store.accept(&scope, vec![new]).await.unwrap().remove(0).unwrap();
    assert!(api.ticket(ticket_id.as_str()).await["decision"].is_null());
    until("the ticket is written back", LONG, async || {
        stack.invoke("schedule").await;
        (api.ticket(ticket_id.as_str()).await["sync_status"] == "success").then_some(())
    })
    .await;
    assert_eq!(double.deliveries().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_is_due_is_trained_by_the_schedule_and_put_into_the_bucket() {
    let stack = Stack::deployed();
    let double = WebhookDouble::start(HOOK_SECRET).await;
    let (id, api) = stack.tenant("learner", &double, |config| config["learning"] = json!({"automatic": true})).await;
    let clock = Arc::new(SystemClock::new());
    let store = stack.store(clock.clone()).await;
    let now: Timestamp = clock.now();
    let examples = 0..2 * u32::try_from(limits::EXAMPLES_FOR_A_MODEL).unwrap();
    let examples = examples.map(|n| {
        let mut example = sample::example(n);
        example.at = now.minus(Duration::from_secs(u64::from(n)));
        example
    });
    store.add(&scope(&id), examples.collect()).await.unwrap();
    // Another tenant of another test may be due before it: one is trained a run.
    until("the tenant's model is trained", LONG, async || {
        (stack.invoke("schedule").await["trained"] == id).then_some(())
    })
    .await;
    let clients = stack.clients().await;
    let kept = clients.s3.list_objects_v2().bucket(stack.output("storage", "BucketName"));
    let kept = kept.prefix(format!("models/{id}/")).send().await.unwrap();
    assert!(!kept.contents().is_empty(), "{kept:?}");
    let acts = stack.run(&id, &["audit-log", "list"]);
    let acts: Vec<_> = acts.as_array().unwrap().iter().map(|act| act["action"].as_str().unwrap()).collect();
    assert!(acts.iter().any(|act| act.starts_with("model")), "{acts:?}");
    // It decides from now on.
    api.accept(&crate::tenant::ticket("T-1")).await;
    until("the ticket is written back", LONG, async || {
        (api.ticket("T-1").await["sync_status"] == "success").then_some(())
    })
    .await;
}
