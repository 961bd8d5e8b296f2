//! The contract of [`switchboard_core::ports::OperatorStore`].

use std::{ops::Deref, sync::Arc, time::Duration};

use switchboard_core::{
    access::{
        audit::Action,
        password::PasswordHash,
        session::{SessionRecord, TokenHash},
    },
    ids::SessionId,
    limits,
    ports::{AuditFilter, AuditLog, Clock, OperatorStore},
};

use crate::contracts::{
    UnderTest,
    expect::{expect_eq, expect_ok},
    run_checks,
};
use crate::{sample, world::FixedClock};

/// What the suite of the operator's store needs.
pub struct Operator {
    /// Password and sessions.
    pub store: Arc<dyn OperatorStore>,
    /// The audit log that their changes are written to.
    pub audit: Arc<dyn AuditLog>,
    /// The clock that the end of sessions goes by.
    pub clock: Arc<FixedClock>,
}

/// Runs the contract of `OperatorStore`; `make` gives a fresh, empty store for each check.
pub async fn operator_store(make: impl AsyncFn() -> UnderTest<Operator>) {
    run_checks!(
        "OperatorStore",
        Bench { test: make().await },
        [
            there_is_no_password_before_one_is_set,
            a_new_password_takes_the_place_of_the_old_one_and_ends_all_sessions,
            a_session_is_found_as_it_was_opened,
            the_last_use_is_kept_and_never_goes_back,
            a_closed_session_is_gone_and_closed_once,
            what_is_over_makes_room,
            the_oldest_make_room_when_there_are_too_many,
        ]
    );
}

struct Bench {
    test: UnderTest<Operator>,
}

impl Deref for Bench {
    type Target = Operator;

    fn deref(&self) -> &Operator {
        &self.test
    }
}

impl Bench {
    fn session_now(&self, n: u8) -> SessionRecord {
        let now = self.clock.now();
        SessionRecord {
            id: SessionId::from_bytes([n; 8]),
            token: TokenHash([n; 32]),
            created_at: now,
            used_at: now,
            expires_at: now.plus(limits::SESSION_TIME),
        }
    }

    async fn open(&self, session: &SessionRecord) {
        expect_ok("open_session", self.store.open_session(session.clone(), sample::act(Action::Login, 1)).await);
    }

    async fn find(&self, session: &SessionRecord) -> Option<SessionRecord> {
        expect_ok("session", self.store.session(&session.token).await)
    }

    async fn acts(&self) -> Vec<Action> {
        let entries = expect_ok("list", self.audit.list(None, &AuditFilter::default(), 1_000).await);
        entries.into_iter().rev().map(|entry| entry.action).collect()
    }
}

fn password(n: u8) -> PasswordHash {
    PasswordHash { salt: [n; 16], hash: [n; 32], memory_kib: 19 * 1024, passes: n.into(), lanes: 1 }
}

async fn there_is_no_password_before_one_is_set(bench: Bench) {
    expect_eq("the password", expect_ok("password", bench.store.password().await), None);
}

async fn a_new_password_takes_the_place_of_the_old_one_and_ends_all_sessions(bench: Bench) {
    let session = bench.session_now(1);
    for n in [1, 2] {
        bench.open(&session).await;
        let act = sample::act(Action::PasswordSet, n);
        expect_ok("set_password", bench.store.set_password(password(n), act).await);
        expect_eq("the password", expect_ok("password", bench.store.password().await), Some(password(n)));
        expect_eq("a session from before", bench.find(&session).await, None);
    }
    expect_eq("the acts", bench.acts().await, [Action::Login, Action::PasswordSet].repeat(2));
    let test = bench.test.restart().await;
    expect_eq("after a restart", expect_ok("password", test.store.password().await), Some(password(2)));
}

async fn a_session_is_found_as_it_was_opened(bench: Bench) {
    let (one, other) = (bench.session_now(1), bench.session_now(2));
    bench.open(&one).await;
    expect_eq("the session", bench.find(&one).await, Some(one.clone()));
    expect_eq("one that was never opened", bench.find(&other).await, None);
    let bench = Bench { test: bench.test.restart().await };
    expect_eq("the session after a restart", bench.find(&one).await, Some(one));
}

async fn the_last_use_is_kept_and_never_goes_back(bench: Bench) {
    let session = bench.session_now(1);
    bench.open(&session).await;
    let later = session.used_at.plus(Duration::from_secs(90));
    for at in [later, session.used_at] {
        expect_ok("touch_session", bench.store.touch_session(&session.token, at).await);
        expect_eq("the last use", bench.find(&session).await.map(|session| session.used_at), Some(later));
    }
    expect_ok("touch_session of none", bench.store.touch_session(&TokenHash([9; 32]), later).await);
    expect_eq("one that was never opened", bench.find(&bench.session_now(9)).await, None);
}

async fn a_closed_session_is_gone_and_closed_once(bench: Bench) {
    let (one, other) = (bench.session_now(1), bench.session_now(2));
    bench.open(&one).await;
    bench.open(&other).await;
    for expected in [true, false] {
        let closed = bench.store.close_session(&one.token, sample::act(Action::Logout, 1)).await;
        expect_eq("whether there was one", expect_ok("close_session", closed), expected);
        expect_eq("the closed session", bench.find(&one).await, None);
    }
    expect_eq("the other one", bench.find(&other).await, Some(other.clone()));
    expect_eq("the acts", bench.acts().await, vec![Action::Login, Action::Login, Action::Logout]);
}

async fn what_is_over_makes_room(bench: Bench) {
    let (idle, fresh) = (bench.session_now(1), bench.session_now(2));
    bench.open(&idle).await;
    bench.open(&fresh).await;
    let almost = limits::SESSION_IDLE - Duration::from_secs(1);
    bench.clock.advance(almost);
    expect_ok("touch_session", bench.store.touch_session(&fresh.token, bench.clock.now()).await);
    bench.clock.advance(Duration::from_secs(1));
    bench.open(&bench.session_now(3)).await;
    expect_eq("the idle session", bench.find(&idle).await, None);
    expect_eq("the used session is there", bench.find(&fresh).await.is_some(), true);
}

async fn the_oldest_make_room_when_there_are_too_many(bench: Bench) {
    let most = u8::try_from(limits::SESSIONS).expect("a limit below 256");
    let mut sessions = Vec::new();
    for n in 0..=most {
        sessions.push(bench.session_now(n));
        bench.open(&sessions[usize::from(n)]).await;
        bench.clock.advance(Duration::from_millis(10));
    }
    expect_eq("the oldest", bench.find(&sessions[0]).await, None);
    for session in &sessions[1..] {
        expect_eq("a younger one", bench.find(session).await, Some(session.clone()));
    }
}
