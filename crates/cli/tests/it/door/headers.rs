//! What browsers are told.

use reqwest::Method;

use crate::{
    api::{Answer, Api},
    server::Home,
    tenant::ticket,
};

/// Every kind of answer, of routes, refusals and fallbacks.
async fn answers(api: &Api) -> Vec<(&'static str, Answer)> {
    let nobody = api.request(Method::GET, "/tickets").header("x-api-key", "wrong");
    let long = format!("/{}", "x".repeat(20_000));
    vec![
        ("accepted", api.post("/tickets", &ticket("T-1")).await),
        ("list", api.get("/tickets").await),
        ("refused", api.post("/tickets", &serde_json::json!({})).await),
        ("two keys", Answer::of(nobody).await),
        ("nowhere", api.get("/nowhere").await),
        ("no such method", Answer::of(api.request(Method::DELETE, "/tickets")).await),
        ("too long", api.get(&long).await),
        ("health", api.get("/health").await),
        ("live", api.get("/health/live").await),
        ("metrics", api.get("/metrics").await),
        ("openapi", api.get("/openapi.json").await),
        ("docs", api.get("/docs/").await),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_tells_browsers_to_keep_out() {
    let home = Home::new();
    let server = home.start();
    for (what, answer) in answers(&server.demo_api()).await {
        for (header, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cache-control", "no-store"),
            ("strict-transport-security", ""),
        ] {
            assert_eq!(answer.header(header), value, "{what}: {header}");
        }
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; "), "{what}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{what}: {policy}");
        assert_eq!(policy.contains("script-src"), what == "docs", "{what}: {policy}");
        assert!(!answer.header("x-correlation-id").is_empty(), "{what}");
    }
}

/// The page of the API has its scripts and styles in files: none in itself, which its policy would refuse.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_docs_keep_their_own_policy() {
    let home = Home::new();
    let server = home.start();
    let page = server.demo_api().get("/docs/").await;
    assert_eq!(page.status, 200);
    let text = page.text();
    assert!(text.contains("<script src="), "{text}");
    assert!(!text.contains("<script>") && !text.contains("onload="), "{text}");
}

/// Other origins are kept out: no answer has a header that would let one in, to a preflight or to the request itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_origin_is_let_in() {
    let home = Home::new();
    let server = home.start();
    let api = server.demo_api();
    for path in
        ["/tickets", "/tickets/batch", "/tickets/T-1", "/reviews", "/health", "/metrics", "/openapi.json", "/docs/"]
    {
        let preflight = api
            .request(Method::OPTIONS, path)
            .header("origin", "https://evil.example")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "x-api-key, content-type");
        let preflight = Answer::of(preflight).await;
        assert!(preflight.status >= 400, "{path}: {}", preflight.status);
        let asked = Answer::of(api.request(Method::GET, path).header("origin", "https://evil.example")).await;
        for answer in [preflight, asked] {
            let allowing = answer.headers.keys().find(|name| name.as_str().starts_with("access-control-"));
            assert_eq!(allowing, None, "{path}");
        }
    }
}
