use switchboard_core::tenants::Tenant;

use super::features::{ByFeature, features};

/// How much the nearest text of a category counts, the second nearest, and so on: a category is what several of its
/// texts say, not one lucky word.
const RANKS: [f64; 8] = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3];
/// Temperatures that are tried; the scores lie between 0 and 5.2.
const TEMPERATURES: [f64; 13] = [0.015, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.13, 0.17, 0.22, 0.3, 0.5];

/// The tenant's example texts as TF-IDF vectors of length one, by feature.
pub(super) struct Model {
    postings: ByFeature<Posting>,
    /// The category of each text, by its position in the configuration.
    category_of: Vec<usize>,
    categories: usize,
    usual_length: f64,
    temperature: f64,
}

struct Posting {
    idf: f64,
    texts: Vec<(usize, f64)>,
}

impl Model {
    pub(super) fn learn(tenant: &Tenant) -> Self {
        let categories = &tenant.config.categories;
        let mut texts = Vec::new();
        let mut category_of = Vec::new();
        for (n, category) in categories.iter().enumerate() {
            let described = format!("{}. {}", category.name, category.description);
            for text in std::iter::once(&described).chain(&category.examples).filter(|text| !text.trim().is_empty()) {
                texts.push(counted(text));
                category_of.push(n);
            }
        }
        let mut postings: ByFeature<Posting> = ByFeature::default();
        for (n, counts) in texts.iter().enumerate() {
            for (feature, weight) in counts {
                let posting = postings.entry(*feature).or_insert(Posting { idf: 0.0, texts: Vec::new() });
                posting.texts.push((n, *weight));
            }
        }
        let total = texts.len() as f64;
        for posting in postings.values_mut() {
            posting.idf = ((1.0 + total) / (1.0 + posting.texts.len() as f64)).ln() + 1.0;
            posting.texts.iter_mut().for_each(|(_, weight)| *weight *= posting.idf);
        }
        // Summed in the order of the texts: the order of the map differs each time, and with it the last digit of a sum.
        let squared = |(feature, weight): &(u64, f64)| {
            let weight = weight * postings.get(feature).map_or(0.0, |posting| posting.idf);
            weight * weight
        };
        let norms: Vec<f64> = texts.iter().map(|counts| counts.iter().map(squared).sum()).collect();
        for posting in postings.values_mut() {
            for (text, weight) in &mut posting.texts {
                *weight /= norms[*text].sqrt();
            }
        }
        let usual_length = median(norms.iter().map(|norm| norm.sqrt()).collect());
        let mut model = Self { postings, category_of, categories: categories.len(), usual_length, temperature: 0.1 };
        model.temperature = model.fit(&texts);
        model
    }

    /// A probability for each category, in the order of the configuration.
    pub(super) fn probabilities(&self, text: &str) -> Vec<f64> {
        softmax(&self.scores(&counted(text), None), self.temperature)
    }

    pub(super) fn temperature(&self) -> f64 {
        self.temperature
    }

    fn scores(&self, counts: &[(u64, f64)], without: Option<usize>) -> Vec<f64> {
        let mut similarity = vec![0.0; self.category_of.len()];
        let mut norm = 0.0;
        // A word that no example knows says that the text is about something else: it counts in the length.
        let unknown = (1.0 + self.category_of.len() as f64).ln() + 1.0;
        for (feature, weight) in counts {
            let posting = self.postings.get(feature);
            let weight = weight * posting.map_or(unknown, |posting| posting.idf);
            norm += weight * weight;
            for (text, other) in posting.map_or(&[][..], |posting| &posting.texts) {
                similarity[*text] += weight * other;
            }
        }
        let mut best = vec![[0.0; RANKS.len()]; self.categories];
        for (text, similarity) in similarity.into_iter().enumerate().filter(|(text, _)| Some(*text) != without) {
            insert(&mut best[self.category_of[text]], similarity / self.length(norm));
        }
        best.iter().map(|top| top.iter().zip(RANKS).map(|(similarity, rank)| similarity * rank).sum()).collect()
    }

    /// What similarities are divided by. A full cosine would punish a long ticket for each sentence beside the point, so a
    /// text that is longer than the usual example is held to the geometric mean of both lengths.
    fn length(&self, squared: f64) -> f64 {
        let own = squared.sqrt().max(f64::MIN_POSITIVE);
        if own > self.usual_length { (own * self.usual_length).sqrt() } else { own }
    }

    /// The temperature under which the examples, each left out in turn, are the least surprising.
    fn fit(&self, texts: &[Vec<(u64, f64)>]) -> f64 {
        let left_out: Vec<(usize, Vec<f64>)> =
            texts.iter().enumerate().map(|(n, counts)| (self.category_of[n], self.scores(counts, Some(n)))).collect();
        let surprise = |temperature: f64| -> f64 {
            left_out.iter().map(|(category, scores)| -softmax(scores, temperature)[*category].max(1e-9).ln()).sum()
        };
        let tried = TEMPERATURES.into_iter().map(|temperature| (surprise(temperature), temperature));
        tried.min_by(|one, other| one.0.total_cmp(&other.0)).map_or(0.1, |(_, temperature)| temperature)
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(1.0).max(f64::MIN_POSITIVE)
}

/// Each feature once, with `1 + ln(count)`.
fn counted(text: &str) -> Vec<(u64, f64)> {
    let mut found = features(text);
    found.sort_unstable();
    found.chunk_by(|one, other| one == other).map(|same| (same[0], 1.0 + (same.len() as f64).ln())).collect()
}

fn insert(best: &mut [f64; RANKS.len()], similarity: f64) {
    let mut carried = similarity;
    for place in best {
        if carried > *place {
            std::mem::swap(place, &mut carried);
        }
    }
}

fn softmax(scores: &[f64], temperature: f64) -> Vec<f64> {
    let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = scores.iter().map(|score| ((score - top) / temperature).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}
