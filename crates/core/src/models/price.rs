//! What calls of models cost.

use std::{
    fmt,
    iter::Sum,
    ops::{Add, Sub},
    sync::LazyLock,
};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Prompt, Usage, embedding};
use crate::untrusted::Untrusted;

/// Money in billionths of a US dollar: a token may cost a hundred-millionth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NanoUsd(pub u64);

/// What a model costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelPrice {
    /// US dollars for a million tokens of prompts.
    pub input: f64,
    /// US dollars for a million tokens of answers.
    pub output: f64,
}

/// Prices that come with the program, with their date.
#[derive(Debug, Deserialize)]
pub struct PriceList {
    /// The day for which they were known.
    pub as_of: String,
    /// What to mind.
    pub note: String,
    prices: Vec<Listed>,
}

#[derive(Debug, Deserialize)]
struct Listed {
    model: String,
    input: f64,
    output: f64,
}

/// Tokens that a byte of a prompt can be at most: tokenizers fall back to bytes, none goes below.
const TOKENS_PER_BYTE: u64 = 1;
/// Tokens that a provider's framing of roles, tools and schemas may add to what is sent.
const FRAMING_TOKENS: u64 = 2_000;
/// Tokens that may stand around a text that is embedded.
const FRAMING_TOKENS_OF_TEXT: u64 = 16;

static LIST: LazyLock<PriceList> = LazyLock::new(|| {
    // invariant: the list is part of the program, and a test reads it
    serde_json::from_str(include_str!("../../data/model-prices.json"))
        .unwrap_or_else(|error| unreachable!("the price list: {error}"))
});

impl PriceList {
    /// The list that comes with the program.
    pub fn built_in() -> &'static Self {
        &LIST
    }

    /// The price of the model with that name. A dated or regional name is found by its family: `us.amazon.nova-lite-v1:0` is
    /// `amazon.nova-lite`; of several families the longest name fits.
    pub fn of(&self, model: &str) -> Option<ModelPrice> {
        self.listed(model).map(|best| ModelPrice { input: best.input, output: best.output })
    }

    /// The family of the model with that name, by which [`Self::of`] knows its price.
    pub fn family(&self, model: &str) -> Option<&str> {
        self.listed(model).map(|best| best.model.as_str())
    }

    fn listed(&self, model: &str) -> Option<&Listed> {
        let families = self.prices.iter().filter(|one| is_of(model, &one.model));
        families.max_by_key(|one| one.model.len())
    }
}

/// Whether `family` stands in `model` as whole parts of a name.
fn is_of(model: &str, family: &str) -> bool {
    model.match_indices(family).any(|(at, _)| {
        let ends = |char: Option<char>| char.is_none_or(|char| !char.is_alphanumeric());
        let after = model.get(at + family.len()..).unwrap_or_default();
        ends(model.get(..at).and_then(|before| before.chars().next_back()))
            && ends(after.chars().next())
            // `gpt-4.1` is no `gpt-4`, and `gpt-4o-mini-2024` is no `gpt-4o` when `gpt-4o-mini` is known, which is longer.
            && !after.starts_with('.')
    })
}

impl NanoUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// So many dollars; what is below zero or no number is nothing.
    pub fn from_usd(dollars: f64) -> Self {
        Self((dollars * 1e9).round() as u64)
    }

    /// In dollars.
    pub fn usd(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl ModelPrice {
    /// Nothing.
    pub const FREE: Self = Self { input: 0.0, output: 0.0 };

    /// Whether both are numbers of at least zero.
    pub fn is_valid(&self) -> bool {
        [self.input, self.output].iter().all(|price| price.is_finite() && *price >= 0.0)
    }

    /// What `usage` costs, rounded up.
    pub fn cost(&self, usage: Usage) -> NanoUsd {
        // What is not used costs nothing, also where the price is not known, which is endless.
        let of = |tokens: u64, price: f64| if tokens == 0 { 0.0 } else { tokens as f64 * price * 1e3 };
        NanoUsd((of(usage.input_tokens, self.input) + of(usage.output_tokens, self.output)).ceil() as u64)
    }

    /// The most that an answer to `prompt` can cost.
    pub fn worst_case(&self, prompt: &Prompt) -> NanoUsd {
        self.cost(Usage::at_most(prompt))
    }
}

impl Usage {
    /// The most tokens that an answer to `prompt` can take: what a call counts for whose provider does not count.
    pub fn at_most(prompt: &Prompt) -> Self {
        let input_tokens = prompt.bytes() as u64 * TOKENS_PER_BYTE + FRAMING_TOKENS;
        Self { input_tokens, cached_tokens: 0, output_tokens: u64::from(prompt.max_tokens) }
    }

    /// The most tokens that embedding `texts` in one call can take.
    pub fn at_most_of(texts: &[Untrusted<String>]) -> Self {
        let bytes: usize = texts.iter().map(|text| embedding::wire(text).len()).sum();
        Self::of_input(bytes as u64 * TOKENS_PER_BYTE + texts.len() as u64 * FRAMING_TOKENS_OF_TEXT)
    }
}

impl Add for NanoUsd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for NanoUsd {
    type Output = Self;

    /// Nothing when `other` is more.
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Sum for NanoUsd {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dollars = self.usd();
        if dollars >= 1.0 { write!(f, "${dollars:.2}") } else { write!(f, "${dollars:.6}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_found_by_their_family() {
        let list = PriceList::built_in();
        let input = |model: &str| list.of(model).map(|price| price.input);
        assert_eq!(input("gpt-4o-mini-2024-07-18"), Some(0.15));
        assert_eq!(input("gpt-4o-2024-08-06"), Some(2.5));
        assert_eq!(input("us.anthropic.claude-3-5-haiku-20241022-v1:0"), Some(0.8));
        assert_eq!(input("amazon.nova-lite-v1:0"), Some(0.06));
        assert_eq!(input("arn:aws:bedrock:us-east-1:123:inference-profile/us.amazon.nova-pro-v1:0"), Some(0.8));
        assert_eq!((input("gpt-4"), input("gpt-4.5"), input("my-gpt-4ou"), input("llama3")), (None, None, None, None));
        assert!(list.prices.iter().all(|one| ModelPrice { input: one.input, output: one.output }.is_valid()));
        assert!(list.as_of.parse::<jiff::civil::Date>().is_ok());
    }

    #[test]
    fn costs_are_rounded_up() {
        let price = ModelPrice { input: 0.035, output: 0.14 };
        let usage = Usage { input_tokens: 1, cached_tokens: 0, output_tokens: 0 };
        assert_eq!(price.cost(usage), NanoUsd(35));
        let usage = Usage { input_tokens: 1_000_000, cached_tokens: 0, output_tokens: 1_000_000 };
        assert_eq!(price.cost(usage), NanoUsd::from_usd(0.175));
        assert_eq!(ModelPrice { input: 0.0001, output: 0.0 }.cost(Usage { input_tokens: 1, ..usage }), NanoUsd(1));
        assert_eq!((NanoUsd::from_usd(-1.0), NanoUsd::from_usd(f64::NAN)), (NanoUsd::ZERO, NanoUsd::ZERO));
    }
}
