use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use switchboard_connect::WebhookDesk;
use switchboard_core::{
    error::{ErrorKind, Result},
    ports::{Desk, DeskReceipt, DeskUpdate, Repeats},
    tenants::Tenant,
};
use switchboard_testkit::{
    contracts::desk::desk_update,
    doubles::{Fault, WebhookDouble},
    sample::{parsed, tenant_with},
    world::{FixedClock, MapSecrets, start},
};

use crate::common::{SECRET, busy, check_error, check_wish, common_faults, outbound, secrets};

pub(crate) struct Setup {
    pub(crate) double: WebhookDouble,
    pub(crate) desk: Arc<WebhookDesk>,
    pub(crate) tenant: Tenant,
    pub(crate) clock: Arc<FixedClock>,
}

impl Setup {
    pub(crate) async fn new() -> Self {
        let clock = Arc::new(FixedClock::new());
        let double = WebhookDouble::start_at(SECRET, clock.clone()).await;
        let desk = Arc::new(WebhookDesk::new(outbound(&[&double]), secrets(), clock.clone()));
        let tenant = tenant(&double.hook_url());
        Self { double, desk, tenant, clock }
    }

    pub(crate) async fn send(&self, update: &DeskUpdate) -> Result<DeskReceipt> {
        self.desk.update(&self.tenant, update).await
    }
}

pub(crate) fn tenant(url: &str) -> Tenant {
    tenant_with(|config| config["desk"] = json!({"kind": "webhook", "url": url, "secret": "token"}))
}

/// One whose receiver does not remember, and perhaps can be asked.
pub(crate) fn tenant_that(url: &str, look_up: Option<&str>) -> Tenant {
    tenant_with(|config| {
        config["desk"] =
            json!({"kind": "webhook", "url": url, "secret": "token", "repeats": "never", "look_up": look_up});
    })
}

fn update() -> DeskUpdate {
    desk_update(&parsed("T-1"), 1)
}

#[tokio::test]
async fn a_decision_is_told_whole_and_signed() {
    let setup = Setup::new().await;
    setup.clock.advance(Duration::from_secs(3_600));
    let update = update();
    let receipt = setup.send(&update).await.unwrap();
    assert_eq!(receipt.text, format!("web hook took decision {} (204)", update.decision_id));
    let delivery = setup.double.deliveries().remove(0);
    assert_eq!(delivery.id, update.decision_id.as_str());
    assert_eq!(delivery.timestamp, start().as_millis() / 1000 + 3_600);
    let body: Value = serde_json::from_slice(&delivery.body).unwrap();
    let expected = json!({
        "type": "ticket.routed",
        "timestamp": update.decided_at,
        "data": {
            "ticket_id": "T-1",
            "decision_id": update.decision_id,
            "assigned_team": "support",
            "priority_level": "high",
            "priority_score": 62.5,
            "confidence_score": 0.8712,
            "requires_manual_review": true,
            "tags": ["switchboard", "category_outage", "needs_review"],
            "note": update.note,
            "decided_at": update.decided_at,
            "correlation_id": "req-1",
        },
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn a_review_is_an_event_of_its_own() {
    let setup = Setup::new().await;
    let decision = update();
    let remove_tags = vec!["needs_review".to_owned()];
    let review =
        DeskUpdate { reviewed: Some(decision.decision_id.clone()), remove_tags, ..desk_update(&parsed("T-1"), 2) };
    setup.send(&review).await.unwrap();
    let delivery = setup.double.deliveries().remove(0);
    assert_eq!(delivery.id, review.decision_id.as_str());
    let body: Value = serde_json::from_slice(&delivery.body).unwrap();
    let data = &body["data"];
    let seen = (&body["type"], &data["decision_id"], &data["reviewed_decision_id"], &data["remove_tags"]);
    let (review_id, decision_id) = (json!(review.decision_id), json!(decision.decision_id));
    assert_eq!(seen, (&json!("ticket.reviewed"), &review_id, &decision_id, &json!(["needs_review"])));
}

#[tokio::test]
async fn every_repetition_has_the_same_body_and_a_time_of_its_own() {
    let setup = Setup::new().await;
    for fault in [Fault::ApplyThenAnswer { status: 500 }, Fault::ApplyThenDrop] {
        setup.double.next(fault);
        check_error(&setup.send(&update()).await.unwrap_err(), ErrorKind::Unavailable, "applied all the same");
        setup.clock.advance(Duration::from_secs(600));
    }
    setup.send(&update()).await.unwrap();
    let deliveries = setup.double.deliveries();
    assert_eq!(deliveries.len(), 3);
    assert!(deliveries.iter().all(|delivery| delivery.body == deliveries[0].body));
    assert_ne!(deliveries[0].timestamp, deliveries[2].timestamp);
    assert_eq!((setup.double.effects().len(), setup.double.refused()), (1, 0));
}

#[tokio::test]
async fn any_success_counts_whatever_its_body() {
    let setup = Setup::new().await;
    let drip = Fault::Drip { every: Duration::from_secs(60) };
    for fault in [Fault::status(202), Fault::Garbage, Fault::Oversized { bytes: 1 << 24 }, drip] {
        setup.double.next(fault.clone());
        assert!(setup.send(&update()).await.is_ok(), "{fault:?}");
    }
}

#[tokio::test]
async fn each_failure_has_its_kind() {
    let setup = Setup::new().await;
    let faults = [(Fault::status(404), ErrorKind::Refused), (Fault::status(409), ErrorKind::Unavailable)];
    for (fault, kind) in common_faults().into_iter().chain(faults) {
        setup.double.next(fault.clone());
        check_error(&setup.send(&update()).await.unwrap_err(), kind, &format!("{fault:?}"));
    }
    setup.double.next(busy(429, 93));
    check_wish(&setup.send(&update()).await.unwrap_err(), 93);
    setup.double.next(busy(503, 7));
    check_wish(&setup.send(&update()).await.unwrap_err(), 7);
}

#[tokio::test]
async fn a_wrong_secret_is_refused_and_named() {
    let setup = Setup::new().await;
    let wrong = Arc::new(MapSecrets::new().with("token", "s3cr3t-of-the-test-but-wrong"));
    let desk = WebhookDesk::new(outbound(&[&setup.double]), wrong, setup.clock.clone());
    let error = desk.update(&setup.tenant, &update()).await.unwrap_err();
    check_error(&error, ErrorKind::Refused, "wrong secret");
    assert!(error.report().contains("secret `token`"), "{}", error.report());
    assert_eq!(setup.double.refused(), 1);
}

#[tokio::test]
async fn a_missing_secret_is_named_and_nothing_is_sent() {
    let setup = Setup::new().await;
    let desk = WebhookDesk::new(outbound(&[&setup.double]), Arc::new(MapSecrets::new()), setup.clock.clone());
    let error = desk.update(&setup.tenant, &update()).await.unwrap_err();
    check_error(&error, ErrorKind::Invalid, "no secret");
    assert!(error.report().contains("secret `token`"), "{}", error.report());
    assert_eq!(setup.double.requests(), 0);
}

#[tokio::test]
async fn an_address_within_the_operators_network_is_refused() {
    let setup = Setup::new().await;
    let desk = WebhookDesk::new(outbound(&[]), secrets(), setup.clock.clone());
    for url in [setup.double.hook_url(), "https://169.254.169.254/hook?key=1".to_owned()] {
        check_error(&desk.update(&tenant(&url), &update()).await.unwrap_err(), ErrorKind::Invalid, &url);
    }
    assert_eq!(setup.double.connections(), 0);
}

#[tokio::test]
async fn what_may_be_repeated_is_the_tenants_word() {
    let setup = Setup::new().await;
    let url = setup.double.hook_url();
    let template = format!("{url}/{{key}}");
    assert_eq!(setup.desk.repeats(&setup.tenant), Repeats::Safe);
    assert_eq!(setup.desk.repeats(&tenant_that(&url, Some(&template))), Repeats::LookFirst);
    assert_eq!(setup.desk.repeats(&tenant_that(&url, None)), Repeats::Never);
}

#[tokio::test]
async fn a_look_up_is_signed_and_says_what_the_receiver_knows() {
    let setup = Setup::new().await;
    let template = format!("{}/{{key}}", setup.double.hook_url());
    let tenant = tenant_that(&setup.double.hook_url(), Some(&template));
    let (seen, unseen) = (update(), desk_update(&parsed("T-1"), 2));
    setup.double.next(Fault::ApplyThenDrop);
    assert!(setup.desk.update(&tenant, &seen).await.unwrap_err().may_have_applied());
    let receipt = setup.desk.look_up(&tenant, &seen).await.unwrap().unwrap();
    assert_eq!(receipt.text, format!("web hook says that it took decision {}", seen.decision_id));
    assert_eq!(setup.desk.look_up(&tenant, &unseen).await.unwrap(), None);
    assert_eq!((setup.double.effects().len(), setup.double.refused()), (1, 0));
}

#[tokio::test]
async fn a_look_up_that_is_no_answer_is_an_error_and_never_a_no() {
    let setup = Setup::new().await;
    let template = format!("{}/{{key}}", setup.double.hook_url());
    let tenant = tenant_that(&setup.double.hook_url(), Some(&template));
    for (status, kind) in [
        (204, ErrorKind::BadAnswer),
        (301, ErrorKind::BadAnswer),
        (401, ErrorKind::Refused),
        (410, ErrorKind::Refused),
        (429, ErrorKind::Throttled),
        (503, ErrorKind::Unavailable),
    ] {
        setup.double.next(Fault::status(status));
        let error = setup.desk.look_up(&tenant, &update()).await.unwrap_err();
        check_error(&error, kind, &status.to_string());
        assert!(!error.may_have_applied(), "{status}");
    }
    let error = setup.desk.look_up(&setup.tenant, &update()).await.unwrap_err();
    check_error(&error, ErrorKind::Internal, "nothing to ask");
}
