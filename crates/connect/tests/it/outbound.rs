use std::time::Duration;

use serde_json::json;
use switchboard_connect::{
    Outbound, OutboundPolicy,
    outbound::{Answer, Opened, Request, StreamLimits},
};
use switchboard_core::error::{Error, ErrorKind};
use switchboard_testkit::doubles::{CustomerDouble, Fault};

use crate::common::{check_error, outbound};

async fn get(outbound: &Outbound, url: &str) -> Result<Answer, Error> {
    let request = Request {
        method: reqwest::Method::GET,
        url: url.parse().unwrap(),
        who: "the source",
        credential: None,
        headers: Vec::new(),
        body: None,
        reads_body: true,
        time: Duration::from_millis(300),
    };
    outbound.send(request).await
}

async fn refused(outbound: &Outbound, url: &str, host: &str) {
    let error = get(outbound, url).await.err().unwrap_or_else(|| panic!("{url} was called"));
    check_error(&error, ErrorKind::Invalid, url);
    let report = error.report();
    assert!(report.contains("outbound.allow_hosts") && report.contains(&format!("`{host}`")), "{report}");
}

#[tokio::test]
async fn the_operators_own_network_is_out_of_reach() {
    let double = CustomerDouble::start().await;
    let outbound = Outbound::new(OutboundPolicy::default()).unwrap();
    let port = double.host().rsplit_once(':').unwrap().1.to_owned();
    for (host, canonical) in [
        ("127.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("①②⑦.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "0.0.0.0"),
        ("169.254.169.254", "169.254.169.254"),
        ("[::1]", "[::1]"),
        ("[::ffff:127.0.0.1]", "[::ffff:7f00:1]"),
        ("[64:ff9b::7f00:1]", "[64:ff9b::7f00:1]"),
        // This one gets to the resolver.
        ("LOCALHOST", "localhost"),
    ] {
        refused(&outbound, &format!("https://{host}:{port}/customers/1"), canonical).await;
    }
    assert_eq!(double.connections(), 0);
}

#[tokio::test]
async fn plain_http_is_for_the_operators_own_hosts() {
    let outbound = Outbound::new(OutboundPolicy::default()).unwrap();
    refused(&outbound, "http://example.com/", "example.com").await;
    let error = get(&outbound, "ftp://example.com/").await.err().unwrap();
    check_error(&error, ErrorKind::Invalid, "ftp");
}

#[tokio::test]
async fn an_allowed_host_is_reached_and_only_at_its_port() {
    let (allowed, other) = (CustomerDouble::start().await, CustomerDouble::start().await);
    allowed.put("1", json!(7));
    let outbound = outbound(&[&allowed]);
    let answer = get(&outbound, &format!("{}/customers/1", allowed.url())).await.unwrap();
    assert_eq!(answer.success().unwrap().json::<u64>().unwrap(), 7);
    refused(&outbound, &format!("{}/customers/1", other.url()), "127.0.0.1").await;
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn an_allowed_name_is_reached_at_a_private_address() {
    let double = CustomerDouble::start().await;
    let outbound = Outbound::new(OutboundPolicy { allow_hosts: vec!["localhost".to_owned()] }).unwrap();
    let port = double.host().rsplit_once(':').unwrap().1.to_owned();
    let answer = get(&outbound, &format!("http://localhost:{port}/customers/1")).await.unwrap();
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (double, target) = (CustomerDouble::start().await, CustomerDouble::start().await);
    let outbound = outbound(&[&double, &target]);
    double.next(Fault::Redirect { to: format!("{}/customers/1", target.url()) });
    let error = get(&outbound, &format!("{}/customers/1", double.url())).await.err().unwrap();
    check_error(&error, ErrorKind::BadAnswer, "redirect");
    assert_eq!(target.requests(), 0);
}

#[tokio::test]
async fn time_runs_out_for_slow_answers_and_slow_bodies() {
    let double = CustomerDouble::start().await;
    let outbound = outbound(&[&double]);
    let url = format!("{}/customers/1", double.url());
    for fault in [Fault::Delay(Duration::from_secs(60)), Fault::Drip { every: Duration::from_millis(10) }] {
        double.next(fault.clone());
        let error = get(&outbound, &url).await.err().unwrap();
        check_error(&error, ErrorKind::Timeout, &format!("{fault:?}"));
    }
}

#[tokio::test]
async fn the_body_is_read_up_to_the_limit() {
    let double = CustomerDouble::start().await;
    let outbound = outbound(&[&double]);
    let url = format!("{}/customers/1", double.url());
    for (bytes, is_read) in [(900 * 1024, true), (1024 * 1024, false), (1024 * 1024 * 1024, false)] {
        double.next(Fault::Oversized { bytes });
        match get(&outbound, &url).await {
            Ok(_) => assert!(is_read, "{bytes} bytes were read"),
            Err(error) if !is_read => check_error(&error, ErrorKind::BadAnswer, "oversized"),
            Err(error) => panic!("{bytes}: {}", error.report()),
        }
    }
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let outbound = Outbound::new(OutboundPolicy { allow_hosts: vec![free.to_string()] }).unwrap();
    let error = get(&outbound, &format!("http://{free}/?key=1")).await.err().unwrap();
    check_error(&error, ErrorKind::Unavailable, "gone");
    assert_eq!(error.report(), "the source at `127.0.0.1` cannot be reached: connection refused");
}

#[tokio::test]
async fn tls_that_fails_is_unavailable() {
    let double = CustomerDouble::start().await;
    let outbound = outbound(&[&double]);
    let error = get(&outbound, &format!("https://{}/?key=1", double.host())).await.err().unwrap();
    check_error(&error, ErrorKind::Unavailable, "tls");
    assert_eq!(error.report(), "the source at `127.0.0.1` cannot be reached: the TLS handshake failed");
}

#[tokio::test]
async fn an_unknown_name_is_unavailable() {
    let outbound = Outbound::new(OutboundPolicy::default()).unwrap();
    let error = get(&outbound, "https://no-such-host.invalid/?key=1").await.err().unwrap();
    assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout), "{}", error.report());
}

#[tokio::test]
async fn connections_are_reused() {
    let double = CustomerDouble::start().await;
    let outbound = outbound(&[&double]);
    for _ in 0..10 {
        get(&outbound, &format!("{}/customers/1", double.url())).await.unwrap();
    }
    assert_eq!((double.requests(), double.connections()), (10, 1));
}

/// Opens the answer and reads it to its end: the bytes, or why it ended before.
async fn open(outbound: &Outbound, url: &str, (bytes, idle, whole): (usize, u64, u64)) -> (usize, Option<Error>) {
    let request = Request {
        method: reqwest::Method::GET,
        url: url.parse().unwrap(),
        who: "the source",
        credential: None,
        headers: Vec::new(),
        body: None,
        reads_body: true,
        time: Duration::from_millis(whole),
    };
    let limits = StreamLimits { bytes, idle: Duration::from_millis(idle) };
    let mut body = match outbound.open(request, limits).await {
        Ok(Opened::Streamed(body)) => body,
        Ok(Opened::Failed(answer)) => return (0, answer.success().err()),
        Err(error) => return (0, Some(error)),
    };
    let mut read = 0;
    loop {
        match body.next().await {
            Ok(Some(piece)) => read += piece.for_storage().len(),
            Ok(None) => return (read, None),
            Err(error) => return (read, Some(error)),
        }
    }
}

#[tokio::test]
async fn an_opened_answer_is_read_within_its_limits() {
    const KIB: usize = 1024;
    let double = CustomerDouble::start().await;
    let outbound = outbound(&[&double]);
    let url = format!("{}/customers/1", double.url());
    let check = async |fault: Fault, limits, least, kind: Option<ErrorKind>| {
        double.next(fault.clone());
        // What is never given up would else be given up by the time for the whole.
        let opened = tokio::time::timeout(Duration::from_secs(20), open(&outbound, &url, limits)).await;
        let (read, error) = opened.unwrap_or_else(|_| panic!("{fault:?} is waited for"));
        assert_eq!(error.as_ref().map(Error::kind), kind, "{fault:?}: {read} bytes, {error:?}");
        assert!(read >= least, "{fault:?}: {read} bytes");
        if let (Some(error), Some(kind)) = (error, kind) {
            check_error(&error, kind, &format!("{fault:?}"));
        }
    };
    const LONG: u64 = 100_000;
    // More than a whole answer may have, and no more than was asked for.
    check(Fault::Oversized { bytes: 4096 * KIB }, (8192 * KIB, LONG, LONG), 4096 * KIB, None).await;
    check(Fault::Oversized { bytes: 4096 * KIB }, (1024 * KIB, LONG, LONG), 1, Some(ErrorKind::BadAnswer)).await;
    // Silence before the answer and in it, and an answer that never ends, however steadily it comes.
    check(Fault::Delay(Duration::from_secs(200)), (KIB, 100, LONG), 0, Some(ErrorKind::Timeout)).await;
    check(Fault::Drip { every: Duration::from_secs(200) }, (KIB, 100, LONG), 0, Some(ErrorKind::Timeout)).await;
    check(Fault::Drip { every: Duration::from_millis(20) }, (KIB, LONG, 600), 3, Some(ErrorKind::Timeout)).await;
    check(Fault::status(503), (KIB, LONG, LONG), 0, Some(ErrorKind::Unavailable)).await;
    check(Fault::Redirect { to: "/elsewhere".to_owned() }, (KIB, LONG, LONG), 0, Some(ErrorKind::BadAnswer)).await;
    check(Fault::Drop, (KIB, LONG, LONG), 0, Some(ErrorKind::Unavailable)).await;
}
