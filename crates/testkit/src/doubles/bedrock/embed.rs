//! Embeddings by `InvokeModel`: Amazon Titan V2, Cohere v3 and v4, each with its own form.

use serde_json::{Value, json};

use super::wire::tokens;

/// Numbers of Cohere's embeddings.
const COHERE_DIMENSIONS: usize = 1_024;
const COHERE_4_DIMENSIONS: usize = 1_536;
const COHERE_TEXTS: usize = 96;
const COHERE_CHARS: usize = 2_048;
const TITAN_TOKENS: u64 = 8_192;

/// What a model of embeddings answers, with the tokens that it read; or the service's message of a mistake.
pub(super) fn answer(model: &str, body: &Value) -> Result<(Value, u64), String> {
    if model.contains("amazon.titan-embed-text-v2") {
        titan(body)
    } else if model.contains("cohere.embed-") {
        cohere(body, model.contains("cohere.embed-v4"))
    } else {
        Err("The model does not support this operation.".to_owned())
    }
}

fn titan(body: &Value) -> Result<(Value, u64), String> {
    let malformed = |what: &str| format!("Malformed input request: {what}, please reformat your input and try again.");
    only(body, &["inputText", "dimensions", "normalize", "embeddingTypes"]).map_err(|what| malformed(&what))?;
    let Some(text) = body["inputText"].as_str().filter(|text| !text.is_empty()) else {
        return Err(malformed("expected minLength: 1, actual: 0"));
    };
    let dimensions = match &body["dimensions"] {
        Value::Null => 1_024,
        wanted => match wanted.as_u64() {
            Some(256) => 256,
            Some(512) => 512,
            Some(1_024) => 1_024,
            _ => return Err(malformed("#/dimensions: must be one of 256, 512, 1024")),
        },
    };
    let count = tokens(text);
    if count > TITAN_TOKENS {
        return Err(format!(
            "Too many input tokens. Max input tokens: {TITAN_TOKENS}, request input token count: {count} "
        ));
    }
    let mut numbers = embedding(text, dimensions);
    if body["normalize"] == false {
        numbers.iter_mut().for_each(|number| *number *= 3.0);
    }
    let answer = json!({"embedding": numbers, "embeddingsByType": {"float": numbers}, "inputTextTokenCount": count});
    Ok((answer, count))
}

fn cohere(body: &Value, is_4: bool) -> Result<(Value, u64), String> {
    let malformed = |what: &str| format!("Malformed input request: {what}, please reformat your input and try again.");
    let known = ["texts", "input_type", "truncate", "embedding_types", "output_dimension", "max_tokens"];
    only(body, if is_4 { &known } else { &known[..4] }).map_err(|what| malformed(&what))?;
    let dimensions = match &body["output_dimension"] {
        Value::Null if is_4 => COHERE_4_DIMENSIONS,
        Value::Null => COHERE_DIMENSIONS,
        wanted => match wanted.as_u64() {
            Some(wanted @ (256 | 512 | 1_024 | 1_536)) => wanted as usize,
            _ => return Err(malformed("#/output_dimension: must be one of 256, 512, 1024, 1536")),
        },
    };
    let texts = body["texts"].as_array().filter(|texts| (1..=COHERE_TEXTS).contains(&texts.len()));
    let Some(texts) = texts.and_then(|texts| texts.iter().map(Value::as_str).collect::<Option<Vec<_>>>()) else {
        return Err(malformed("#/texts: expected 1 to 96 strings"));
    };
    if texts.iter().any(|text| text.is_empty() || (!is_4 && text.chars().count() > COHERE_CHARS)) {
        return Err(malformed("#/texts: expected maxLength: 2048, minLength: 1"));
    }
    let types = ["search_document", "search_query", "classification", "clustering"];
    if !body["input_type"].as_str().is_some_and(|kind| types.contains(&kind)) {
        return Err(malformed(
            "#/input_type: required key, one of search_document, search_query, classification, clustering",
        ));
    }
    let truncates = if is_4 { ["NONE", "LEFT", "RIGHT"] } else { ["NONE", "START", "END"] };
    if !body["truncate"].is_null() && !body["truncate"].as_str().is_some_and(|way| truncates.contains(&way)) {
        return Err(malformed("#/truncate: must be one of the ways to cut"));
    }
    let numbers: Vec<_> = texts.iter().map(|text| embedding(text, dimensions)).collect();
    let count = texts.iter().map(|text| tokens(text)).sum();
    let (embeddings, kind) = match &body["embedding_types"] {
        Value::Null => (json!(numbers), "embeddings_floats"),
        kinds if *kinds == json!(["float"]) => (json!({"float": numbers}), "embeddings_by_type"),
        _ => return Err(malformed("#/embedding_types: this double knows float alone")),
    };
    Ok((json!({"embeddings": embeddings, "id": "e1", "response_type": kind, "texts": texts}), count))
}

fn only(body: &Value, known: &[&str]) -> Result<(), String> {
    let members = body.as_object().ok_or("expected type: JSONObject")?;
    match members.keys().find(|key| !known.contains(&key.as_str())) {
        Some(other) => Err(format!("extraneous key [{other}] is not permitted")),
        None => Ok(()),
    }
}

/// A direction of length one. Texts that share words, and parts of words, are near each other.
fn embedding(text: &str, dimensions: usize) -> Vec<f32> {
    let mut numbers = vec![0.0_f32; dimensions];
    let mut add = |feature: &str, weight: f32| {
        let hash = feature
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let sign = if hash >> 63 == 0 { 1.0 } else { -1.0 };
        numbers[(hash % dimensions as u64) as usize] += sign * weight;
    };
    for word in text.to_lowercase().split(|char: char| !char.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let chars: Vec<char> = format!("^{word}$").chars().collect();
        // Long words say more than `the` and `is`.
        add(word, chars.len().min(12) as f32 / 4.0);
        chars.windows(3).for_each(|part| add(&part.iter().collect::<String>(), 0.3));
    }
    // Also a text of no words has a direction.
    add("", 0.01);
    let length = numbers.iter().map(|number| number * number).sum::<f32>().sqrt();
    numbers.iter().map(|number| number / length).collect()
}
