//! What the doctor finds: nothing where all is as it should be, and each thing that was taken away.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, PointInTimeRecoverySpecification, ScalarAttributeType,
    TimeToLiveSpecification,
};
use aws_sdk_sqs::types::QueueAttributeName;
use axum::{Router, http::StatusCode};
use switchboard_aws::{
    Clients, Settings,
    doctor::{Finding, Severity, doctor},
};
use switchboard_core::time::Timestamp;
use switchboard_testkit::world::FixedClock;

use crate::{
    emulator,
    infrastructure::{deployed, queue},
};

/// A clock that is right, but for so many seconds.
#[expect(clippy::disallowed_methods, reason = "the emulator has the machine's time")]
fn clock(off: i64) -> FixedClock {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let clock = FixedClock::new();
    clock.jump(Timestamp::from_millis(i64::try_from(now.as_millis()).unwrap() + off * 1_000));
    clock
}

async fn examined(clients: &Clients) -> Vec<Finding> {
    doctor(clients, &clock(0)).await
}

fn told(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn only(findings: &[Finding], subject: &str, missing: &str) {
    let [finding] = findings else { panic!("one finding about {subject}, not {:#?}", told(findings)) };
    assert!(finding.subject.contains(subject) && finding.missing.contains(missing), "{finding}");
    assert!(!finding.remedy.is_empty(), "{finding}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_where_all_is_as_it_should_be() {
    let clients = deployed().await;
    assert_eq!(told(&examined(&clients).await), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_off() {
    let clients = deployed().await;
    for (off, severity) in [(-45, Severity::Warning), (45, Severity::Warning), (400, Severity::Problem)] {
        let findings = doctor(&clients, &clock(off)).await;
        only(&findings, "clock", "differs");
        assert_eq!(findings[0].severity, severity);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_from_the_tables() {
    let clients = deployed().await;
    let table = |name: &str| clients.names.table(name);

    let off = PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(false).build().unwrap();
    let request = clients.dynamo.update_continuous_backups().table_name(table("keys"));
    request.point_in_time_recovery_specification(off).send().await.unwrap();
    let off = TimeToLiveSpecification::builder().enabled(false).attribute_name("ttl").build().unwrap();
    clients
        .dynamo
        .update_time_to_live()
        .table_name(table("events"))
        .time_to_live_specification(off)
        .send()
        .await
        .unwrap();
    clients.dynamo.delete_table().table_name(table("audit")).send().await.unwrap();
    // Others in their place: without indexes and stream, with another key.
    for (name, hash, range) in [("tickets", "ticket_id", Some("timestamp")), ("customers", "id", None)] {
        clients.dynamo.delete_table().table_name(table(name)).send().await.unwrap();
        make(&clients, &table(name), hash, range).await;
    }

    let seen = told(&examined(&clients).await).join("\n");
    for expected in [
        "keys: no point-in-time recovery",
        "events: nothing is ever deleted",
        "audit: is not there",
        "tickets: index `by_time` is not there",
        "tickets: index `by_review` is not there",
        "tickets: its changes are not streamed",
        "customers: its keys are not `customer`",
    ] {
        assert!(seen.contains(expected), "{expected} is not in\n{seen}");
    }
    for fine in ["meta", "examples", "effects", "bucket", "bus", "queue", "secrets", "clock"] {
        assert!(!seen.contains(&format!("-{fine}:")) && !seen.contains(&format!("{fine} ")), "{fine} is in\n{seen}");
    }
}

async fn make(clients: &Clients, name: &str, hash: &str, range: Option<&str>) {
    let mut request = clients.dynamo.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
    for (key, kind) in [(Some(hash), KeyType::Hash), (range, KeyType::Range)] {
        let Some(key) = key else { continue };
        let attribute = AttributeDefinition::builder().attribute_name(key).attribute_type(ScalarAttributeType::S);
        request = request
            .attribute_definitions(attribute.build().unwrap())
            .key_schema(KeySchemaElement::builder().attribute_name(key).key_type(kind).build().unwrap());
    }
    request.send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_a_bus_and_a_queue_that_are_not_there() {
    let clients = deployed().await;
    let mut others = clients.clone();
    others.names.bucket = format!("{}-other", clients.names.prefix);
    only(&examined(&others).await, &others.names.bucket, "is not there");

    let mut others = clients.clone();
    others.names.jobs_queue = None;
    only(&examined(&others).await, "queue of jobs", "none is named");
    let url = clients.names.jobs_queue.as_ref().unwrap().as_str().replace("-jobs", "-other");
    others.names.jobs_queue = Some(url.parse().unwrap());
    only(&examined(&others).await, "-other", "is not there");

    let mut others = clients.clone();
    others.names.bus = format!("{}-other", clients.names.prefix);
    let seen = told(&examined(&others).await).join("\n");
    assert!(seen.contains(&format!("bus {}: is not there", others.names.bus)), "{seen}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_without_its_rule_and_one_without_its_dead_letters() {
    let clients = deployed().await;
    let prefix = &clients.names.prefix;
    let dead_url = clients.names.jobs_queue.as_ref().unwrap().as_str().replace("-jobs", "-jobs-dead");
    let asked = clients.sqs.get_queue_attributes().queue_url(&dead_url).attribute_names(QueueAttributeName::QueueArn);
    let dead = asked.send().await.unwrap().attributes.unwrap()[&QueueAttributeName::QueueArn].clone();
    let (url, _) = queue(&clients, &format!("{prefix}-unruled"), Some(&dead)).await;
    let mut others = clients.clone();
    others.names.jobs_queue = Some(url.parse().unwrap());
    only(&examined(&others).await, "-unruled", "no rule brings it events");

    let (url, _) = queue(&clients, &format!("{prefix}-undead"), None).await;
    others.names.jobs_queue = Some(url.parse().unwrap());
    let seen = told(&examined(&others).await).join("\n");
    assert!(seen.contains("no queue takes what fails again and again"), "{seen}");

    clients.sqs.delete_queue().queue_url(dead_url).send().await.unwrap();
    let seen = told(&examined(&clients).await).join("\n");
    assert!(seen.contains("its queue of dead letters") && seen.contains("is not there"), "{seen}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aws_that_does_not_answer_is_told_once() {
    let nobody = Settings { endpoint: Some("http://127.0.0.1:9/".parse().unwrap()), ..emulator::settings("nobody") };
    only(&examined(&Clients::new(&nobody).await).await, "AWS", "does not answer");
}

/// An AWS that answers each call with this code.
async fn answering(code: &'static str) -> Vec<Finding> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/", listener.local_addr().unwrap());
    let refusal =
        (StatusCode::FORBIDDEN, [("x-amzn-errortype", code)], format!(r#"{{"__type":"{code}","message":"no"}}"#));
    let api = Router::new().fallback(async move || refusal.clone());
    let server = tokio::spawn(async move { axum::serve(listener, api).await });
    let mut settings = emulator::settings("refused");
    settings.names.jobs_queue = Some(format!("{endpoint}000000000000/refused-jobs").parse().unwrap());
    settings.endpoint = Some(endpoint.parse().unwrap());
    let findings = examined(&Clients::new(&settings).await).await;
    server.abort();
    findings
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_that_reach_nothing_and_such_that_are_none() {
    let seen = told(&answering("AccessDeniedException").await);
    for action in [
        "dynamodb:DescribeTable",
        "s3:ListBucket",
        "secretsmanager:GetSecretValue",
        "events:DescribeEventBus",
        "sqs:GetQueueAttributes",
    ] {
        assert!(seen.iter().any(|finding| finding.contains(&format!("allow `{action}`"))), "{action}: {seen:#?}");
    }
    only(&answering("UnrecognizedClientException").await, "credentials", "does not accept");
}
