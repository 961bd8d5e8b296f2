//! What the tests of this crate have at hand.

use std::{
    future::{Future, ready},
    pin::Pin,
    sync::Mutex,
    time::Duration,
};

use switchboard_core::{ports::Clock, time::Timestamp};

/// A clock that stands still, and whose sleeps are over at once.
#[derive(Default)]
pub(crate) struct Still(Mutex<Duration>);

impl Still {
    pub(crate) fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(0)
    }

    fn monotonic(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    fn sleep(&self, _duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(ready(()))
    }
}
