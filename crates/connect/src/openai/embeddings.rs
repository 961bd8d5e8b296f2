//! Texts as vectors.

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use switchboard_core::{
    limits,
    models::{
        BatchLimits, Embedded, ModelError, Purpose, Usage,
        embedding::{check_texts, unit_vectors, wire},
    },
    ports::Embedder,
    tenants::{EmbedLink, Tenant},
    untrusted::{Closed, Untrusted},
};

use super::{
    OpenAiModels,
    assembly::{bad, failed_inside},
    failed, refusal, who,
    wire::{Name, Told, WireUsage},
};
use crate::outbound::{Opened, StreamLimits};

/// The body of `POST {url}/embeddings`.
#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    input: Vec<&'a str>,
    /// A third of the bytes. OpenAI's own client asks for it as well, so servers know it or pass it over.
    encoding_format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<u32>,
}

#[derive(Deserialize)]
struct Answered {
    #[serde(default)]
    model: Option<Name>,
    #[serde(default)]
    data: Option<Vec<Item>>,
    #[serde(default)]
    usage: Option<WireUsage>,
    /// Some servers answer with a failure under a success.
    #[serde(default)]
    error: Option<Untrusted<Value>>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    index: Option<usize>,
    embedding: Numbers,
}

/// The numbers of a vector; none where they are not to be read, which no vector can be.
#[derive(Deserialize)]
#[serde(from = "WireNumbers")]
struct Numbers(Vec<f32>);

#[derive(Deserialize)]
#[serde(untagged)]
enum WireNumbers {
    /// As OpenAI's own client asks for them: four bytes each, the lowest first.
    Base64(String),
    Written(Vec<f32>),
}

impl Closed for Answered {}

impl From<WireNumbers> for Numbers {
    fn from(numbers: WireNumbers) -> Self {
        match numbers {
            WireNumbers::Written(numbers) => Self(numbers),
            WireNumbers::Base64(text) => {
                let bytes = BASE64_STANDARD.decode(text).unwrap_or_default();
                let (numbers, rest) = bytes.as_chunks::<4>();
                let numbers = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes));
                Self(if rest.is_empty() { numbers.collect() } else { Vec::new() })
            }
        }
    }
}

impl Answered {
    /// The vectors in the order of the texts. `None` when they are not one for each.
    fn in_order(data: Vec<Item>) -> Option<Vec<Vec<f32>>> {
        let mut ordered: Vec<Option<Vec<f32>>> = data.iter().map(|_| None).collect();
        for (n, Item { index, embedding }) in data.into_iter().enumerate() {
            let place = ordered.get_mut(index.unwrap_or(n))?;
            if place.replace(embedding.0).is_some() {
                return None;
            }
        }
        ordered.into_iter().collect()
    }
}

#[async_trait]
impl Embedder for OpenAiModels {
    async fn embed(
        &self,
        tenant: &Tenant,
        link: &EmbedLink,
        texts: &[Untrusted<String>],
        _: Purpose,
    ) -> Result<Embedded, ModelError> {
        check_texts(texts, self.batch(tenant, link))?;
        if texts.is_empty() {
            return Ok(Embedded::nothing(&link.model));
        }
        let who = who(&link.provider);
        let input = texts.iter().map(wire).collect();
        let body = Body { model: &link.model, input, encoding_format: "base64", dimensions: link.dimensions };
        // invariant: nothing in there can fail to be written: no map with keys that are no strings, no I/O
        let body = |_: &_| serde_json::to_vec(&body).unwrap_or_default();
        let request = self.call((tenant, &link.provider), &who, &["embeddings"], body).await?;
        // Vectors are longer than what other systems answer.
        let limits = StreamLimits { bytes: limits::EMBED_ANSWER_BYTES, idle: self.times.idle };
        let body = match self.outbound.open(request, limits).await.map_err(failed)? {
            Opened::Failed(answer) => return Err(refusal(&answer, &who, &link.model)),
            Opened::Streamed(body) => body.whole().await.map_err(|error| failed(error).billed())?,
        };
        read(&body, &who, link, texts)
    }

    fn batch(&self, _: &Tenant, _: &EmbedLink) -> BatchLimits {
        BatchLimits { texts: limits::EMBED_BATCH_TEXTS, bytes: limits::EMBED_BATCH_BYTES }
    }
}

fn read(
    body: &Untrusted<Vec<u8>>,
    who: &str,
    link: &EmbedLink,
    texts: &[Untrusted<String>],
) -> Result<Embedded, ModelError> {
    // serde's derived code would take a list for an object.
    let is_object = |body: &[u8]| body.trim_ascii_start().starts_with(b"{");
    let answer: Option<Answered> = body.read_as(|body| serde_json::from_slice(body).ok().filter(|_| is_object(body)));
    let Answered { model, data, usage, error } = answer.ok_or_else(|| bad(who, "answered no vectors"))?;
    if let Some(error) = error {
        return Err(failed_inside(who, Told::of_error(&error)));
    }
    let vectors = data.and_then(Answered::in_order).ok_or_else(|| bad(who, "answered vectors without an order"))?;
    let vectors = unit_vectors(vectors, texts.len(), link.dimensions).map_err(|words| bad(who, words))?;
    let counted = usage.and_then(WireUsage::input).map(Usage::of_input);
    Ok(Embedded {
        vectors,
        usage: counted.unwrap_or_else(|| Usage::at_most_of(texts)),
        model: model.and_then(Name::get).unwrap_or_else(|| link.model.clone()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(count: usize) -> Vec<Untrusted<String>> {
        (0..count).map(|n| Untrusted::new(format!("text {n}"))).collect()
    }

    fn link(dimensions: Option<u32>) -> EmbedLink {
        EmbedLink { provider: "ours".parse().unwrap(), model: "embed".to_owned(), dimensions, price: None }
    }

    #[test]
    fn fuzzed_vectors_are_in_order_and_of_length_one_or_refused() {
        let seeds: [&[u8]; 3] = [
            br#"{"object":"list","model":"m","data":[{"index":1,"embedding":[3,4]},{"index":0,"embedding":[1.5e-3,-2]}],"usage":{"prompt_tokens":9,"total_tokens":9}}"#,
            br#"{"data":[{"embedding":"AACAPwAAAEA="},{"embedding":"AACAvwAAAEA="}],"usage":null}"#,
            br#"{"error":{"code":"context_length_exceeded","message":"words"}}"#,
        ];
        let read = |body: &[u8], dimensions| {
            read(&Untrusted::new(body.to_vec()), "the provider", &link(dimensions), &texts(2))
        };
        for seed in &seeds[..2] {
            assert_eq!(read(seed, Some(2)).unwrap().vectors.len(), 2, "a good answer");
        }
        switchboard_testkit::fuzz::fuzz("embeddings", &seeds, |input| {
            let Ok(Embedded { vectors, usage, model }) = read(input, None) else { return };
            assert_eq!(vectors.len(), 2);
            assert_eq!(vectors[0].len(), vectors[1].len());
            for vector in vectors {
                let length = vector.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
                assert!((length - 1.0).abs() < 1e-4, "{length}");
            }
            assert!(usage.input_tokens <= 1_000_000_000 && usage.output_tokens == 0 && !model.is_empty());
        });
    }
}
