//! Bedrock's models that make vectors, against the double.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::{Value, json};
use switchboard_aws::{BedrockModels, bedrock::CallTimes};
use switchboard_core::{
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
    doubles::{BedrockDouble, Fault, bedrock::Reply},
    sample::parsed,
};

use super::{ACCESS_KEY, SECRET_KEY, models, tenant};

const TITAN: &str = "amazon.titan-embed-text-v2:0";
const COHERE_3: &str = "cohere.embed-multilingual-v3";
const COHERE_4: &str = "eu.cohere.embed-v4:0";

struct Setup {
    double: BedrockDouble,
    embedder: Arc<BedrockModels>,
    impatient: Arc<BedrockModels>,
    tenant: Tenant,
    link: EmbedLink,
}

impl Setup {
    async fn new(model: &str) -> Self {
        let double = BedrockDouble::start().await;
        double.require_access_key(ACCESS_KEY);
        let times = CallTimes { whole: Duration::from_millis(900), idle: Duration::from_millis(800) };
        let models = || models(&double.url());
        let (embedder, impatient) = (Arc::new(models()), Arc::new(models().with_times(times)));
        let link = EmbedLink { provider: parsed("ours"), model: model.to_owned(), dimensions: None, price: None };
        Self { embedder, impatient, tenant: tenant(json!({"kind": "bedrock"})), link, double }
    }

    fn is_titan(&self) -> bool {
        self.link.model == TITAN
    }

    async fn embed(&self, texts: &[&str]) -> Result<Embedded, ModelError> {
        let texts: Vec<_> = texts.iter().map(|text| Untrusted::new((*text).to_owned())).collect();
        self.embedder.embed(&self.tenant, &self.link, &texts, Purpose::Passage).await
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
        match self.link.model.as_str() {
            TITAN => vec![256, 512, 1_024],
            COHERE_3 => vec![1_024],
            _ => vec![256, 512, 1_024, 1_536],
        }
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
        let vectors = |vectors: &[Vec<Value>]| {
            let body = match (self.is_titan(), vectors) {
                (true, [vector]) => json!({"embedding": vector, "note": MARK}),
                (true, _) => json!({"note": MARK}),
                (false, vectors) => json!({"embeddings": {"float": vectors}, "texts": [MARK]}),
            };
            Reply::Raw { body: body.to_string() }
        };
        let numbers = |numbers: &[i32]| numbers.iter().map(|number| json!(number)).collect::<Vec<_>>();
        let full = |vector: Vec<Value>| if self.is_titan() { vec![vector] } else { vec![vector.clone(), vector] };
        let error = |status, kind: &str, message: &str, wish: Option<u64>| Reply::Status {
            status,
            kind: kind.to_owned(),
            message: format!("{message} {MARK}"),
            retry_after: wish.map(|seconds| seconds.to_string()),
        };
        self.double.reply_invoke(match turn {
            Turn::Scaled => {
                let texts = if self.is_titan() { &ASKED[..1] } else { &ASKED[..] };
                let plain = self.embed(texts).await.unwrap().vectors;
                let scaled =
                    |vector: &Vec<f32>| vector.iter().map(|number| json!(f64::from(*number) * 250.0)).collect();
                vectors(&plain.iter().map(scaled).collect::<Vec<_>>())
            }
            Turn::Uncounted => vectors(&full(numbers(&[3, 4]))),
            Turn::Fewer => vectors(&[numbers(&[1, 0])][..usize::from(!self.is_titan())]),
            Turn::More | Turn::Uneven if self.is_titan() => return false,
            Turn::More => vectors(&[numbers(&[1]), numbers(&[1]), numbers(&[1])]),
            Turn::Uneven => vectors(&[numbers(&[1, 0]), numbers(&[1])]),
            Turn::Empty => vectors(&full(Vec::new())),
            Turn::NoNumber => vectors(&full(vec![json!(1), Value::Null])),
            Turn::Zeros => vectors(&full(numbers(&[0, 0]))),
            Turn::Malformed => Reply::Raw { body: format!("{{\"embedding\": [\"{MARK}\"") },
            Turn::Throttles(wish) => error(429, "ThrottlingException", "", wish),
            Turn::Overloaded => error(503, "ServiceUnavailableException", "", None),
            Turn::Fails => error(500, "InternalServerException", "", None),
            Turn::Unauthorised => error(403, "AccessDeniedException", "", None),
            Turn::UnknownModel => error(404, "ResourceNotFoundException", "", None),
            Turn::TooLong => error(400, "ValidationException", "Too many input tokens.", None),
            Turn::Cut => Reply::Cut { text: "one two".to_owned() },
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
        let texts = |body: &Value| match body["texts"].as_array() {
            Some(texts) => texts.iter().map(|text| text.as_str().unwrap().to_owned()).collect(),
            None => vec![body["inputText"].as_str().unwrap().to_owned()],
        };
        let purpose = |body: &Value| match body["input_type"].as_str() {
            Some("search_query") => Some(Purpose::Query),
            Some("search_document") => Some(Purpose::Passage),
            Some(other) => panic!("the purpose {other}"),
            None => None,
        };
        let asked = self.double.asked();
        let heard = asked.iter().map(|asked| Heard {
            texts: texts(&asked.body),
            model: asked.subject.clone(),
            dimensions: asked.body["dimensions"].as_u64().or(asked.body["output_dimension"].as_u64()),
            purpose: purpose(&asked.body),
        });
        heard.collect()
    }

    fn secrets(&self) -> Vec<String> {
        [ACCESS_KEY, SECRET_KEY, "words of the other side"].map(str::to_owned).to_vec()
    }
}

#[tokio::test]
async fn embeddings_of_bedrock_keep_the_contract() {
    for model in [TITAN, COHERE_3, COHERE_4] {
        contracts::embedder(async || Setup::new(model).await).await;
        contracts::remote_embedder(async || Setup::new(model).await).await;
    }
}

#[tokio::test]
async fn each_family_is_asked_in_its_form() {
    for (model, dimensions, expected) in [
        (TITAN, Some(256), json!({"inputText": "one", "dimensions": 256, "normalize": true})),
        (
            COHERE_3,
            None,
            json!({
                "texts": ["one"], "input_type": "search_document", "truncate": "END", "embedding_types": ["float"],
            }),
        ),
        (
            COHERE_4,
            Some(512),
            json!({
                "texts": ["one"], "input_type": "search_document", "truncate": "RIGHT", "embedding_types": ["float"],
                "output_dimension": 512,
            }),
        ),
    ] {
        let mut setup = Setup::new(model).await;
        setup.link.dimensions = dimensions;
        let answer = setup.embed(&["one"]).await.unwrap();
        assert_eq!(setup.double.asked()[0].body, expected);
        assert_eq!((answer.usage.input_tokens, answer.model.as_str()), (1, model), "as the service counts");
    }
}

#[tokio::test]
async fn what_the_service_would_not_cut_is_cut_here() {
    let setup = Setup::new(COHERE_3).await;
    setup.embed(&["ä".repeat(3_000).as_str()]).await.unwrap();
    assert_eq!(setup.double.asked()[0].body["texts"][0].as_str().unwrap().chars().count(), 2_048);
}

#[tokio::test]
async fn models_and_dimensions_that_there_are_not_are_named() {
    for (model, dimensions, words) in [
        ("eu.amazon.nova-lite-v1:0", None, "Amazon Titan Text Embeddings V2"),
        (COHERE_3, Some(512), "has 1024 dimensions"),
    ] {
        let mut setup = Setup::new(model).await;
        setup.link.dimensions = dimensions;
        let error = setup.embed(&["one"]).await.unwrap_err();
        assert_eq!((error.kind(), setup.was_called()), (ModelErrorKind::Invalid, false), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    // The service says which ones there are.
    let mut setup = Setup::new(TITAN).await;
    setup.link.dimensions = Some(300);
    assert_eq!(setup.embed(&["one"]).await.unwrap_err().kind(), ModelErrorKind::Invalid);
}

#[tokio::test]
async fn vectors_without_types_are_read_as_well() {
    let setup = Setup::new(COHERE_3).await;
    setup.double.reply_invoke(Reply::Raw { body: json!({"embeddings": [[0, 2], [-3, 0]]}).to_string() });
    assert_eq!(setup.embed(&["one", "two"]).await.unwrap().vectors, [[0.0, 1.0], [-1.0, 0.0]]);
}
