//! The power goes in the middle of each operation; nothing that was acknowledged is lost, and nothing is there by half.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex},
};

use switchboard_core::ports::{Clock, EventQueue, TicketStore};
use switchboard_faultdisk::{Disk, Entry, Image, Operation, Platter, Survival};
use switchboard_local::{Role, SqliteStore};
use switchboard_testkit::{
    sample,
    world::{FixedClock, SeededIds},
};

use super::{
    Room, cuts,
    dump::{difference, dump},
    scenario::{Life, Step, new_ticket, steps},
    spread, survival, volume,
};

/// A life of the store, as the disk saw it. A mark `n` stands where the first `n` steps were acknowledged.
struct Recording {
    steps: Vec<Step>,
    log: Vec<Entry>,
}

impl Recording {
    fn make(synchronous: &'static str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (steps, disk) = (steps(), Disk::empty());
        let mut life = Life::new(Arc::clone(&disk), volume(Room, synchronous));
        for (number, step) in steps.iter().enumerate() {
            let taken = runtime.block_on(life.take(number, step));
            taken.unwrap_or_else(|error| panic!("step {number}, {step:?}: {}", error.report()));
            disk.mark(number + 1);
        }
        Self { steps, log: disk.log() }
    }

    fn operations(&self) -> usize {
        self.log.iter().filter(|entry| matches!(entry, Entry::Did(_))).count()
    }

    /// Plays the log up to the operation of that number, in which the power goes; says how many steps were acknowledged by
    /// then.
    fn play(&self, mut platter: Platter, cut_in: usize) -> (Platter, usize) {
        let (mut number, mut acknowledged) = (0, 0);
        for entry in &self.log {
            match entry {
                Entry::Mark(mark) => acknowledged = *mark,
                Entry::Did(operation) if number == cut_in => {
                    platter.begin(operation);
                    break;
                }
                Entry::Did(operation) => {
                    platter.play(operation);
                    number += 1;
                }
            }
        }
        (platter, acknowledged)
    }

    /// What a start finds after each number of acknowledged steps when all went well: the dumps that are right.
    fn states(&self) -> Vec<String> {
        let marks = |upto: usize| self.log.iter().position(|entry| *entry == Entry::Mark(upto));
        spread(self.steps.len() + 1, |acknowledged, runtime| {
            let mut platter = Platter::default();
            for entry in &self.log[..marks(acknowledged).unwrap_or(0)] {
                if let Entry::Did(operation) = entry {
                    platter.play(operation);
                }
            }
            let started = start_on(&platter.cut(Survival::Everything));
            let (disk, store, clock) = started.expect("a start");
            let state = dump(&disk).unwrap();
            runtime.block_on(nobody_is_forgotten(&store, &clock));
            state
        })
    }
}

/// Starts a server on what is left: recovery, a new epoch.
fn start_on(image: &Image) -> Result<(Arc<Disk>, SqliteStore, Arc<FixedClock>), String> {
    let (disk, clock) = (Disk::with(image.clone()), Arc::new(FixedClock::new()));
    let shared: Arc<dyn Clock> = clock.clone();
    let path = disk.path("switchboard.db");
    let store = SqliteStore::open_on(&volume(Room, "FULL"), &path, shared, Role::Server);
    store.map(|store| (disk, store, clock)).map_err(|error| format!("{error}: {:?}", std::error::Error::source(&error)))
}

/// Each accepted ticket is finished, has a job, or is a dead letter that people see, once the sweep has looked.
async fn nobody_is_forgotten(store: &SqliteStore, clock: &FixedClock) {
    use switchboard_core::{limits, ports::TicketFilter, tickets::SyncStatus};
    clock.advance(limits::UNFINISHED_AGE * 2);
    store.sweep().await.unwrap();
    let scope = sample::scope("acme");
    let mut leased = store.lease(1_000, limits::LEASE_TIME).await.unwrap();
    // What was in hand at many starts waits to run alone.
    while let Some(suspect) = store.lease_suspect(limits::LEASE_TIME).await.unwrap() {
        leased.push(suspect);
    }
    let mut found: HashSet<_> = leased.iter().map(|leased| leased.event.detail.ticket_id().clone()).collect();
    let letters = store.dead_letters(&scope, 1_000).await.unwrap();
    found.extend(letters.iter().map(|letter| letter.event.detail.ticket_id().clone()));
    let open = TicketFilter { sync: Some(SyncStatus::Pending), ..TicketFilter::default() };
    for ticket in store.list(&scope, &open, None, 1_000).await.unwrap().items {
        let file = store.ticket(&scope, &ticket.ticket_id).await.unwrap().expect("a listed ticket");
        assert!(found.contains(&ticket.ticket_id), "{file:?} waits and nobody works on it");
    }
}

/// What is wrong after a cut.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wrong {
    /// The state is a right one, of a time before the last acknowledgement.
    Lost(usize),
    /// The state is none that there ever was.
    Half(String),
    /// The file is broken.
    Corrupt(String),
}

/// Looks at what a cut has left. Right is the state after all acknowledged steps, or after one more, that the cut kept from
/// being acknowledged.
async fn judge(image: &Image, states: &[String], acknowledged: usize) -> Result<(), Wrong> {
    let (disk, store, clock) = start_on(image).map_err(Wrong::Corrupt)?;
    let integrity = store.integrity().await.map_err(|error| Wrong::Corrupt(error.report()))?;
    if integrity.messages != ["ok"] {
        return Err(Wrong::Corrupt(integrity.messages.join("; ")));
    }
    let found = dump(&disk).map_err(|error| Wrong::Corrupt(error.to_string()))?;
    if !states[acknowledged..].iter().take(2).any(|state| *state == found) {
        let before = states[..acknowledged].iter().rposition(|state| *state == found);
        return Err(match before {
            Some(before) => Wrong::Lost(acknowledged - before),
            None => Wrong::Half(difference(&states[acknowledged], &found)),
        });
    }
    // And it goes on working.
    clock.advance(switchboard_core::limits::UNFINISHED_AGE * 2);
    let scope = sample::scope("acme");
    let more = new_ticket(&scope, 1_000, &SeededIds::new(1_000));
    let goes_on = async { store.sweep().await.and(store.accept(&scope, vec![more]).await) };
    goes_on.await.map(drop).map_err(|error| Wrong::Corrupt(error.report()))
}

/// What all cuts came to.
#[derive(Default)]
struct Report {
    cuts: usize,
    /// Cuts that left something that no other cut with the same acknowledgements has left.
    different: usize,
    lost: usize,
    half: usize,
    corrupt: usize,
    /// The first cuts that went wrong, for people.
    wrong: Vec<String>,
}

/// Cuts the power in every `stride`th operation, `variants` times each.
fn cut_everywhere(recording: &Recording, fresh: impl Fn() -> Platter + Sync, stride: usize, variants: u64) -> Report {
    let states = recording.states();
    let seen = Mutex::new(HashMap::new());
    let outcomes = spread(recording.operations() / stride, |number, runtime| {
        let cut_in = number * stride;
        let (platter, acknowledged) = recording.play(fresh(), cut_in);
        let mut report = Report::default();
        for variant in 0..variants {
            let survival = survival(cut_in, variant);
            let image = platter.cut(survival);
            report.cuts += 1;
            let mut hasher = DefaultHasher::new();
            (&image, acknowledged).hash(&mut hasher);
            let key = hasher.finish();
            // The same disk with the same acknowledgements has the same verdict.
            let known = seen.lock().unwrap().get(&key).cloned();
            let verdict = known.clone().unwrap_or_else(|| runtime.block_on(judge(&image, &states, acknowledged)));
            if known.is_none() {
                report.different += 1;
                seen.lock().unwrap().insert(key, verdict.clone());
            }
            let Err(wrong) = verdict else { continue };
            match wrong {
                Wrong::Lost(_) => report.lost += 1,
                Wrong::Half(_) => report.half += 1,
                Wrong::Corrupt(_) => report.corrupt += 1,
            }
            let step = recording.steps.get(acknowledged);
            report
                .wrong
                .push(format!("operation {cut_in} (in step {acknowledged}, {step:?}), {survival:?}: {wrong:?}"));
        }
        report
    });
    let mut all = Report::default();
    for report in outcomes {
        all.cuts += report.cuts;
        all.different += report.different;
        all.lost += report.lost;
        all.half += report.half;
        all.corrupt += report.corrupt;
        all.wrong.extend(report.wrong);
    }
    all.wrong.truncate(5);
    all
}

fn shape(entry: &Entry) -> String {
    match entry {
        Entry::Did(Operation::Write { file, offset, bytes }) => format!("write {file} {offset} {}", bytes.len()),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_power_cut_in_any_operation_loses_nothing_acknowledged_and_leaves_nothing_by_half() {
    let recording = Recording::make("FULL");
    let again = Recording::make("FULL");
    let shapes = |recording: &Recording| recording.log.iter().map(shape).collect::<Vec<_>>();
    assert_eq!(shapes(&recording), shapes(&again), "operation n is the same one in every run");
    let report = cut_everywhere(&recording, Platter::default, 1, cuts());
    println!(
        "power cuts: {} steps, {} operations, {} cuts, {} of them different: {} lost, {} half, {} corrupt",
        recording.steps.len(),
        recording.operations(),
        report.cuts,
        report.different,
        report.lost,
        report.half,
        report.corrupt
    );
    assert!(report.wrong.is_empty(), "{:#?}", report.wrong);
}

/// The control: the same test finds the losses of a store that does not wait for the disk.
#[test]
fn without_full_syncing_acknowledged_writes_are_lost_and_found_to_be() {
    let report = cut_everywhere(&Recording::make("NORMAL"), Platter::default, stride(), 2);
    println!(
        "synchronous=NORMAL: {} cuts, {} lost, {} half, {} corrupt",
        report.cuts, report.lost, report.half, report.corrupt
    );
    assert!(report.lost > report.cuts / 20, "{} of {} cuts lost something", report.lost, report.cuts);
    assert_eq!((report.half, report.corrupt), (0, 0), "it loses, and breaks nothing: {:#?}", report.wrong);
}

/// The other control: a disk that says that it has written, and has not.
#[test]
fn a_disk_that_lies_loses_and_breaks_and_is_found_to() {
    let report = cut_everywhere(&Recording::make("FULL"), || Platter::default().lying(), stride(), 3);
    println!(
        "a lying disk: {} cuts, {} lost, {} half, {} corrupt",
        report.cuts, report.lost, report.half, report.corrupt
    );
    assert!(report.lost > 0 && report.corrupt > 0, "{} lost, {} corrupt", report.lost, report.corrupt);
}

/// The controls look at a part of the operations in the short form.
fn stride() -> usize {
    if super::long().is_some() { 1 } else { 17 }
}

#[test]
fn a_state_that_never_was_is_found() {
    let recording = Recording::make("FULL");
    let states = recording.states();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (platter, acknowledged) = recording.play(Platter::default(), recording.operations());
    let right = platter.cut(Survival::Everything);
    assert_eq!(runtime.block_on(judge(&right, &states, acknowledged)), Ok(()));
    assert_eq!(runtime.block_on(judge(&right, &states, acknowledged - 1)), Ok(()), "one more than acknowledged");
    let disk = Disk::with(right);
    let beside = super::dump::connect(&disk, rusqlite::OpenFlags::default()).unwrap();
    beside.execute("DELETE FROM events WHERE id = (SELECT max(id) FROM events)", []).unwrap();
    let half = runtime.block_on(judge(&disk.image(), &states, acknowledged));
    assert!(matches!(half, Err(Wrong::Half(_))), "a ticket without its event: {half:?}");
}
