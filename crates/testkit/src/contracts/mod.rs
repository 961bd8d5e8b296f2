//! The contract suites: one list of checks for each port, run against every adapter of it. An adapter that does not run
//! its suite does not exist.
//!
//! A suite takes a factory and makes a fresh, empty adapter for each check. It runs all checks, whatever the ones before
//! came to, and then fails with the name, the expectation and the finding of every check that the adapter broke. It is
//! called on a tokio runtime with its time not paused: that is the guard against a check that hangs.

pub mod access;
mod bench;
pub mod chat_model;
pub mod classifier;
pub mod clock;
pub mod customer_directory;
pub mod customer_store;
pub mod desk;
pub mod effect_ledger;
pub mod embedder;
pub mod event_queue;
pub mod example_store;
mod expect;
pub mod guardrail;
pub mod ids;
pub mod kept_customers;
pub mod key_store;
pub mod model_store;
pub mod secrets;
pub mod service_status;
pub mod tenant_source;
pub mod ticket_store;
pub mod usage_ledger;

use std::{
    any::Any,
    future::Future,
    ops::Deref,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use switchboard_core::ports::{EffectLedger, EventQueue, ExampleStore, TicketStore};

use crate::world::FixedClock;

pub use access::{audit_log::audit_log, issuer_documents::issuer_documents, operator_store::operator_store};
pub use chat_model::chat_model;
pub use classifier::classifier;
pub use clock::clock;
pub use customer_directory::customer_directory;
pub use customer_store::customer_store;
pub use effect_ledger::effect_ledger;
pub use embedder::{embedder, remote_embedder};
pub use event_queue::event_queue;
pub use example_store::example_store;
pub use guardrail::guardrail;
pub use ids::ids;
pub use kept_customers::kept_customers;
pub use key_store::key_store;
pub use model_store::model_store;
pub use secrets::secrets;
pub use service_status::service_status;
pub use tenant_source::tenant_source;
pub use ticket_store::ticket_store;
pub use usage_ledger::usage_ledger;

/// Real time after which a check counts as hanging: generous, for slow disks and busy machines.
const CHECK_TIME: Duration = Duration::from_secs(120);

/// An adapter, and the way to start it again on the same data.
pub struct UnderTest<T> {
    // The order matters: the adapter goes before what `open` keeps alive for it, such as a temporary folder.
    adapter: T,
    open: Arc<dyn Fn() -> BoxFuture<'static, T> + Send + Sync>,
}

impl<T> UnderTest<T> {
    /// Starts the adapter with `open`, which later starts it again on the same data: as a new process would after the
    /// first one was killed, so without a farewell of the first. Everything that the adapter holds is dropped before.
    pub async fn open<F>(open: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = T> + Send + 'static,
    {
        let adapter = open().await;
        Self { adapter, open: Arc::new(move || open().boxed()) }
    }

    /// The process dies and is started again.
    pub async fn restart(self) -> Self {
        let Self { adapter, open } = self;
        drop(adapter);
        Self { adapter: open().await, open }
    }
}

impl<T> Deref for UnderTest<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.adapter
    }
}

/// What the suites of tickets and events need: their ports on the same data, and the clock that they go by.
pub struct Stores {
    /// Tickets and decisions.
    pub store: Arc<dyn TicketStore>,
    /// The events that the store writes.
    pub queue: Arc<dyn EventQueue>,
    /// The effects that the store writes.
    pub effects: Arc<dyn EffectLedger>,
    /// What the reviews of the store teach.
    pub examples: Arc<dyn ExampleStore>,
    /// The clock of all, for the wall time and for the end of leases.
    pub clock: Arc<FixedClock>,
    /// Who else is at the same data.
    pub world: World,
}

/// Who else is at the same data as the store under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// Nobody: there is one process at a time, so that its start ends what the one before had in hand, and times are measured
    /// by a clock that no one sets.
    Sole,
    /// Other processes, on other machines: leases outlive the process that got them, and times go by the wall clock, which is
    /// all that machines have in common.
    Shared,
}

/// Runs checks one after the other and keeps what they found.
struct Suite {
    port: &'static str,
    run: usize,
    skipped: Vec<String>,
    broken: Vec<String>,
}

impl Suite {
    fn new(port: &'static str) -> Self {
        Self { port, run: 0, skipped: Vec::new(), broken: Vec::new() }
    }

    /// A check that holds in one world only; elsewhere it is told as skipped, with the reason.
    async fn check_in<F: Future<Output = ()>>(
        &mut self,
        (world, why): (World, &str),
        name: &str,
        bench: bench::Bench,
        check: impl FnOnce(bench::Bench) -> F,
    ) {
        if bench.world == world {
            self.check(name, bench, check).await;
        } else {
            self.skipped.push(format!("{name}: {why}"));
        }
    }

    async fn check<T, F: Future<Output = ()>>(&mut self, name: &str, test: T, check: impl FnOnce(T) -> F) {
        self.run += 1;
        match tokio::time::timeout(CHECK_TIME, Caught(Box::pin(check(test)))).await {
            Ok(Ok(())) => {}
            Ok(Err(payload)) => self.broken.push(format!("{name}: {}", message(payload.as_ref()))),
            Err(_) => self.broken.push(format!("{name}: hangs, it did not end within {} s", CHECK_TIME.as_secs())),
        }
    }

    #[expect(clippy::print_stdout, reason = "a test's own output is where it says what it has not looked at")]
    fn finish(self) {
        let (port, run, broken) = (self.port, self.run, self.broken.len());
        println!("contract of {port}: {run} checks, {} skipped", self.skipped.len());
        for skipped in &self.skipped {
            println!("contract of {port}: skipped {skipped}");
        }
        assert!(
            broken == 0,
            "{broken} of {run} checks of the contract of {port} fail:\n\n{}\n",
            self.broken.join("\n\n")
        );
    }
}

/// A check whose panic is a value, so that the checks after it run too.
struct Caught<F>(Pin<Box<F>>);

impl<F: Future> Future for Caught<F> {
    type Output = std::thread::Result<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(payload) => Poll::Ready(Err(payload)),
        }
    }
}

fn message(payload: &(dyn Any + Send)) -> String {
    match (payload.downcast_ref::<String>(), payload.downcast_ref::<&str>()) {
        (Some(text), _) => text.clone(),
        (None, Some(text)) => (*text).to_owned(),
        (None, None) => "panicked".to_owned(),
    }
}

/// Runs each check with what `$make` makes for it, and those of one world with what it makes there.
macro_rules! run_checks {
    ($port:literal, $make:expr, [$($check:path,)*] $(, in $world:ident because $why:literal [$($only:path,)*])*) => {{
        let mut suite = $crate::contracts::Suite::new($port);
        $(suite.check(stringify!($check), $make, $check).await;)*
        $($(
            let world = ($crate::contracts::World::$world, $why);
            suite.check_in(world, stringify!($only), $make, $only).await;
        )*)*
        suite.finish();
    }};
}

use run_checks;
