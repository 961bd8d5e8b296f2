//! Texts as vectors, by InvokeModel, where each family of models has a form of its own.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use aws_sdk_bedrockruntime::{
    config::{ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeDeserializationInterceptorContextRef},
    error::BoxError,
    primitives::Blob,
};
use serde::{Deserialize, Serialize};
use switchboard_core::{
    limits,
    models::{
        BatchLimits, Embedded, ModelError, ModelErrorKind, Purpose, Usage,
        embedding::{check_texts, unit_vectors, wire},
    },
    ports::Embedder,
    tenants::{EmbedLink, Tenant},
    untrusted::{Closed, Untrusted},
};

use super::{
    BedrockModels,
    answer::bad,
    clients::BodyLimit,
    failure::{failed, too_late},
    who,
};

/// Texts of one call of Cohere's models.
const COHERE_TEXTS: usize = 96;
/// Characters of a text that Cohere's models of version 3 take. The service refuses more and does not cut them.
const COHERE_3_CHARS: usize = 2_048;
/// Dimensions of these.
const COHERE_3_DIMENSIONS: u32 = 1_024;
/// More tokens than this are a slip of the service's, and sums of them must not overflow.
const MOST_TOKENS: u64 = 1_000_000_000;

/// A family of models that make vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    /// Amazon Titan Text Embeddings V2: a text in a call.
    Titan,
    /// Cohere Embed 3.
    Cohere3,
    /// Cohere Embed 4.
    Cohere4,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TitanBody<'a> {
    input_text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<u32>,
    normalize: bool,
}

#[derive(Serialize)]
struct CohereBody<'a> {
    texts: Vec<&'a str>,
    input_type: &'static str,
    /// Tokens at the end that are too many are left out.
    truncate: &'static str,
    embedding_types: [&'static str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimension: Option<u32>,
}

/// What each of them answers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answered {
    /// Titan's.
    #[serde(default)]
    embedding: Option<Vec<f32>>,
    #[serde(default)]
    input_text_token_count: Option<u64>,
    /// Cohere's.
    #[serde(default)]
    embeddings: Option<Vectors>,
}

/// Alone, or by the type of their numbers.
#[derive(Deserialize)]
#[serde(untagged)]
enum Vectors {
    Alone(Vec<Vec<f32>>),
    ByType { float: Vec<Vec<f32>> },
}

impl Closed for Answered {}

impl Family {
    /// The family of the model with this id, of itself or of an inference profile.
    fn of(model: &str) -> Option<Self> {
        let families = [
            ("amazon.titan-embed-text-v2", Self::Titan),
            ("cohere.embed-v4", Self::Cohere4),
            ("cohere.embed-", Self::Cohere3),
        ];
        families.into_iter().find(|(id, _)| model.contains(id)).map(|(_, family)| family)
    }

    fn batch(self) -> BatchLimits {
        match self {
            Self::Titan => BatchLimits::ONE_TEXT,
            Self::Cohere3 | Self::Cohere4 => BatchLimits { texts: COHERE_TEXTS, bytes: limits::EMBED_BATCH_BYTES },
        }
    }

    fn body(self, texts: &[Untrusted<String>], purpose: Purpose, dimensions: Option<u32>) -> Vec<u8> {
        let cohere = |truncate, most_chars, output_dimension| {
            let cut = |text| cut(wire(text), most_chars);
            let input_type = match purpose {
                Purpose::Query => "search_query",
                Purpose::Passage => "search_document",
            };
            let texts = texts.iter().map(cut).collect();
            serde_json::to_vec(&CohereBody {
                texts,
                input_type,
                truncate,
                embedding_types: ["float"],
                output_dimension,
            })
        };
        let body = match self {
            Self::Titan => {
                let input_text = texts.first().map(wire).unwrap_or_default();
                serde_json::to_vec(&TitanBody { input_text, dimensions, normalize: true })
            }
            Self::Cohere3 => cohere("END", COHERE_3_CHARS, None),
            Self::Cohere4 => cohere("RIGHT", usize::MAX, dimensions),
        };
        // invariant: nothing in there can fail to be written: no map with keys that are no strings, no I/O
        body.unwrap_or_default()
    }
}

/// The first `most` characters.
fn cut(text: &str, most: usize) -> &str {
    text.char_indices().nth(most).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

#[async_trait]
impl Embedder for BedrockModels {
    async fn embed(
        &self,
        tenant: &Tenant,
        link: &EmbedLink,
        texts: &[Untrusted<String>],
        purpose: Purpose,
    ) -> Result<Embedded, ModelError> {
        check_texts(texts, self.batch(tenant, link))?;
        let who = who(&link.provider);
        let (client, _) = self.client(tenant, &link.provider, &who).await?;
        let family = family(&who, link)?;
        if texts.is_empty() {
            return Ok(Embedded::nothing(&link.model));
        }
        let counted = TokenCount::default();
        let call = client
            .invoke_model()
            .model_id(&link.model)
            .content_type("application/json")
            .accept("application/json")
            .body(Blob::new(family.body(texts, purpose, link.dimensions)))
            .customize()
            .interceptor(counted.clone())
            .interceptor(BodyLimit(limits::EMBED_ANSWER_BYTES));
        let answered = tokio::time::timeout(self.times.whole, call.send()).await.map_err(|_| too_late(&who))?;
        let body = Untrusted::new(answered.map_err(|error| failed(&who, error))?.body.into_inner());
        read(&body, &who, link, texts, counted.get())
    }

    fn batch(&self, _: &Tenant, link: &EmbedLink) -> BatchLimits {
        Family::of(&link.model).map_or(BatchLimits::ONE_TEXT, Family::batch)
    }
}

fn family(who: &str, link: &EmbedLink) -> Result<Family, ModelError> {
    let invalid = |words: String| Err(ModelError::new(ModelErrorKind::Invalid, format!("{who} {words}")));
    match (Family::of(&link.model), link.dimensions) {
        (None, _) => invalid(format!(
            "is not known to make vectors by `{}`; models that do are Amazon Titan Text Embeddings V2 and Cohere Embed 3 and 4",
            link.model
        )),
        (Some(Family::Cohere3), Some(dimensions)) if dimensions != COHERE_3_DIMENSIONS => {
            invalid(format!("has {COHERE_3_DIMENSIONS} dimensions for `{}`, and no others can be chosen", link.model))
        }
        (Some(family), _) => Ok(family),
    }
}

fn read(
    body: &Untrusted<Vec<u8>>,
    who: &str,
    link: &EmbedLink,
    texts: &[Untrusted<String>],
    counted: Option<u64>,
) -> Result<Embedded, ModelError> {
    // serde's derived code would take a list for an object.
    let is_object = |body: &[u8]| body.trim_ascii_start().starts_with(b"{");
    let answer: Option<Answered> = body.read_as(|body| serde_json::from_slice(body).ok().filter(|_| is_object(body)));
    let Some(Answered { embedding, input_text_token_count, embeddings }) = answer else {
        return Err(bad(who, "answered no vectors"));
    };
    let vectors = match (embedding, embeddings) {
        (Some(vector), _) => vec![vector],
        (None, Some(Vectors::Alone(vectors) | Vectors::ByType { float: vectors })) => vectors,
        (None, None) => return Err(bad(who, "answered no vectors")),
    };
    let tokens = input_text_token_count.or(counted).map(|tokens| tokens.min(MOST_TOKENS));
    Ok(Embedded {
        vectors: unit_vectors(vectors, texts.len(), link.dimensions).map_err(|words| bad(who, words))?,
        usage: tokens.map_or_else(|| Usage::at_most_of(texts), Usage::of_input),
        model: link.model.clone(),
    })
}

/// The tokens of the input, which the service counts in a header.
#[derive(Clone, Debug, Default)]
struct TokenCount(Arc<AtomicU64>);

impl TokenCount {
    /// None before an answer that counts.
    fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Acquire)).filter(|tokens| *tokens > 0)
    }
}

impl Intercept for TokenCount {
    fn name(&self) -> &'static str {
        "TokenCount"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let header = context.response().headers().get("x-amzn-bedrock-input-token-count");
        let tokens = header.and_then(|tokens| tokens.parse().ok()).unwrap_or_default();
        self.0.store(tokens, Ordering::Release);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_found_in_ids_profiles_and_arns() {
        for (model, expected) in [
            ("amazon.titan-embed-text-v2:0", Some(Family::Titan)),
            ("cohere.embed-english-v3", Some(Family::Cohere3)),
            ("cohere.embed-multilingual-v3", Some(Family::Cohere3)),
            ("eu.cohere.embed-v4:0", Some(Family::Cohere4)),
            ("arn:aws:bedrock:eu-central-1:1:inference-profile/eu.cohere.embed-v4:0", Some(Family::Cohere4)),
            ("amazon.titan-embed-image-v1", None),
            ("amazon.nova-lite-v1:0", None),
        ] {
            assert_eq!(Family::of(model), expected, "{model}");
        }
    }

    #[test]
    fn texts_are_cut_at_whole_characters() {
        for (text, expected) in [("", ""), ("ab", "ab"), ("äöü🦀", "äöü"), ("abcd", "abc")] {
            assert_eq!(cut(text, 3), expected);
        }
        assert_eq!(cut("äöü🦀", usize::MAX), "äöü🦀");
    }
}
