use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::json;
use switchboard_connect::ZendeskDesk;
use switchboard_core::{
    error::{ErrorKind, Result},
    ports::{Desk, DeskReceipt, DeskUpdate},
    tenants::Tenant,
    tickets::PriorityLevel,
};
use switchboard_testkit::{
    contracts::desk::desk_update,
    doubles::{
        Fault, ZendeskDouble,
        zendesk::{ZendeskComment, ZendeskTicket},
    },
    sample::{parsed, tenant_with},
    world::MapSecrets,
};

use crate::common::{SECRET, body_faults, busy, check_error, check_wish, common_faults, outbound, secrets};

pub(crate) const EMAIL: &str = "bot@example.com";
const SUPPORT: u64 = 22;
const TICKET: u64 = 4711;

pub(crate) struct Setup {
    pub(crate) double: ZendeskDouble,
    pub(crate) desk: Arc<ZendeskDesk>,
    pub(crate) tenant: Tenant,
}

impl Setup {
    pub(crate) async fn new() -> Self {
        let double = ZendeskDouble::start(EMAIL, SECRET, &[11, SUPPORT]).await;
        double.open(TICKET);
        let desk = Arc::new(ZendeskDesk::new(outbound(&[&double]), secrets()));
        let tenant = tenant(&double.url(), SUPPORT);
        Self { double, desk, tenant }
    }

    pub(crate) async fn send(&self, update: &DeskUpdate) -> Result<DeskReceipt> {
        self.desk.update(&self.tenant, update).await
    }

    fn ticket(&self) -> ZendeskTicket {
        self.double.ticket(TICKET)
    }

    pub(crate) fn notes(&self) -> usize {
        self.double.notes_with(TICKET, &marker())
    }
}

pub(crate) fn tenant(url: &str, support: u64) -> Tenant {
    tenant_with(|config| {
        config["teams"][0]["desk_group"] = "11".into();
        config["teams"][1]["desk_group"] = support.to_string().into();
        config["desk"] =
            json!({"kind": "zendesk", "url": url, "email": EMAIL, "token": "token", "ticket_prefix": "ZD-"});
    })
}

pub(crate) fn update() -> DeskUpdate {
    desk_update(&parsed("ZD-4711"), 1)
}

fn marker() -> String {
    format!("Switchboard decision {}", update().decision_id)
}

#[tokio::test]
async fn one_write_sets_everything_and_keeps_what_others_set() {
    let setup = Setup::new().await;
    setup.double.change(TICKET, |ticket| ticket.tags = vec!["vip".to_owned(), "switchboard".to_owned()]);
    let receipt = setup.send(&update()).await.unwrap();
    assert_eq!(receipt.text, "zendesk ticket 4711 updated");
    let ticket = setup.ticket();
    assert_eq!(ticket.group_id, Some(SUPPORT));
    assert_eq!(ticket.priority.as_deref(), Some("high"));
    assert_eq!(ticket.tags, ["vip", "switchboard", "category_outage", "needs_review"]);
    let note = ZendeskComment { body: format!("{}\n\n{}", update().note, marker()), public: false };
    assert_eq!((ticket.comments.len(), &ticket.comments[1], ticket.puts), (2, &note, 1));
}

#[tokio::test]
async fn a_review_takes_the_labels_away_that_hold_no_more() {
    let setup = Setup::new().await;
    setup.double.change(TICKET, |ticket| ticket.tags = vec!["vip".to_owned()]);
    setup.send(&update()).await.unwrap();
    let review = DeskUpdate {
        reviewed: Some(update().decision_id),
        tags: vec!["switchboard".to_owned(), "category_invoice".to_owned()],
        remove_tags: vec!["needs_review".to_owned(), "category_outage".to_owned()],
        ..desk_update(&parsed("ZD-4711"), 2)
    };
    setup.send(&review).await.unwrap();
    assert_eq!(setup.ticket().tags, ["vip", "switchboard", "category_invoice"]);
    assert_eq!(setup.double.notes_with(TICKET, review.decision_id.as_str()), 1);
}

#[tokio::test]
async fn each_priority_has_its_name() {
    for (level, name) in [
        (PriorityLevel::Critical, "urgent"),
        (PriorityLevel::High, "high"),
        (PriorityLevel::Medium, "normal"),
        (PriorityLevel::Low, "low"),
    ] {
        let setup = Setup::new().await;
        setup.send(&DeskUpdate { priority: level, ..update() }).await.unwrap();
        assert_eq!(setup.ticket().priority.as_deref(), Some(name));
    }
}

#[tokio::test]
async fn a_repetition_writes_nothing() {
    let setup = Setup::new().await;
    setup.send(&update()).await.unwrap();
    let receipt = setup.send(&update()).await.unwrap();
    assert_eq!(receipt.text, "zendesk ticket 4711 had it already");
    assert_eq!((setup.notes(), setup.ticket().puts), (1, 1));
}

#[tokio::test]
async fn a_repetition_finds_the_note_on_a_later_page() {
    for place in [0, 7, 24] {
        let setup = Setup::new().await;
        setup.double.page_comments(3);
        setup.double.change(TICKET, |ticket| {
            ticket.comments = (0..25).map(|n| ZendeskComment { body: format!("{n}"), public: n % 2 == 0 }).collect();
            ticket.comments[place] = ZendeskComment { body: format!("note\r\n\r\n{}\r\n", marker()), public: false };
        });
        setup.send(&update()).await.unwrap();
        assert_eq!((setup.notes(), setup.ticket().puts), (1, 0), "note at {place}");
    }
}

#[tokio::test]
async fn a_customer_cannot_pretend_that_it_was_done() {
    let setup = Setup::new().await;
    setup.double.change(TICKET, |ticket| ticket.comments.push(ZendeskComment { body: marker(), public: true }));
    setup.send(&update()).await.unwrap();
    assert_eq!(setup.notes(), 1);
}

#[tokio::test]
async fn an_unclear_outcome_is_looked_up() {
    for fault in [Fault::ApplyThenAnswer { status: 500 }, Fault::ApplyThenDrop, Fault::Garbage] {
        let setup = Setup::new().await;
        setup.double.next_write(fault.clone());
        assert!(setup.send(&update()).await.is_err(), "{fault:?}");
        let receipt = setup.send(&update()).await.unwrap();
        assert_eq!(receipt.text, "zendesk ticket 4711 had it already", "{fault:?}");
        assert_eq!((setup.notes(), setup.ticket().puts), (1, 1), "{fault:?}");
    }
}

#[tokio::test]
async fn what_others_change_between_read_and_write_is_kept() {
    let setup = Setup::new().await;
    setup.double.before_write(|ticket| ticket.tags.push("from_an_agent".to_owned()));
    setup.double.before_write(|ticket| ticket.tags.push("from_another".to_owned()));
    setup.send(&update()).await.unwrap();
    let ticket = setup.ticket();
    assert!(ticket.tags.starts_with(&["from_an_agent".to_owned(), "from_another".to_owned()]), "{:?}", ticket.tags);
    assert_eq!((setup.notes(), ticket.puts), (1, 3));
}

#[tokio::test]
async fn a_ticket_that_never_rests_is_left_for_later() {
    let setup = Setup::new().await;
    for n in 0..3 {
        setup.double.before_write(move |ticket| ticket.tags.push(format!("t{n}")));
    }
    check_error(&setup.send(&update()).await.unwrap_err(), ErrorKind::Unavailable, "three conflicts");
    assert_eq!((setup.notes(), setup.ticket().puts), (0, 3));
    setup.send(&update()).await.unwrap();
    assert_eq!(setup.notes(), 1);
}

/// Eight workers in as many processes: nothing but Zendesk's own refusal keeps them apart.
#[tokio::test]
async fn many_processes_at_once_write_one_note() {
    for _ in 0..10 {
        let setup = Setup::new().await;
        let desks: Vec<_> = (0..8).map(|_| ZendeskDesk::new(outbound(&[&setup.double]), secrets())).collect();
        let update = update();
        let outcomes = join_all(desks.iter().map(|desk| desk.update(&setup.tenant, &update))).await;
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        assert_eq!(setup.notes(), 1);
        assert!(setup.ticket().puts >= 1);
    }
}

/// When all happens within one second, Zendesk's own refusal cannot help.
#[tokio::test]
async fn many_calls_within_one_second_write_one_note() {
    let setup = Setup::new().await;
    setup.double.stop_time();
    let update = update();
    let outcomes = join_all((0..8).map(|_| setup.send(&update))).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!((setup.notes(), setup.ticket().puts), (1, 1));
}

#[tokio::test]
async fn under_many_faults_every_update_gets_through_once() {
    let setup = Setup::new().await;
    setup.double.seed(7);
    for fault in [Fault::status(503), Fault::Drop, Fault::ApplyThenDrop, Fault::ApplyThenAnswer { status: 500 }] {
        setup.double.rate(0.08, fault);
    }
    for n in 1..=40 {
        setup.double.open(n);
        let update = desk_update(&parsed(&format!("ZD-{n}")), n);
        let mut calls = 0;
        while setup.send(&update).await.is_err() {
            calls += 1;
            assert!(calls < 100, "ticket {n} does not get through");
        }
        assert_eq!(setup.double.notes_with(n, update.decision_id.as_str()), 1, "ticket {n}");
    }
}

#[tokio::test]
async fn each_failure_has_its_kind_in_reading_and_in_writing() {
    let setup = Setup::new().await;
    setup.double.page_comments(1);
    let only_reading = [(Fault::status(409), ErrorKind::Conflict), (Fault::status(404), ErrorKind::Refused)];
    for (fault, kind) in common_faults().into_iter().chain(body_faults()).chain(only_reading) {
        setup.double.next(fault.clone());
        check_error(&setup.send(&update()).await.unwrap_err(), kind, &format!("reading: {fault:?}"));
    }
    for (fault, kind) in common_faults().into_iter().chain(body_faults()) {
        let setup = Setup::new().await;
        setup.double.next_write(fault.clone());
        check_error(&setup.send(&update()).await.unwrap_err(), kind, &format!("writing: {fault:?}"));
        assert!(setup.notes() <= 1);
    }
    setup.double.next_write(busy(429, 93));
    check_wish(&setup.send(&update()).await.unwrap_err(), 93);
}

#[tokio::test]
async fn lying_answers_lead_to_no_write() {
    let setup = Setup::new().await;
    for lie in [
        json!({"ticket": {"id": 4712, "updated_at": "2026-11-20T08:00:01Z", "tags": []}}),
        json!({"ticket": {"id": "4711", "updated_at": "2026-11-20T08:00:01Z", "tags": []}}),
        json!({"ticket": {"id": 4711, "updated_at": "words of the other side", "tags": []}}),
        json!({"ticket": {"id": 4711, "updated_at": "2026-11-20T08:00:01Z", "tags": "vip"}}),
        json!({"ticket": {"id": 4711, "tags": []}}),
        json!([]),
    ] {
        setup.double.next(Fault::Body(lie.to_string()));
        check_error(&setup.send(&update()).await.unwrap_err(), ErrorKind::BadAnswer, &lie.to_string());
    }
    assert_eq!(setup.ticket().puts, 0);
}

#[tokio::test]
async fn a_success_about_another_ticket_is_no_success() {
    let setup = Setup::new().await;
    setup.double.next_write(Fault::Body(json!({"ticket": {"id": 4712}}).to_string()));
    check_error(&setup.send(&update()).await.unwrap_err(), ErrorKind::BadAnswer, "another ticket");
}

#[tokio::test]
async fn a_list_of_comments_without_end_is_given_up() {
    let setup = Setup::new().await;
    setup.double.page_comments(1);
    let comment = ZendeskComment { body: "again".to_owned(), public: true };
    setup.double.change(TICKET, |ticket| ticket.comments = vec![comment; 60]);
    check_error(&setup.send(&update()).await.unwrap_err(), ErrorKind::BadAnswer, "60 pages");
    assert_eq!(setup.ticket().puts, 0);
}

#[tokio::test]
async fn what_cannot_succeed_is_refused_with_its_reason() {
    let setup = Setup::new().await;
    let reason = async |tenant: &Tenant, update: &DeskUpdate, kind| {
        let error = setup.desk.update(tenant, update).await.unwrap_err();
        check_error(&error, kind, "refusal");
        error.report()
    };
    let missing = DeskUpdate { ticket_id: parsed("ZD-1"), ..update() };
    let report = reason(&setup.tenant, &missing, ErrorKind::Refused).await;
    assert_eq!(report, "zendesk ticket 1 does not exist, or our agent may not see it");
    for id in ["4711", "ZD-x", "ZD-99999999999999999999"] {
        let foreign = DeskUpdate { ticket_id: parsed(id), ..update() };
        let report = reason(&setup.tenant, &foreign, ErrorKind::Invalid).await;
        assert!(report.contains("must be `ZD-` and a number"), "{report}");
    }
    let wrong_group = tenant(&setup.double.url(), 33);
    let report = reason(&wrong_group, &update(), ErrorKind::Refused).await;
    assert!(report.contains("calls it RecordInvalid"), "{report}");
    let nobody = DeskUpdate { team: parsed("nobody"), ..update() };
    let report = reason(&setup.tenant, &nobody, ErrorKind::Invalid).await;
    assert!(report.contains("team `nobody`"), "{report}");
    setup.double.change(TICKET, |ticket| ticket.is_closed = true);
    let report = reason(&setup.tenant, &update(), ErrorKind::Refused).await;
    assert!(report.contains("may be closed"), "{report}");
    assert_eq!(setup.notes(), 0);
}

#[tokio::test]
async fn wrong_and_missing_credentials_are_named() {
    let setup = Setup::new().await;
    for (value, kind) in [
        (None, ErrorKind::Invalid),
        (Some(""), ErrorKind::Invalid),
        (Some("s3cr3t-of-the-test\n"), ErrorKind::Refused),
        (Some("wrong"), ErrorKind::Refused),
    ] {
        let secrets = value.map(|value| MapSecrets::new().with("token", value)).unwrap_or_default();
        let desk = ZendeskDesk::new(outbound(&[&setup.double]), Arc::new(secrets));
        let error = desk.update(&setup.tenant, &update()).await.unwrap_err();
        check_error(&error, kind, "credentials");
        assert!(error.report().contains("secret `token`"), "{}", error.report());
    }
}
