use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::{Value, json};
use switchboard_connect::{OpenAiModels, Outbound, OutboundPolicy, openai::CallTimes};
use switchboard_core::{
    models::{Answer, Message, ModelError, ModelErrorKind, Part, Prompt, StopReason, Usage},
    ports::ChatModel,
    tenants::{ModelLink, Tenant},
};
use switchboard_testkit::{
    contracts::{
        self,
        chat_model::{Heard, MARK, Provided, Turn},
    },
    doubles::{
        Fault, OpenAiDouble, RawServer,
        openai::{Asked, Asks, Reply},
        raw::Step,
    },
    sample::{parsed, tenant_with},
    world::MapSecrets,
};

use crate::common::{SECRET, outbound, secrets};

struct Setup {
    double: OpenAiDouble,
    model: Arc<OpenAiModels>,
    impatient: Arc<OpenAiModels>,
    tenant: Tenant,
    link: ModelLink,
}

fn tenant(url: &str) -> Tenant {
    tenant_with(|config| {
        config["models"] = json!({"providers": {"ours": {"kind": "openai", "url": url, "key": "token"}}});
    })
}

fn link(model: &str) -> ModelLink {
    ModelLink { provider: parsed("ours"), model: model.to_owned(), price: None }
}

impl Setup {
    async fn new() -> Self {
        let double = OpenAiDouble::start().await;
        double.require_key(SECRET);
        double.cached_tokens(3);
        let models = || OpenAiModels::new(outbound(&[&double]), secrets());
        let times = CallTimes { whole: Duration::from_millis(900), idle: Duration::from_millis(800) };
        let (model, impatient) = (Arc::new(models()), Arc::new(models().with_times(times)));
        let tenant = tenant(&double.base_url());
        Self { double, model, impatient, tenant, link: link("small") }
    }

    async fn ask(&self, reply: Reply) -> Result<Answer, ModelError> {
        self.double.reply(reply);
        self.model.chat(&self.tenant, &self.link, &prompt()).await
    }

    /// The error of a stream, whenever it comes.
    async fn stream_error(&self, reply: Reply) -> ModelError {
        use futures_util::StreamExt;
        self.double.reply(reply);
        match self.model.stream(&self.tenant, &self.link, &prompt()).await {
            Err(error) => error,
            Ok(stream) => stream.collect::<Vec<_>>().await.pop().unwrap().unwrap_err(),
        }
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
        let error = |status, code: Option<&str>| {
            let code = code.map(str::to_owned);
            Reply::Status { status, retry_after: None, code, message: MARK.to_owned() }
        };
        self.double.reply(match turn {
            Turn::Says(text) => Reply::Text { text },
            Turn::AsksFor(text, calls) => Reply::Tools { text, calls: calls.into_iter().map(asks).collect() },
            Turn::ReachesLimit(text) => Reply::Length { text },
            Turn::Refuses => Reply::Refusal { text: format!("I will not. {MARK}") },
            Turn::Filters => Reply::Filtered { text: format!("Well, {MARK}") },
            Turn::Throttles(wish) => {
                let retry_after = wish.map(|seconds| seconds.to_string());
                Reply::Status { status: 429, retry_after, code: None, message: MARK.to_owned() }
            }
            Turn::Overloaded => error(503, None),
            Turn::Fails => error(500, None),
            Turn::Unauthorised => error(401, Some("invalid_api_key")),
            Turn::UnknownModel => error(404, Some("model_not_found")),
            Turn::TooLong => error(400, Some("context_length_exceeded")),
            Turn::Malformed => Reply::Raw { body: format!("{{\"choices\": [\"{MARK}\"") },
            Turn::CutAfter(text) => Reply::Cut { text },
            Turn::SilentAfter(text) => Reply::Hang { text },
            Turn::Endless => Reply::Endless,
            Turn::Slow(millis, text) => Reply::Slow { millis, then: Box::new(Reply::Text { text }) },
            Turn::GoesAway => return self.double.next(Fault::Drop),
        });
    }

    fn heard(&self) -> Vec<Heard> {
        self.double.asked().iter().map(|asked| heard(&asked.body)).collect()
    }

    fn counted(&self) -> Usage {
        let counted = self.double.counted();
        let number = |value: &Value| value.as_u64().unwrap();
        Usage {
            input_tokens: number(&counted["prompt_tokens"]),
            cached_tokens: number(&counted["prompt_tokens_details"]["cached_tokens"]),
            output_tokens: number(&counted["completion_tokens"]),
        }
    }

    fn secrets(&self) -> Vec<String> {
        vec![SECRET.to_owned(), "words of the other side".to_owned()]
    }
}

fn heard(body: &Value) -> Heard {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let messages = list(&body["messages"]);
    let (system, messages): (Vec<_>, Vec<_>) = messages.into_iter().partition(|message| message["role"] == "system");
    let calls = messages.iter().flat_map(|message| list(&message["tool_calls"])).map(|call| {
        let function = &call["function"];
        let input = serde_json::from_str(function["arguments"].as_str().unwrap()).unwrap();
        (text(&call["id"]), text(&function["name"]), input)
    });
    let answered = messages.iter().filter(|message| message["role"] == "tool");
    Heard {
        system: system.iter().map(|message| text(&message["content"])).collect(),
        calls: calls.collect(),
        answered: answered.map(|message| text(&message["tool_call_id"])).collect(),
        messages: messages.iter().map(|message| (text(&message["role"]), text(&message["content"]))).collect(),
        tools: list(&body["tools"])
            .iter()
            .map(|tool| (text(&tool["function"]["name"]), tool["function"]["parameters"].clone()))
            .collect(),
        schema: body.get("response_format").map(|format| format["json_schema"]["schema"].clone()),
        max_tokens: body["max_tokens"].as_u64(),
        temperature: body["temperature"].as_f64(),
        model: text(&body["model"]),
    }
}

#[tokio::test]
async fn openai_models_keep_the_contract() {
    contracts::chat_model(Setup::new).await;
}

#[tokio::test]
async fn the_key_is_in_its_header_and_nowhere_else() {
    let setup = Setup::new().await;
    setup.ask(Reply::text("Hi.")).await.unwrap();
    setup.double.reply(Reply::text("Hi."));
    drop(setup.model.stream(&setup.tenant, &setup.link, &prompt()).await.ok().unwrap());
    let asked = setup.double.asked();
    assert_eq!(asked.len(), 2);
    for Asked { path, headers, body } in asked {
        assert_eq!(path, "/v1/chat/completions");
        let with: Vec<_> = headers.iter().filter(|(_, value)| value.contains(SECRET)).collect();
        assert_eq!(with, [&("authorization".to_owned(), format!("Bearer {SECRET}"))]);
        assert!(!body.to_string().contains(SECRET));
    }
}

#[tokio::test]
async fn keys_that_are_wrong_or_missing_are_named() {
    let setup = Setup::new().await;
    for (value, what) in [
        (None, "is not there"),
        (Some(""), "is empty"),
        (Some("a\nb"), "a header cannot carry"),
        (Some("wrong"), "check the secret"),
    ] {
        let secrets = value.map(|value| MapSecrets::new().with("token", value)).unwrap_or_default();
        let model = OpenAiModels::new(outbound(&[&setup.double]), Arc::new(secrets));
        let error = model.chat(&setup.tenant, &setup.link, &prompt()).await.unwrap_err();
        assert_eq!((error.kind(), error.may_be_billed()), (ModelErrorKind::Unauthorised, false), "{error}");
        let told = error.to_string();
        assert!(told.contains(what) && told.contains("`token`") && !told.contains("wrong"), "{told}");
    }
}

#[tokio::test]
async fn a_server_without_a_key_is_asked_without_one() {
    let double = OpenAiDouble::start().await;
    let tenant = tenant_with(|config| {
        config["models"] = json!({"providers": {"ours": {"kind": "openai", "url": double.base_url()}}});
    });
    let model = OpenAiModels::new(outbound(&[&double]), Arc::new(MapSecrets::new()));
    model.chat(&tenant, &link("small"), &prompt()).await.unwrap();
    assert!(double.asked()[0].headers.iter().all(|(name, _)| name != "authorization"));
}

#[tokio::test]
async fn the_operators_own_network_is_out_of_reach() {
    let double = OpenAiDouble::start().await;
    let model = OpenAiModels::new(outbound(&[]), secrets());
    let tenant = tenant(&double.base_url());
    let seen = [
        model.chat(&tenant, &link("small"), &prompt()).await.unwrap_err(),
        model.stream(&tenant, &link("small"), &prompt()).await.err().unwrap(),
    ];
    for error in seen {
        assert_eq!((error.kind(), error.may_be_billed()), (ModelErrorKind::Invalid, false), "{error}");
        assert!(error.to_string().contains("outbound.allow_hosts"), "{error}");
    }
    assert_eq!(double.connections(), 0);
}

#[tokio::test]
async fn without_aws_a_model_of_bedrock_is_told_with_the_remedy() {
    let double = OpenAiDouble::start().await;
    let clock: Arc<dyn switchboard_core::ports::Clock> = Arc::new(switchboard_testkit::world::FixedClock::default());
    let secrets: Arc<dyn switchboard_core::ports::Secrets> = secrets();
    let models = switchboard_connect::connectors(&outbound(&[&double]), &secrets, &clock).models;
    let tenant = tenant_with(|config| {
        let ours = json!({"kind": "openai", "url": double.base_url(), "key": "token"});
        config["models"] = json!({"providers": {"ours": ours, "aws": {"kind": "bedrock"}}});
    });
    let of = |provider: &str| ModelLink { provider: parsed(provider), ..link("small") };
    models.chat(&tenant, &of("ours"), &prompt()).await.unwrap();
    for (provider, words) in [("aws", "cargo build --release --features aws"), ("nobody", "not among the tenant's")] {
        let seen = [
            models.chat(&tenant, &of(provider), &prompt()).await.unwrap_err(),
            models.stream(&tenant, &of(provider), &prompt()).await.err().unwrap(),
        ];
        for error in seen {
            assert_eq!((error.kind(), error.may_be_billed()), (ModelErrorKind::Invalid, false), "{error}");
            assert!(error.to_string().contains(words), "{error}");
        }
    }
    assert_eq!(double.requests(), 1);
}

#[tokio::test]
async fn each_status_has_its_kind() {
    let setup = Setup::new().await;
    let billed = |status| status == 504;
    for (status, code, kind) in [
        (400, "", ModelErrorKind::Invalid),
        (400, "context_length_exceeded", ModelErrorKind::TooLong),
        (400, "exceed_context_size_error", ModelErrorKind::TooLong),
        (400, "content_filter", ModelErrorKind::Refused),
        (400, "unsupported_parameter", ModelErrorKind::Invalid),
        (401, "invalid_api_key", ModelErrorKind::Unauthorised),
        (402, "", ModelErrorKind::Throttled),
        (403, "", ModelErrorKind::Unauthorised),
        (404, "model_not_found", ModelErrorKind::Invalid),
        (408, "", ModelErrorKind::Down),
        (413, "", ModelErrorKind::TooLong),
        (422, "", ModelErrorKind::Invalid),
        (429, "rate_limit_exceeded", ModelErrorKind::Throttled),
        (429, "insufficient_quota", ModelErrorKind::Throttled),
        (500, "", ModelErrorKind::Down),
        (500, "exceed_context_size_error", ModelErrorKind::TooLong),
        (502, "", ModelErrorKind::Down),
        (503, "", ModelErrorKind::Overloaded),
        (504, "", ModelErrorKind::Down),
        (529, "", ModelErrorKind::Overloaded),
    ] {
        let reply = || Reply::error(status, code);
        let plain = setup.ask(reply()).await.unwrap_err();
        assert_eq!((plain.kind(), plain.may_be_billed()), (kind, billed(status)), "{status} {code}: {plain}");
        let streamed = setup.stream_error(reply()).await;
        assert_eq!((streamed.kind(), streamed.to_string()), (kind, plain.to_string()), "{status} {code}");
        assert!(plain.to_string().contains(&format!("({status})")) && !plain.to_string().contains("words"), "{plain}");
    }
    for (wish, expected) in [("20", Some(20)), ("soon", None)] {
        let retry_after = Some(wish.to_owned());
        let busy = Reply::Status { status: 429, retry_after, code: None, message: String::new() };
        let error = setup.ask(busy).await.unwrap_err();
        assert_eq!(error.retry_after(), expected.map(Duration::from_secs));
    }
}

#[tokio::test]
async fn errors_inside_a_success_are_errors() {
    let setup = Setup::new().await;
    for (code, kind) in [
        (None, ModelErrorKind::Down),
        (Some("context_length_exceeded"), ModelErrorKind::TooLong),
        (Some("content_filter"), ModelErrorKind::Refused),
        (Some("insufficient_quota"), ModelErrorKind::Throttled),
    ] {
        let reply = || Reply::ErrorInside { text: "one two".to_owned(), code: code.map(str::to_owned) };
        for error in [setup.ask(reply()).await.unwrap_err(), setup.stream_error(reply()).await] {
            assert_eq!((error.kind(), error.may_be_billed()), (kind, true), "{error}");
            assert!(!error.to_string().contains("words"), "{error}");
        }
    }
}

#[tokio::test]
async fn answers_of_another_form_are_bad_output() {
    let setup = Setup::new().await;
    let choice = |message: Value, finish: Value| json!({"choices": [{"message": message, "finish_reason": finish}]});
    let call = |name: &str| json!({"tool_calls": [{"id": "a", "function": {"name": name, "arguments": "{}"}}]});
    let many: Vec<_> =
        (0..33).map(|n| json!({"id": format!("c{n}"), "function": {"name": "x", "arguments": ""}})).collect();
    for (body, what) in [
        (json!([]), "a list"),
        (json!(7), "a number"),
        (json!({}), "nothing"),
        (json!({"choices": []}), "no choice"),
        (choice(json!({"content": "Hi"}), json!(null)), "no reason to stop"),
        (choice(json!({"content": "Hi"}), json!("tired")), "an unknown reason to stop"),
        (choice(json!({"content": 7}), json!("stop")), "a number for words"),
        (choice(json!({"content": null}), json!("stop")), "no words"),
        (choice(json!({"content": ""}), json!("stop")), "empty words"),
        (choice(call("rm -rf /"), json!("tool_calls")), "a name that is none"),
        (choice(call(""), json!("tool_calls")), "an empty name"),
        (choice(json!({"tool_calls": many}), json!("tool_calls")), "too many tools"),
        (
            json!({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": -1}}),
            "a negative count",
        ),
    ] {
        let error = setup.ask(Reply::Raw { body: body.to_string() }).await.unwrap_err();
        let seen = (error.kind(), error.may_be_billed());
        assert_eq!(seen, (ModelErrorKind::BadOutput, true), "{what}: {error}");
    }
}

#[tokio::test]
async fn other_servers_ways_are_understood() {
    let setup = Setup::new().await;
    let whole = |message: Value, finish: &str| Reply::Raw {
        body: json!({"choices": [{"message": message, "finish_reason": finish}]}).to_string(),
    };
    // Ollama stops for `stop`, and some servers leave ids and types out.
    let function = json!({"name": "look", "arguments": "{\"n\":1}"});
    let answer = setup
        .ask(whole(json!({"content": "", "tool_calls": [{"function": function}, {"function": function}]}), "stop"));
    let answer = answer.await.unwrap();
    assert_eq!((answer.stop, answer.calls.len()), (StopReason::Tools, 2));
    assert_ne!(answer.calls[0].id, answer.calls[1].id);
    // Tools that were cut are not asked for.
    let cut = json!({"name": "look", "arguments": "{\"n\":"});
    let answer =
        setup.ask(whole(json!({"content": null, "tool_calls": [{"id": "a", "function": cut}]}), "length")).await;
    let answer = answer.unwrap();
    assert_eq!((answer.stop, answer.calls.len()), (StopReason::MaxTokens, 0));
    // A model without a name is the one that was asked.
    assert_eq!(answer.model, "small");
}

#[tokio::test]
async fn what_is_not_counted_costs_the_most_that_it_can() {
    let setup = Setup::new().await;
    let most = Usage::at_most(&prompt());
    assert_eq!(most.output_tokens, 50);
    let reply = || Reply::NoUsage { text: "Hi.".to_owned() };
    assert_eq!(setup.ask(reply()).await.unwrap().usage, most);
    setup.double.reply(reply());
    let stream = setup.model.stream(&setup.tenant, &setup.link, &prompt()).await.ok().unwrap();
    let last = futures_util::StreamExt::collect::<Vec<_>>(stream).await.pop().unwrap().unwrap();
    assert!(matches!(last, switchboard_core::models::StreamEvent::End { usage, .. } if usage == most));
}

#[tokio::test]
async fn a_stream_that_ends_without_a_reason_has_broken_off() {
    let setup = Setup::new().await;
    let error = setup.stream_error(Reply::NoDone { text: "one two".to_owned() }).await;
    assert_eq!((error.kind(), error.may_be_billed()), (ModelErrorKind::Down, true), "{error}");
}

/// Streams as other servers write them, byte for byte.
#[tokio::test]
async fn streams_of_other_servers_are_understood() {
    let raw = RawServer::start().await;
    let allowed = OutboundPolicy { allow_hosts: vec![raw.host()] };
    let outbound = Arc::new(Outbound::new(allowed).unwrap());
    let model = OpenAiModels::new(outbound, secrets());
    let tenant = tenant(&raw.url());
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    let delta = |delta: &str, finish: &str| {
        format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\r\n\r\n")
    };
    let tool = |index: &str, id: &str, name: &str| {
        let call = format!("{{{index}\"id\":\"{id}\",\"function\":{{\"name\":\"{name}\",\"arguments\":\"{{}}\"}}}}");
        delta(&format!("{{\"tool_calls\":[{call}]}}"), "null")
    };
    for (what, body, expected) in [
        (
            "comments, CRLF, an end of the connection in place of the last event",
            format!(": ping\r\n\r\n{}{}", delta("{\"content\":\"Hi\"}", "null"), delta("{}", "\"stop\"")),
            Ok((StopReason::End, 0)),
        ),
        (
            "two tools with the same index and ids of their own",
            format!("{}{}{}", tool("\"index\":0,", "a", "x"), tool("\"index\":0,", "b", "y"), delta("{}", "\"stop\"")),
            Ok((StopReason::Tools, 2)),
        ),
        (
            "two tools without an index",
            format!("{}{}{}data: [DONE]\n\n", tool("", "a", "x"), tool("", "b", "y"), delta("{}", "\"tool_calls\"")),
            Ok((StopReason::Tools, 2)),
        ),
        ("a page for people", "<html>words of the other side</html>".to_owned(), Err(ModelErrorKind::Down)),
        ("a piece that is no JSON", "data: {\n\n".to_owned(), Err(ModelErrorKind::BadOutput)),
        ("an end at the beginning", "data: [DONE]\n\n".to_owned(), Err(ModelErrorKind::Down)),
        ("a line without end", "data: ".to_owned() + &"x".repeat(1024 * 1024 + 1), Err(ModelErrorKind::BadOutput)),
    ] {
        raw.answer(vec![Step::text(head), Step::text(&body)]);
        let seen = match model.stream(&tenant, &link("small"), &prompt()).await {
            Err(error) => Err(error.kind()),
            Ok(stream) => {
                use switchboard_core::models::StreamEvent;
                let events: Vec<_> = futures_util::StreamExt::collect(stream).await;
                let tools = events.iter().filter(|event| matches!(event, Ok(StreamEvent::ToolUse(_)))).count();
                match events.into_iter().last().unwrap() {
                    Ok(StreamEvent::End { stop, .. }) => Ok((stop, tools)),
                    Ok(_) => panic!("{what}: no end"),
                    Err(error) => Err(error.kind()),
                }
            }
        };
        assert_eq!(seen, expected, "{what}");
    }
}

#[tokio::test]
async fn who_drops_a_stream_ends_the_call() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0, "a request");
        let event = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n";
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
        stream.write_all(format!("{head}{event}").as_bytes()).await.unwrap();
        // The end of the connection, however it is told.
        while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {}
    });
    let outbound = Outbound::new(OutboundPolicy { allow_hosts: vec![host.clone()] }).unwrap();
    let model = OpenAiModels::new(Arc::new(outbound), secrets());
    let tenant = tenant(&format!("http://{host}/v1"));
    let stream = model.stream(&tenant, &link("small"), &prompt()).await.ok().unwrap();
    assert!(!server.is_finished(), "the call goes on while the stream is held");
    drop(stream);
    tokio::time::timeout(Duration::from_secs(20), server).await.expect("the call has ended").unwrap();
}
