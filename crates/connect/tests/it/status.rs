use std::{sync::Arc, time::Duration};

use serde_json::json;
use switchboard_connect::HttpStatus;
use switchboard_core::{
    error::{ErrorKind, Result},
    ports::{Outage, ServiceStatus, StatusReport},
    tenants::Tenant,
};
use switchboard_testkit::{
    doubles::{Fault, StatusDouble},
    sample::{parsed, tenant_with},
    world::FixedClock,
};

use crate::common::{SECRET, body_faults, busy, check_error, check_wish, common_faults, outbound, secrets};

struct Setup {
    double: StatusDouble,
    status: HttpStatus,
    tenant: Tenant,
    clock: Arc<FixedClock>,
}

impl Setup {
    async fn new() -> Self {
        let double = StatusDouble::start().await;
        let clock = Arc::new(FixedClock::new());
        let status = HttpStatus::new(outbound(&[&double]), secrets(), clock.clone());
        let tenant = tenant_with(|config| {
            config["service_status"] = json!({"kind": "http", "url": double.url(), "token": "token"});
        });
        Self { double, status, tenant, clock }
    }

    async fn ask(&self, services: &[&str]) -> Result<StatusReport> {
        let services: Vec<_> = services.iter().map(|service| parsed(service)).collect();
        self.status.status(&self.tenant, &services).await
    }
}

#[tokio::test]
async fn outages_of_the_services_asked_for_are_told() {
    let setup = Setup::new().await;
    setup.double.require_token(SECRET);
    setup.double.outage("INC-1", &["SVC1", "SVC9"], "fibre cut");
    setup.double.outage("INC-2", &["SVC2"], "");
    let report = setup.ask(&["SVC1", "SVC3"]).await.unwrap();
    let outage = Outage {
        id: "INC-1".to_owned(),
        service_ids: vec![parsed("SVC1"), parsed("SVC9")],
        title: "fibre cut".to_owned(),
    };
    assert_eq!(report.outages, [outage]);
    assert_eq!(report.overall_health, "outage");
    assert_eq!(setup.ask(&["SVC3"]).await.unwrap().overall_health, "healthy");
}

#[tokio::test]
async fn no_services_need_no_call_and_too_many_get_none() {
    let setup = Setup::new().await;
    let report = setup.ask(&[]).await.unwrap();
    assert_eq!((report.outages.len(), report.overall_health.as_str()), (0, "healthy"));
    check_error(&setup.ask(&["SVC"; 21]).await.unwrap_err(), ErrorKind::Invalid, "21 services");
    assert_eq!(setup.double.requests(), 0);
}

#[tokio::test]
async fn what_was_not_asked_for_is_left_out_and_words_are_cut() {
    let setup = Setup::new().await;
    setup.double.lie(json!({
        "outages": [
            {"id": "INC-1", "service_ids": ["SVC1"], "title": "x\u{1b}[2J".repeat(1_000)},
            {"id": "INC-2", "service_ids": ["SVC2"]},
            {"id": "INC-3", "service_ids": []},
        ],
        "known_issues": [{"id": "KI-1", "service_ids": ["SVC2"]}, {"id": "KI-2", "service_ids": ["SVC2", "SVC1"]}],
        "overall_health": "h".repeat(1_000),
        "mood": "fine",
    }));
    let report = setup.ask(&["SVC1"]).await.unwrap();
    let ids = |outages: &[Outage]| outages.iter().map(|outage| outage.id.clone()).collect::<Vec<_>>();
    assert_eq!((ids(&report.outages), ids(&report.known_issues)), (vec!["INC-1".to_owned()], vec!["KI-2".to_owned()]));
    let title = &report.outages[0].title;
    assert!(title.chars().count() == 200 && !title.contains('\u{1b}'), "{title:?}");
    assert_eq!(report.overall_health.len(), 64);
}

#[tokio::test]
async fn lies_are_bad_answers() {
    let outage = |id: &str, service: &str| json!({"outages": [{"id": id, "service_ids": [service]}]});
    for lie in [
        outage("", "SVC1"),
        outage(&"x".repeat(65), "SVC1"),
        outage("words of the other side", "SVC1"),
        outage("INC\n1", "SVC1"),
        outage("INC-1", "words of the other side"),
        json!({"outages": [{"id": 1, "service_ids": ["SVC1"]}]}),
        json!({"outages": [{"id": "INC-1"}]}),
        json!({"outages": {"id": "INC-1", "service_ids": ["SVC1"]}}),
        json!({"overall_health": 1}),
        json!([1]),
    ] {
        let setup = Setup::new().await;
        setup.double.lie(lie.clone());
        check_error(&setup.ask(&["SVC1"]).await.unwrap_err(), ErrorKind::BadAnswer, &lie.to_string());
    }
}

#[tokio::test]
async fn each_failure_has_its_kind() {
    for (fault, kind) in common_faults().into_iter().chain(body_faults()) {
        let setup = Setup::new().await;
        setup.double.next(fault.clone());
        check_error(&setup.ask(&["SVC1"]).await.unwrap_err(), kind, &format!("{fault:?}"));
        assert!(setup.ask(&["SVC1"]).await.is_ok(), "after {fault:?}");
    }
    let setup = Setup::new().await;
    setup.double.next(busy(503, 93));
    check_wish(&setup.ask(&["SVC1"]).await.unwrap_err(), 93);
}

#[tokio::test]
async fn a_dead_source_is_left_alone_for_a_while() {
    let setup = Setup::new().await;
    setup.double.rate(1.0, Fault::Garbage);
    for _ in 0..20 {
        assert!(setup.ask(&["SVC1"]).await.is_err());
    }
    assert_eq!(setup.double.requests(), 5);
    setup.double.heal();
    setup.clock.advance(Duration::from_secs(10));
    assert!(setup.ask(&["SVC1"]).await.is_ok());
    assert!(setup.ask(&["SVC1"]).await.is_ok());
}
