//! Logistic regression on a handful of numbers.

use serde::{Deserialize, Serialize};

/// A model of yes and no over few numbers, each brought to mean 0 and spread 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Logistic {
    mean: Vec<f64>,
    spread: Vec<f64>,
    weights: Vec<f64>,
    bias: f64,
}

/// Steps of the fit; the numbers are few and standardised, so that plain gradient descent is there long before.
const STEPS: usize = 600;
const RATE: f64 = 0.5;
const DECAY: f64 = 1e-3;

impl Logistic {
    /// Learns to tell the rows that are `true`; both kinds weigh the same, however many there are of each. `None` without
    /// rows of both kinds.
    pub fn fit(rows: &[(Vec<f64>, bool)]) -> Option<Self> {
        let width = rows.first()?.0.len();
        let yes = rows.iter().filter(|(_, yes)| *yes).count();
        if yes == 0 || yes == rows.len() {
            return None;
        }
        let n = rows.len() as f64;
        let column = |at: usize| rows.iter().map(move |(row, _)| row.get(at).copied().unwrap_or_default());
        let mean: Vec<f64> = (0..width).map(|at| column(at).sum::<f64>() / n).collect();
        let spread: Vec<f64> = (0..width)
            .zip(&mean)
            .map(|(at, mean)| (column(at).map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt().max(1e-9))
            .collect();
        let mut model = Self { mean, spread, weights: vec![0.0; width], bias: 0.0 };
        let weight_of = [0.5 / (n - yes as f64), 0.5 / yes as f64];
        let standard: Vec<(Vec<f64>, bool)> = rows.iter().map(|(row, yes)| (model.standardise(row), *yes)).collect();
        for _ in 0..STEPS {
            let mut slope = vec![0.0; width];
            let mut slope_bias = 0.0;
            for (row, yes) in &standard {
                let [no_weight, yes_weight] = weight_of;
                let error =
                    (model.of_standard(row) - f64::from(u8::from(*yes))) * if *yes { yes_weight } else { no_weight };
                slope.iter_mut().zip(row).for_each(|(slope, x)| *slope += error * x);
                slope_bias += error;
            }
            for (weight, slope) in model.weights.iter_mut().zip(&slope) {
                *weight -= RATE * (slope + DECAY * *weight);
            }
            model.bias -= RATE * slope_bias;
        }
        Some(model)
    }

    /// The probability of yes, were both kinds equally frequent.
    pub fn probability(&self, row: &[f64]) -> f64 {
        self.of_standard(&self.standardise(row))
    }

    fn standardise(&self, row: &[f64]) -> Vec<f64> {
        row.iter().zip(self.mean.iter().zip(&self.spread)).map(|(x, (mean, spread))| (x - mean) / spread).collect()
    }

    fn of_standard(&self, row: &[f64]) -> f64 {
        let score: f64 = row.iter().zip(&self.weights).map(|(x, weight)| x * weight).sum::<f64>() + self.bias;
        1.0 / (1.0 + (-score).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_clouds_are_told_apart() {
        let rows: Vec<_> = (0..100).map(|n| (vec![f64::from(n), 5.0], n >= 60)).collect();
        let model = Logistic::fit(&rows).expect("both kinds are there");
        assert!(model.probability(&[90.0, 5.0]) > 0.9);
        assert!(model.probability(&[10.0, 5.0]) < 0.1);
        assert!(Logistic::fit(&rows[..10]).is_none(), "one kind alone teaches nothing");
        assert!(Logistic::fit(&[]).is_none());
    }
}
