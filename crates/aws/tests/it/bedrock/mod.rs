//! Bedrock's models against the double, which is no part of the emulator.

mod embeddings;
mod guardrail;
mod prompts;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::{credential_fn::provide_credentials_fn, provider::error::CredentialsError};
use aws_sdk_bedrockruntime::config::{Credentials, SharedCredentialsProvider, SharedHttpClient};
use aws_smithy_http_client::Builder;
use futures_util::StreamExt;
use serde_json::{Value, json};
use switchboard_aws::{BedrockClients, BedrockModels, bedrock::CallTimes};
use switchboard_core::{
    models::{Answer, Message, ModelError, ModelErrorKind, Part, Prompt, StopReason, StreamEvent, Usage},
    ports::ChatModel,
    tenants::{ModelLink, Tenant},
    untrusted::Untrusted,
};
use switchboard_testkit::{
    contracts::{
        self,
        chat_model::{Heard, MARK, Provided, Turn},
    },
    doubles::{
        BedrockDouble, Fault,
        bedrock::{Asked, Asks, Reply},
    },
    sample::{parsed, tenant_with},
};

const ACCESS_KEY: &str = "AKIDOFTHETEST";
const SECRET_KEY: &str = "secret-key-of-the-test";
const REGION: &str = "eu-central-1";
const NOVA: &str = "eu.amazon.nova-lite-v1:0";
const ARN: &str = "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.amazon.nova-lite-v1:0";

struct Setup {
    double: BedrockDouble,
    model: Arc<BedrockModels>,
    impatient: Arc<BedrockModels>,
    tenant: Tenant,
    link: ModelLink,
}

fn config(url: &str, region: Option<&str>) -> SdkConfig {
    let http: SharedHttpClient = Builder::new().build_http();
    let credentials = Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .region(region.map(|region| Region::new(region.to_owned())))
        .endpoint_url(url)
        .build()
}

fn models(url: &str) -> BedrockModels {
    BedrockModels::new(Arc::new(BedrockClients::over(config(url, Some(REGION)))))
}

fn tenant(provider: Value) -> Tenant {
    tenant_with(|config| config["models"] = json!({"providers": {"ours": provider}}))
}

fn link(model: &str) -> ModelLink {
    ModelLink { provider: parsed("ours"), model: model.to_owned(), price: None }
}

fn untrusted(text: &str) -> Untrusted<String> {
    Untrusted::new(text.to_owned())
}

fn bare(text: &Untrusted<String>) -> String {
    text.for_person().to_owned_text()
}

impl Setup {
    async fn new() -> Self {
        Self::with(json!({"kind": "bedrock"}), NOVA).await
    }

    async fn with(provider: Value, model: &str) -> Self {
        let double = BedrockDouble::start().await;
        double.require_access_key(ACCESS_KEY);
        double.cached_tokens(3);
        let times = CallTimes { whole: Duration::from_millis(900), idle: Duration::from_millis(800) };
        let models = || models(&double.url());
        let (model_, impatient) = (Arc::new(models()), Arc::new(models().with_times(times)));
        Self { model: model_, impatient, tenant: tenant(provider), link: link(model), double }
    }

    async fn ask(&self, reply: Reply) -> Result<Answer, ModelError> {
        self.double.reply(reply);
        self.model.chat(&self.tenant, &self.link, &prompt()).await
    }

    /// All events of a stream, the error at its beginning among them.
    async fn events(&self, prompt: &Prompt, reply: Reply) -> Vec<Result<StreamEvent, ModelError>> {
        self.double.reply(reply);
        match self.model.stream(&self.tenant, &self.link, prompt).await {
            Err(error) => vec![Err(error)],
            Ok(stream) => stream.collect().await,
        }
    }

    async fn stream_error(&self, reply: Reply) -> ModelError {
        self.events(&prompt(), reply).await.pop().unwrap().unwrap_err()
    }
}

fn prompt() -> Prompt {
    Prompt {
        system: String::new(),
        messages: vec![Message::user([Part::Trusted("Hi".to_owned())])],
        tools: Vec::new(),
        schema: None,
        max_tokens: 50,
        temperature: None,
    }
}

#[async_trait]
impl Provided for Setup {
    fn model(&self) -> Arc<dyn ChatModel> {
        self.model.clone()
    }

    fn impatient(&self) -> Arc<dyn ChatModel> {
        self.impatient.clone()
    }

    fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    fn link(&self) -> &ModelLink {
        &self.link
    }

    async fn does(&self, turn: Turn) {
        let asks = |(name, arguments)| Asks { name, arguments };
        let error = |status, kind: &str, message: &str| Reply::Status {
            status,
            kind: kind.to_owned(),
            message: format!("{message} {MARK}"),
            retry_after: None,
        };
        self.double.reply(match turn {
            Turn::Says(text) => Reply::Text { text },
            Turn::AsksFor(text, calls) => Reply::Tools { text, calls: calls.into_iter().map(asks).collect() },
            Turn::ReachesLimit(text) => Reply::Stopped { text, reason: "max_tokens".to_owned() },
            Turn::Refuses => Reply::stopped("", "refusal"),
            Turn::Filters => Reply::Stopped { text: format!("Well, {MARK}"), reason: "content_filtered".to_owned() },
            Turn::Throttles(wish) => Reply::Status {
                status: 429,
                kind: "ThrottlingException".to_owned(),
                message: MARK.to_owned(),
                retry_after: wish.map(|seconds| seconds.to_string()),
            },
            Turn::Overloaded => error(503, "ServiceUnavailableException", ""),
            Turn::Fails => error(500, "InternalServerException", ""),
            Turn::Unauthorised => error(403, "AccessDeniedException", ""),
            Turn::UnknownModel => error(404, "ResourceNotFoundException", ""),
            Turn::TooLong => error(400, "ValidationException", "Input is too long for requested model."),
            Turn::Malformed => Reply::Raw { body: format!("{{\"delta\": [\"{MARK}\"") },
            Turn::CutAfter(text) => Reply::Cut { text },
            Turn::SilentAfter(text) => Reply::Hang { text },
            Turn::Endless => Reply::Endless,
            Turn::Slow(millis, text) => Reply::Slow { millis, then: Box::new(Reply::Text { text }) },
            Turn::GoesAway => return self.double.next(Fault::Drop),
        });
    }

    fn heard(&self) -> Vec<Heard> {
        self.double.asked().iter().map(heard).collect()
    }

    fn counted(&self) -> Usage {
        let counted = self.double.counted();
        let number = |name: &str| counted[name].as_u64().unwrap();
        let cached_tokens = number("cacheReadInputTokens");
        let input_tokens = number("inputTokens") + cached_tokens + number("cacheWriteInputTokens");
        Usage { input_tokens, cached_tokens, output_tokens: number("outputTokens") }
    }

    fn secrets(&self) -> Vec<String> {
        [ACCESS_KEY, SECRET_KEY, "words of the other side"].map(str::to_owned).to_vec()
    }
}

fn heard(asked: &Asked) -> Heard {
    let body = &asked.body;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let (mut messages, mut calls, mut answered) = (Vec::new(), Vec::new(), Vec::new());
    for message in list(&body["messages"]) {
        for block in list(&message["content"]) {
            if let Some(words) = block.get("text") {
                messages.push((text(&message["role"]), text(words)));
            } else if let Some(call) = block.get("toolUse") {
                calls.push((text(&call["toolUseId"]), text(&call["name"]), call["input"].clone()));
            } else if let Some(result) = block.get("toolResult") {
                answered.push(text(&result["toolUseId"]));
                messages.push(("tool".to_owned(), text(&result["content"][0]["text"])));
            }
        }
    }
    let spec = |tool: &Value| (text(&tool["toolSpec"]["name"]), tool["toolSpec"]["inputSchema"]["json"].clone());
    let mut tools: Vec<_> = list(&body["toolConfig"]["tools"]).iter().map(spec).collect();
    // An answer in a form is a tool that must be asked for.
    let schema = body["toolConfig"].get("toolChoice").and_then(|_| tools.pop()).map(|(_, schema)| schema);
    Heard {
        system: list(&body["system"]).iter().map(|block| text(&block["text"])).collect(),
        messages,
        calls,
        answered,
        tools,
        schema,
        max_tokens: body["inferenceConfig"]["maxTokens"].as_u64(),
        temperature: body["inferenceConfig"]["temperature"].as_f64(),
        model: asked.subject.clone(),
    }
}

#[tokio::test]
async fn bedrock_models_keep_the_contract() {
    contracts::chat_model(Setup::new).await;
}

#[tokio::test]
async fn each_call_is_signed_and_the_secret_is_nowhere() {
    let setup = Setup::new().await;
    setup.ask(Reply::text("Hi.")).await.unwrap();
    setup.events(&prompt(), Reply::text("Hi.")).await.pop().unwrap().unwrap();
    let asked = setup.double.asked();
    let paths: Vec<_> = asked.iter().map(|asked| asked.path.as_str()).collect();
    let base = "/model/eu.amazon.nova-lite-v1%3A0";
    assert_eq!(paths, [format!("{base}/converse"), format!("{base}/converse-stream")]);
    for Asked { headers, body, .. } in asked {
        let header =
            |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).unwrap();
        let day = header("x-amz-date")[..8].to_owned();
        let expected = format!("AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{day}/{REGION}/bedrock/aws4_request, ");
        assert!(header("authorization").starts_with(&expected), "{}", header("authorization"));
        assert!(!format!("{headers:?} {body}").contains(SECRET_KEY));
    }
    // The double has looked at the form, and knows its key alone.
    setup.double.require_access_key("AKIDOFSOMEBODYELSE");
    let error = setup.ask(Reply::text("Hi.")).await.unwrap_err();
    assert_eq!((error.kind(), error.may_be_billed()), (ModelErrorKind::Unauthorised, false), "{error}");
}

#[tokio::test]
async fn without_credentials_or_region_nothing_is_asked() {
    let double = BedrockDouble::start().await;
    let tenant = tenant(json!({"kind": "bedrock"}));
    let nobody = provide_credentials_fn(async || Err(CredentialsError::not_loaded("nobody is signed in")));
    let nobody =
        config(&double.url(), Some(REGION)).into_builder().credentials_provider(SharedCredentialsProvider::new(nobody));
    let nowhere = config(&double.url(), None);
    for (config, kind, words) in [
        (nobody.build(), ModelErrorKind::Unauthorised, "without credentials"),
        (nowhere, ModelErrorKind::Invalid, "has no region"),
    ] {
        let model = BedrockModels::new(Arc::new(BedrockClients::over(config)));
        let error = model.chat(&tenant, &link(NOVA), &prompt()).await.unwrap_err();
        assert_eq!((error.kind(), error.may_be_billed()), (kind, false), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    assert_eq!(double.requests(), 0);
}

#[tokio::test]
async fn a_model_is_asked_by_the_arn_of_its_profile_and_in_the_region_of_its_provider() {
    let setup = Setup::with(json!({"kind": "bedrock", "region": "eu-west-1"}), ARN).await;
    let answer = setup.ask(Reply::text("Hi.")).await.unwrap();
    assert_eq!((bare(&answer.text).as_str(), answer.model.as_str()), ("Hi.", ARN));
    let asked = setup.double.asked().pop().unwrap();
    assert_eq!(asked.subject, ARN);
    assert!(asked.path.contains("%3Ainference-profile%2Feu.amazon"), "{}", asked.path);
    assert!(asked.headers.iter().any(|(name, value)| name == "authorization" && value.contains("/eu-west-1/bedrock/")));
}

#[tokio::test]
async fn each_error_has_its_kind() {
    use ModelErrorKind::{Down, Invalid, Overloaded, Throttled, TooLong, Unauthorised};
    let setup = Setup::new().await;
    for (status, code, message, kind, is_billed) in [
        (400, "ValidationException", "Too many input tokens. Max input tokens: 8192", TooLong, false),
        (400, "ValidationException", "on-demand throughput isn't supported; an inference profile", Invalid, false),
        (400, "ValidationException", "words of the other side", Invalid, false),
        (400, "ServiceQuotaExceededException", "", Throttled, false),
        (400, "SomethingNew", "", Invalid, false),
        (403, "AccessDeniedException", "", Unauthorised, false),
        (403, "ExpiredTokenException", "", Unauthorised, false),
        (403, "UnrecognizedClientException", "", Unauthorised, false),
        (403, "", "", Unauthorised, false),
        (404, "ResourceNotFoundException", "", Invalid, false),
        (408, "ModelTimeoutException", "", Down, true),
        (424, "ModelErrorException", "", Down, true),
        (429, "ThrottlingException", "", Throttled, false),
        (429, "ModelNotReadyException", "", Overloaded, false),
        (500, "InternalServerException", "", Down, false),
        (503, "ServiceUnavailableException", "", Overloaded, false),
        (503, "", "", Overloaded, false),
        (504, "", "", Down, true),
    ] {
        let reply = || Reply::Status { status, kind: code.to_owned(), message: message.to_owned(), retry_after: None };
        let plain = setup.ask(reply()).await.unwrap_err();
        assert_eq!((plain.kind(), plain.may_be_billed()), (kind, is_billed), "{status} {code}: {plain}");
        let streamed = setup.stream_error(reply()).await;
        assert_eq!((streamed.kind(), streamed.to_string()), (kind, plain.to_string()), "{status} {code}");
        assert!(plain.to_string().contains(&format!("({status})")) && !plain.to_string().contains("words"), "{plain}");
    }
    // The SDK has tries of its own, which would cost: they are off.
    assert_eq!(setup.double.requests(), 2 * 18);
}

#[tokio::test]
async fn nobody_there_costs_nothing_and_a_lost_answer_may() {
    let setup = Setup::new().await;
    setup.double.next(Fault::ApplyThenDrop);
    let error = setup.model.chat(&setup.tenant, &setup.link, &prompt()).await.unwrap_err();
    assert_eq!((error.kind(), error.may_be_billed()), (ModelErrorKind::Down, true), "{error}");
    // A port that nobody listens at.
    let url = { BedrockDouble::start().await.url() };
    let error = models(&url).chat(&setup.tenant, &setup.link, &prompt()).await.unwrap_err();
    assert_eq!((error.kind(), error.may_be_billed()), (ModelErrorKind::Down, false), "{error}");
}

#[tokio::test]
async fn exceptions_in_a_stream_are_errors() {
    use ModelErrorKind::{Down, Invalid, Overloaded, Throttled};
    let setup = Setup::new().await;
    for (kind, expected) in [
        ("modelStreamErrorException", Down),
        ("internalServerException", Down),
        ("throttlingException", Throttled),
        ("serviceUnavailableException", Overloaded),
        ("validationException", Invalid),
        ("somethingNewException", Down),
    ] {
        let reply = Reply::ErrorInside { text: "one two".to_owned(), kind: kind.to_owned() };
        let mut events = setup.events(&prompt(), reply).await;
        let error = events.pop().unwrap().unwrap_err();
        assert_eq!((error.kind(), error.may_be_billed()), (expected, true), "{kind}: {error}");
        assert!(!format!("{error} {error:?}").contains("words of"), "{error:?}");
        assert_eq!(events.len(), 2, "what came before it");
    }
    let error = setup.stream_error(Reply::Corrupt { text: "one two".to_owned() }).await;
    assert_eq!((error.kind(), error.may_be_billed()), (ModelErrorKind::BadOutput, true), "{error}");
    let error = setup.stream_error(Reply::NoEnd { text: "one two".to_owned() }).await;
    assert_eq!((error.kind(), error.may_be_billed()), (ModelErrorKind::Down, true), "{error}");
}

#[tokio::test]
async fn each_reason_to_stop_is_understood() {
    let setup = Setup::new().await;
    for (reason, expected) in [
        ("end_turn", Ok(StopReason::End)),
        ("stop_sequence", Ok(StopReason::End)),
        ("max_tokens", Ok(StopReason::MaxTokens)),
        ("content_filtered", Err(ModelErrorKind::Refused)),
        ("guardrail_intervened", Err(ModelErrorKind::Refused)),
        ("malformed_model_output", Err(ModelErrorKind::BadOutput)),
        ("malformed_tool_use", Err(ModelErrorKind::BadOutput)),
        ("model_context_window_exceeded", Err(ModelErrorKind::TooLong)),
        ("tired", Err(ModelErrorKind::BadOutput)),
    ] {
        let plain =
            setup.ask(Reply::stopped("Hi.", reason)).await.map(|answer| answer.stop).map_err(|error| error.kind());
        assert_eq!(plain, expected, "{reason}");
        let last = setup.events(&prompt(), Reply::stopped("Hi.", reason)).await.pop().unwrap();
        let streamed = match last {
            Ok(StreamEvent::End { stop, .. }) => Ok(stop),
            Ok(_) => panic!("{reason}: no end"),
            Err(error) => {
                assert!(error.may_be_billed());
                Err(error.kind())
            }
        };
        assert_eq!(streamed, expected, "{reason}, streamed");
    }
}

#[tokio::test]
async fn answers_of_another_form_are_bad_output() {
    let setup = Setup::new().await;
    let say = |content: Value, stop: &str| json!({"output": {"message": {"role": "assistant", "content": content}}, "stopReason": stop});
    let call = |name: &str| json!([{"toolUse": {"toolUseId": "a", "name": name, "input": {}}}]);
    let many: Vec<_> =
        (0..33).map(|n| json!({"toolUse": {"toolUseId": format!("c{n}"), "name": "x", "input": {}}})).collect();
    for (body, what) in [
        (json!([]), "a list"),
        (json!({}), "nothing"),
        (json!({"stopReason": "end_turn"}), "no message"),
        (say(json!([{"text": "Hi"}]), ""), "no reason to stop"),
        (say(json!([]), "end_turn"), "no words"),
        (say(json!([{"text": ""}]), "end_turn"), "empty words"),
        (say(json!([{"text": 7}]), "end_turn"), "a number for words"),
        (say(call("rm -rf /"), "tool_use"), "a name that is none"),
        (say(call(""), "tool_use"), "an empty name"),
        (say(json!(many), "tool_use"), "too many tools"),
    ] {
        let error = setup.ask(Reply::Raw { body: body.to_string() }).await.unwrap_err();
        let seen = (error.kind(), error.may_be_billed());
        assert_eq!(seen, (ModelErrorKind::BadOutput, true), "{what}: {error}");
    }
    let thoughts = json!([{"reasoningContent": {"reasoningText": {"text": "Hm."}}}, {"text": "Hi"}]);
    let answer = setup.ask(Reply::Raw { body: say(thoughts, "end_turn").to_string() }).await.unwrap();
    assert_eq!(bare(&answer.text), "Hi");
}

#[tokio::test]
async fn what_is_not_counted_costs_the_most_that_it_can() {
    let setup = Setup::new().await;
    let most = Usage::at_most(&prompt());
    let reply = || Reply::NoUsage { text: "Hi.".to_owned() };
    assert_eq!(setup.ask(reply()).await.unwrap().usage, most);
    let last = setup.events(&prompt(), reply()).await.pop().unwrap().unwrap();
    assert!(matches!(last, StreamEvent::End { usage, .. } if usage == most));
}

#[tokio::test]
async fn providers_of_another_kind_are_not_asked() {
    let setup = Setup::with(json!({"kind": "openai", "url": "https://models.example/v1"}), NOVA).await;
    let error = setup.ask(Reply::text("Hi.")).await.unwrap_err();
    assert_eq!((error.kind(), error.may_be_billed()), (ModelErrorKind::Invalid, false), "{error}");
    assert_eq!(setup.double.requests(), 0);
}
