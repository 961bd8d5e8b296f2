//! The contract of [`switchboard_core::ports::AuditLog`].

use std::{ops::Deref, sync::Arc, time::Duration};

use switchboard_core::{
    access::audit::{Action, NewAuditEntry, chain::Verdict},
    ports::{AuditFilter, AuditLog, Clock, TenantScope},
};

use crate::contracts::{
    UnderTest,
    expect::{expect, expect_eq, expect_ok},
    run_checks,
};
use crate::{sample, world::FixedClock};

/// What the suite of audit logs needs.
pub struct Log {
    /// The log.
    pub log: Arc<dyn AuditLog>,
    /// The same log as another process has it open.
    pub other: Arc<dyn AuditLog>,
    /// The clock that gives entries their time.
    pub clock: Arc<FixedClock>,
}

/// Runs the contract of `AuditLog`; `make` gives a fresh, empty log for each check.
pub async fn audit_log(make: impl AsyncFn() -> UnderTest<Log>) {
    run_checks!(
        "AuditLog",
        Bench { test: make().await },
        [
            an_entry_is_kept_as_it_was_appended,
            numbers_have_no_gaps_whoever_appends,
            newest_first_and_only_what_is_asked_for,
            a_tenant_sees_its_own_entries_alone,
            a_tenants_own_numbers_do_not_tell_what_others_do,
            a_log_as_it_was_written_is_whole,
            an_empty_log_is_told,
        ]
    );
}

struct Bench {
    test: UnderTest<Log>,
}

impl Deref for Bench {
    type Target = Log;

    fn deref(&self) -> &Log {
        &self.test
    }
}

impl Bench {
    async fn append(&self, entry: NewAuditEntry) -> u64 {
        expect_ok("append", self.log.append(entry).await)
    }

    async fn numbers(&self, scope: Option<&TenantScope>, filter: AuditFilter, limit: u32) -> Vec<u64> {
        let entries = expect_ok("list", self.log.list(scope, &filter, limit).await);
        entries.into_iter().map(|entry| entry.sequence).collect()
    }

    async fn verify(&self) -> Verdict {
        expect_ok("verify", self.log.verify().await)
    }
}

fn of_server(action: Action) -> NewAuditEntry {
    NewAuditEntry { tenant: None, target: None, correlation_id: None, ..sample::act(action, 1) }
}

async fn an_entry_is_kept_as_it_was_appended(bench: Bench) {
    let at = bench.clock.now();
    let entries = [sample::act(Action::KeyCreate, 1), of_server(Action::Logout)];
    for (n, entry) in (1..).zip(&entries) {
        expect_eq("the number of an entry", bench.append(entry.clone()).await, n);
    }
    let [first, second] = entries;
    let expected = vec![second.at(2, at), first.at(1, at)];
    let all = AuditFilter::default();
    expect_eq("the log", expect_ok("list", bench.log.list(None, &all, 10).await), expected.clone());
    let test = bench.test.restart().await;
    expect_eq("the log after a restart", expect_ok("list", test.log.list(None, &all, 10).await), expected);
}

async fn numbers_have_no_gaps_whoever_appends(bench: Bench) {
    const EACH: u8 = 40;
    let append = |log: Arc<dyn AuditLog>| async move {
        for n in 0..EACH {
            expect_ok("append", log.append(sample::act(Action::KeyCreate, n)).await);
        }
    };
    let both = [bench.log.clone(), bench.other.clone(), bench.log.clone()].map(append).map(tokio::spawn);
    for one in both {
        expect("a task that appends", one.await.is_ok(), "a panic");
    }
    let expected: Vec<_> = (1..=3 * u64::from(EACH)).rev().collect();
    expect_eq("the numbers", bench.numbers(None, AuditFilter::default(), 1_000).await, expected);
    expect("the log is whole", matches!(bench.verify().await, Verdict::Whole { .. }), bench.verify().await);
}

async fn newest_first_and_only_what_is_asked_for(bench: Bench) {
    for n in 0..3 {
        bench.append(sample::act(Action::KeyCreate, n)).await;
        bench.clock.advance(Duration::from_secs(1));
    }
    let since = bench.clock.now();
    bench.append(sample::act(Action::KeyRevoke, 1)).await;
    bench.append(of_server(Action::KeyRevoke)).await;
    let all = AuditFilter::default();
    expect_eq("all", bench.numbers(None, all, 10).await, vec![5, 4, 3, 2, 1]);
    expect_eq("two of them", bench.numbers(None, all, 2).await, vec![5, 4]);
    expect_eq("those before", bench.numbers(None, AuditFilter { before: Some(4), ..all }, 2).await, vec![3, 2]);
    expect_eq("since then", bench.numbers(None, AuditFilter { since: Some(since), ..all }, 10).await, vec![5, 4]);
    let action = Some(Action::KeyCreate);
    expect_eq("of one act", bench.numbers(None, AuditFilter { action, ..all }, 10).await, vec![3, 2, 1]);
}

async fn a_tenant_sees_its_own_entries_alone(bench: Bench) {
    bench.append(sample::act(Action::KeyCreate, 1)).await;
    bench.append(NewAuditEntry { tenant: "globex".parse().ok(), ..sample::act(Action::KeyCreate, 2) }).await;
    bench.append(of_server(Action::Login)).await;
    let (acme, globex) = (sample::scope("acme"), sample::scope("globex"));
    expect_eq("acme's entries", bench.numbers(Some(&acme), AuditFilter::default(), 10).await, vec![1]);
    expect_eq("globex's entries", bench.numbers(Some(&globex), AuditFilter::default(), 10).await, vec![2]);
    expect_eq(
        "another's entries",
        bench.numbers(Some(&sample::scope("acm")), AuditFilter::default(), 10).await,
        vec![],
    );
}

async fn a_tenants_own_numbers_do_not_tell_what_others_do(bench: Bench) {
    let since = bench.clock.now().plus(Duration::from_secs(1));
    for n in 1..=4 {
        bench.append(NewAuditEntry { tenant: "globex".parse().ok(), ..sample::act(Action::KeyCreate, n) }).await;
        bench.append(sample::act(Action::KeyCreate, n)).await;
        bench.append(of_server(Action::Login)).await;
        bench.clock.advance(Duration::from_secs(1));
    }
    bench.append(sample::act(Action::KeyRevoke, 1)).await;
    let (acme, own) = (sample::scope("acme"), AuditFilter { own_numbers: true, ..AuditFilter::default() });
    let acme = Some(&acme);
    expect_eq("acme's numbers", bench.numbers(acme, own, 10).await, vec![5, 4, 3, 2, 1]);
    expect_eq("a page", bench.numbers(acme, AuditFilter { before: Some(4), ..own }, 2).await, vec![3, 2]);
    expect_eq("since then", bench.numbers(acme, AuditFilter { since: Some(since), ..own }, 10).await, vec![5, 4, 3, 2]);
    let action = Some(Action::KeyRevoke);
    expect_eq("of one act", bench.numbers(acme, AuditFilter { action, ..own }, 10).await, vec![5]);
    expect_eq("as the log counts", bench.numbers(acme, AuditFilter::default(), 2).await, vec![13, 11]);
}

async fn a_log_as_it_was_written_is_whole(bench: Bench) {
    let mut heads = Vec::new();
    for n in 1..=5 {
        bench.append(sample::act(Action::KeyCreate, n)).await;
        match bench.verify().await {
            Verdict::Whole { entries, head } => {
                expect_eq("the entries", entries, n.into());
                heads.push(head);
            }
            broken => expect("the log is whole", false, broken),
        }
    }
    let count = heads.len();
    heads.dedup();
    expect_eq("each entry makes another head", heads.len(), count);
    let test = bench.test.restart().await;
    let verdict = expect_ok("verify", test.log.verify().await);
    expect("the log after a restart", matches!(verdict, Verdict::Whole { entries: 5, .. }), verdict);
}

async fn an_empty_log_is_told(bench: Bench) {
    let verdict = bench.verify().await;
    expect("an empty log is not whole", matches!(verdict, Verdict::Broken { sequence: 1, .. }), verdict);
}
