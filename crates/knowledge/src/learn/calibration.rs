//! Probabilities that mean what they say.

use serde::{Deserialize, Serialize};

use super::softmax;

/// Bins of the calibration error and the reliability diagram, of equal width.
pub const ECE_BINS: usize = 15;

/// The answers whose confidence lies in one bin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Answers.
    pub n: u64,
    /// Their mean confidence.
    pub confidence: f64,
    /// The share that is right.
    pub accuracy: f64,
}

/// The bins of (confidence, right) pairs; [`ECE_BINS`] of them, empty ones included.
pub fn reliability(answers: &[(f64, bool)]) -> Vec<ReliabilityBin> {
    let mut bins = vec![ReliabilityBin::default(); ECE_BINS];
    for (confidence, right) in answers {
        let at = ((confidence * ECE_BINS as f64) as usize).min(ECE_BINS - 1);
        if let Some(bin) = bins.get_mut(at) {
            bin.n += 1;
            bin.confidence += confidence;
            bin.accuracy += f64::from(u8::from(*right));
        }
    }
    for bin in bins.iter_mut().filter(|bin| bin.n > 0) {
        bin.confidence /= bin.n as f64;
        bin.accuracy /= bin.n as f64;
    }
    bins
}

/// The expected calibration error (Guo et al., 2017): how far confidence and accuracy lie apart, on average over the bins.
pub fn calibration_error(answers: &[(f64, bool)]) -> f64 {
    let bins = reliability(answers);
    let apart: f64 = bins.iter().map(|bin| bin.n as f64 * (bin.confidence - bin.accuracy).abs()).sum();
    apart / answers.len().max(1) as f64
}

/// Factors for several kinds of scores, so that the softmax of their weighted sum fits the labels best: with one kind this is
/// temperature scaling (Guo et al., 2017). Each row has the kinds' scores and the label. Found by a search along each factor
/// in turn, on the logarithm of the likelihood; with few rows, they stay near what is usual.
pub fn fit_scales(rows: &[(Vec<&[f32]>, u32)], kinds: usize) -> Vec<f32> {
    let usual = USUAL_SCALE / kinds.max(1) as f32;
    let unusual = |scales: &[f32]| -> f64 {
        scales.iter().map(|scale| USUAL_WEIGHT * f64::from((scale / usual).ln().powi(2))).sum()
    };
    let mut scales = vec![usual; kinds];
    let mut best = loss(rows, &scales);
    let mut step = 4.0f32;
    while step > 1.01 {
        let mut better = false;
        for kind in 0..kinds {
            for factor in [step, 1.0 / step] {
                let mut tried = scales.clone();
                if let Some(scale) = tried.get_mut(kind) {
                    *scale = (*scale * factor).clamp(1e-4, 1e4);
                }
                let found = loss(rows, &tried) + unusual(&tried);
                if found < best {
                    (best, scales, better) = (found, tried, true);
                }
            }
        }
        if !better {
            step = step.sqrt();
        }
    }
    scales
}

/// The factor that models of this kind come to: 1.4 with 9,000 examples of Banking77's training file, 2.0 with five of each
/// label.
const USUAL_SCALE: f32 = 1.6;
/// What it weighs, in rows.
const USUAL_WEIGHT: f64 = 8.0;

/// Rows that a fit looks at: more change nothing in the second digit.
const FIT_ROWS: usize = 4_000;

fn loss(rows: &[(Vec<&[f32]>, u32)], scales: &[f32]) -> f64 {
    let every = rows.len().div_ceil(FIT_ROWS).max(1);
    let mut sum = 0.0;
    for (scores, label) in rows.iter().step_by(every) {
        let probabilities = combined(scores, scales);
        let own = probabilities.get(*label as usize).copied().unwrap_or_default();
        sum -= f64::from(own.max(1e-9).ln());
    }
    sum
}

/// The probabilities of weighted scores.
pub fn combined(scores: &[&[f32]], scales: &[f32]) -> Vec<f32> {
    let mut sum = vec![0.0; scores.first().map_or(0, |scores| scores.len())];
    for (scores, scale) in scores.iter().zip(scales) {
        for (sum, score) in sum.iter_mut().zip(*scores) {
            *sum += scale * score;
        }
    }
    softmax(&mut sum);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::Random;

    #[test]
    fn the_error_is_the_mean_distance_over_the_bins() {
        assert_eq!(calibration_error(&[]), 0.0);
        let sure_and_right = [(1.0, true); 10];
        assert_eq!(calibration_error(&sure_and_right), 0.0);
        let half = [(0.9, true), (0.9, false)];
        assert!((calibration_error(&half) - 0.4).abs() < 1e-9);
    }

    #[test]
    fn a_temperature_is_found_again() {
        // Labels drawn from softmax(z), the model says 3 z: the scale must come to a third.
        let mut random = Random::new(7);
        let mut unit = || random.bits() as f64 / u64::MAX as f64;
        let mut rows = Vec::new();
        for _ in 0..4_000 {
            let z: Vec<f32> = (0..4).map(|_| (unit() * 4.0) as f32).collect();
            let mut p = z.clone();
            softmax(&mut p);
            let mut at = unit() as f32;
            let label = p
                .iter()
                .position(|p| {
                    at -= p;
                    at <= 0.0
                })
                .unwrap_or(3) as u32;
            rows.push((z.iter().map(|z| z * 3.0).collect::<Vec<f32>>(), label));
        }
        let view: Vec<(Vec<&[f32]>, u32)> = rows.iter().map(|(z, label)| (vec![z.as_slice()], *label)).collect();
        let scale = fit_scales(&view, 1)[0];
        assert!((scale - 1.0 / 3.0).abs() < 0.04, "{scale}");
    }
}
