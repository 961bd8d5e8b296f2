use serde_json::json;
use switchboard_core::webhook::SigningKey;
use switchboard_testkit::doubles::WebhookDouble;

use super::stack::{Stack, put_tenant, unique};
use crate::{
    desks::HOOK_SECRET,
    tenant::{acme, ticket},
};

const INBOUND_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// `aws.adapters`: the single binary with SQLite, whose tenants, models and secrets are on AWS.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_sqlite_takes_tenants_from_s3_and_secrets_from_secrets_manager() {
    let stack = Stack::deployed();
    let double = WebhookDouble::start(HOOK_SECRET).await;
    let id = unique("mixed");
    let mut config = acme(&json!({"kind": "webhook", "url": double.hook_url(), "secret": "hook"}));
    config["tenant_id"] = json!(id);
    config["hooks"] = json!({"generic": {"secrets": ["inbound"]}});
    put_tenant(&stack.home(), &config);
    stack.put_secret(&id, "hook", HOOK_SECRET).await;
    stack.put_secret(&id, "inbound", INBOUND_SECRET).await;

    let home = stack.home().allow(&[&double]).env("SWITCHBOARD_AWS__ADAPTERS", r#"["tenants", "models", "secrets"]"#);
    let server = home.start_empty();
    let api = server.api(&home.make_key(&id, &[]));
    api.accept(&ticket("T-1")).await;
    let file = api.ticket_when("T-1", "success").await;
    assert_eq!(file["decision"]["assigned_team"], "support", "{file}");
    let sent = double.deliveries();
    assert_eq!((sent.len(), double.refused()), (1, 0), "signed with the secret of the tenant");
    assert_eq!(sent[0].id, file["decision"]["decision_id"]);

    // A web hook that comes in is checked against a secret from there, too.
    let body = ticket("T-2").to_string();
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let hook = async |secret: &str| {
        let signature = SigningKey::new(&secret.into()).unwrap().sign("msg_1", &now.to_string(), body.as_bytes());
        let request = crate::api::Api::new(&server.url, None);
        let request = request.request(reqwest::Method::POST, &format!("/hooks/generic?tenant={id}"));
        let request = request.header("webhook-id", "msg_1").header("webhook-timestamp", now.to_string());
        let request = request.header("webhook-signature", signature).header("content-type", "application/json");
        crate::api::Answer::of(request.body(body.clone())).await.status
    };
    assert_eq!(hook(HOOK_SECRET).await, 401);
    assert_eq!(hook(INBOUND_SECRET).await, 202);
    api.ticket_when("T-2", "success").await;

    // Nothing of the tenant lies in the data folder but its tickets.
    assert!(!home.data().join("tenants").join(&id).exists() && !home.data().join("secrets").join(&id).exists());
    assert!(home.data().join("switchboard.db").exists());
}
