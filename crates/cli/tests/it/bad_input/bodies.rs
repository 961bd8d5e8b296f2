//! Bodies that are no tickets: each gets a problem that names the place and the remedy, and changes nothing.

use serde_json::{Value, json};

use crate::{
    api::Answer,
    server::Home,
    tenant::{ticket, ticket_with},
};

/// A body, and what its answer says: status, code, the places, and a part of the first one's detail.
struct Case {
    what: &'static str,
    body: Vec<u8>,
    status: u16,
    code: &'static str,
    places: &'static [&'static str],
    detail: &'static str,
}

fn malformed(what: &'static str, body: impl Into<Vec<u8>>, detail: &'static str) -> Case {
    Case { what, body: body.into(), status: 400, code: "malformed_json", places: &[""], detail }
}

fn misfit(what: &'static str, body: impl Into<Vec<u8>>, places: &'static [&'static str], detail: &'static str) -> Case {
    Case { what, body: body.into(), status: 422, code: "invalid_field", places, detail }
}

/// A ticket that does not fit for one change.
fn changed(
    what: &'static str,
    change: impl FnOnce(&mut Value),
    places: &'static [&'static str],
    detail: &'static str,
) -> Case {
    misfit(what, ticket_with("T-bad", change).to_string(), places, detail)
}

/// A ticket with `text` put in raw, before its end.
fn with_raw(text: &str) -> Vec<u8> {
    let whole = ticket("T-bad").to_string();
    format!("{},{text}}}", &whole[..whole.len() - 1]).into_bytes()
}

fn entries(count: usize) -> Value {
    (0..count).map(|n| (format!("key-{n}"), json!("x"))).collect::<serde_json::Map<_, _>>().into()
}

fn no_json() -> Vec<Case> {
    let whole = ticket("T-bad").to_string();
    let latin1 = whole.replace("No internet", "St\u{f6}rung").chars().map(|char| char as u8).collect::<Vec<_>>();
    let utf16: Vec<u8> = whole.encode_utf16().flat_map(u16::to_le_bytes).collect();
    vec![
        malformed("nothing", "", "EOF while parsing a value"),
        malformed("white space", " \n\t ", "EOF while parsing a value"),
        malformed("an object cut short", &whole.as_bytes()[..40], "EOF while parsing"),
        malformed("text behind the object", format!("{whole} x"), "trailing characters"),
        malformed("two objects", format!("{whole}{whole}"), "trailing characters"),
        malformed("single quotes", "{'ticket_id': 'T-bad'}", "line 1, column 2: key must be a string"),
        malformed("a comma too many", "{\"ticket_id\":\"T-bad\",}", "trailing comma"),
        malformed("a byte order mark", format!("\u{feff}{whole}"), "expected value"),
        malformed("a form", "subject=x&ticket_id=T-bad", "expected value"),
        malformed("a raw NUL byte", whole.replace("No internet", "No\0internet"), "control character"),
        malformed("a raw NUL byte before it", format!("\0{whole}"), "expected value"),
        malformed("invalid UTF-8", latin1, "invalid unicode code point"),
        malformed("UTF-16", utf16, "key must be a string"),
        malformed("a lone surrogate", whole.replace("No internet", "\\ud800 no"), "unexpected end of hex escape"),
        malformed(
            "a surrogate in the wrong place",
            whole.replace("No internet", "\\udc00 no"),
            "lone leading surrogate",
        ),
        malformed("a form that begins like `true`", "ticket_id=T-bad&subject=x", "expected ident"),
        malformed("brackets without end", "[".repeat(1_000_000), "EOF while parsing a list"),
        malformed("a bad escape", whole.replace("No internet", "\\x41"), "invalid escape"),
        malformed("a number beyond all numbers", with_raw("\"channel\":1e999999"), "number out of range"),
        malformed("brackets without end, in an unknown field's place", "{".repeat(100_000), "key must be a string"),
    ]
}

fn other_shapes() -> Vec<Case> {
    let whole = ticket("T-bad").to_string();
    let object = "must be a JSON object";
    let deep = format!("{{\"metadata\":{{\"a\":{}", "[".repeat(200_000));
    let deep_objects = format!("{{\"metadata\":{}", "{\"a\":".repeat(100_000));
    vec![
        misfit("an array", format!("[{whole}]"), &[""], object),
        misfit("an array of values in the order of the fields", "[\"T-bad\",\"C-1\",\"s\",\"d\"]", &[""], object),
        misfit("null", "null", &[""], object),
        misfit("a string", "\"T-bad\"", &[""], object),
        misfit("a number", "-12", &[""], object),
        misfit("brackets in a text's place", deep, &["/metadata/a"], "invalid type: sequence, expected a string"),
        misfit("objects in a text's place", deep_objects, &["/metadata/a"], "invalid type: map, expected a string"),
        misfit("an empty object", "{}", &["/ticket_id", "/customer_id", "/subject", "/description"], "is missing"),
        misfit("a field twice", with_raw("\"subject\":\"other\""), &[""], "duplicate field `subject`"),
        changed(
            "a number as subject",
            |ticket| ticket["subject"] = 1.into(),
            &["/subject"],
            "integer `1`, expected a string",
        ),
        changed("an object as id", |ticket| ticket["ticket_id"] = json!({}), &["/ticket_id"], "expected a string"),
        changed("no subject", |ticket| ticket["subject"] = Value::Null, &["/subject"], "is missing"),
        changed(
            "a number as time",
            |ticket| ticket["timestamp"] = 1_795_161_600.into(),
            &["/timestamp"],
            "expected a string",
        ),
        misfit(
            "a huge number",
            with_raw("\"channel\":123456789012345678901234567890"),
            &["/channel"],
            "expected a string",
        ),
        changed("a list as metadata", |ticket| ticket["metadata"] = json!([1]), &["/metadata"], "expected a map"),
        changed(
            "a number in metadata",
            |ticket| ticket["metadata"] = json!({"n": 1}),
            &["/metadata/n"],
            "expected a string",
        ),
        changed(
            "an object as attachments",
            |ticket| ticket["attachments"] = json!({}),
            &["/attachments"],
            "expected a sequence",
        ),
        changed(
            "an attachment without type",
            |ticket| ticket["attachments"] = json!([{"name": "a", "url": "https://a.example"}]),
            &["/attachments/0"],
            "missing field `type`",
        ),
        changed(
            "a typing error",
            |ticket| ticket["custmer_id"] = "C-1".into(),
            &["/custmer_id"],
            "unknown field `custmer_id`, expected one of",
        ),
        changed(
            "a typing error's remedy",
            |ticket| ticket["Subject"] = "x".into(),
            &["/Subject"],
            "did you mean `subject`?",
        ),
        changed(
            "an unknown field of an attachment",
            |ticket| ticket["attachments"] = json!([{"name": "a", "typ": "b", "url": "https://a.example"}]),
            &["/attachments/0/typ"],
            "did you mean `type`?",
        ),
    ]
}

fn beyond_limits() -> Vec<Case> {
    let long_url = format!("https://a.example/{}", "x".repeat(2_000));
    let attachment = |url: &str| json!({"name": "a", "type": "b", "url": url});
    vec![
        changed(
            "an endless subject",
            |ticket| ticket["subject"] = "\u{fc}".repeat(100_000).into(),
            &["/subject"],
            "is 100000 characters long; at most 500 are allowed",
        ),
        changed(
            "a subject one too long",
            |ticket| ticket["subject"] = "x".repeat(501).into(),
            &["/subject"],
            "is 501 characters long",
        ),
        changed(
            "a description one too long",
            |ticket| ticket["description"] = "x".repeat(50_001).into(),
            &["/description"],
            "is 50001 characters long; at most 50000 are allowed",
        ),
        changed("a blank subject", |ticket| ticket["subject"] = " \u{2003}\n".into(), &["/subject"], "is empty"),
        changed(
            "a NUL character in the subject",
            |ticket| ticket["subject"] = "a\0b".into(),
            &["/subject"],
            "has a NUL character at position 1; remove it",
        ),
        changed(
            "a NUL character in the description",
            |ticket| ticket["description"] = "\0".into(),
            &["/description"],
            "NUL character at position 0",
        ),
        changed(
            "a NUL character in the id",
            |ticket| ticket["ticket_id"] = "T\0".into(),
            &["/ticket_id"],
            "must be 1 to 128 letters",
        ),
        changed(
            "a space in the id",
            |ticket| ticket["ticket_id"] = "T 1".into(),
            &["/ticket_id"],
            "must be 1 to 128 letters",
        ),
        changed(
            "an empty id",
            |ticket| ticket["customer_id"] = "".into(),
            &["/customer_id"],
            "must be 1 to 128 letters",
        ),
        changed(
            "an id that is too long",
            |ticket| ticket["ticket_id"] = "x".repeat(129).into(),
            &["/ticket_id"],
            "must be 1 to 128 letters",
        ),
        changed(
            "51 entries of metadata",
            |ticket| ticket["metadata"] = entries(51),
            &["/metadata"],
            "has 51 entries; at most 50 are allowed",
        ),
        changed(
            "a long key of metadata",
            |ticket| ticket["metadata"] = json!({"k".repeat(65): "x"}),
            &["/metadata"],
            "must be 1 to 64 characters",
        ),
        changed(
            "a long value of metadata",
            |ticket| ticket["metadata"] = json!({"k": "x".repeat(1_001)}),
            &["/metadata/k"],
            "at most 1000 characters",
        ),
        changed(
            "a NUL character in metadata",
            |ticket| ticket["metadata"] = json!({"k": "\0"}),
            &["/metadata/k"],
            "without NUL",
        ),
        changed(
            "21 attachments",
            |ticket| ticket["attachments"] = vec![attachment("https://a.example"); 21].into(),
            &["/attachments"],
            "has 21 entries; at most 20 are allowed",
        ),
        changed(
            "a script as attachment",
            |ticket| ticket["attachments"] = json!([attachment("javascript:alert(1)")]),
            &["/attachments/0/url"],
            "http or https",
        ),
        changed(
            "a long address",
            |ticket| ticket["attachments"] = json!([attachment(&long_url)]),
            &["/attachments/0/url"],
            "at most 2000 are allowed",
        ),
        changed(
            "a time in words",
            |ticket| ticket["timestamp"] = "yesterday".into(),
            &["/timestamp"],
            "must be an RFC 3339 time such as",
        ),
        changed(
            "a month that is none",
            |ticket| ticket["timestamp"] = "2026-13-01T00:00:00Z".into(),
            &["/timestamp"],
            "RFC 3339",
        ),
        changed(
            "a time before all computers",
            |ticket| ticket["timestamp"] = "1900-01-01T00:00:00Z".into(),
            &["/timestamp"],
            "not before 1970",
        ),
        changed(
            "a time without a zone",
            |ticket| ticket["timestamp"] = "2026-11-20T08:00:00".into(),
            &["/timestamp"],
            "RFC 3339",
        ),
        changed(
            "a channel in capitals",
            |ticket| ticket["channel"] = "E-Mail".into(),
            &["/channel"],
            "must be 1 to 64 of a-z",
        ),
        changed(
            "a language in words",
            |ticket| ticket["language"] = "german".into(),
            &["/language"],
            "must be a language such as en or de-AT",
        ),
        changed(
            "another tenant",
            |ticket| ticket["tenant_id"] = "acme".into(),
            &["/tenant_id"],
            "is not the tenant of the API key, `telecorp`",
        ),
        changed(
            "many mistakes at once",
            |ticket| *ticket = json!({"subject": " ", "description": "a\0", "language": "x", "metadata": entries(51)}),
            &["/ticket_id", "/customer_id", "/subject", "/description", "/language", "/metadata"],
            "is missing",
        ),
    ]
}

fn check(case: &Case, answer: &Answer) {
    let Case { what, status, code, places, detail, .. } = case;
    assert_eq!((answer.status, answer.problem().as_str()), (*status, *code), "{what}: {}", answer.text());
    let problem = answer.json();
    let errors = problem["errors"].as_array().unwrap_or_else(|| panic!("{what}: no errors: {problem}"));
    let found: Vec<_> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    assert_eq!(found, *places, "{what}: {problem}");
    let first = errors[0]["detail"].as_str().unwrap();
    assert!(first.contains(detail), "{what}: {detail:?} is not in {first:?}");
    assert!(answer.body.len() < 4_000, "{what}: the answer repeats the input: {} bytes", answer.body.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_mistake_is_told_with_its_place_and_nothing_is_stored() {
    let home = Home::new();
    let server = home.start();
    let api = server.demo_api();
    for case in [no_json(), other_shapes(), beyond_limits()].iter().flatten() {
        let answer = api.post_as("/tickets", "application/json", case.body.clone()).await;
        check(case, &answer);
    }
    super::unharmed(&home, &api).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_mistakes_in_a_batch_are_told_the_same() {
    let home = Home::new();
    let server = home.start();
    let api = server.demo_api();
    let cases = [other_shapes(), beyond_limits()];
    let cases: Vec<_> = cases.iter().flatten().filter(|case| !case.body.contains(&b'\n')).collect();
    for case in cases {
        let answer = api.post_as("/tickets/batch", "application/x-ndjson", case.body.clone()).await;
        assert_eq!(answer.status, 202, "{}: {}", case.what, answer.text());
        let error = &answer.json()["results"][0]["error"];
        assert_eq!(error["status"], case.status, "{}: {error}", case.what);
        assert_eq!(error["errors"][0]["pointer"], case.places[0], "{}: {error}", case.what);
        assert!(error["errors"][0]["detail"].as_str().unwrap().contains(case.detail), "{}: {error}", case.what);
    }
    super::unharmed(&home, &api).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_keeps_the_limits_exactly_is_taken() {
    let home = Home::new();
    let server = home.start();
    let api = server.demo_api();
    let widest = ticket_with(&"x".repeat(128), |ticket| {
        ticket["subject"] = "\u{1f525}".repeat(500).into();
        ticket["description"] = "\u{1f525}".repeat(50_000).into();
        let entries = (0..50).map(|n| (format!("{n:064}"), json!("\u{fc}".repeat(1_000))));
        ticket["metadata"] = entries.collect::<serde_json::Map<_, _>>().into();
        let attachment = json!({"name": "n".repeat(255), "type": "t".repeat(255), "url": "https://a.example"});
        ticket["attachments"] = vec![attachment; 20].into();
    });
    // Every character escaped, as some clients do: the largest body that a valid ticket can have.
    let escaped: String = widest
        .to_string()
        .encode_utf16()
        .map(|unit| if unit < 128 { char::from(unit as u8).to_string() } else { format!("\\u{unit:04x}") })
        .collect();
    println!("the largest ticket has {} bytes", escaped.len());
    let answer = api.post_as("/tickets", "application/json; charset=utf-8", escaped.into_bytes()).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let found = api.ticket_when(&"x".repeat(128), "success").await;
    assert_eq!(found["ticket"]["description"], widest["description"]);
    assert_eq!(found["ticket"]["metadata"], widest["metadata"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_metadata_is_escaped_in_its_pointer() {
    let home = Home::new();
    let server = home.start();
    let key = |ticket: &mut Value| ticket["metadata"] = json!({"a/b~c": "\0"});
    let case = changed("a key with a slash", key, &["/metadata/a~1b~0c"], "without NUL");
    let answer = server.demo_api().post_as("/tickets", "application/json", case.body.clone()).await;
    check(&case, &answer);
}
