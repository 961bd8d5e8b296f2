//! The disk runs full at each operation that takes space, for a while or until somebody makes room: refused writes are told
//! as such and leave nothing behind, reads go on, and the same open store takes everything once there is room.

use std::{io, sync::Arc, time::Duration};

use switchboard_core::{
    error::ErrorKind,
    ports::{EventQueue, TicketStore},
};
use switchboard_faultdisk::{Disk, Refusal};
use switchboard_local::Spare;
use switchboard_testkit::{sample, world::SeededIds};

use super::{
    dump::{difference, dump},
    long,
    scenario::{Life, Step, new_ticket, steps},
    spread, volume,
};

/// So many operations in a row find no room.
const DURATIONS: [u64; 5] = [1, 4, 16, 64, u64::MAX];
/// Tries after which somebody makes room, when the disk would stay full.
const TRIES: u32 = 3;
/// Tries after which a step that is still refused is one that never comes back: each one takes at least one operation.
const TOO_MANY: u32 = 200;
/// Steps that are taken after the last refusal: by then a wrong state has shown itself.
const QUIET_STEPS: usize = 4;
/// Operations that the first opening begins with: the file, its journal, the change to a write-ahead log.
const OPENING: usize = 40;
/// What the store holds back for the work in hand.
const SPARE: usize = 16 * 1024 * 1024;

/// The space held back, on a disk of the test's.
struct SpareOn(Arc<Disk>);

impl Spare for SpareOn {
    fn is_taken(&self) -> bool {
        self.0.is_allocated("spare")
    }

    fn take(&self) -> io::Result<()> {
        if self.0.allocate("spare", SPARE) { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }

    fn give_back(&self) -> io::Result<()> {
        self.0.free("spare");
        Ok(())
    }
}

fn life() -> Life {
    let disk = Disk::empty();
    Life::new(Arc::clone(&disk), volume(SpareOn(disk), "FULL"))
}

/// How the life goes with room: what each step comes to, and what the database says after it.
struct WithRoom {
    steps: Vec<(Step, String, String)>,
    /// Operations that took space.
    takes: u64,
}

async fn with_room() -> WithRoom {
    let mut life = life();
    let mut taken = Vec::new();
    for (number, step) in steps().into_iter().enumerate() {
        let outcome = life.take(number, &step).await.unwrap_or_else(|error| panic!("{step:?}: {}", error.report()));
        taken.push((step, outcome, dump(&life.disk).unwrap()));
    }
    WithRoom { steps: taken, takes: life.disk.takes() }
}

/// What a run with a full disk came to.
struct Ran {
    /// Operations that found no room.
    refused: u64,
    /// Steps that were refused, each time that they were.
    told: u64,
}

/// Leads the life with a disk that is full from operation `from` on, for so many operations.
async fn run(with_room: &WithRoom, from: u64, operations: u64, refusal: Refusal) -> Result<Ran, String> {
    let mut life = life();
    life.disk.fill_up(from, operations, refusal);
    let (mut told, mut last_told) = (0, None);
    for (number, (step, expected, after)) in with_room.steps.iter().enumerate() {
        let mut tries = 0;
        let outcome = loop {
            let error = match life.take(number, step).await {
                Ok(outcome) => break outcome,
                Err(error) => error,
            };
            let wrong = |what: &str| format!("step {number}, {step:?}: {what}: {}", error.report());
            if error.kind() != ErrorKind::StorageFull {
                return Err(wrong("the disk is full, and this is told"));
            }
            tries += 1;
            told += 1;
            if tries > TOO_MANY {
                return Err(wrong("it does not come back"));
            }
            if tries == 1 && life.store.is_some() {
                let found = dump(&life.disk).map_err(|error| format!("step {number}: cannot be read: {error}"))?;
                let before = &with_room.steps[number - 1].2;
                if found != *before {
                    return Err(wrong(&format!("a refused write is there\n{}", difference(before, &found))));
                }
                reads_go_on(&life).await.map_err(|error| wrong(&error))?;
            }
            if operations == u64::MAX && tries == TRIES {
                life.disk.make_room();
            }
            // The store looks again whether there is room, now and then.
            life.clock.advance(Duration::from_secs(2));
        };
        if outcome != *expected {
            return Err(format!("step {number}, {step:?}, came to {outcome} and not to {expected}"));
        }
        let quiet = last_told.is_some_and(|last| number >= last + QUIET_STEPS) || number + 1 == with_room.steps.len();
        if tries > 0 || quiet {
            let found = dump(&life.disk).map_err(|error| format!("step {number}: cannot be read: {error}"))?;
            if found != *after {
                return Err(format!("step {number}, {step:?}: a wrong state\n{}", difference(after, &found)));
            }
        }
        if tries > 0 {
            last_told = Some(number);
        }
        if quiet {
            break;
        }
    }
    let integrity = life.store().integrity().await.map_err(|error| error.report())?.messages;
    if integrity != ["ok"] {
        return Err(format!("integrity: {integrity:?}"));
    }
    Ok(Ran { refused: life.disk.refused(), told })
}

async fn reads_go_on(life: &Life) -> Result<(), String> {
    let store = life.store();
    let depth = store.depth().await.map(drop);
    let list = store.list(&life.scope, &Default::default(), None, 10).await.map(drop);
    let ticket = store.ticket(&life.scope, &sample::ticket(1).id).await.map(drop);
    depth.and(list).and(ticket).map_err(|error| error.report())
}

#[test]
fn a_disk_full_in_any_operation_refuses_in_words_keeps_reading_and_recovers_without_a_restart() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let with_room = runtime.block_on(with_room());
    let each = if long().is_some() { DURATIONS.len() } else { 1 };
    let takes = usize::try_from(with_room.takes).unwrap();
    let outcomes = spread(takes * each, |number, runtime| {
        // The short form goes through the durations in turn.
        let (from, duration) = ((number / each) as u64, DURATIONS[if each == 1 { number } else { number % each } % 5]);
        // Two operations in a row differ in their duration, three in how they are refused.
        let refusal = if number.is_multiple_of(3) { Refusal::Limit } else { Refusal::NoSpace };
        let ran = runtime.block_on(run(&with_room, from, duration, refusal));
        ran.map_err(|wrong| format!("full ({refusal:?}) from operation {from} on for {duration}: {wrong}"))
    });
    // Opening has the most kinds of operations, so there both kinds of refusal are tried in each.
    let opening = spread(OPENING * 2, |number, runtime| {
        let refusal = if number.is_multiple_of(2) { Refusal::Limit } else { Refusal::NoSpace };
        let ran = runtime.block_on(run(&with_room, (number / 2) as u64, 1, refusal));
        ran.map_err(|wrong| format!("full ({refusal:?}) in operation {}: {wrong}", number / 2))
    });
    let outcomes: Vec<_> = outcomes.into_iter().chain(opening).collect();
    let wrong: Vec<_> = outcomes.iter().filter_map(|ran| ran.as_ref().err()).collect();
    let ran: Vec<_> = outcomes.iter().filter_map(|ran| ran.as_ref().ok()).collect();
    println!(
        "full disks: {} steps, {takes} operations that take space, {} runs, {} operations refused, {} steps refused, {} wrong",
        with_room.steps.len(),
        outcomes.len(),
        ran.iter().map(|ran| ran.refused).sum::<u64>(),
        ran.iter().map(|ran| ran.told).sum::<u64>(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "{} wrong, the first:\n{}", wrong.len(), wrong[0]);
    assert!(ran.iter().all(|ran| ran.refused > 0), "a run in which nothing was refused shows nothing");
}

/// The reserve: when the disk is full for what is new, what was accepted before is still worked off.
#[tokio::test]
async fn the_space_held_back_is_for_the_work_in_hand() {
    let mut life = life();
    life.take(0, &Step::Open).await.unwrap();
    life.take(1, &Step::Accept(1..=20)).await.unwrap();
    // Room for some commits.
    life.disk.set_capacity(Some(life.disk.used() + 200_000));
    let ids = SeededIds::new(7);
    let mut n = 100;
    let refused = loop {
        let new = new_ticket(&life.scope, n, &ids);
        match life.store().accept(&life.scope, vec![new]).await {
            Ok(_) => n += 1,
            Err(error) => break error,
        }
        assert!(n < 1_000, "the disk never fills up");
    };
    assert_eq!(refused.kind(), ErrorKind::StorageFull);
    assert!(n > 100 && !life.disk.is_allocated("spare"), "given back");
    life.take(2, &Step::Lease).await.unwrap();
    for n in 1..=20 {
        life.take(usize::try_from(n + 2).unwrap(), &Step::Decide(n)).await.unwrap();
    }
    life.take(30, &Step::Lease).await.unwrap();
    for n in 1..=20 {
        life.take(usize::try_from(n + 30).unwrap(), &Step::Synced(n)).await.unwrap();
    }
    assert!(life.disk.used() > 0 && reads_go_on(&life).await.is_ok());
    let again = life.take(60, &Step::Accept(900..=900)).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::StorageFull, "nothing new as long as the disk is full");
    life.disk.set_capacity(None);
    life.clock.advance(Duration::from_secs(2));
    life.take(61, &Step::Accept(900..=900)).await.unwrap();
    assert!(life.disk.is_allocated("spare"), "taken again");
}
