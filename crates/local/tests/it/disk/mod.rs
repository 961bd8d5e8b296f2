//! The true store on a disk that loses power or runs full at every operation of a short life.
//!
//! `SWITCHBOARD_TEST_POWER_CUTS=20` sets how many different cuts are made in each operation; with it, disks also run full
//! for each of all durations in each operation, and not for one of them.

mod dump;
mod full;
mod migrations;
mod power_cuts;
mod scenario;

use std::{env, thread};

use switchboard_faultdisk::{Survival, vfs};
use switchboard_local::{Spare, Volume};

/// Cuts in each operation without the variable: nothing that was not synced is left, all of it is, a part of it is.
const CUTS: u64 = 3;

/// Cuts in each operation.
fn cuts() -> u64 {
    long().unwrap_or(CUTS)
}

/// The number of cuts of the long form, when that is asked for.
fn long() -> Option<u64> {
    env::var("SWITCHBOARD_TEST_POWER_CUTS").ok().map(|text| text.parse().expect("a number of power cuts"))
}

/// What cut number `variant` in operation `at` leaves. The seed names both, so that one failure can be run again.
fn survival(at: usize, variant: u64) -> Survival {
    match variant {
        0 => Survival::Nothing,
        1 => Survival::Everything,
        _ => Survival::Some((at as u64) << 16 | variant),
    }
}

/// A volume on `disk`.
fn volume(spare: impl Spare + 'static, synchronous: &'static str) -> Volume {
    Volume { vfs: Some(vfs()), synchronous, spare: Some(std::sync::Arc::new(spare)) }
}

/// There is always room.
struct Room;

impl Spare for Room {
    fn is_taken(&self) -> bool {
        true
    }

    fn take(&self) -> std::io::Result<()> {
        Ok(())
    }

    fn give_back(&self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Does `work` for each of `numbers`, spread over the processors; gives what came of it in the order of the numbers.
fn spread<T: Send>(numbers: usize, work: impl Fn(usize, &tokio::runtime::Runtime) -> T + Sync) -> Vec<T> {
    let threads = thread::available_parallelism().map_or(2, usize::from);
    let mut done: Vec<(usize, T)> = thread::scope(|scope| {
        let run = |first: usize| {
            let work = &work;
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                (first..numbers).step_by(threads).map(|number| (number, work(number, &runtime))).collect::<Vec<_>>()
            })
        };
        let running: Vec<_> = (0..threads).map(run).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}
