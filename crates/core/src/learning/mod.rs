//! A tenant's classifier learns: from its configuration, imported history and reviews to a version that is put in force only
//! when it is not worse than what is there.

pub mod audit;
mod due;
mod record;
mod train;

pub use due::{Due, due};
pub use record::{Lesson, Measured, ModelRecord, Scores, TrainedModel};
pub use train::{Options, Outcome, Verdict, examples, held_back, refresh, roll_back, train};
