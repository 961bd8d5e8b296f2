use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use switchboard_connect::{BreakerDesk, WebhookDesk};
use switchboard_core::{
    error::{Error, ErrorKind, Retry},
    ids::{DecisionId, TicketId},
    ports::{Desk, Repeats},
    tenants::Tenant,
};
use switchboard_testkit::{
    contracts::desk::{Breakage, Observed, desk, desk_update},
    doubles::{Fault, WebhookDouble},
    sample::parsed,
    world::FixedClock,
};

use crate::{
    common::{SECRET, busy, check_error, outbound, secrets},
    desk_contract::break_next,
    webhook::{tenant, tenant_that},
};

struct Setup {
    double: WebhookDouble,
    desk: Arc<BreakerDesk<WebhookDesk>>,
    tenant: Tenant,
    clock: Arc<FixedClock>,
}

impl Setup {
    async fn new() -> Self {
        let clock = Arc::new(FixedClock::new());
        let double = WebhookDouble::start_at(SECRET, clock.clone()).await;
        let inner = WebhookDesk::new(outbound(&[&double]), secrets(), clock.clone());
        let tenant = tenant(&double.hook_url());
        Self { double, desk: Arc::new(BreakerDesk::new(inner, clock.clone())), tenant, clock }
    }

    async fn fails(&self, kind: ErrorKind) -> Error {
        let error = self.desk.update(&self.tenant, &desk_update(&parsed("T-1"), 1)).await.unwrap_err();
        check_error(&error, kind, "the desk");
        error
    }

    async fn works(&self) {
        self.desk.update(&self.tenant, &desk_update(&parsed("T-1"), 1)).await.unwrap();
    }

    /// A call that is not made, and how long it is put off.
    async fn put_off(&self) -> Duration {
        let before = self.double.requests();
        let error = self.fails(ErrorKind::Unavailable).await;
        assert!(error.is_deferred() && !error.may_have_applied(), "{}", error.report());
        assert_eq!(self.double.requests(), before, "nothing is sent");
        match error.retry() {
            Retry::After(wait) => wait,
            other => panic!("{other:?}"),
        }
    }
}

#[async_trait]
impl Observed for Setup {
    fn desk(&self) -> Arc<dyn Desk> {
        self.desk.clone()
    }

    fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    async fn ticket(&self, n: u32) -> TicketId {
        parsed(&format!("T-{n}"))
    }

    async fn effects(&self, _ticket: &TicketId, decision: &DecisionId) -> usize {
        self.double.effects().keys().filter(|id| *id == decision.as_str()).count()
    }

    fn break_next(&self, way: Breakage) -> bool {
        break_next(&self.double, way)
    }
}

#[tokio::test]
async fn a_desk_behind_a_breaker_keeps_the_contract() {
    desk(Setup::new).await;
}

#[tokio::test]
async fn a_desk_that_keeps_failing_is_left_alone_and_probed() {
    let setup = Setup::new().await;
    setup.double.rate(1.0, Fault::status(500));
    for _ in 0..5 {
        assert!(!setup.fails(ErrorKind::Unavailable).await.is_deferred());
    }
    assert_eq!(setup.put_off().await, Duration::from_secs(10));
    setup.clock.advance(Duration::from_secs(4));
    assert_eq!(setup.put_off().await, Duration::from_secs(6));
    setup.clock.advance(Duration::from_secs(6));
    assert!(!setup.fails(ErrorKind::Unavailable).await.is_deferred(), "the probe");
    assert_eq!(setup.put_off().await, Duration::from_secs(20));
    setup.double.heal();
    setup.clock.advance(Duration::from_secs(20));
    setup.works().await;
    setup.works().await;
    assert_eq!(setup.double.requests(), 8);
}

#[tokio::test]
async fn a_wish_holds_for_all_updates_of_that_desk_and_is_no_failure() {
    let setup = Setup::new().await;
    for _ in 0..10 {
        setup.double.next(busy(429, 93));
        let error = setup.fails(ErrorKind::Throttled).await;
        assert_eq!(error.retry(), Retry::After(Duration::from_secs(93)));
        assert_eq!(setup.put_off().await, Duration::from_secs(93));
        setup.clock.advance(Duration::from_secs(93));
    }
    setup.works().await;
    setup.works().await;
}

#[tokio::test]
async fn a_refusal_is_the_tickets_trouble_and_not_the_desks() {
    let setup = Setup::new().await;
    for _ in 0..10 {
        setup.double.next(Fault::status(422));
        setup.fails(ErrorKind::Refused).await;
    }
    setup.works().await;
}

#[tokio::test]
async fn another_tenant_and_another_connection_have_breakers_of_their_own() {
    let setup = Setup::new().await;
    for _ in 0..5 {
        setup.double.next(Fault::Drop);
        setup.fails(ErrorKind::Unavailable).await;
    }
    setup.put_off().await;
    let update = desk_update(&parsed("T-1"), 1);
    let moved = tenant(&format!("{}?x=1", setup.double.hook_url()));
    setup.desk.update(&moved, &update).await.unwrap();
    let mut other = tenant(&setup.double.hook_url());
    other.id = parsed("other");
    setup.desk.update(&other, &update).await.unwrap();
    setup.put_off().await;
}

#[tokio::test]
async fn repeats_and_look_ups_go_through_it() {
    let setup = Setup::new().await;
    assert_eq!(setup.desk.repeats(&setup.tenant), Repeats::Safe);
    let template = format!("{}/{{key}}", setup.double.hook_url());
    let forgetful = tenant_that(&setup.double.hook_url(), Some(&template));
    assert_eq!(setup.desk.repeats(&forgetful), Repeats::LookFirst);
    let update = desk_update(&parsed("T-1"), 1);
    assert_eq!(setup.desk.look_up(&forgetful, &update).await.unwrap(), None);
    for _ in 0..5 {
        setup.double.next(Fault::status(500));
        let error = setup.desk.look_up(&forgetful, &update).await.unwrap_err();
        assert!(!error.is_deferred());
    }
    assert!(setup.desk.look_up(&forgetful, &update).await.unwrap_err().is_deferred());
}
