//! People of an issuer at the real server.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use switchboard_testkit::doubles::{IssuerDouble, SigningKey};

use crate::{
    api::{Answer, Api},
    server::{Home, Server},
    tenant::{acme, ticket},
};

async fn get(server: &Server, token: &str, path: &str) -> Answer {
    let request = Api::new(&server.url, None).request(reqwest::Method::GET, path);
    Answer::of(request.header("authorization", format!("Bearer {token}"))).await
}

async fn post(server: &Server, token: &str, path: &str, body: &Value) -> Answer {
    let request = Api::new(&server.url, None).request(reqwest::Method::POST, path).json(body);
    Answer::of(request.header("authorization", format!("Bearer {token}"))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_reaches_his_tenant_in_his_role_and_no_other() {
    let key = SigningKey::rsa("1");
    let issuer = IssuerDouble::start(&[&key]).await;
    let home = Home::with_tenant(&acme(&json!({"kind": "none"})))
        .allow(&[&issuer])
        .env("SWITCHBOARD_OIDC__ISSUER", &issuer.url())
        .env("SWITCHBOARD_OIDC__AUDIENCE", "switchboard")
        .env("SWITCHBOARD_OIDC__ROLE_CLAIM", "groups")
        .env(
            "SWITCHBOARD_OIDC__ROLES",
            r#"{ readers = "viewer", desk = "agent", "team leads" = "lead", it = "admin" }"#,
        );
    let mut second = acme(&json!({"kind": "none"}));
    second["tenant_id"] = "globex".into();
    home.put_tenant(&second);
    let server = home.start_empty();
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let token = |tenant: &str, group: &str| key.token(&issuer.claims(tenant, group, now));
    let (viewer, agent) = (token("acme", "readers"), token("acme", "desk"));
    let (lead, admin, stranger) = (token("acme", "team leads"), token("acme", "it"), token("globex", "it"));
    assert_eq!(post(&server, &viewer, "/tickets", &ticket("T-1")).await.status, 403);
    let sent = post(&server, &lead, "/tickets", &ticket("T-1")).await;
    assert_eq!(sent.status, 202, "{}", sent.text());
    assert_eq!(get(&server, &viewer, "/tickets/T-1").await.status, 200);
    assert_eq!(get(&server, &stranger, "/tickets/T-1").await.status, 404, "of another tenant");
    assert_eq!(get(&server, &stranger, "/tickets").await.json()["items"], json!([]));
    assert_eq!(post(&server, &stranger, "/tickets/T-1/review", &json!({})).await.status, 404);
    server
        .api(&home.make_key("acme", &[]))
        .ticket_until("T-1", "is decided", |ticket| !ticket["decision"].is_null())
        .await;
    assert_eq!(post(&server, &viewer, "/tickets/T-1/review", &json!({})).await.status, 403);
    let review = post(&server, &agent, "/tickets/T-1/review", &json!({})).await;
    assert_eq!(review.status, 200, "{}", review.text());
    assert_eq!(review.json()["reviewer"]["kind"], "person");
    assert_eq!((get(&server, &lead, "/keys").await.status, get(&server, &admin, "/keys").await.status), (403, 200));
    let made = post(&server, &admin, "/keys", &json!({"scopes": ["tickets:read"]})).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let me = get(&server, &agent, "/session").await.json();
    assert_eq!((&me["kind"], &me["role"], &me["tenants"]), (&json!("person"), &json!("agent"), &json!(["acme"])));
    let acts = get(&server, &lead, "/audit-log").await.json();
    let act = acts["items"].as_array().unwrap().iter().find(|act| act["target"] == made.json()["id"]).unwrap();
    assert_eq!(act["actor"]["kind"], "subject");
    assert!(!acts.to_string().contains("ada@example.com"), "people are not named");
    let others = get(&server, &stranger, "/audit-log").await.json();
    assert!(others["items"].as_array().unwrap().iter().all(|act| act["tenant"] == "globex"), "{others}");
    for bad in [token("acme", "everybody-else"), token("initech", "it")] {
        assert_eq!(get(&server, &bad, "/tickets").await.status, 403);
    }
    let mut expired = issuer.claims("acme", "it", now - 3_600);
    expired["exp"] = json!(now - 600);
    for bad in [key.token(&expired), SigningKey::p256("1").token(&issuer.claims("acme", "it", now)), "a.b.c".to_owned()]
    {
        let answer = get(&server, &bad, "/tickets").await;
        assert_eq!((answer.status, answer.problem().as_str()), (401, "unauthorized"));
    }
    assert!(!home.log().contains(&agent[..60]), "a token is in the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_issuer_no_token_is_taken_and_wrong_settings_are_named() {
    let home = Home::new();
    let server = home.start();
    let key = SigningKey::ed25519("1");
    let issuer = IssuerDouble::start(&[&key]).await;
    let token = key.token(&issuer.claims("telecorp", "it", 0));
    assert_eq!(get(&server, &token, "/tickets").await.status, 401);
    assert_eq!(issuer.requests(), 0);
    drop(server);
    for (name, value, part) in [
        ("ISSUER", "https://id.example", "oidc.audience"),
        ("JWKS_URL", "keys", "oidc.jwks_url"),
        ("ROLES", r#"{ it = "root" }"#, "unknown variant `root`"),
    ] {
        let home = Home::new()
            .env("SWITCHBOARD_OIDC__ISSUER", "https://id.example")
            .env(&format!("SWITCHBOARD_OIDC__{name}"), value);
        let ran = home.run(&["serve", "--listen", "127.0.0.1:0"]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.contains(part), "{name}: {ran:?}");
    }
}
