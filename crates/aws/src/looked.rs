use std::time::Duration;

use switchboard_core::{ports::Clock, time::Timestamp};

/// When something was looked up, by both clocks. Between two calls a function is frozen, and then its monotonic clock may
/// stand still; the wall clock may jump. So what is kept is believed only while both say that it is young.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Looked {
    wall: Timestamp,
    monotonic: Duration,
}

impl Looked {
    pub(crate) fn now(clock: &dyn Clock) -> Self {
        Self { wall: clock.now(), monotonic: clock.monotonic() }
    }

    /// Whether less than `limit` has passed since.
    pub(crate) fn is_within(&self, limit: Duration, clock: &dyn Clock) -> bool {
        let now = clock.now();
        clock.monotonic().saturating_sub(self.monotonic) < limit && now >= self.wall && now.since(self.wall) < limit
    }
}

#[cfg(test)]
mod tests {
    use switchboard_testkit::world::{FixedClock, start};

    use super::*;

    #[test]
    fn both_clocks_must_say_that_it_is_young() {
        let limit = Duration::from_secs(4);
        let clock = FixedClock::new();
        let looked = Looked::now(&clock);
        assert!(looked.is_within(limit, &clock));
        clock.jump(start().plus(limit));
        assert!(!looked.is_within(limit, &clock), "thawed: only the wall clock went on");
        clock.jump(start().minus(Duration::from_secs(1)));
        assert!(!looked.is_within(limit, &clock), "the wall clock went back");
        clock.jump(start());
        assert!(looked.is_within(limit, &clock));
        clock.advance(limit);
        clock.jump(start());
        assert!(!looked.is_within(limit, &clock), "the wall clock was set back meanwhile");
    }
}
