//! The contract of [`switchboard_core::ports::Clock`].

use std::{sync::Arc, time::Duration};

use switchboard_core::ports::Clock;

use super::{expect::expect, run_checks};
use crate::sample;

type Shared = Arc<dyn Clock>;

/// Runs the contract of `Clock` for a clock that runs by itself: the machine's, or [`crate::world::FixedClock::auto`].
pub async fn clock<C: Clock + 'static>(make: impl AsyncFn() -> C) {
    run_checks!(
        "Clock",
        Arc::new(make().await) as Shared,
        [
            monotonic_time_never_goes_back,
            the_wall_clock_tells_a_time_of_this_century,
            a_sleep_takes_its_time,
            no_time_is_slept_at_once,
            a_sleep_may_be_given_up,
        ]
    );
}

async fn monotonic_time_never_goes_back(clock: Shared) {
    let mut last = clock.monotonic();
    for _ in 0..10_000 {
        let now = clock.monotonic();
        expect("monotonic time does not go back", now >= last, (last, now));
        last = now;
    }
}

async fn the_wall_clock_tells_a_time_of_this_century(clock: Shared) {
    let now = clock.now();
    let (from, to) = (sample::parsed("2024-01-01T00:00:00Z"), sample::parsed("2100-01-01T00:00:00Z"));
    expect("the wall clock is between 2024 and 2100", now >= from && now < to, now);
}

async fn a_sleep_takes_its_time(clock: Shared) {
    for millis in [1, 5, 20] {
        let (asked, before) = (Duration::from_millis(millis), clock.monotonic());
        clock.sleep(asked).await;
        let took = clock.monotonic().saturating_sub(before);
        expect(&format!("a sleep of {asked:?} takes at least that"), took >= asked, took);
    }
}

async fn no_time_is_slept_at_once(clock: Shared) {
    clock.sleep(Duration::ZERO).await;
}

async fn a_sleep_may_be_given_up(clock: Shared) {
    drop(clock.sleep(Duration::from_secs(3_600)));
    clock.sleep(Duration::from_millis(1)).await;
}
