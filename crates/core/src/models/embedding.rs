//! Texts as vectors, in one vocabulary for all providers.

use super::{ModelError, ModelErrorKind, Usage};
use crate::{limits, untrusted::Untrusted};

/// What vectors are wanted for. Some models read a question in another way than what may answer it; others ignore this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A question, to look for what is near it.
    Query,
    /// What is kept to be found.
    Passage,
}

/// How much one call takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Texts, at least one.
    pub texts: usize,
    /// Bytes of all of them, at least [`limits::EMBED_TEXT_BYTES`].
    pub bytes: usize,
}

impl BatchLimits {
    /// A single text.
    pub const ONE_TEXT: Self = Self { texts: 1, bytes: limits::EMBED_TEXT_BYTES };
}

/// What a model made of texts.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedded {
    /// A vector for each text, in their order: all of the same number of dimensions, at most [`limits::EMBED_DIMENSIONS`], and
    /// of length one, so that their scalar product says how near two meanings are.
    pub vectors: Vec<Vec<f32>>,
    /// What it cost in tokens; nothing is answered, so they are all of the input.
    pub usage: Usage,
    /// The model, as the provider names it.
    pub model: String,
}

impl Embedded {
    /// What no texts come to, without a call.
    pub fn nothing(model: &str) -> Self {
        Self { vectors: Vec::new(), usage: Usage::default(), model: model.to_owned() }
    }
}

impl Usage {
    /// The tokens of embedded texts, none of which is answered.
    pub fn of_input(input_tokens: u64) -> Self {
        Self { input_tokens, ..Self::default() }
    }
}

/// The text as it goes to the model. It gives back numbers and no words, so nothing in it can give orders.
pub fn wire(text: &Untrusted<String>) -> &str {
    text.for_model()
}

/// Whether one call takes these texts: what every adapter asks before it does anything else.
///
/// # Errors
/// [`ModelErrorKind::Invalid`] for a text without a word and for more than `most`; [`ModelErrorKind::TooLong`] for a text of
/// more than [`limits::EMBED_TEXT_BYTES`].
pub fn check_texts(texts: &[Untrusted<String>], most: BatchLimits) -> Result<(), ModelError> {
    let mut bytes = 0;
    for text in texts.iter().map(wire) {
        if text.trim().is_empty() {
            return Err(ModelError::new(
                ModelErrorKind::Invalid,
                "a text without a word has no meaning to be embedded",
            ));
        }
        if text.len() > limits::EMBED_TEXT_BYTES {
            let message = format!("a text of more than {} bytes is not embedded", limits::EMBED_TEXT_BYTES);
            return Err(ModelError::new(ModelErrorKind::TooLong, message));
        }
        bytes += text.len();
    }
    if texts.len() > most.texts || bytes > most.bytes {
        let message = format!("one call embeds at most {} texts of {} bytes together", most.texts, most.bytes);
        return Err(ModelError::new(ModelErrorKind::Invalid, message));
    }
    Ok(())
}

/// The texts in as few calls as `most` lets, in their order. A text that is too long for any is in one of its own.
pub(super) fn batches(texts: &[Untrusted<String>], most: BatchLimits) -> Vec<&[Untrusted<String>]> {
    let mut batches = Vec::new();
    let (mut begin, mut bytes) = (0, 0);
    for (at, text) in texts.iter().enumerate() {
        let more = wire(text).len();
        if at > begin && (at - begin >= most.texts || bytes + more > most.bytes) {
            batches.push(&texts[begin..at]);
            (begin, bytes) = (at, 0);
        }
        bytes += more;
    }
    if begin < texts.len() {
        batches.push(&texts[begin..]);
    }
    batches
}

/// The vectors that a provider answered for so many texts, in their order, each brought to length one.
///
/// # Errors
/// What is wrong with them, in words that follow "the model": their number, their dimensions where `wanted` are, or numbers that
/// are none.
pub fn unit_vectors(
    mut vectors: Vec<Vec<f32>>,
    texts: usize,
    wanted: Option<u32>,
) -> Result<Vec<Vec<f32>>, &'static str> {
    if vectors.len() != texts {
        return Err("answered another number of vectors than texts");
    }
    let dimensions = wanted.map(|wanted| wanted as usize).or_else(|| vectors.first().map(Vec::len)).unwrap_or_default();
    for vector in &mut vectors {
        if vector.len() != dimensions || !(1..=limits::EMBED_DIMENSIONS).contains(&vector.len()) {
            return Err("answered vectors of another number of dimensions than were asked for");
        }
        // With twice the digits: squares of numbers that a vector can hold may be beyond those that it can.
        let length = vector.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
        if !length.is_finite() || length == 0.0 {
            return Err("answered a vector without a direction");
        }
        for number in vector {
            *number = (f64::from(*number) / length) as f32;
        }
    }
    Ok(vectors)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOST: BatchLimits = BatchLimits { texts: 3, bytes: 10 };

    fn texts(texts: &[&str]) -> Vec<Untrusted<String>> {
        texts.iter().map(|text| Untrusted::new((*text).to_owned())).collect()
    }

    #[test]
    fn texts_that_no_call_takes_are_refused() {
        let long = "x".repeat(limits::EMBED_TEXT_BYTES + 1);
        for (bad, kind) in [
            (vec!["a", ""], ModelErrorKind::Invalid),
            (vec![" \n\t\u{2003}"], ModelErrorKind::Invalid),
            (vec![long.as_str()], ModelErrorKind::TooLong),
            (vec!["a", "b", "c", "d"], ModelErrorKind::Invalid),
            (vec!["abcdef", "ghijk"], ModelErrorKind::Invalid),
        ] {
            let error = check_texts(&texts(&bad), MOST).unwrap_err();
            assert_eq!((error.kind(), error.may_be_billed()), (kind, false), "{bad:?}");
        }
        for good in [vec![], vec!["a", "b", "c"], vec!["abcde", "fghij"]] {
            assert!(check_texts(&texts(&good), MOST).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn vectors_have_length_one_or_are_refused() {
        let good = unit_vectors(vec![vec![3.0, 4.0], vec![f32::MAX, f32::MAX]], 2, None).unwrap();
        assert_eq!(good[0], [0.6, 0.8]);
        assert!((good[1][0] - std::f32::consts::FRAC_1_SQRT_2).abs() < 1e-6);
        let small = unit_vectors(vec![vec![f32::MIN_POSITIVE / 4.0, 0.0]], 1, Some(2)).unwrap();
        assert_eq!(small[0], [1.0, 0.0]);
        assert!(unit_vectors(Vec::new(), 0, Some(2)).unwrap().is_empty());
        for (bad, texts, wanted) in [
            (vec![vec![1.0]], 2, None),
            (vec![vec![1.0], vec![1.0]], 1, None),
            (vec![vec![1.0], vec![1.0, 0.0]], 2, None),
            (vec![vec![1.0]], 1, Some(2)),
            (vec![vec![]], 1, None),
            (vec![vec![0.0, -0.0]], 1, None),
            (vec![vec![1.0, f32::NAN]], 1, None),
            (vec![vec![1.0, f32::INFINITY]], 1, None),
            (vec![vec![1.0; limits::EMBED_DIMENSIONS + 1]], 1, None),
        ] {
            assert!(unit_vectors(bad.clone(), texts, wanted).is_err(), "{} vectors, {wanted:?}", bad.len());
        }
    }

    proptest! {
        #[test]
        fn batches_are_all_the_texts_within_the_limits(lengths in prop::collection::vec(1_usize..15, 0..40)) {
            let all: Vec<_> = lengths.iter().map(|length| Untrusted::new("x".repeat(*length))).collect();
            let batches = batches(&all, MOST);
            prop_assert_eq!(&batches.concat(), &all);
            for batch in batches {
                let bytes: usize = batch.iter().map(|text| wire(text).len()).sum();
                prop_assert!(!batch.is_empty() && batch.len() <= MOST.texts);
                prop_assert!(bytes <= MOST.bytes || batch.len() == 1);
            }
        }
    }
}
