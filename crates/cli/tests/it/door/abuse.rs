//! Abuse of the socket: whatever a client does, the server goes on.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::socket::{
    Seen,
    Step::{Drip, EndSending, ReadAll, ReadAnswers, Send},
    act, is_well,
};
use crate::{server::Home, tenant::ticket};

/// What must come of an abuse.
enum Expected {
    /// Exactly these answers.
    Answers(&'static [u16]),
    /// So many times this one.
    Times(usize, u16),
    /// No answer: the connection ends.
    Nothing,
    /// This answer or none, as the end of what is sent is seen after the answer or before: the connection ends.
    AtMost(u16),
    /// The client is gone before it could see anything.
    Unseen,
}
use Expected::{Answers, AtMost, Nothing, Times, Unseen};

struct Abuse {
    name: &'static str,
    steps: Vec<super::socket::Step>,
    expected: Expected,
}

/// Each with what must come of it. Hyper answers with an empty 400, 414 or 431 what it cannot read, and hangs up on who stops
/// sending before there is an answer.
fn abuses(key: &str) -> Vec<Abuse> {
    let mut all = Vec::new();
    let mut add = |name, steps, expected| all.push(Abuse { name, steps, expected });
    let text = |text: &str| Send(text.as_bytes().to_vec());
    let live = "GET /health/live HTTP/1.1\r\nhost: x\r\n";
    let get = |headers: &str| text(&format!("{live}{headers}\r\n"));
    let post_head = format!("POST /tickets HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\n");
    let post = |headers: &str, body: &str| text(&format!("{post_head}{headers}\r\n{body}"));
    let sized = |body: &str| text(&format!("{post_head}content-length: {}\r\n\r\n{body}", body.len()));
    let raw = |body: &[u8]| {
        let head = format!("{post_head}content-length: {}\r\n\r\n", body.len());
        Send([head.as_bytes(), body].concat())
    };
    let tenth = Duration::from_millis(100);
    let good = |id: &str| ticket(id).to_string();

    // Too slow.
    add("nothing at all", vec![ReadAll], Nothing);
    add("a head byte by byte", vec![Drip(live.repeat(9).into_bytes(), tenth), ReadAll], Nothing);
    add("half a request line", vec![text("GET /hea"), ReadAll], Nothing);
    add("a head without its end", vec![text(live), ReadAll], Nothing);
    add("a second head without its end", vec![get(""), text(live), ReadAll], Answers(&[200]));
    add(
        "a body byte by byte",
        vec![post("content-length: 500\r\n", ""), Drip(vec![b' '; 30], tenth), ReadAll],
        Answers(&[408]),
    );
    add("half a body", vec![post("content-length: 500\r\n", "{"), ReadAll], Answers(&[408]));
    add(
        "a chunk that does not come",
        vec![post("transfer-encoding: chunked\r\n", "5\r\nab"), ReadAll],
        Answers(&[408]),
    );
    add("chunks without an end", vec![post("transfer-encoding: chunked\r\n", "1\r\n{\r\n"), ReadAll], Answers(&[408]));
    add(
        "a promised body that does not come",
        vec![post("content-length: 9\r\nexpect: 100-continue\r\n", ""), ReadAll],
        Answers(&[100, 408]),
    );

    // Gone too early.
    for (name, part) in [
        ("gone after the method", "GET"),
        ("gone in the path", "GET /health/li"),
        ("gone after the request line", "GET /health/live HTTP/1.1\r\n"),
        ("gone in a header", "GET /health/live HTTP/1.1\r\nhos"),
        ("gone after the head", "GET /tickets HTTP/1.1\r\nhost: x\r\n\r\n"),
        ("gone at once", ""),
    ] {
        add(name, vec![text(part)], Unseen);
    }
    add("gone in the body", vec![post("content-length: 500\r\n", "{\"ticket_id\"")], Unseen);
    add("gone in a chunk", vec![post("transfer-encoding: chunked\r\n", "20\r\n{\"tick")], Unseen);
    add("gone before the answer", vec![sized(&good("T-gone"))], Unseen);
    add("no more to send after a request", vec![get(""), EndSending, ReadAll], AtMost(200));
    add("no more to send in a head", vec![text(live), EndSending, ReadAll], Nothing);
    add("no more to send in a body", vec![post("content-length: 500\r\n", "{"), EndSending, ReadAll], Answers(&[400]));

    // No HTTP.
    add("garbage", vec![text("qwertz uiop\r\n\r\n"), ReadAll], Answers(&[400]));
    add("NULs", vec![Send(vec![0; 4_096]), ReadAll], Answers(&[400]));
    add("bytes of no text", vec![Send(vec![0xff; 4_096]), ReadAll], Answers(&[400]));
    add(
        "a TLS hello",
        vec![Send([&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 505]].concat()), ReadAll],
        Answers(&[400]),
    );
    add(
        "the beginning of HTTP/2",
        vec![text("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"), ReadAll],
        Nothing,
    );
    add("HTTP/0.9", vec![text("GET /\r\n\r\n"), ReadAll], Answers(&[400]));
    add("HTTP/1.0", vec![text("GET /health/live HTTP/1.0\r\n\r\n"), ReadAll], Answers(&[200]));
    add("HTTP/1.9", vec![text("GET / HTTP/1.9\r\n\r\n"), ReadAll], Answers(&[400]));
    add("HTTP/2.0 in a line", vec![text("GET / HTTP/2.0\r\n\r\n"), ReadAll], Answers(&[400]));
    add("a mail client", vec![text("EHLO example.com\r\nMAIL FROM:<a@example.com>\r\n"), ReadAll], Answers(&[400]));
    add("a megabyte of empty lines", vec![Send(b"\r\n".repeat(500_000)), ReadAll], Answers(&[431]));

    // Heads.
    add("a header of a megabyte", vec![get(&format!("x: {}\r\n", "y".repeat(1_000_000))), ReadAll], Answers(&[431]));
    add(
        "a header name of a megabyte",
        vec![get(&format!("{}: y\r\n", "x".repeat(1_000_000))), ReadAll],
        Answers(&[431]),
    );
    add("10,000 headers", vec![get(&"a: b\r\n".repeat(10_000)), ReadAll], Answers(&[431]));
    add("101 headers", vec![get(&"a: b\r\n".repeat(101)), ReadAll], Answers(&[431]));
    add("40 KB of headers", vec![get(&format!("x: {}\r\n", "y".repeat(4_000)).repeat(10)), ReadAll], Answers(&[431]));
    add(
        "an address of 100 KB",
        vec![text(&format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000))), ReadAll],
        Answers(&[414]),
    );
    add(
        "an address of 20 KB",
        vec![text(&format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(20_000))), ReadAll],
        Answers(&[414]),
    );
    add(
        "a method of a thousand letters",
        vec![text(&format!("{} / HTTP/1.1\r\nconnection: close\r\n\r\n", "X".repeat(1_000))), ReadAll],
        Answers(&[404]),
    );
    add("a header without a colon", vec![get("rubbish\r\n"), ReadAll], Answers(&[400]));
    add("a space in a header's name", vec![get("x y: z\r\n"), ReadAll], Answers(&[400]));
    add("a space before the colon", vec![get("x : z\r\n"), ReadAll], Answers(&[400]));
    add("a folded header", vec![get("x: y\r\n z\r\n"), ReadAll], Answers(&[400]));
    add("a NUL in a header", vec![get("x: y\0z\r\n"), ReadAll], Answers(&[400]));
    add("a carriage return in a header", vec![get("x: y\rz: w\r\n"), ReadAll], Answers(&[400]));
    add(
        "another address as a whole",
        vec![text("GET http://example.com/health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"), ReadAll],
        Answers(&[200]),
    );
    add(
        "CONNECT",
        vec![text("CONNECT example.com:443 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"), ReadAll],
        Answers(&[404]),
    );
    add(
        "TRACE",
        vec![text("TRACE /tickets HTTP/1.1\r\nhost: x\r\nx-api-key: secret\r\nconnection: close\r\n\r\n"), ReadAll],
        Answers(&[405]),
    );
    add(
        "OPTIONS *",
        vec![text("OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"), ReadAll],
        Answers(&[404]),
    );
    add(
        "an escape that is none",
        vec![text("GET /%zz%f HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"), ReadAll],
        Answers(&[404]),
    );
    add(
        "an upgrade to a web socket",
        vec![get("connection: upgrade, close\r\nupgrade: websocket\r\n"), ReadAll],
        Answers(&[200]),
    );

    // Lengths.
    add("a length that is too short", vec![post("content-length: 5\r\n", &good("T-s")), ReadAll], Answers(&[400, 400]));
    add("a negative length", vec![post("content-length: -5\r\n", "{"), ReadAll], Answers(&[400]));
    add("a length with a sign", vec![post("content-length: +5\r\n", "{"), ReadAll], Answers(&[400]));
    add("a length of letters", vec![post("content-length: 5x\r\n", "{"), ReadAll], Answers(&[400]));
    add(
        "a length beyond all numbers",
        vec![post("content-length: 99999999999999999999999\r\n", "{"), ReadAll],
        Answers(&[400]),
    );
    add(
        "a length of many bytes with few of them",
        vec![post("content-length: 18446744073709551614\r\n", "{"), ReadAll],
        Answers(&[431]),
    );
    add("two lengths", vec![post("content-length: 5\r\ncontent-length: 6\r\n", "{}    "), ReadAll], Answers(&[400]));
    add(
        "length and chunks",
        vec![post("content-length: 6\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\nGET /x HTTP/1.1\r\n\r\n"), ReadAll],
        Answers(&[400]),
    );
    add(
        "chunks and length",
        vec![post("transfer-encoding: chunked\r\ncontent-length: 6\r\n", "0\r\n\r\nGET /x HTTP/1.1\r\n\r\n"), ReadAll],
        Answers(&[400]),
    );
    add(
        "chunks that are not the last coding",
        vec![post("transfer-encoding: chunked, identity\r\n", "0\r\n\r\n"), ReadAll],
        Answers(&[400]),
    );
    add("an unknown coding", vec![post("transfer-encoding: xchunked\r\n", "0\r\n\r\n"), ReadAll], Answers(&[400]));
    add(
        "chunks in HTTP/1.0",
        vec![text("POST /tickets HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"), ReadAll],
        Answers(&[400]),
    );
    add(
        "a chunk size of letters",
        vec![post("transfer-encoding: chunked\r\n", "zz\r\n{}\r\n0\r\n\r\n"), ReadAll],
        Answers(&[400]),
    );
    add(
        "a chunk size beyond all numbers",
        vec![post("transfer-encoding: chunked\r\n", "FFFFFFFFFFFFFFFFF\r\n{}"), ReadAll],
        Answers(&[400]),
    );
    add(
        "a negative chunk",
        vec![post("transfer-encoding: chunked\r\n", "-1\r\n{}\r\n0\r\n\r\n"), ReadAll],
        Answers(&[400]),
    );
    add(
        "a chunk longer than it says",
        vec![post("transfer-encoding: chunked\r\n", "1\r\n{}{}\r\n0\r\n\r\n"), ReadAll],
        Answers(&[400]),
    );
    add(
        "a huge chunk extension",
        vec![post("transfer-encoding: chunked\r\n", &format!("1;{}\r\n{{\r\n", "x".repeat(100_000))), ReadAll],
        Answers(&[400]),
    );
    add(
        "huge trailers",
        vec![post("transfer-encoding: chunked\r\n", &format!("0\r\n{}\r\n", "a: b\r\n".repeat(50_000))), ReadAll],
        Answers(&[400]),
    );

    // Bodies.
    let closing = |body: &[u8]| {
        let head = format!("{post_head}connection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        Send([head.as_bytes(), body].concat())
    };
    let with = |subject: &str| good("T-b").replace("\"No internet since this morning\"", subject).into_bytes();
    add("100,000 brackets", vec![closing("[".repeat(100_000).as_bytes()), ReadAll], Answers(&[400]));
    add("100,000 braces", vec![closing("{\"a\":".repeat(100_000).as_bytes()), ReadAll], Answers(&[422]));
    add("a huge exponent", vec![closing(&with("1e999999999")), ReadAll], Answers(&[400]));
    add("a number of 100,000 digits", vec![closing(&with(&"9".repeat(100_000))), ReadAll], Answers(&[400]));
    add("half a surrogate pair", vec![closing(&with("\"\\ud800\"")), ReadAll], Answers(&[400]));
    add("no UTF-8", vec![closing(b"{\"ticket_id\":\"\xff\xfe\"}"), ReadAll], Answers(&[400]));
    add(
        "UTF-16",
        vec![closing(&"{}".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()), ReadAll],
        Answers(&[400]),
    );
    add("compressed", vec![closing(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]), ReadAll], Answers(&[400]));
    add(
        "the same field 10,000 times",
        vec![closing(format!("{{{}\"a\":1}}", "\"ticket_id\":\"T\",".repeat(10_000)).as_bytes()), ReadAll],
        Answers(&[422]),
    );

    // Too much at once.
    let thousand = format!("{live}\r\n").repeat(1_000);
    add("1,000 requests at once", vec![text(&thousand), ReadAnswers(1_000)], Times(1_000, 200));
    add(
        "a good request, then garbage",
        vec![sized(&good("T-g")), raw(b"{"), text("garbage\r\n\r\n"), ReadAll],
        Answers(&[202, 400, 400]),
    );
    add(
        "a good request byte by byte",
        vec![Drip(format!("{live}connection: close\r\n\r\n").into_bytes(), Duration::from_millis(2)), ReadAll],
        Answers(&[200]),
    );
    all
}

fn judge(abuse: &Abuse, seen: &Seen, took: Duration) -> Result<(), String> {
    let statuses = seen.statuses();
    let told = || {
        let start = String::from_utf8_lossy(&seen.bytes[..seen.bytes.len().min(600)]).into_owned();
        format!("{}: {statuses:?} after {took:?}, ended: {}\n{start}", abuse.name, seen.ended)
    };
    let fits = match &abuse.expected {
        Answers(expected) => statuses == *expected && seen.ended,
        Times(number, status) => statuses.len() == *number && statuses.iter().all(|seen| seen == status),
        Nothing => seen.bytes.is_empty() && seen.ended,
        AtMost(status) => (seen.bytes.is_empty() || statuses == [*status]) && seen.ended,
        Unseen => true,
    };
    let is_ours = statuses.iter().all(|status| *status < 500 || [503, 507].contains(status));
    if fits && is_ours && took < super::socket::PATIENCE { Ok(()) } else { Err(told()) }
}

#[test]
fn whatever_a_client_does_the_server_goes_on() {
    let home = Home::new()
        .env("SWITCHBOARD_LIMITS__HEADER_SECONDS", "1")
        .env("SWITCHBOARD_LIMITS__BODY_SECONDS", "1")
        .env("SWITCHBOARD_LIMITS__ANSWER_SECONDS", "1");
    let server = home.start();
    let address = server.address();
    let abuses = abuses(server.key.as_deref().unwrap());
    assert!(abuses.len() >= 50, "{}", abuses.len());
    let mut wrong = Vec::new();
    thread::scope(|scope| {
        let threads: Vec<_> = abuses
            .into_iter()
            .map(|mut abuse| {
                scope.spawn(move || {
                    let started = Instant::now();
                    let seen = act(address, std::mem::take(&mut abuse.steps));
                    let took = started.elapsed();
                    judge(&abuse, &seen, took).and_then(|()| is_well(address, abuse.name))
                })
            })
            .collect();
        for thread in threads {
            wrong.extend(thread.join().unwrap().err());
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n---\n"));
    let log = home.log();
    for word in ["panicked", "ERROR", "a request failed"] {
        assert!(!log.contains(word), "{word} is in the log:\n{log}");
    }
}
