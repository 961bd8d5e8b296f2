//! A power cut at any moment: the server is killed with SIGKILL again and again under load, and started again. The scenario is
//! `testkit::crash`, which the benchmarks run longer: `cargo xtask bench --kills`.

use std::{env, path::Path};

use switchboard_testkit::crash::{Plan, run};

/// The number in that variable.
fn number(name: &str, otherwise: u64) -> u64 {
    env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_every_kill_each_acknowledged_ticket_has_one_decision_and_one_effect() {
    if env::var_os("SWITCHBOARD_TEST_FAST").is_some() {
        println!("SWITCHBOARD_TEST_FAST is set: no servers are killed");
        return;
    }
    let plan = Plan {
        binary: Path::new(env!("CARGO_BIN_EXE_switchboard")).to_owned(),
        kills: usize::try_from(number("SWITCHBOARD_TEST_KILLS", 200)).unwrap(),
        seed: number("SWITCHBOARD_TEST_SEED", 20_261_121),
        clients: 24,
    };
    let folder = tempfile::tempdir().unwrap();
    let report = run(&plan, folder.path()).await;
    println!("{report}");
    assert!(report.is_kept(), "{report}");
    // Lives that are too short for work would show nothing.
    assert!(report.acknowledged >= 2 * plan.kills, "{report}");
    assert!(report.reviews > 0 && report.reads > 0 && report.repeated > 0, "{report}");
}
