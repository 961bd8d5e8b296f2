//! `/tickets`.

pub(super) mod batch;
pub(super) mod create;
pub(super) mod list;
pub(super) mod show;
