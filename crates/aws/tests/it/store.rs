//! What the contracts do not ask: leases in advance, large bodies, how many requests a ticket costs, and what happens when
//! messages are lost or the tables want to be left alone.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use switchboard_aws::{Clients, Doorbell, DynamoStore, Ring};
use switchboard_core::{
    error::{ErrorKind, Retry},
    event::Event,
    ids::EventId,
    limits,
    ports::{
        Accepted, Attempt, Clock, Decided, EffectLedger, EventFilter, EventQueue, Lane, Leased, NewTicket, SyncChange,
        TenantScope, TicketStore,
    },
    tickets::{SyncStatus, Ticket},
    untrusted::Untrusted,
};
use switchboard_testkit::{
    sample,
    world::{FixedClock, SeededIds},
};

use crate::{contracts::open, emulator, faults::Faults};

const THROTTLED: &str = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"slow down"}"#;
const CONFLICT: &str = r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","message":"cancelled",
    "CancellationReasons":[{"Code":"None"},{"Code":"TransactionConflict","Message":"ongoing"},{"Code":"None"}]}"#;

/// Remembers what it was told.
#[derive(Default)]
struct Bell(Mutex<Vec<(Ring, Duration)>>);

impl Bell {
    fn rung(&self) -> Vec<(Ring, Duration)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[async_trait]
impl Doorbell for Bell {
    async fn ring(&self, events: &[Ring], delay: Duration) {
        self.0.lock().unwrap().extend(events.iter().map(|ring| (ring.clone(), delay)));
    }
}

struct Bench {
    store: DynamoStore,
    bell: Arc<Bell>,
    clock: Arc<FixedClock>,
    clients: Clients,
    ids: SeededIds,
    acme: TenantScope,
}

impl Bench {
    async fn new() -> Self {
        Self::on(emulator::fresh().await, FixedClock::new())
    }

    fn on(clients: Clients, clock: FixedClock) -> Self {
        let (clock, bell) = (Arc::new(clock), Arc::new(Bell::default()));
        let store = open(&clients, &clock).ringing(bell.clone());
        Self { store, bell, clock, clients, ids: SeededIds::default(), acme: sample::scope("acme") }
    }

    /// The store with leases in advance.
    async fn in_advance() -> Self {
        let bench = Self::new().await;
        Self { store: bench.store.advance(limits::LEASE_TIME), ..bench }
    }

    /// Ticket `n`, accepted now.
    fn ticket(&self, n: u32) -> Ticket {
        Ticket { accepted_at: self.clock.now(), ..sample::ticket(n) }
    }

    fn new_ticket(&self, ticket: Ticket) -> NewTicket {
        sample::new_ticket(&self.acme, ticket, &self.ids)
    }

    async fn accept(&self, ticket: Ticket) -> Event {
        let new = self.new_ticket(ticket);
        let event = new.event.clone();
        let accepted = self.store.accept(&self.acme, vec![new]).await.unwrap().remove(0).unwrap();
        assert!(matches!(accepted, Accepted::New), "{accepted:?}");
        event
    }

    async fn claim(&self, event: &EventId) -> Option<Leased> {
        let mut leased = self.store.claim(&self.acme, std::slice::from_ref(event), limits::LEASE_TIME).await.unwrap();
        assert!(leased.len() <= 1);
        leased.pop()
    }

    /// The result of a decision under that lease, and its event.
    async fn decide(&self, ticket: &Ticket, leased: &Leased) -> (Result<Decided, ErrorKind>, Event) {
        let decision = sample::decision(ticket, &self.ids);
        let event = sample::routed(&self.acme, ticket, &decision, &self.ids);
        let decided = self.store.decide(&self.acme, &decision, event.clone(), &leased.lease).await;
        (decided.map_err(|error| error.kind()), event)
    }

    async fn waiting(&self) -> (u64, u64) {
        let depth = self.store.depth().await.unwrap();
        (depth.waiting, depth.leased)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_message_that_comes_twice_one_gets_the_lease() {
    let bench = Arc::new(Bench::new().await);
    let event = bench.accept(bench.ticket(1)).await;
    let claims = (0..6).map(|_| {
        let (bench, id) = (Arc::clone(&bench), event.id.clone());
        tokio::spawn(async move { bench.claim(&id).await })
    });
    let mut leased = Vec::new();
    for claim in claims.collect::<Vec<_>>() {
        leased.extend(claim.await.unwrap());
    }
    assert_eq!(leased.len(), 1);
    assert!(
        bench
            .store
            .claim(&sample::scope("globex"), std::slice::from_ref(&event.id), limits::LEASE_TIME)
            .await
            .unwrap()
            .is_empty()
    );
    bench.store.complete(&leased[0].lease).await.unwrap();
    assert!(bench.claim(&event.id).await.is_none(), "what is done is not leased again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_in_advance_works_once() {
    let bench = Bench::in_advance().await;
    let ticket = bench.ticket(1);
    let event = bench.accept(ticket.clone()).await;
    let (ring, delay) = bench.bell.rung().remove(0);
    assert_eq!((ring.id, ring.token, delay), (event.id.clone(), Some(1), Duration::ZERO));
    assert_eq!(bench.waiting().await, (0, 1));
    assert!(bench.claim(&event.id).await.is_none(), "it is in hand already");
    let wrong = DynamoStore::leased_in_advance(event.clone(), 2);
    assert_eq!(bench.decide(&ticket, &wrong).await.0, Err(ErrorKind::LeaseLost));
    let leased = DynamoStore::leased_in_advance(ring.event.unwrap(), 1);
    assert_eq!((leased.failed, leased.interrupted), (0, 0));
    let (decided, routed) = bench.decide(&ticket, &leased).await;
    assert_eq!(decided, Ok(Decided::New));
    let (ring, _) = bench.bell.rung().remove(0);
    assert_eq!((ring.id, ring.token, ring.event.is_some()), (routed.id, None, true));
    let second = DynamoStore::leased_in_advance(event, 1);
    assert_eq!(bench.decide(&ticket, &second).await.0, Err(ErrorKind::LeaseLost));
    assert_eq!(bench.waiting().await, (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_in_advance_ends_with_its_time() {
    let bench = Bench::in_advance().await;
    let ticket = bench.ticket(1);
    let event = bench.accept(ticket.clone()).await;
    bench.clock.advance(limits::LEASE_TIME);
    let late = DynamoStore::leased_in_advance(event.clone(), 1);
    assert_eq!(bench.decide(&ticket, &late).await.0, Err(ErrorKind::LeaseLost));
    let taken = bench.claim(&event.id).await.unwrap();
    assert_eq!((taken.lease.token, taken.interrupted), (2, 1));
    assert_eq!(bench.decide(&ticket, &late).await.0, Err(ErrorKind::LeaseLost));
    assert_eq!(bench.decide(&ticket, &taken).await.0, Ok(Decided::New));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_in_advance_can_be_prolonged_and_put_off() {
    let bench = Bench::in_advance().await;
    let event = bench.accept(bench.ticket(1)).await;
    let lease = DynamoStore::leased_in_advance(event.clone(), 1).lease;
    bench.clock.advance(limits::LEASE_TIME / 2);
    bench.store.extend(&lease, limits::LEASE_TIME).await.unwrap();
    bench.clock.advance(limits::LEASE_TIME / 2);
    assert!(bench.claim(&event.id).await.is_none());
    bench.bell.rung();
    let wait = Duration::from_secs(4);
    bench.store.retry(&lease, bench.clock.now().plus(wait), "it failed").await.unwrap();
    let rung: Vec<_> =
        bench.bell.rung().into_iter().map(|(ring, delay)| (ring.id, ring.event.is_some(), delay)).collect();
    assert_eq!(rung, [(event.id.clone(), false, wait)]);
    assert!(bench.claim(&event.id).await.is_none(), "its time has not come");
    bench.clock.advance(wait);
    assert_eq!(bench.claim(&event.id).await.unwrap().failed, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_no_item_holds_are_kept_in_the_bucket() {
    let bench = Bench::new().await;
    let mut ticket = bench.ticket(1);
    ticket.description = Untrusted::new("🚒".repeat(limits::DESCRIPTION_CHARS));
    let metadata = (0..limits::METADATA_ENTRIES).map(|n| (format!("key {n}"), "é\"".repeat(1_000)));
    ticket.metadata = Untrusted::new(metadata.collect());
    assert!(serde_json::to_string(&ticket.to_record()).unwrap().len() > 400_000);
    let event = bench.accept(ticket.clone()).await;
    let leased = bench.claim(&event.id).await.unwrap();
    assert_eq!(leased.event.detail_json(), event.detail_json());
    let mut decision = sample::decision(&ticket, &bench.ids);
    decision.reasoning = "because\n".repeat(100_000);
    let routed = sample::routed(&bench.acme, &ticket, &decision, &bench.ids);
    bench.store.decide(&bench.acme, &decision, routed, &leased.lease).await.unwrap();
    let file = bench.store.ticket(&bench.acme, &ticket.id).await.unwrap().unwrap();
    assert_eq!(file.ticket.to_record(), ticket.to_record());
    assert_eq!(file.decision, Some(decision.clone()));
    let objects = bench.clients.s3.list_objects_v2().bucket(&bench.clients.names.bucket).send().await.unwrap();
    let keys: Vec<_> = objects.contents().iter().filter_map(|object| object.key()).collect();
    let expected =
        [format!("bodies/acme/{}/record", event.id), format!("bodies/acme/{}/decision", decision.decision_id)];
    assert_eq!(keys.len(), 2, "{keys:?}");
    assert!(expected.iter().all(|key| keys.contains(&key.as_str())), "{keys:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_a_thousand_costs_few_requests() {
    let bench = Bench::new().await;
    bench.accept(bench.ticket(0)).await;
    let batch = || (1..=1_000).map(|n| bench.new_ticket(bench.ticket(n))).collect::<Vec<_>>();
    let (reads, writes) = (bench.store.requests().reads(), bench.store.requests().writes());
    let accepted = bench.store.accept(&bench.acme, batch()).await.unwrap();
    assert!(accepted.iter().all(|accepted| matches!(accepted, Ok(Accepted::New))));
    assert_eq!(bench.store.requests().writes() - writes, 31);
    assert_eq!(bench.store.requests().reads() - reads, 0);
    let writes = bench.store.requests().writes();
    let again = bench.store.accept(&bench.acme, batch()).await.unwrap();
    assert!(again.iter().all(|accepted| matches!(accepted, Ok(Accepted::SameId(_)))));
    assert_eq!(bench.store.requests().writes() - writes, 31);
    assert_eq!(bench.store.requests().reads() - reads, 10);
    assert_eq!(bench.waiting().await, (1_001, 0));
}

/// With `PutEvents` for the new ticket that is six writes, and with the customer's record six reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_costs_five_writes_and_five_reads() {
    let bench = Bench::in_advance().await;
    bench.accept(bench.ticket(1)).await;
    bench.store.backlog(&bench.acme).await.unwrap();
    let (reads, writes) = (bench.store.requests().reads(), bench.store.requests().writes());

    let ticket = bench.ticket(2);
    bench.store.backlog(&bench.acme).await.unwrap();
    let received = DynamoStore::leased_in_advance(bench.accept(ticket.clone()).await, 1);
    assert!(bench.store.ticket(&bench.acme, &ticket.id).await.unwrap().is_some());
    bench.store.history(&bench.acme, &ticket.customer_id, &ticket.id, limits::HISTORY_DECISIONS).await.unwrap();
    let decision = sample::decision(&ticket, &bench.ids);
    let event = sample::routed(&bench.acme, &ticket, &decision, &bench.ids);
    let id = event.id.clone();
    assert_eq!(bench.store.decide(&bench.acme, &decision, event, &received.lease).await.unwrap(), Decided::New);
    let routed = bench.claim(&id).await.unwrap();
    assert!(bench.store.ticket(&bench.acme, &ticket.id).await.unwrap().is_some());
    let effect = (&decision.decision_id).into();
    let attempt = bench.store.attempt(&bench.acme, &effect, &routed.lease, false).await.unwrap();
    assert_eq!(attempt, Attempt::Begun { after_open: false });
    let change = SyncChange::Succeeded { receipt: "taken".to_owned() };
    let synced = sample::synced(&bench.acme, &ticket, &decision, "taken", &bench.ids);
    let (store, lease) = (&bench.store, &routed.lease);
    store.record_sync(&bench.acme, &ticket.id, &decision.decision_id, change, Some(synced), lease).await.unwrap();

    assert_eq!(bench.store.requests().writes() - writes, 5);
    assert_eq!(bench.store.requests().reads() - reads, 5);
    let file = bench.store.ticket(&bench.acme, &ticket.id).await.unwrap().unwrap();
    assert_eq!(file.sync.status, SyncStatus::Success);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_was_woken_for_is_found_by_the_sweeper() {
    let bench = Bench::new().await;
    let age = limits::UNFINISHED_AGE;
    let unfinished = async || {
        let rings = bench.store.unfinished(age).await.unwrap();
        rings.into_iter().map(|ring| (ring.tenant.to_string(), ring.id, ring.token)).collect::<Vec<_>>()
    };
    let event = bench.accept(bench.ticket(1)).await;
    let lost = vec![("acme".to_owned(), event.id.clone(), None)];
    assert_eq!(unfinished().await, []);
    bench.clock.advance(age);
    assert_eq!(unfinished().await, lost);
    let leased = bench.claim(&event.id).await.unwrap();
    assert_eq!(unfinished().await, [], "it is in hand");
    bench.clock.advance(limits::LEASE_TIME);
    assert_eq!(unfinished().await, lost, "its worker is gone");
    let again = bench.claim(&event.id).await.unwrap();
    assert!(again.lease.token > leased.lease.token);
    let at = bench.clock.now().plus(Duration::from_secs(30));
    bench.store.retry(&again.lease, at, "it failed").await.unwrap();
    bench.clock.advance(Duration::from_secs(30));
    assert_eq!(unfinished().await, [], "it is due, and not for long");
    bench.clock.advance(age);
    assert_eq!(unfinished().await, lost, "its retry was not rung");
    let last = bench.claim(&event.id).await.unwrap();
    bench.store.complete(&last.lease).await.unwrap();
    bench.clock.advance(age);
    assert_eq!(unfinished().await, []);
}

/// Events of one ticket are worked on one after the other. Whose message comes meanwhile is asked for again soon, not by the
/// sweeper a minute later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_whose_ticket_is_in_hand_is_rung_for_again() {
    let bench = Bench::new().await;
    let ticket = bench.ticket(1);
    let received = bench.accept(ticket.clone()).await;
    let leased = bench.claim(&received.id).await.unwrap();
    let (decided, routed) = bench.decide(&ticket, &leased).await;
    assert!(decided.is_ok());
    let leased = bench.claim(&routed.id).await.unwrap();
    assert_eq!(bench.store.replay(&bench.acme, &EventFilter { limit: 10, ..EventFilter::default() }).await.unwrap(), 1);
    bench.bell.rung();
    assert!(bench.claim(&received.id).await.is_none());
    let (ring, delay) = bench.bell.rung().pop().unwrap();
    assert_eq!((ring.id, ring.token), (received.id.clone(), None));
    assert!(delay > Duration::ZERO && delay < Duration::from_secs(30), "{delay:?}");
    // The same when a message of one who has it already comes twice: nobody needs to ask again.
    assert!(bench.claim(&routed.id).await.is_none());
    assert!(bench.bell.rung().is_empty());
    bench.store.complete(&leased.lease).await.unwrap();
    assert!(bench.claim(&received.id).await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_dies_again_and_again_is_claimed_by_itself_and_then_buried() {
    let bench = Bench::new().await;
    let (bad, good) = (bench.accept(bench.ticket(1)).await, bench.accept(bench.ticket(2)).await);
    let both = [bad.id.clone(), good.id.clone()];
    for interrupted in 0..limits::JOB_INTERRUPTIONS_BEFORE_ALONE {
        assert_eq!(bench.claim(&bad.id).await.unwrap().interrupted, interrupted);
        bench.clock.advance(limits::LEASE_TIME);
    }
    let leased = bench.store.claim(&bench.acme, &both, limits::LEASE_TIME).await.unwrap();
    assert_eq!(leased.iter().map(|leased| &leased.event.id).collect::<Vec<_>>(), [&good.id]);
    for _ in 0..limits::JOB_INTERRUPTIONS_ALONE {
        assert!(bench.claim(&bad.id).await.is_some(), "by itself it is tried");
        bench.clock.advance(limits::LEASE_TIME);
    }
    assert!(bench.claim(&bad.id).await.is_none());
    let dead = bench.store.dead_letters(&bench.acme, 10).await.unwrap();
    assert_eq!(dead.iter().map(|letter| &letter.event.id).collect::<Vec<_>>(), [&bad.id]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttling_is_told_and_loses_nothing() {
    let (clients, faults) = Faults::of(&emulator::fresh().await, "TransactWriteItems", THROTTLED);
    let bench = Bench::on(clients, FixedClock::new());
    let new = bench.new_ticket(bench.ticket(1));
    faults.next(1);
    let throttled = bench.store.accept(&bench.acme, vec![new.clone()]).await.unwrap_err();
    assert_eq!(throttled.kind(), ErrorKind::Throttled);
    assert!(matches!(throttled.retry(), Retry::After(wait) if !wait.is_zero()), "{:?}", throttled.retry());
    assert!(!throttled.may_have_applied());
    assert!(bench.bell.rung().is_empty());
    assert!(bench.store.ticket(&bench.acme, &new.ticket.id).await.unwrap().is_none());
    let accepted = bench.store.accept(&bench.acme, vec![new.clone()]).await.unwrap().remove(0).unwrap();
    assert!(matches!(accepted, Accepted::New));
    let leased = bench.claim(&new.event.id).await.unwrap();
    faults.next(1);
    let at = bench.clock.now();
    let throttled = bench.store.retry(&leased.lease, at, "it failed").await.unwrap_err();
    assert_eq!(throttled.kind(), ErrorKind::Throttled);
    bench.store.retry(&leased.lease, at, "it failed").await.unwrap();
    assert_eq!(bench.claim(&new.event.id).await.unwrap().failed, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_is_tried_again_a_few_times() {
    let (clients, faults) = Faults::of(&emulator::fresh().await, "TransactWriteItems", CONFLICT);
    let bench = Bench::on(clients, FixedClock::auto());
    faults.next(3);
    bench.accept(bench.ticket(1)).await;
    assert_eq!(faults.left(), 0);
    faults.next(1_000);
    let refused = bench.store.accept(&bench.acme, vec![bench.new_ticket(bench.ticket(2))]).await.unwrap_err();
    assert_eq!((refused.kind(), faults.left()), (ErrorKind::Throttled, 994));
    faults.next(0);
    assert!(bench.store.ticket(&bench.acme, &sample::ticket(2).id).await.unwrap().is_none());
    bench.accept(bench.ticket(2)).await;
}

/// Answers of the service repeat what was sent, and that is a customer's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_repeats_nothing_of_the_customer() {
    const REFUSED: &str =
        r#"{"__type":"com.amazon.coral.validate#ValidationException","message":"Value 'my secret' is no value"}"#;
    let (clients, faults) = Faults::of(&emulator::fresh().await, "TransactWriteItems", REFUSED);
    let bench = Bench::on(clients, FixedClock::new());
    faults.next(1);
    let refused = bench.store.accept(&bench.acme, vec![bench.new_ticket(bench.ticket(1))]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Internal);
    assert!(!refused.report().contains("secret"), "{}", refused.report());
    assert!(refused.report().contains("ValidationException"), "{}", refused.report());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_ticket_over_a_quota_or_repeated_holds_up_no_other() {
    let bench = Bench::new().await;
    let known = bench.ticket(7);
    bench.accept(known.clone()).await;
    let mut batch: Vec<NewTicket> = (1..=60).map(|n| bench.new_ticket(bench.ticket(n))).collect();
    for new in &mut batch {
        new.quotas.tickets_per_day = Some(50);
    }
    let accepted = bench.store.accept(&bench.acme, batch).await.unwrap();
    let kind = |accepted: &switchboard_core::error::Result<Accepted>| match accepted {
        Ok(Accepted::New) => 'n',
        Ok(Accepted::SameId(_) | Accepted::SameKey(_)) => 'r',
        Err(error) if error.kind() == ErrorKind::QuotaExceeded => 'q',
        Err(_) => '?',
    };
    let became: String = accepted.iter().map(kind).collect();
    assert_eq!(became, format!("{}r{}{}", "n".repeat(6), "n".repeat(44), "q".repeat(9)));
    assert_eq!(bench.bell.rung().len(), 51);
}

/// A queue that is longer than one look reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_long_queue_what_is_urgent_comes_first() {
    let bench = Bench::new().await;
    let in_lane = async |numbers: std::ops::Range<u32>, lane: Lane| {
        let new = numbers.map(|n| NewTicket { lane, ..bench.new_ticket(bench.ticket(n)) });
        let accepted = bench.store.accept(&bench.acme, new.collect()).await.unwrap();
        assert!(accepted.iter().all(|accepted| matches!(accepted, Ok(Accepted::New))));
    };
    let lease = async || {
        let leased = bench.store.lease(4, limits::LEASE_TIME).await.unwrap();
        let ids = leased.iter().map(|leased| leased.event.detail.ticket_id().to_string()).collect::<Vec<_>>();
        (leased, ids)
    };
    in_lane(0..1_000, Lane::Bulk).await;
    in_lane(2_000..2_005, Lane::Ordinary).await;
    in_lane(3_000..3_003, Lane::Urgent).await;
    let (leased, ids) = lease().await;
    assert_eq!(ids, ["T-3000", "T-3001", "T-3002", "T-2000"]);
    let at = bench.clock.now().plus(Duration::from_secs(5));
    bench.store.retry(&leased[1].lease, at, "it failed").await.unwrap();
    bench.clock.advance(Duration::from_secs(5));
    assert_eq!(lease().await.1, ["T-3001", "T-2001", "T-2002", "T-2003"]);
    assert_eq!(lease().await.1, ["T-2004", "T-0", "T-1", "T-2"]);
    assert_eq!(bench.waiting().await, (997, 11));
    bench.clock.advance(limits::LEASE_TIME);
    assert_eq!(lease().await.1, ["T-3000", "T-3001", "T-3002", "T-2000"], "their leases have ended");
    let backlog = bench.store.backlog(&bench.acme).await.unwrap();
    assert_eq!((backlog.tenant, backlog.all), (1_008, 1_008));
}

/// Two processes, each with a store of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_processes_one_gets_each_event() {
    let bench = Bench::new().await;
    let new = (0..150).map(|n| bench.new_ticket(bench.ticket(n)));
    bench.store.accept(&bench.acme, new.collect()).await.unwrap();
    let workers: Vec<_> = (0..3)
        .map(|_| {
            let store = open(&bench.clients, &bench.clock);
            tokio::spawn(async move {
                let mut mine = Vec::new();
                loop {
                    let leased = store.lease(10, limits::LEASE_TIME).await.unwrap();
                    if leased.is_empty() {
                        return mine;
                    }
                    for leased in leased {
                        store.complete(&leased.lease).await.unwrap();
                        mine.push(leased.event.id);
                    }
                }
            })
        })
        .collect();
    let mut all = Vec::new();
    for worker in workers {
        all.extend(worker.await.unwrap());
    }
    all.sort();
    assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "an event was leased twice");
    assert_eq!(all.len(), 150);
    assert_eq!(bench.waiting().await, (0, 0));
}
