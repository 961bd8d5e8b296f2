use switchboard_core::{
    error::{Error, ErrorKind, Result},
    event::Event,
    ids::TenantId,
    ports::{Decided, Lease},
    tickets::Decision,
};

use super::{DynamoStore, head};
use crate::{
    db::{Read, Write, decimal, flag, millis, n, s, to_json},
    effects,
    queue::{complete, let_go, lost, publish, ticket_key},
};

/// The decision, its event, the intent of its effect and the end of the lease, in one transaction.
pub(super) async fn decide(
    store: &DynamoStore,
    tenant: &TenantId,
    decision: &Decision,
    event: Event,
    lease: &Lease,
) -> Result<Decided> {
    let (now, id) = (store.now(), &decision.ticket_id);
    let record = store.bodies.keep(tenant, &format!("{}/decision", decision.decision_id), to_json(decision)?).await?;
    let detail = store.bodies.keep(tenant, &format!("{}/detail", event.id), event.detail_json()).await?;
    let mut item = head::part(tenant, id, head::decision_sort(decision.timestamp));
    item.insert("tenant".to_owned(), s(tenant.as_str()));
    item.insert("decision_id".to_owned(), s(decision.decision_id.as_str()));
    item.insert("ttl".to_owned(), n(decision.ttl));
    if event.detail.makes_work() {
        item.insert("event".to_owned(), s(event.id.as_str()));
    }
    record.put(&mut item, "record");
    let ticket_key = ticket_key(tenant, id);
    let mut writes = vec![
        complete(lease, now),
        let_go(&ticket_key, &lease.event),
        routed_head(tenant, decision),
        Write::put("tickets", item),
        publish(&event, event.detail.lane(), detail, None),
    ];
    writes.extend(effects::intend(&event));
    if let Err(cancelled) = store.db.transact("storing a decision", &writes).await? {
        let is_there = cancelled.failed(2).map(|head| head.text("ticket").is_some());
        if cancelled.failed(0).is_some() || cancelled.failed(1).is_some() {
            return Err(lost());
        }
        if is_there == Some(false) {
            return Err(Error::new(ErrorKind::NotFound, "the ticket is gone"));
        }
        let writes = [complete(lease, now), let_go(&ticket_key, &lease.event)];
        store.db.transact("ending a lease", &writes).await?.map_err(|_| lost())?;
        store.counted.add(tenant, -1);
        return Ok(Decided::Already);
    }
    store.counted.add(tenant, -1);
    store.wake_for(&event).await;
    Ok(Decided::New)
}

fn routed_head(tenant: &TenantId, decision: &Decision) -> Write {
    let issue = &decision.issue_classification;
    let review = decision.requires_manual_review;
    let write = Write::update("tickets", head::part(tenant, &decision.ticket_id, head::HEAD))
        .set("routed", flag(true))
        .set("decision_id", s(decision.decision_id.as_str()))
        .set("sync_of", s(decision.decision_id.as_str()))
        .set("decided_at", millis(decision.timestamp))
        .set("team", s(decision.assigned_team.as_str()))
        .set("team_key", s(head::of_tenant(tenant, decision.assigned_team.as_str())))
        .set("category", s(issue.primary_category.as_str()))
        .set("severity", s(issue.severity.word()))
        .set("priority", s(decision.priority_level.word()))
        .set("score", decimal(decision.priority_score))
        .set("confidence", decimal(decision.confidence_score))
        .set("review", flag(review));
    write
        .set_some("review_key", review.then(|| s(head::of_tenant(tenant, "waiting"))))
        .when("attribute_exists(#ticket) AND attribute_not_exists(#routed)", [])
}
