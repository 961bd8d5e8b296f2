use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::{Value, json};
use switchboard_connect::{OpenAiModels, openai::CallTimes};
use switchboard_core::{
    limits,
    models::{Embedded, ModelError, ModelErrorKind, Purpose},
    ports::Embedder,
    tenants::{EmbedLink, Tenant},
    untrusted::Untrusted,
};
use switchboard_testkit::{
    contracts::{
        self,
        embedder::{ASKED, Heard, MARK, Provided, RemotelyProvided, Turn},
    },
    doubles::{
        Fault, OpenAiDouble,
        openai::{Asked, Reply},
    },
    sample::{parsed, tenant_with},
};

use crate::common::{SECRET, outbound, secrets};

struct Setup {
    double: OpenAiDouble,
    embedder: Arc<OpenAiModels>,
    impatient: Arc<OpenAiModels>,
    tenant: Tenant,
    link: EmbedLink,
}

impl Setup {
    async fn new() -> Self {
        let double = OpenAiDouble::start().await;
        double.require_key(SECRET);
        let models = || OpenAiModels::new(outbound(&[&double]), secrets());
        let times = CallTimes { whole: Duration::from_millis(900), idle: Duration::from_millis(800) };
        let (embedder, impatient) = (Arc::new(models()), Arc::new(models().with_times(times)));
        let tenant = tenant_with(|config| {
            let provider = json!({"kind": "openai", "url": double.base_url(), "key": "token"});
            config["models"] = json!({"providers": {"ours": provider, "own": {"kind": "local"}}});
        });
        let link = EmbedLink { provider: parsed("ours"), model: "embed".to_owned(), dimensions: None, price: None };
        Self { double, embedder, impatient, tenant, link }
    }

    async fn embed(&self, texts: &[&str]) -> Result<Embedded, ModelError> {
        let texts: Vec<_> = texts.iter().map(|text| Untrusted::new((*text).to_owned())).collect();
        self.embedder.embed(&self.tenant, &self.link, &texts, Purpose::Passage).await
    }

    async fn embed_when(&self, body: &Value) -> Result<Embedded, ModelError> {
        self.double.reply_to_embedding(Reply::Raw { body: body.to_string() });
        self.embed(&["one", "two"]).await
    }
}

#[async_trait]
impl Provided for Setup {
    fn embedder(&self) -> Arc<dyn Embedder> {
        self.embedder.clone()
    }

    fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    fn link(&self) -> &EmbedLink {
        &self.link
    }

    fn dimensions(&self) -> Vec<u32> {
        vec![1, 7, 256, limits::EMBED_DIMENSIONS as u32]
    }

    fn was_called(&self) -> bool {
        self.double.connections() > 0
    }
}

#[async_trait]
impl RemotelyProvided for Setup {
    fn impatient(&self) -> Arc<dyn Embedder> {
        self.impatient.clone()
    }

    async fn does(&self, turn: Turn) -> bool {
        let vectors = |vectors: Value| {
            let vectors: Vec<_> =
                vectors.as_array().unwrap().iter().map(|vector| json!({"embedding": vector})).collect();
            Reply::Raw { body: json!({"data": vectors, "model": MARK, "usage": {"prompt_tokens": 9}}).to_string() }
        };
        let error = |status, code: Option<&str>, wish: Option<u64>| Reply::Status {
            status,
            retry_after: wish.map(|seconds| seconds.to_string()),
            code: code.map(str::to_owned),
            message: MARK.to_owned(),
        };
        self.double.reply_to_embedding(match turn {
            Turn::Scaled => {
                let scaled = self
                    .embed(&ASKED)
                    .await
                    .unwrap()
                    .vectors
                    .into_iter()
                    .map(|vector| vector.iter().map(|number| f64::from(*number) * 250.0).collect::<Vec<_>>());
                vectors(json!(scaled.collect::<Vec<_>>()))
            }
            Turn::Uncounted => Reply::NoUsage { text: String::new() },
            Turn::Fewer => vectors(json!([[1, 0]])),
            Turn::More => vectors(json!([[1, 0], [1, 0], [1, 0]])),
            Turn::Uneven => vectors(json!([[1, 0], [1, 0, 0]])),
            Turn::Empty => vectors(json!([[], []])),
            Turn::NoNumber => vectors(json!([[1, 0], [1, null]])),
            Turn::Zeros => vectors(json!([[0, 0], [0, 0]])),
            Turn::Malformed => Reply::Raw { body: format!("{{\"data\": [\"{MARK}\"") },
            Turn::Throttles(wish) => error(429, None, wish),
            Turn::Overloaded => error(503, None, None),
            Turn::Fails => error(500, None, None),
            Turn::Unauthorised => error(401, Some("invalid_api_key"), None),
            Turn::UnknownModel => error(404, Some("model_not_found"), None),
            Turn::TooLong => error(400, Some("context_length_exceeded"), None),
            Turn::Cut => Reply::Cut { text: String::new() },
            Turn::Silent => Reply::Hang { text: String::new() },
            Turn::Endless => Reply::Endless,
            Turn::GoesAway => {
                self.double.next(Fault::Drop);
                return true;
            }
        });
        true
    }

    fn heard(&self) -> Vec<Heard> {
        let texts = |body: &Value| {
            let texts = body["input"].as_array().expect("a list of texts");
            texts.iter().map(|text| text.as_str().unwrap().to_owned()).collect()
        };
        let heard = |Asked { body, .. }: Asked| Heard {
            texts: texts(&body),
            model: body["model"].as_str().unwrap().to_owned(),
            dimensions: body["dimensions"].as_u64(),
            purpose: None,
        };
        self.double.asked().into_iter().map(heard).collect()
    }

    fn secrets(&self) -> Vec<String> {
        vec![SECRET.to_owned(), "words of the other side".to_owned()]
    }
}

#[tokio::test]
async fn openai_embeddings_keep_the_contract() {
    contracts::embedder(Setup::new).await;
    contracts::remote_embedder(Setup::new).await;
}

#[tokio::test]
async fn the_key_is_in_its_header_and_nowhere_else() {
    let setup = Setup::new().await;
    setup.embed(&["one"]).await.unwrap();
    let asked = setup.double.asked();
    assert_eq!(asked.len(), 1);
    let Asked { path, headers, body } = &asked[0];
    assert_eq!(path, "/v1/embeddings");
    let with: Vec<_> = headers.iter().filter(|(_, value)| value.contains(SECRET)).collect();
    assert_eq!(with, [&("authorization".to_owned(), format!("Bearer {SECRET}"))]);
    assert_eq!(*body, json!({"model": "embed", "input": ["one"], "encoding_format": "base64"}));
}

#[tokio::test]
async fn vectors_are_put_in_order_by_their_index() {
    let setup = Setup::new().await;
    let item = |index: Value, embedding: Value| json!({"index": index, "embedding": embedding});
    let written = json!({"data": [item(json!(1), json!([0, 2])), item(json!(0), json!([-3, 0]))]});
    assert_eq!(setup.embed_when(&written).await.unwrap().vectors, [[-1.0, 0.0], [0.0, 1.0]]);
    // 1 and 2, and -1 and 2, as four bytes each.
    let packed = json!({"data": [item(json!(1), json!("AACAPwAAAEA=")), item(json!(0), json!("AACAvwAAAEA="))]});
    let vectors = setup.embed_when(&packed).await.unwrap().vectors;
    assert!(vectors[0][0] < 0.0 && vectors[1][0] > 0.0, "{vectors:?}");
    for (what, data) in [
        ("a place twice", json!([item(json!(0), json!([1])), item(json!(0), json!([1]))])),
        ("a place beyond the end", json!([item(json!(0), json!([1])), item(json!(2), json!([1]))])),
        ("a place that is none", json!([item(json!(-1), json!([1])), item(json!(0), json!([1]))])),
        ("half a number", json!([item(json!(0), json!("AACAPw==")), item(json!(1), json!("AACA"))])),
        ("no base64", json!([item(json!(0), json!("AACAPw==")), item(json!(1), json!("§§§§"))])),
        ("no list", json!({"0": [1], "1": [1]})),
        ("nothing", json!(null)),
        ("beyond all numbers", json!([item(json!(0), json!([1e39])), item(json!(1), json!([1]))])),
    ] {
        let error = setup.embed_when(&json!({"data": data})).await.unwrap_err();
        assert_eq!((error.kind(), error.may_be_billed()), (ModelErrorKind::BadOutput, true), "{what}: {error}");
    }
    let error = setup.embed_when(&json!([{"data": []}])).await.unwrap_err();
    assert_eq!(error.kind(), ModelErrorKind::BadOutput);
}

#[tokio::test]
async fn other_dimensions_than_were_asked_for_are_bad_output() {
    let mut setup = Setup::new().await;
    setup.link.dimensions = Some(3);
    let body = json!({"data": [{"embedding": [1, 0]}, {"embedding": [1, 0]}]});
    let error = setup.embed_when(&body).await.unwrap_err();
    assert_eq!((error.kind(), error.may_be_billed()), (ModelErrorKind::BadOutput, true), "{error}");
    setup.embed(&["one"]).await.unwrap();
    assert_eq!(setup.double.asked()[1].body["dimensions"], 3);
}

#[tokio::test]
async fn errors_inside_a_success_are_errors() {
    let setup = Setup::new().await;
    for (code, kind) in [
        (None, ModelErrorKind::Down),
        (Some("context_length_exceeded"), ModelErrorKind::TooLong),
        (Some("insufficient_quota"), ModelErrorKind::Throttled),
    ] {
        let body = json!({"error": {"message": "words of the other side", "code": code}});
        let error = setup.embed_when(&body).await.unwrap_err();
        assert_eq!((error.kind(), error.may_be_billed()), (kind, true), "{error}");
        assert!(!error.to_string().contains("words"), "{error}");
    }
}

#[tokio::test]
async fn a_provider_of_another_kind_is_invalid() {
    let mut setup = Setup::new().await;
    setup.link.provider = parsed("own");
    let error = setup.embed(&["one"]).await.unwrap_err();
    assert_eq!((error.kind(), setup.was_called()), (ModelErrorKind::Invalid, false), "{error}");
}
