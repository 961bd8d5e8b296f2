//! Learning: a regularised linear model, its calibration, and how data is split for both.

mod calibration;
mod curve;
mod folds;
mod isotonic;
mod logistic;
mod packed;
mod random;
mod softmax;

pub use calibration::{ECE_BINS, ReliabilityBin, calibration_error, combined, fit_scales, reliability};
pub use curve::PrecisionCurve;
pub use folds::{folds, holdout};
pub use isotonic::Isotonic;
pub use logistic::Logistic;
pub use packed::Packed;
pub use random::Random;
pub use softmax::{Linear, Sparse, TrainOptions, softmax};
