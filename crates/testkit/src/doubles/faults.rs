//! Ways in which a server misbehaves.

use std::{collections::VecDeque, sync::Mutex, time::Duration};

use axum::http::Method;

use super::lock;

/// What happens to one request.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// Nothing is done, and this is the answer.
    Answer {
        /// The HTTP status.
        status: u16,
        /// The header `Retry-After`.
        retry_after: Option<String>,
    },
    /// It is done, and the answer is this status all the same.
    ApplyThenAnswer {
        /// The HTTP status.
        status: u16,
    },
    /// Nothing is done and the connection ends without an answer.
    Drop,
    /// It is done and the connection ends without an answer.
    ApplyThenDrop,
    /// It is done after this time.
    Delay(Duration),
    /// It is done at once and answered after this time.
    ApplyThenDelay(Duration),
    /// Nothing is done; success and this body are the answer.
    Body(String),
    /// It is done; success and no JSON are the answer.
    Garbage,
    /// Nothing is done; success and JSON of that size are the answer, without telling the size before.
    Oversized {
        /// Bytes of the body.
        bytes: usize,
    },
    /// Nothing is done; success is the answer and a body that comes a byte at a time and never ends.
    Drip {
        /// Time between two bytes.
        every: Duration,
    },
    /// Nothing is done; the answer leads elsewhere.
    Redirect {
        /// The header `Location`.
        to: String,
    },
}

impl Fault {
    /// This status, nothing done, no `Retry-After`.
    pub fn status(status: u16) -> Self {
        Self::Answer { status, retry_after: None }
    }
}

/// The faults that a server is told of: a queue, and behind it rates.
#[derive(Default)]
pub(super) struct Faults(Mutex<State>);

#[derive(Default)]
struct State {
    queue: VecDeque<(bool, Fault)>,
    rates: Vec<(f64, Fault)>,
    generator: u64,
}

impl Faults {
    pub(super) fn push(&self, only_writes: bool, fault: Fault) {
        lock(&self.0).queue.push_back((only_writes, fault));
    }

    pub(super) fn rate(&self, probability: f64, fault: Fault) {
        lock(&self.0).rates.push((probability, fault));
    }

    pub(super) fn seed(&self, seed: u64) {
        lock(&self.0).generator = seed;
    }

    pub(super) fn heal(&self) {
        let mut state = lock(&self.0);
        state.queue.clear();
        state.rates.clear();
    }

    pub(super) fn take(&self, method: &Method) -> Option<Fault> {
        let mut state = lock(&self.0);
        let is_write = !method.is_safe();
        if let Some(n) = state.queue.iter().position(|(only_writes, _)| is_write || !only_writes) {
            return state.queue.remove(n).map(|(_, fault)| fault);
        }
        let State { rates, generator, .. } = &mut *state;
        rates.iter().find(|(probability, _)| fraction(generator) < *probability).map(|(_, fault)| fault.clone())
    }
}

/// A number from 0 to below 1 (SplitMix64).
fn fraction(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    // invariant: 53 bits fit into a double
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_for_writes_waits_for_a_write() {
        let faults = Faults::default();
        faults.push(true, Fault::Drop);
        faults.push(false, Fault::Garbage);
        assert_eq!(faults.take(&Method::GET), Some(Fault::Garbage));
        assert_eq!(faults.take(&Method::GET), None);
        assert_eq!(faults.take(&Method::PUT), Some(Fault::Drop));
        assert_eq!(faults.take(&Method::PUT), None);
    }

    #[test]
    fn a_rate_is_kept_and_repeats_with_its_seed() {
        let run = |seed| {
            let faults = Faults::default();
            faults.seed(seed);
            faults.rate(0.05, Fault::Drop);
            (0..10_000).map(|_| faults.take(&Method::GET).is_some()).collect::<Vec<_>>()
        };
        let hits = run(7).iter().filter(|hit| **hit).count();
        assert!((400..600).contains(&hits), "{hits}");
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }
}
