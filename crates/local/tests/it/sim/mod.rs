//! The simulation of `switchboard_testkit::sim` over the SQLite store.
#![allow(clippy::print_stdout, reason = "a long run tells its figures")]

mod machine;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use switchboard_testkit::sim::{Plan, Plant, Report, run};

use machine::SqliteMachine;

/// Two threads, as CI has two cores.
const THREADS: usize = 2;

fn one(plan: &Plan) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    run(plan, Arc::new(SqliteMachine::new()), &runtime)
}

/// How many runs; a long form by `SWITCHBOARD_TEST_SEEDS`.
fn seeds(usual: u64) -> u64 {
    let asked = std::env::var("SWITCHBOARD_TEST_SEEDS").ok().and_then(|text| text.parse().ok());
    let is_fast = std::env::var_os("SWITCHBOARD_TEST_FAST").is_some();
    asked.unwrap_or(if is_fast { usual / 5 } else { usual })
}

/// Runs plans side by side and gives their reports in order.
fn all(plans: Vec<Plan>) -> Vec<(Plan, Report)> {
    let next = AtomicU64::new(0);
    let done = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(plan) = plans.get(n as usize) else { return };
                    let report = one(plan);
                    done.lock().unwrap().insert(n, (plan.clone(), report));
                }
            });
        }
    });
    done.into_inner().unwrap().into_values().collect()
}

fn expect_kept(reports: &[(Plan, Report)]) {
    let mut faults: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut acknowledged, mut steps) = (0, 0);
    for (plan, report) in reports {
        acknowledged += report.acknowledged;
        steps += report.steps;
        for (name, times) in &report.faults {
            *faults.entry(name).or_default() += times;
        }
        assert!(report.broken.is_empty(), "{plan:?}\n{}\n\n{:#?}", report.tail, report.broken);
    }
    println!(
        "{} runs, {acknowledged} tickets acknowledged, {steps} steps, {} faults: {faults:?}",
        reports.len(),
        faults.values().sum::<u64>()
    );
}

#[test]
fn every_promise_is_kept_whatever_goes_wrong() {
    let first = std::env::var("SWITCHBOARD_TEST_FIRST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    expect_kept(&all((first..first + seeds(300)).map(Plan::random).collect()));
}

#[test]
fn every_step_of_a_short_run_may_be_the_last() {
    let calm = one(&Plan::dying_at(3, []));
    assert!(calm.broken.is_empty(), "{}\n{:#?}", calm.tail, calm.broken);
    expect_kept(&all((1..=calm.busy_steps).map(|step| Plan::dying_at(3, [step])).collect()));
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in [1, 2, 3] {
        let (one_run, other) = (one(&Plan::random(seed)), one(&Plan::random(seed)));
        assert_eq!(one_run.trace, other.trace, "{}\n----\n{}", one_run.tail, other.tail);
    }
}

#[test]
fn planted_bugs_are_found() {
    for plant in [Plant::TwoCommitOutbox, Plant::NoKey, Plant::AckBeforeCommit, Plant::NoAttempt] {
        let found = (0..2_000).find(|seed| !one(&Plan { plant, ..Plan::random(*seed) }).broken.is_empty());
        println!("{plant:?} is found by seed {found:?}");
        assert!(found.is_some(), "{plant:?} is not found");
    }
    // A narrow window is not left to luck: all steps are tried.
    let calm = one(&Plan { plant: Plant::TwoCommitOutbox, ..Plan::dying_at(1, []) });
    let found = (1..=calm.busy_steps)
        .filter(|step| !one(&Plan { plant: Plant::TwoCommitOutbox, ..Plan::dying_at(1, [*step]) }).broken.is_empty())
        .count();
    assert_eq!(found, 1, "the one step between the two commits");
}
