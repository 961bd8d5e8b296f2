//! The contract of [`switchboard_core::ports::Ids`].

use std::{collections::HashSet, sync::Arc, time::Duration};

use switchboard_core::ports::Ids;
use ulid::Ulid;

use super::{
    expect::{expect, expect_eq},
    run_checks,
};
use crate::world::start;

type Shared = Arc<dyn Ids>;

/// Runs the contract of `Ids`; `make` gives a fresh source for each check.
pub async fn ids<I: Ids + 'static>(make: impl AsyncFn() -> I) {
    run_checks!(
        "Ids",
        Arc::new(make().await) as Shared,
        [
            ulids_tell_their_time,
            ulids_grow_within_one_millisecond,
            ulids_grow_when_the_clock_goes_back,
            ulids_of_all_threads_differ,
            filled_bytes_differ,
            every_byte_is_filled,
        ]
    );
}

fn expect_growing(what: &str, ulids: &[Ulid]) {
    let wrong = ulids.windows(2).find(|pair| pair[0] >= pair[1]);
    expect(what, wrong.is_none(), wrong);
    let wrong = ulids.windows(2).find(|pair| pair[0].to_string() >= pair[1].to_string());
    expect(&format!("{what}, as text"), wrong.is_none(), wrong);
}

async fn ulids_tell_their_time(ids: Shared) {
    for second in 0..100 {
        let now = start().plus(Duration::from_secs(second));
        let told = ids.ulid(now).timestamp_ms();
        expect_eq("the time in a ULID", told, now.as_millis().unsigned_abs());
    }
}

async fn ulids_grow_within_one_millisecond(ids: Shared) {
    let ulids: Vec<_> = (0..10_000).map(|_| ids.ulid(start())).collect();
    expect_growing("ULIDs of one millisecond grow", &ulids);
}

async fn ulids_grow_when_the_clock_goes_back(ids: Shared) {
    let at = |n: u64| {
        // back by an hour, by a millisecond, forth by a minute, and once to 1970
        let wobble = [3_600_000, 1, 0, 60_000][usize::try_from(n % 4).expect("below 4")];
        let now = start().plus(Duration::from_millis(n)).plus(Duration::from_millis(wobble));
        if n == 5_000 { now.minus(Duration::from_secs(u64::MAX / 1_000)) } else { now }
    };
    let ulids: Vec<_> = (0..10_000).map(|n| ids.ulid(at(n))).collect();
    expect_growing("ULIDs grow when the clock goes back", &ulids);
}

async fn ulids_of_all_threads_differ(ids: Shared) {
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let ids = Arc::clone(&ids);
            std::thread::spawn(move || (0..2_500).map(|_| ids.ulid(start())).collect::<Vec<_>>())
        })
        .collect();
    let mut all = HashSet::new();
    for thread in threads {
        let own = thread.join().expect("a thread that does not panic");
        expect_growing("ULIDs of one thread among four grow", &own);
        all.extend(own);
    }
    expect_eq("different ULIDs of four threads", all.len(), 10_000);
}

async fn filled_bytes_differ(ids: Shared) {
    let mut all = HashSet::new();
    for _ in 0..10_000 {
        let mut bytes = [0; 16];
        ids.fill(&mut bytes);
        all.insert(bytes);
    }
    expect_eq("different fillings of 16 bytes", all.len(), 10_000);
}

/// Of 64 fillings a byte that is filled is not zero in all: the odds are 2^-512 for each.
async fn every_byte_is_filled(ids: Shared) {
    for length in [0, 1, 7, 8, 9, 32, 33, 1_000] {
        let mut seen = vec![0; length];
        for _ in 0..64 {
            let mut bytes = vec![0; length];
            ids.fill(&mut bytes);
            seen.iter_mut().zip(bytes).for_each(|(seen, byte)| *seen |= byte);
        }
        let untouched = seen.iter().position(|byte| *byte == 0);
        expect(&format!("each of {length} bytes is filled"), untouched.is_none(), untouched);
    }
}
