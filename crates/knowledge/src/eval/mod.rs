//! How good a classifier is, on texts that it has not learned from: the figures of `switchboard eval` and
//! `switchboard audit`, and what each of them means.

mod advice;
mod audit;
mod gate;
mod metrics;
mod months;
mod routing;
mod run;
mod split;
mod tune;

pub use audit::{Audit, Audited, ConfusedPair, RareLabel, audit};
pub use gate::{Gate, GateError, GateResult, metric_names};
pub use metrics::{Answer, ClassMetrics, Confusion, Metrics, OutOfScope, StageShares, measure, wilson};
pub use months::{MonthCounter, Months};
pub use routing::{CurvePoint, LearnedThreshold, PRECISIONS};
pub use run::{
    EvalError, EvalOptions, Evaluated, Evaluation, Latency, Mistake, Percentiles, Progress, SeenTexts, TrainingFacts,
    evaluate,
};
pub use split::{Conflicts, Split, conflicts, deduplicate, few_shot, split_by_text};
pub use tune::{CascadePoint, HeldBack, Said, Stages, SureFrom, Tuned, tune};
