//! Secrets and customers' words stay where they belong.

mod canaries;

use std::{fs, path::Path};

use reqwest::Method;
use serde_json::json;
use switchboard_testkit::doubles::{Fault, WebhookDouble, ZendeskDouble};

use crate::{
    api::{Answer, Api},
    desks::{AGENT, HOOK_SECRET, ZENDESK_TOKEN},
    server::Home,
    tenant::{acme, ticket_with},
    wait::SOON,
};

/// Words of a customer: in the database, and nowhere in logs or metrics.
const WORDS: [&str; 3] = ["Xylophon-Subject", "Quetzal-Description", "Zirkon-Metadata"];

/// All files below `folder`, with their bytes.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.display().to_string(), fs::read(&path).unwrap_or_default()));
        }
    }
    found
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_logs_metrics_answers_or_files() {
    let hook = WebhookDouble::start(HOOK_SECRET).await;
    let zendesk = ZendeskDouble::start(AGENT, ZENDESK_TOKEN, &[11, 22]).await;
    zendesk.open(1);
    let home = Home::with_tenant(&acme(&json!({"kind": "webhook", "url": hook.hook_url(), "secret": "hook"})));
    let mut second = acme(&json!({
        "kind": "zendesk", "url": zendesk.url(), "email": AGENT, "token": "zendesk", "ticket_prefix": "ZD-",
    }));
    second["tenant_id"] = "zenith".into();
    home.put_tenant(&second);
    let home = home
        .allow(&[&hook, &zendesk])
        .secret("HOOK", HOOK_SECRET)
        .env("SWITCHBOARD_SECRET_ZENITH__ZENDESK", ZENDESK_TOKEN);
    let server = home.start_with("127.0.0.1:0", &["--no-demo", "-vv"]);
    let keys = [home.make_key("acme", &[]), home.make_key("zenith", &[])];
    let (acme, zenith) = (server.api(&keys[0]), server.api(&keys[1]));
    let with_words = |id: &str| {
        ticket_with(id, |ticket| {
            ticket["subject"] = format!("{} is down", WORDS[0]).into();
            ticket["description"] = format!("{} has no internet", WORDS[1]).into();
            ticket["metadata"] = json!({"note": WORDS[2]});
        })
    };
    // What works, what is tried again, what is refused for good, and a Zendesk that knows our token no more.
    hook.next(Fault::status(500));
    for id in ["T-1", "T-2"] {
        acme.accept(&with_words(id)).await;
        acme.ticket_when(id, "success").await;
    }
    hook.next(Fault::status(401));
    acme.accept(&with_words("T-3")).await;
    let refused = acme.ticket_when("T-3", "failed").await;
    zenith.accept(&with_words("ZD-1")).await;
    zenith.ticket_when("ZD-1", "success").await;
    zendesk.next(Fault::status(401));
    zenith.accept(&with_words("ZD-9")).await;
    let unknown = zenith.ticket_when("ZD-9", "failed").await;

    let mut answers = vec![refused["sync"].to_string(), unknown["sync"].to_string()];
    answers.extend(bad_answers(&server.url, &keys[0], &acme).await);
    answers.push(home.json(&["keys", "list", "--tenant", "acme"]).to_string());
    answers.push(home.run(&["doctor", "--json"]).stdout);
    answers.push(home.json(&["dlq", "list", "--tenant", "acme"]).to_string());
    acme.wait_idle(SOON).await;
    let metrics = acme.get("/metrics").await.text();
    let log = home.log();
    assert!(log.contains("DEBUG") && log.contains("request answered"), "the log tells everything: {log}");

    let key_parts: Vec<_> = keys.iter().map(|key| key[key.len() - 40..].to_owned()).collect();
    let mut secrets = vec![HOOK_SECRET.to_owned(), HOOK_SECRET["whsec_".len()..].to_owned(), ZENDESK_TOKEN.to_owned()];
    // As the header Authorization has it: base64 of `email/token:secret`, whose middle does not hang on its beginning.
    secrets.push(basic_middle());
    secrets.extend(keys.iter().cloned());
    secrets.extend(key_parts);
    for secret in &secrets {
        assert!(!log.contains(secret.as_str()), "{secret} is in the log");
        assert!(!metrics.contains(secret.as_str()), "{secret} is in the metrics");
        for answer in &answers {
            assert!(!answer.contains(secret.as_str()), "{secret} is in {answer}");
        }
        for (name, bytes) in files(&home.data()) {
            assert!(!contains(&bytes, secret), "{secret} is in {name}");
        }
    }
    for word in WORDS {
        assert!(!log.contains(word), "{word} is in the log:\n{log}");
        assert!(!metrics.contains(word), "{word} is in the metrics");
        let in_database = |(name, bytes): &(String, Vec<u8>)| name.contains("switchboard.db") && contains(bytes, word);
        assert!(files(&home.data()).iter().any(in_database), "the search finds what is there: {word}");
    }
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        for name in ["acme", "zenith", "T-1", "C-1"] {
            assert!(!line.contains(name), "metrics name no tenant, ticket or customer: {line}");
        }
    }
}

/// A part of the header `Authorization` that Zendesk gets.
fn basic_middle() -> String {
    // Built by the same client library that any other program would use.
    let request =
        crate::api::client().get("http://127.0.0.1/").basic_auth(format!("{AGENT}/token"), Some(ZENDESK_TOKEN));
    let header = request.build().unwrap().headers()["authorization"].to_str().unwrap().to_owned();
    header["Basic ".len() + 8..].trim_end_matches('=').to_owned()
}

/// Answers to requests that carry a good key and are wrong in some other way.
async fn bad_answers(url: &str, key: &str, api: &Api) -> Vec<String> {
    let mut answers = Vec::new();
    for body in ["{", "[]", "{\"ticket_id\":\"T-1\"}"] {
        answers.push(api.post_as("/tickets", "application/json", body.as_bytes().to_vec()).await.text());
    }
    for path in ["/none", "/tickets/none", "/tickets?limit=0"] {
        answers.push(api.get(path).await.text());
    }
    let nobody = Api::new(url, None);
    // Nearly good: a key with one character more must not be told either.
    let near = Answer::of(nobody.request(Method::GET, "/tickets").header("x-api-key", format!("{key}0"))).await;
    assert_eq!(near.status, 401);
    answers.push(near.text());
    // Keys that were put into the query by mistake are in no log.
    answers.push(Answer::of(nobody.request(Method::GET, &format!("/tickets?api_key={key}"))).await.text());
    answers.push(Answer::of(api.request(Method::GET, &format!("/health?key={key}"))).await.text());
    answers
}
