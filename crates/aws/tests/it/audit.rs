//! What somebody changes in the audit log's table without the key is found.

use std::{collections::HashMap, sync::Arc};

use aws_sdk_dynamodb::types::AttributeValue;
use switchboard_aws::{Clients, DynamoAudit};
use switchboard_core::{
    access::audit::{
        Action,
        chain::{Fault, Verdict},
    },
    ports::{AuditFilter, AuditLog},
};
use switchboard_testkit::{sample, world::FixedClock};

use crate::{contracts_access::audit, emulator};

type Item = HashMap<String, AttributeValue>;

struct Bench {
    clients: Clients,
    log: DynamoAudit,
}

impl Bench {
    /// A log of five entries: the first, third and fifth about acme, the others about globex.
    async fn new() -> Self {
        let clients = emulator::fresh().await;
        let log = audit(&clients, &Arc::new(FixedClock::new()));
        for n in 1..=5 {
            let mut act = sample::act(Action::KeyCreate, n);
            act.tenant = Some(sample::parsed(if n % 2 == 1 { "acme" } else { "globex" }));
            log.append(act).await.unwrap();
        }
        assert!(matches!(log.verify().await.unwrap(), Verdict::Whole { entries: 5, .. }));
        Self { clients, log }
    }

    fn table(&self) -> String {
        self.clients.names.table("audit")
    }

    async fn get(&self, partition: &str, sequence: &str) -> Item {
        let request = self.clients.dynamo.get_item().table_name(self.table()).set_key(Some(key(partition, sequence)));
        request.send().await.unwrap().item.unwrap()
    }

    async fn put(&self, item: Item) {
        self.clients.dynamo.put_item().table_name(self.table()).set_item(Some(item)).send().await.unwrap();
    }

    async fn remove(&self, partition: &str, sequence: &str) {
        let request = self.clients.dynamo.delete_item().table_name(self.table());
        request.set_key(Some(key(partition, sequence))).send().await.unwrap();
    }

    async fn is_broken(&self, sequence: u64, fault: Fault) {
        assert_eq!(self.log.verify().await.unwrap(), Verdict::Broken { sequence, fault });
    }
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn key(partition: &str, sequence: &str) -> Item {
    Item::from([("log".to_owned(), text(partition)), ("sequence".to_owned(), text(sequence))])
}

fn padded(number: u64) -> String {
    format!("{number:020}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_a_removed_and_an_added_entry() {
    let bench = Bench::new().await;
    let third = bench.get("entries", &padded(3)).await;
    let mut changed = third.clone();
    changed.insert("record".to_owned(), text(&third["record"].as_s().unwrap().replace("ada", "bob")));
    bench.put(changed).await;
    bench.is_broken(3, Fault::Changed).await;
    bench.remove("entries", &padded(3)).await;
    bench.is_broken(3, Fault::Missing).await;
    bench.put(third.clone()).await;
    assert!(matches!(bench.log.verify().await.unwrap(), Verdict::Whole { .. }), "mended");
    let mut added = third;
    added.insert("sequence".to_owned(), text("zzz"));
    bench.put(added).await;
    bench.is_broken(6, Fault::Missing).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_cut_off_or_has_another_head() {
    let bench = Bench::new().await;
    let head = bench.get("head", "head").await;
    bench.remove("entries", &padded(5)).await;
    bench.is_broken(5, Fault::Truncated).await;
    let mut older = head.clone();
    older.insert("newest".to_owned(), text(&padded(4)));
    bench.put(older).await;
    bench.is_broken(4, Fault::Head).await;
    bench.remove("head", "head").await;
    bench.is_broken(4, Fault::Head).await;
    // Nobody who appends afterwards makes it look whole again.
    let number = bench.log.append(sample::act(Action::KeyRevoke, 1)).await.unwrap();
    assert_eq!(number, 6, "a gap is left");
    bench.is_broken(5, Fault::Missing).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pointer_that_leads_elsewhere_shows_nobody_what_is_not_his() {
    let bench = Bench::new().await;
    let mut pointer = bench.get("t#acme", &padded(2)).await;
    assert_eq!(pointer["entry"], text(&padded(3)));
    pointer.insert("entry".to_owned(), text(&padded(2)));
    bench.put(pointer).await;
    let seen = bench.log.list(Some(&sample::scope("acme")), &AuditFilter::default(), 10).await.unwrap();
    assert_eq!(seen.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [5, 1]);
    bench.is_broken(3, Fault::Changed).await;
    bench.remove("t#acme", &padded(2)).await;
    bench.is_broken(3, Fault::Changed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_beside_writers_finds_nothing() {
    let bench = Bench::new().await;
    let log = bench.log.clone();
    let writer = tokio::spawn(async move {
        for n in 0..30 {
            log.append(sample::act(Action::KeyCreate, n)).await.unwrap();
        }
    });
    while !writer.is_finished() {
        let verdict = bench.log.verify().await.unwrap();
        assert!(matches!(verdict, Verdict::Whole { .. }), "{verdict:?}");
    }
    writer.await.unwrap();
}
