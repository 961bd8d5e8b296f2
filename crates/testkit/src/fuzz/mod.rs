//! Fuzz targets: properties that hold of a parser of outside input, whatever the input is.
//!
//! In `cargo test` a target gets inputs that were good, damaged at random. The run is deterministic: its seed is the target's
//! name. `SWITCHBOARD_TEST_FUZZ` sets the cases of each target; without it a run is short. `cargo xtask fuzz` runs the same
//! targets for longer, guided by coverage. What once failed is kept in `corpus/<target>/` of this crate and tried first, for good.

#[cfg(fuzzing_libfuzzer)]
mod guided;
mod json;
mod random;

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

pub use json::damaged_json;
pub use random::{Random, TOKENS, damaged_bytes};

/// Cases of a target in `cargo test`.
const SHORT_RUN: u64 = 500;
/// No single input may take longer, on the slowest machine: what does is not slow, it hangs.
const HANGS: Duration = Duration::from_secs(10);

/// The number in the environment variable `name`, or `otherwise`; a tenth of that when `SWITCHBOARD_TEST_FAST` is set.
pub fn count(name: &str, otherwise: u64) -> u64 {
    let Ok(text) = std::env::var(name) else {
        let is_fast = std::env::var_os("SWITCHBOARD_TEST_FAST").is_some();
        return if is_fast { otherwise / 10 } else { otherwise };
    };
    text.replace('_', "").parse().unwrap_or_else(|error| panic!("{name}={text}: {error}"))
}

/// Tries `property` on the target's corpus, on `seeds` as they are, and on damaged copies of them. The property panics on
/// what must not be. An input that fails is made smaller and saved, and the panic names the file.
pub fn fuzz(target: &str, seeds: &[&[u8]], property: impl Fn(&[u8])) {
    assert!(!seeds.is_empty(), "{target} has no seeds");
    #[cfg(fuzzing_libfuzzer)]
    return guided::run(target, seeds, &property);
    #[cfg(not(fuzzing_libfuzzer))]
    short_run(target, seeds, &property);
}

#[cfg_attr(fuzzing_libfuzzer, allow(dead_code, reason = "libFuzzer runs instead"))]
fn short_run(target: &str, seeds: &[&[u8]], property: &impl Fn(&[u8])) {
    let kept = corpus(target);
    let mut random = Random::named(target);
    for input in kept.iter().map(Vec::as_slice).chain(seeds.iter().copied()) {
        try_one(target, input, property);
    }
    let cases = count("SWITCHBOARD_TEST_FUZZ", SHORT_RUN);
    for _ in 0..cases {
        let seed = random.pick(seeds);
        let input = damaged(&mut random, seed);
        try_one(target, &input, property);
    }
}

/// A damaged copy of `seed`: as JSON when it is JSON, as bytes, or both.
pub fn damaged(random: &mut Random, seed: &[u8]) -> Vec<u8> {
    match serde_json::from_slice::<serde_json::Value>(seed) {
        Ok(value) if random.one_in(2) => {
            let text = damaged_json(random, &value);
            if random.one_in(4) { damaged_bytes(random, &text) } else { text }
        }
        _ => damaged_bytes(random, seed),
    }
}

fn try_one(target: &str, input: &[u8], property: &impl Fn(&[u8])) {
    let holds = |input: &[u8]| catch_unwind(AssertUnwindSafe(|| property(input))).is_ok();
    #[allow(clippy::disallowed_methods, reason = "tells a hang from slowness; nothing is measured by it")]
    let started = Instant::now();
    let held = holds(input);
    let took = started.elapsed();
    if held && took < HANGS {
        return;
    }
    let small = if held { input.to_vec() } else { smaller(input, &|input| !holds(input)) };
    let file = save(target, &small);
    panic!(
        "{target}: an input of {} bytes {}; it is in {file:?}. Once it is mended, keep it in crates/testkit/corpus/{target}/",
        small.len(),
        if held { "takes too long" } else { "breaks the property" }
    );
}

/// `input` without the pieces that are not needed to fail.
fn smaller(input: &[u8], fails: &dyn Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut small = input.to_vec();
    let mut piece = small.len() / 2;
    let mut tries = 200;
    while piece > 0 {
        let mut at = 0;
        while at < small.len() && tries > 0 {
            tries -= 1;
            let mut shorter = small.clone();
            shorter.drain(at..(at + piece).min(small.len()));
            if fails(&shorter) {
                small = shorter;
            } else {
                at += piece;
            }
        }
        piece /= 2;
    }
    small
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry of the corpus").path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).expect("a file of the corpus")).collect()
}

fn save(target: &str, input: &[u8]) -> PathBuf {
    let folder = std::env::temp_dir().join("switchboard-fuzz");
    let file = folder.join(format!("{target}-{:016x}", Random::of(input).number()));
    fs::create_dir_all(&folder).and_then(|()| fs::write(&file, input)).expect("a place for the input");
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_fault_is_found_and_its_input_made_small() {
        let seed = br#"{"subject":"hello","metadata":{"plan":"gold","other":[1,2,3]}}"#;
        // A parser that cannot stand a NUL.
        let planted = |input: &[u8]| assert!(!input.contains(&0));
        let found = catch_unwind(|| fuzz("planted", &[seed], planted)).expect_err("the fault is found");
        let message = found.downcast_ref::<String>().expect("a message");
        assert!(message.contains("an input of 1 bytes breaks the property"), "{message}");
    }

    #[test]
    fn a_run_is_the_same_each_time() {
        let inputs = || {
            let mut random = Random::named("same");
            (0..200).map(|_| damaged(&mut random, br#"{"a":["b",{"c":1}]}"#)).collect::<Vec<_>>()
        };
        assert_eq!(inputs(), inputs());
    }

    #[test]
    fn damage_reaches_every_kind_of_json() {
        let mut random = Random::named("kinds");
        let value = serde_json::json!({"ticket_id": "T-1", "metadata": {"a": "b"}, "attachments": [{"name": "x"}]});
        let all: Vec<Vec<u8>> = (0..5_000).map(|_| damaged_json(&mut random, &value)).collect();
        let some = |what: &str, is_so: &dyn Fn(&[u8]) -> bool| {
            let share = all.iter().filter(|text| is_so(text)).count();
            assert!(share > 10, "{what}: {share} of {}", all.len());
        };
        some("still JSON", &|text| serde_json::from_slice::<serde_json::Value>(text).is_ok());
        some("no UTF-8", &|text| std::str::from_utf8(text).is_err());
        some("deep", &|text| text.windows(100).any(|window| window.iter().all(|byte| *byte == b'[')));
        some("long", &|text| text.len() > 10_000);
        some("a lone surrogate", &|text| text.windows(6).any(|window| window == b"\\ud800"));
        some("a field twice", &|text| String::from_utf8_lossy(text).matches("\"ticket_id\"").count() == 2);
    }
}
