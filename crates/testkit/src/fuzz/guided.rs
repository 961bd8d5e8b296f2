//! The same targets under libFuzzer, which sees by the coverage what an input reaches, and goes on from there.
//!
//! `cargo xtask fuzz` compiles this instead of the short run. It starts the test once to hear which targets it has, and
//! then once for each target, in a folder that is the target's own.

use std::{env, fs, panic::AssertUnwindSafe, thread};

/// The environment variable that names the target to run.
const WANTED: &str = "SWITCHBOARD_FUZZ_TARGET";

/// Tells of the target when none is wanted; fuzzes it, and does not come back, when it is the one.
#[allow(clippy::print_stderr, reason = "xtask reads it")]
pub(super) fn run(target: &str, seeds: &[&[u8]], property: impl Fn(&[u8])) {
    let Ok(wanted) = env::var(WANTED) else {
        let thread = thread::current();
        eprintln!("fuzz target {target} of {}", thread.name().expect("a test's thread has its name"));
        return;
    };
    if wanted != target {
        return;
    }
    let kept = super::corpus(target);
    for (n, input) in kept.iter().map(Vec::as_slice).chain(seeds.iter().copied()).enumerate() {
        fs::write(format!("corpus/seed-{n}"), input).expect("the target's folder has a corpus");
    }
    let property = AssertUnwindSafe(property);
    bolero::check!(name = target).for_each(|input: &[u8]| {
        let property = &property;
        property(input);
    });
}
