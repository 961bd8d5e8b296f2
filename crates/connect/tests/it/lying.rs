//! Other systems that lie, at the level of bytes: whatever they send, the call ends in time with an error of the right kind,
//! or with what was really said, and it is right about whether something may have happened.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use switchboard_connect::{HttpCustomers, HttpStatus, Outbound, WebhookDesk, ZendeskDesk, outbound::Request};
use switchboard_core::{
    error::{Error, ErrorKind, Result, Retry},
    ports::{CustomerDirectory, Desk, ServiceStatus},
    tenants::Tenant,
};
use switchboard_testkit::{
    contracts::desk::desk_update,
    doubles::{
        Fault, RawServer, ZendeskDouble,
        raw::Step::{self, Hang, Repeat, Reset, Send},
    },
    sample::{parsed, tenant_with},
    world::FixedClock,
};

use crate::{
    common::{SECRET, check_error, secrets},
    webhook, zendesk,
};

const NO_PAUSE: Duration = Duration::ZERO;

struct Lie {
    name: &'static str,
    steps: Vec<Step>,
    /// What becomes of a call that reads the body.
    read: ErrorKind,
    /// Whether one that does not read it takes it for a success: the head is a good one.
    head_is_good: bool,
}

fn lie(name: &'static str, steps: Vec<Step>, read: ErrorKind, head_is_good: bool) -> Lie {
    Lie { name, steps, read, head_is_good }
}

fn with_body(headers: &str, body: &[u8]) -> Vec<Step> {
    vec![
        Step::text(&format!("HTTP/1.1 200 OK\r\n{headers}content-length: {}\r\n\r\n", body.len())),
        Send(body.to_vec()),
    ]
}

fn lies() -> Vec<Lie> {
    use ErrorKind::{BadAnswer, Unavailable};
    let page = b"<html>words of the other side</html>";
    let long = |bytes: usize| vec![b' '; bytes];
    vec![
        lie("a page instead of JSON", with_body("content-type: text/html\r\n", page), BadAnswer, true),
        lie("a page that claims to be JSON", with_body("content-type: application/json\r\n", page), BadAnswer, true),
        lie("an error with a success", with_body("", br#"{"error":"words of the other side"}"#), BadAnswer, true),
        lie("an error in a list", with_body("", br#"[{"error":"words of the other side"}]"#), BadAnswer, true),
        lie("null", with_body("", b"null"), BadAnswer, true),
        lie("nothing", vec![Step::text("HTTP/1.1 204 No Content\r\n\r\n")], BadAnswer, true),
        lie("cut UTF-8", with_body("", b"{\"customer_id\":\"C-1\",\"x\":\"\xf0\x9f\x92\"}"), BadAnswer, true),
        lie("a lone surrogate", with_body("", br#"{"customer_id":"\ud83d"}"#), BadAnswer, true),
        lie("deep nesting", with_body("", "[{\"a\":".repeat(50_000).as_bytes()), BadAnswer, true),
        lie(
            "compressed all the same",
            with_body("content-encoding: gzip\r\n", b"\x1f\x8b\x08\x00\0\0\0\0"),
            BadAnswer,
            true,
        ),
        lie("10 MB", with_body("", &long(10 << 20)), BadAnswer, true),
        lie(
            "10 MB, not announced",
            vec![
                Step::text("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
                Repeat {
                    bytes: [b"4000\r\n".to_vec(), long(0x4000), b"\r\n".to_vec()].concat(),
                    times: 640,
                    every: NO_PAUSE,
                },
            ],
            BadAnswer,
            true,
        ),
        lie(
            "18 exabytes announced",
            vec![Step::text("HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551613\r\n\r\n{}"), Hang],
            BadAnswer,
            true,
        ),
        lie(
            "half a JSON, then closed",
            vec![Step::text("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"customer_id\":\"C-")],
            Unavailable,
            true,
        ),
        lie(
            "half a JSON, then reset",
            vec![Step::text("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"customer_id\":\"C-"), Reset],
            Unavailable,
            // The reset may overtake the head.
            false,
        ),
        lie(
            "a chunk that is none",
            vec![Step::text("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n")],
            Unavailable,
            true,
        ),
        lie(
            "a chunk of all the world",
            vec![Step::text("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}")],
            Unavailable,
            true,
        ),
        lie(
            "chunks without an end",
            vec![Step::text("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n")],
            Unavailable,
            true,
        ),
        lie(
            "two lengths",
            vec![Step::text("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 5\r\n\r\n{}")],
            Unavailable,
            false,
        ),
        lie(
            "a length that is none",
            vec![Step::text("HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n{}")],
            Unavailable,
            false,
        ),
        lie("another protocol", vec![Step::text("SSH-2.0-OpenSSH_9.9\r\n")], Unavailable, false),
        lie("a status that is none", vec![Step::text("HTTP/1.1 2OO OK\r\n\r\n")], Unavailable, false),
        lie("a header without a name", vec![Step::text("HTTP/1.1 200 OK\r\n: x\r\n\r\n")], Unavailable, false),
        lie("a zero in a header", vec![Step::text("HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n")], Unavailable, false),
        lie(
            "10,000 headers",
            vec![
                Step::text("HTTP/1.1 200 OK\r\n"),
                Repeat { bytes: b"x: y\r\n".to_vec(), times: 10_000, every: NO_PAUSE },
                Step::text("\r\n{}"),
            ],
            Unavailable,
            false,
        ),
        lie(
            "a header of 10 MB",
            vec![Step::text("HTTP/1.1 200 OK\r\nx: "), Repeat { bytes: long(1 << 14), times: 640, every: NO_PAUSE }],
            Unavailable,
            false,
        ),
        lie("an upgrade", vec![Step::text("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n")], BadAnswer, false),
        lie(
            "provisional answers and no end",
            vec![Repeat { bytes: b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec(), times: 50_000, every: NO_PAUSE }],
            Unavailable,
            false,
        ),
        lie("closed at once", vec![], Unavailable, false),
        lie("reset at once", vec![Reset], Unavailable, false),
    ]
}

fn client(server: &RawServer) -> Arc<Outbound> {
    let policy = switchboard_connect::OutboundPolicy { allow_hosts: vec![server.host()] };
    Arc::new(Outbound::new(policy).unwrap())
}

fn tenant(server: &RawServer) -> Tenant {
    tenant_with(|config| {
        config["customers"] = json!({"kind": "http", "url": server.url(), "token": "token"});
        config["service_status"] = json!({"kind": "http", "url": server.url(), "token": "token"});
        config["desk"] = json!({"kind": "webhook", "url": server.url(), "secret": "token"});
    })
}

#[track_caller]
fn expect_lie<T>(outcome: Result<T>, lie: &Lie, kinds: &[ErrorKind], maybe: bool, who: &str) {
    let what = format!("{who}: {}", lie.name);
    let Err(error) = outcome else { panic!("{what}: taken for good") };
    assert!(kinds.contains(&error.kind()), "{what}: {:?} {}", error.kind(), error.report());
    check_error(&error, error.kind(), &what);
    assert_eq!(error.may_have_applied(), maybe, "{what}: {}", error.report());
}

#[tokio::test]
async fn sources_that_lie_are_caught() {
    for lie in lies() {
        let server = RawServer::start().await;
        server.answer(lie.steps.clone());
        let (tenant, clock) = (tenant(&server), Arc::new(FixedClock::new()));
        let customers = HttpCustomers::new(client(&server), secrets(), clock.clone());
        let status = HttpStatus::new(client(&server), secrets(), clock);
        let customer = customers.customer(&tenant, &parsed("C-1")).await;
        expect_lie(customer, &lie, &[lie.read], false, "customers");
        // Asking by POST changes nothing either, but that is the source's word.
        expect_lie(status.status(&tenant, &[parsed("SVC1")]).await, &lie, &[lie.read], true, "status");
        assert_eq!(server.requests(), 2, "{}: one request each", lie.name);
    }
}

#[tokio::test]
async fn a_receiver_that_lies_has_perhaps_acted() {
    for lie in lies() {
        let server = RawServer::start().await;
        server.answer(lie.steps.clone());
        let desk = WebhookDesk::new(client(&server), secrets(), Arc::new(FixedClock::new()));
        let outcome = desk.update(&tenant(&server), &desk_update(&parsed("T-1"), 1)).await;
        match outcome {
            // The head came whole, and 2xx is all that a web hook asks for.
            Ok(_) => assert!(lie.head_is_good || lie.name.contains("reset"), "{}", lie.name),
            outcome => {
                assert!(!lie.head_is_good, "{}: a success is one whatever its body", lie.name);
                expect_lie(outcome, &lie, &[ErrorKind::Unavailable, ErrorKind::BadAnswer], true, "web hook");
            }
        }
        assert_eq!(server.requests(), 1, "{}: no repetition of its own", lie.name);
    }
}

#[tokio::test]
async fn a_zendesk_that_lies_is_not_written_to() {
    for lie in lies() {
        let server = RawServer::start().await;
        server.answer(lie.steps.clone());
        let desk = ZendeskDesk::new(client(&server), secrets());
        let tenant = zendesk::tenant(&server.url(), 22);
        // The look comes first, so nothing can have happened.
        let outcome = desk.update(&tenant, &zendesk::update()).await;
        expect_lie(outcome, &lie, &[lie.read], false, "zendesk");
        assert_eq!(server.requests(), 1, "{}", lie.name);
    }
}

#[tokio::test]
async fn whatever_drips_or_hangs_ends_in_time() {
    let drip = |bytes: &[u8]| Repeat { bytes: bytes.to_vec(), times: usize::MAX, every: Duration::from_millis(20) };
    let head = || Step::text("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n");
    for (name, steps) in [
        ("silence", vec![Hang]),
        ("a head byte by byte", vec![Step::text("HTTP/1.1 200 OK\r\nx: "), drip(b"x")]),
        ("a body byte by byte", vec![head(), drip(b" ")]),
        ("a body that stops", vec![head(), Step::text("{"), Hang]),
        ("provisional answers, one by one", vec![drip(b"HTTP/1.1 102 Processing\r\n\r\n")]),
        ("a redirect that never ends", vec![Step::text("HTTP/1.1 302 Found\r\n"), drip(b"x: y\r\n")]),
    ] {
        let server = RawServer::start().await;
        server.answer(steps);
        for (method, maybe) in [(reqwest::Method::GET, false), (reqwest::Method::POST, true)] {
            let request = Request {
                method,
                url: server.url().parse().unwrap(),
                who: "the source",
                credential: None,
                headers: Vec::new(),
                body: Some(b"{}".to_vec()),
                reads_body: true,
                time: Duration::from_millis(200),
            };
            // A limit of the test's own, far above: without the client's limit this would never end.
            let sent = tokio::time::timeout(Duration::from_secs(20), client(&server).send(request)).await.expect(name);
            let error = sent.err().unwrap();
            check_error(&error, ErrorKind::Timeout, name);
            assert_eq!(error.may_have_applied(), maybe, "{name}");
        }
    }
}

#[tokio::test]
async fn tls_that_is_none_gets_no_request() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    for greeting in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"[..],
        b"\x15\x03\x01\0\x02\x02\x28",
        b"\x16\x03\x03\xff\xff rubbish",
        b"",
    ] {
        let listening = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listening.local_addr().unwrap().to_string();
        let heard = tokio::spawn(async move {
            let (mut stream, _) = listening.accept().await.unwrap();
            let _ = stream.write_all(greeting).await;
            let _ = stream.shutdown().await;
            let mut heard = Vec::new();
            let _ = stream.read_to_end(&mut heard).await;
            heard
        });
        let tenant = tenant_with(|config| {
            config["desk"] = json!({"kind": "webhook", "url": format!("https://{host}/"), "secret": "token"});
        });
        let policy = switchboard_connect::OutboundPolicy { allow_hosts: vec![host] };
        let desk = WebhookDesk::new(Arc::new(Outbound::new(policy).unwrap()), secrets(), Arc::new(FixedClock::new()));
        let error = desk.update(&tenant, &desk_update(&parsed("T-1"), 1)).await.unwrap_err();
        check_error(&error, ErrorKind::Unavailable, "no TLS");
        assert!(!error.may_have_applied(), "{}", error.report());
        let heard = String::from_utf8_lossy(&heard.await.unwrap()).into_owned();
        assert!(!heard.contains("POST") && !heard.contains("webhook-signature"), "{heard}");
    }
}

#[tokio::test]
async fn a_wish_is_read_however_it_is_written() {
    let after = |seconds| Retry::After(Duration::from_secs(seconds));
    let setup = webhook::Setup::new().await;
    for (header, expected) in [
        (None, Retry::Later),
        (Some("0"), after(0)),
        (Some("93"), after(93)),
        (Some("99999999999999999999"), after(86_400)),
        (Some("-5"), Retry::Later),
        (Some("soon"), Retry::Later),
        (Some("1e9"), Retry::Later),
        // The answer's own date is today's, long after this one, and long before the other.
        (Some("Sun, 06 Nov 1994 08:49:37 GMT"), after(0)),
        (Some("Fri, 31 Dec 2999 23:59:59 GMT"), after(86_400)),
    ] {
        setup.double.next(Fault::Answer { status: 429, retry_after: header.map(str::to_owned) });
        let error = setup.send(&desk_update(&parsed("T-1"), 1)).await.unwrap_err();
        check_error(&error, ErrorKind::Throttled, "429");
        assert_eq!((error.retry(), error.may_have_applied()), (expected, false), "{header:?}");
    }
}

#[tokio::test]
async fn what_may_have_happened_is_told_apart() {
    let setup = webhook::Setup::new().await;
    for (fault, maybe) in [
        (Fault::status(400), false),
        (Fault::status(401), false),
        (Fault::status(404), false),
        (Fault::status(422), false),
        (Fault::status(429), false),
        (Fault::status(408), true),
        (Fault::status(409), true),
        (Fault::status(500), true),
        (Fault::status(503), true),
        (Fault::ApplyThenAnswer { status: 500 }, true),
        (Fault::Drop, true),
        (Fault::ApplyThenDrop, true),
        (Fault::Redirect { to: "http://127.0.0.1:9/".to_owned() }, true),
    ] {
        setup.double.next(fault.clone());
        let error: Error = setup.send(&desk_update(&parsed("T-1"), 1)).await.unwrap_err();
        assert_eq!(error.may_have_applied(), maybe, "{fault:?}: {}", error.report());
    }
    assert!(setup.double.effects().len() <= 1);
}

#[tokio::test]
async fn a_zendesk_that_says_yes_and_does_nothing_is_caught() {
    let setup = zendesk::Setup::new().await;
    for body in [
        r#"{"ticket":{"id":4711}}"#,
        r#"{"ticket":{"id":4711},"audit":{"events":[{"type":"Comment","body":"Hello"}]}}"#,
    ] {
        setup.double.next_write(Fault::Body(body.to_owned()));
        let error = setup.send(&zendesk::update()).await.unwrap_err();
        check_error(&error, ErrorKind::BadAnswer, body);
        assert!(error.may_have_applied());
        assert_eq!(setup.notes(), 0);
    }
    setup.send(&zendesk::update()).await.unwrap();
    assert_eq!(setup.notes(), 1);
}

#[tokio::test]
async fn a_zendesk_that_answers_for_another_ticket_is_caught_before_and_after_the_write() {
    let setup = zendesk::Setup::new().await;
    let other = r#"{"ticket":{"id":1,"updated_at":"2026-11-20T08:00:00Z","tags":[]}}"#;
    setup.double.next(Fault::Body(other.to_owned()));
    let error = setup.send(&zendesk::update()).await.unwrap_err();
    check_error(&error, ErrorKind::BadAnswer, "read");
    assert!(!error.may_have_applied());
    setup.double.next_write(Fault::Body(other.to_owned()));
    let error = setup.send(&zendesk::update()).await.unwrap_err();
    check_error(&error, ErrorKind::BadAnswer, "write");
    assert!(error.may_have_applied());
}

/// A read that is older than the last write would lead to a write over what others did; it is refused by its stamp.
#[tokio::test]
async fn a_zendesk_that_reads_stale_is_not_written_over() {
    let double = ZendeskDouble::start(zendesk::EMAIL, SECRET, &[11, 22]).await;
    double.open(4711);
    let desk = ZendeskDesk::new(crate::common::outbound(&[&double]), secrets());
    let tenant = zendesk::tenant(&double.url(), 22);
    for n in 0..3 {
        double.before_write(move |ticket| ticket.tags.push(format!("other_{n}")));
    }
    let error = desk.update(&tenant, &zendesk::update()).await.unwrap_err();
    check_error(&error, ErrorKind::Unavailable, "stale");
    assert!(!error.may_have_applied());
    desk.update(&tenant, &zendesk::update()).await.unwrap();
    let tags = double.ticket(4711).tags;
    assert!((0..3).all(|n| tags.contains(&format!("other_{n}"))), "{tags:?}");
}
