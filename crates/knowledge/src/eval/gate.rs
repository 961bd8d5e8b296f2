//! Figures that must be reached, for scripts: `accuracy>=0.9`.

use std::{fmt, str::FromStr};

use serde::Serialize;
use serde_json::Value;

use super::{
    metrics::measure,
    routing,
    run::{Evaluation, Latency, Percentiles, SeenTexts, TrainingFacts},
};

/// The metrics of one label are named `per_class.LABEL.f1`.
const PER_CLASS: &str = "per_class.";

/// A figure that must be reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    /// The metric by its path in the JSON of an evaluation.
    metric: String,
    operator: Operator,
    wanted: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    AtLeast,
    AtMost,
    Above,
    Below,
}

/// Longer ones first: `>=` begins with `>`.
const OPERATORS: [(&str, Operator); 4] =
    [(">=", Operator::AtLeast), ("<=", Operator::AtMost), (">", Operator::Above), ("<", Operator::Below)];

/// Why a gate makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// It does not have its three parts.
    #[error("a gate is a metric, one of >= <= > <, and a number, such as accuracy>=0.9")]
    NoGate,
    /// There is no such metric.
    #[error("there is no metric `{name}`; there are: {}, and per_class.LABEL.f1 (precision, recall, n)", metric_names().join(", "))]
    UnknownMetric {
        /// What was named.
        name: String,
    },
}

/// Whether a gate was passed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GateResult {
    /// The gate.
    pub gate: String,
    /// The figure; `None` when the data has none, such as the out-of-scope recall without out-of-scope texts.
    pub found: Option<f64>,
    /// Whether it was reached; without a figure it was not.
    pub passed: bool,
}

impl FromStr for Gate {
    type Err = GateError;

    fn from_str(text: &str) -> Result<Self, GateError> {
        // The last one: a label may hold such a sign too.
        let at = text.rfind(['>', '<']).ok_or(GateError::NoGate)?;
        let (metric, rest) = text.split_at(at);
        let (sign, operator) =
            OPERATORS.into_iter().find(|(sign, _)| rest.starts_with(sign)).ok_or(GateError::NoGate)?;
        let number = rest.strip_prefix(sign).unwrap_or_default().trim();
        let wanted: f64 = number.parse().map_err(|_| GateError::NoGate)?;
        let metric = metric.trim().to_owned();
        if metric.is_empty() || !wanted.is_finite() {
            return Err(GateError::NoGate);
        }
        if !metric.starts_with(PER_CLASS) && !metric_names().contains(&metric) {
            return Err(GateError::UnknownMetric { name: metric });
        }
        Ok(Self { metric, operator, wanted })
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = OPERATORS.into_iter().find(|(_, one)| *one == self.operator).map_or("", |(sign, _)| sign);
        write!(formatter, "{} {sign} {}", self.metric, self.wanted)
    }
}

impl Gate {
    /// Looks whether `evaluation` passes. A label that is in neither training nor test is unknown.
    pub fn check(&self, evaluation: &Evaluation) -> Result<GateResult, GateError> {
        let found = figures(evaluation)
            .into_iter()
            .find(|(name, _)| *name == self.metric)
            .ok_or_else(|| GateError::UnknownMetric { name: self.metric.clone() })?
            .1;
        let passed = found.is_some_and(|found| match self.operator {
            Operator::AtLeast => found >= self.wanted,
            Operator::AtMost => found <= self.wanted,
            Operator::Above => found > self.wanted,
            Operator::Below => found < self.wanted,
        });
        Ok(GateResult { gate: self.to_string(), found, passed })
    }
}

/// The metrics that a gate can name, but for those of single labels.
pub fn metric_names() -> Vec<String> {
    let stage = Percentiles::default();
    // Of nothing, so that all figures are there that do not depend on the data.
    let blank = Evaluation {
        metrics: measure(&[], &[]),
        latency_ms: Latency { stages: [("one", stage), ("two", stage)].into(), ..Latency::default() },
        cost_usd_per_item: 0.0,
        thresholds: routing::by_precision(|_| routing::LearnedThreshold::default()),
        seen_texts: SeenTexts::default(),
        unknown_label_rows: 0,
        training: TrainingFacts::default(),
    };
    figures(&blank).into_iter().map(|(name, _)| name).collect()
}

/// All figures with their paths; those that have no value too.
fn figures(evaluation: &Evaluation) -> Vec<(String, Option<f64>)> {
    let mut found = Vec::new();
    collect(&serde_json::to_value(evaluation).unwrap_or_default(), String::new(), &mut found);
    found
}

fn collect(value: &Value, path: String, found: &mut Vec<(String, Option<f64>)>) {
    match value {
        Value::Number(number) => found.push((path, number.as_f64())),
        Value::Null => found.push((path, None)),
        Value::Object(members) => {
            for (name, value) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                collect(value, path, found);
            }
        }
        Value::Array(_) | Value::Bool(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Stage, eval::Answer};

    fn evaluation() -> Evaluation {
        let answer = |truth, label| Answer { truth, label, confidence: 0.9, rejected: false, stage: Stage::One };
        let answers = [answer(Some(0), 0), answer(Some(0), 0), answer(Some(1), 0), answer(Some(1), 1)];
        Evaluation {
            metrics: measure(&["a".to_owned(), "b < c".to_owned()], &answers),
            latency_ms: Latency::default(),
            cost_usd_per_item: 0.0,
            thresholds: routing::by_precision(|_| routing::LearnedThreshold::default()),
            seen_texts: SeenTexts::default(),
            unknown_label_rows: 0,
            training: TrainingFacts::default(),
        }
    }

    fn check(gate: &str, found: Option<f64>, passed: bool) {
        let result = gate.parse::<Gate>().unwrap().check(&evaluation()).unwrap();
        assert_eq!((result.found, result.passed), (found, passed), "{gate}");
    }

    #[test]
    fn gates_open_and_shut() {
        check("accuracy>=0.75", Some(0.75), true);
        check("accuracy > 0.75", Some(0.75), false);
        check("accuracy<=0.75", Some(0.75), true);
        check(" accuracy < 0.75 ", Some(0.75), false);
        check("coverage_at_precision.0.97>0.5", Some(0.0), false);
        check("out_of_scope.recall>=0", None, false);
        check("per_class.a.recall>=1", Some(1.0), true);
        check("per_class.b < c.recall>=1", Some(0.5), false);
        check("training.labels>=0", Some(0.0), true);
        assert_eq!("accuracy>=0.9".parse::<Gate>().unwrap().to_string(), "accuracy >= 0.9");
    }

    #[test]
    fn senseless_gates_are_refused_with_a_remedy() {
        for gate in ["", "accuracy", "accuracy=0.9", ">=0.9", "accuracy>=high", "accuracy>=NaN"] {
            assert_eq!(gate.parse::<Gate>(), Err(GateError::NoGate), "{gate}");
        }
        let said = "acuracy>=0.9".parse::<Gate>().unwrap_err().to_string();
        for part in ["`acuracy`", "accuracy,", "coverage_at_precision.0.97", "latency_ms.p99", "out_of_scope.recall"] {
            assert!(said.contains(part), "{part} is not in {said}");
        }
        assert!("per_class.z.f1>0.5".parse::<Gate>().unwrap().check(&evaluation()).is_err());
    }
}
