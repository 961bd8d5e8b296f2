//! A time limit around any future, on the port's clock.

use std::{future::Future, pin::pin, time::Duration};

use futures_util::future::{Either, select};

use crate::{
    error::{Error, ErrorKind, Result},
    ports::Clock,
};

/// Runs `work` for at most `limit`; then it is dropped and the answer is [`ErrorKind::Timeout`] naming `what`.
pub async fn within<T>(
    clock: &dyn Clock,
    limit: Duration,
    what: &'static str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    match select(pin!(work), clock.sleep(limit)).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right(_) => {
            Err(Error::new(ErrorKind::Timeout, format!("{what} gave no answer within {} ms", limit.as_millis())))
        }
    }
}
