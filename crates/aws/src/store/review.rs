use switchboard_core::{
    error::{Error, ErrorKind, Result},
    ids::{DecisionId, EffectId, TenantId},
    limits,
    ports::{NewReview, Recorded},
    tickets::SyncStatus,
};

use super::{DynamoStore, head};
use crate::{
    db::{Item, Read, Write, flag, n, s, throttled, to_json},
    effects, examples,
    queue::{publish, ttl},
};

/// Beginnings of the transaction, when earlier effects of the ticket move in between.
const TRIES: usize = 5;

/// The review, its event, its example, and what it supersedes, in one transaction.
pub(super) async fn record(store: &DynamoStore, tenant: &TenantId, new: NewReview) -> Result<Recorded> {
    for _ in 0..TRIES {
        let items = head::items(store, tenant, &new.review.ticket_id).await?;
        let Some(found) = head::find(&items, head::HEAD).filter(|head| head.is("routed")) else {
            return Err(Error::new(ErrorKind::NotFound, "the ticket is gone, or has no decision"));
        };
        if found.text("review_id") != new.replaces.as_ref().map(DecisionId::as_str) {
            return Ok(Recorded::Overtaken);
        }
        let mut writes = vec![reviewed_head(tenant, &new)];
        writes.push(item(tenant, &new)?);
        let detail = store.bodies.keep(tenant, &format!("{}/detail", new.event.id), new.event.detail_json()).await?;
        writes.push(publish(&new.event, new.event.detail.lane(), detail, None));
        writes.push(examples::put(tenant, &new.example, store.ids.ulid(store.now())));
        if new.event.detail.makes_work() {
            // One that is under way ends by itself; the others are told again by this one.
            writes.extend(effects::supersede(store, tenant, &effects_of(&items)?, new.event.at).await?);
        }
        writes.extend(effects::intend(&new.event));
        if store.db.transact("storing a review", &writes).await?.is_ok() {
            store.wake_for(&new.event).await;
            return Ok(Recorded::New);
        }
        // Either another review came first, which the next look tells, or an effect has moved.
    }
    Err(throttled("the ticket changes all the time"))
}

/// What the ticket's decision and reviews have told, or were to tell, the ticketing system.
fn effects_of(items: &[Item]) -> Result<Vec<EffectId>> {
    let decision = items.iter().filter(|item| item.text("timestamp") == Some(head::HEAD));
    let decision = decision.filter_map(|item| item.optional::<EffectId>("decision_id").transpose());
    let reviews = items.iter().filter(|item| item.text("timestamp").is_some_and(|sort| sort.starts_with("r#")));
    let reviews = reviews.filter_map(|item| item.optional::<EffectId>("review_id").transpose());
    decision.chain(reviews).collect()
}

fn item(tenant: &TenantId, new: &NewReview) -> Result<Write> {
    let review = &new.review;
    let mut item = head::part(tenant, &review.ticket_id, head::review_sort(review.at, &review.review_id));
    item.insert("tenant".to_owned(), s(tenant.as_str()));
    item.insert("review_id".to_owned(), s(review.review_id.as_str()));
    item.insert("record".to_owned(), s(to_json(review)?));
    item.insert("ttl".to_owned(), ttl(review.at, limits::TICKET_RETENTION));
    if new.event.detail.makes_work() {
        item.insert("event".to_owned(), s(new.event.id.as_str()));
    }
    Ok(Write::put("tickets", item))
}

fn reviewed_head(tenant: &TenantId, new: &NewReview) -> Write {
    let (review, now) = (&new.review, &new.review.assignment);
    let mut write = Write::update("tickets", head::part(tenant, &review.ticket_id, head::HEAD))
        .set("reviewed", flag(true))
        .set("review_id", s(review.review_id.as_str()))
        .set("review_key", s(head::of_tenant(tenant, "done")))
        .set("team", s(now.team.as_str()))
        .set("team_key", s(head::of_tenant(tenant, now.team.as_str())))
        .set("category", s(now.category.as_str()))
        .set("priority", s(now.priority.word()));
    if new.event.detail.makes_work() {
        write = head::set_sync(write, tenant, SyncStatus::Pending)
            .set("sync_of", s(review.review_id.as_str()))
            .set("sync_failures", n(0))
            .remove(&["sync_receipt", "sync_error", "sync_changed_at"]);
    }
    match &new.replaces {
        Some(replaced) => write.when(
            "#routed = :yes AND #review_id = :replaced",
            [("yes", flag(true)), ("replaced", s(replaced.as_str()))],
        ),
        None => write.when("#routed = :yes AND attribute_not_exists(#review_id)", [("yes", flag(true))]),
    }
}
