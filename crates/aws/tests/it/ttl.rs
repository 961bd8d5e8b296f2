//! What DynamoDB deletes by itself: every item of a ticket says until when it is kept.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use switchboard_core::{
    limits,
    ports::{Attempt, Clock, Decided, EffectLedger, SyncChange, TicketStore},
    tickets::Ticket,
};
use switchboard_testkit::{
    sample,
    world::{FixedClock, SeededIds},
};

use crate::{contracts::open, emulator};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_item_of_a_ticket_has_an_end() {
    let (clients, clock) = (emulator::fresh().await, Arc::new(FixedClock::new()));
    let (store, acme, ids) = (open(&clients, &clock), sample::scope("acme"), SeededIds::default());
    let ticket = Ticket { accepted_at: clock.now(), ..sample::ticket(1) };
    let new = sample::new_ticket(&acme, ticket.clone(), &ids);
    let received = new.event.id.clone();
    store.accept(&acme, vec![new]).await.unwrap().remove(0).unwrap();
    let claim = async |event| store.claim(&acme, &[event], limits::LEASE_TIME).await.unwrap().pop().unwrap().lease;
    let lease = claim(received).await;
    let decision = sample::decision(&ticket, &ids);
    let routed = sample::routed(&acme, &ticket, &decision, &ids);
    let event = routed.id.clone();
    assert_eq!(store.decide(&acme, &decision, routed, &lease).await.unwrap(), Decided::New);
    let lease = claim(event).await;
    let effect = (&decision.decision_id).into();
    let attempt = store.attempt(&acme, &effect, &lease, false).await.unwrap();
    assert_eq!(attempt, Attempt::Begun { after_open: false });
    let change = SyncChange::Succeeded { receipt: "taken".to_owned() };
    let synced = sample::synced(&acme, &ticket, &decision, "taken", &ids);
    store.record_sync(&acme, &ticket.id, &decision.decision_id, change, Some(synced), &lease).await.unwrap();

    let mut kept = BTreeMap::<&str, Vec<i64>>::new();
    for table in ["tickets", "events", "effects"] {
        let items = clients.dynamo.scan().table_name(clients.names.table(table)).send().await.unwrap();
        for item in items.items() {
            let ttl: i64 =
                item.get("ttl").and_then(|ttl| ttl.as_n().ok()).unwrap_or_else(|| panic!("{item:?}")).parse().unwrap();
            kept.entry(table).or_default().push(ttl - clock.now().as_millis() / 1_000);
        }
    }
    // Head, record, decision; received, routed, synced; the write-back.
    assert_eq!(
        kept.iter().map(|(table, ends)| (*table, ends.len())).collect::<Vec<_>>(),
        [("effects", 1), ("events", 3), ("tickets", 3)]
    );
    let long = i64::try_from(limits::TICKET_RETENTION.as_secs()).unwrap();
    let week = Duration::from_secs(7 * 24 * 3_600).as_secs() as i64;
    assert!(kept["effects"].iter().all(|end| (long - 60..=long + 60).contains(end)), "{kept:?}");
    assert!(kept["tickets"].iter().all(|end| (long - 60..=long + 60).contains(end)), "{kept:?}");
    assert!(kept["events"].iter().all(|end| *end >= week - 60), "{kept:?}");
}
