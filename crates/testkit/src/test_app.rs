//! An app under test that cannot be left with work undone and nobody noticing.

use std::ops::Deref;

use switchboard_core::{app::App, jobs, ports::TenantScope};

/// So many dead letters of each tenant are told when there are more than the test expects.
const DEAD_LETTERS_TOLD: u32 = 10;

/// An [`App`] whose test must end with [`TestApp::finish`]: no event left in the queue, no dead letter that the test did
/// not foresee. Dropping it unfinished fails the test.
pub struct TestApp {
    app: App,
    dead: u64,
    finished: bool,
}

impl TestApp {
    /// The test's hold on `app`.
    pub fn new(app: App) -> Self {
        Self { app, dead: 0, finished: false }
    }

    /// Does all work that is due now, and the work that follows from it; says how many events that were.
    pub async fn run_jobs(&self) -> usize {
        jobs::drain(&self.app).await.unwrap_or_else(|error| panic!("the queue gives no leases: {}", error.report()))
    }

    /// Foresees `n` dead letters at the end, over all tenants.
    pub fn expect_dead(&mut self, n: u64) {
        self.dead = n;
    }

    /// Ends the test: fails it when work is left, or when dead letters are there that it did not foresee.
    pub async fn finish(mut self) {
        self.finished = true;
        let depth = self.app.queue.depth().await.unwrap_or_else(|error| panic!("no depth: {}", error.report()));
        assert!(
            depth.waiting == 0 && depth.leased == 0,
            "the test ends with work undone: {} events wait (also for a retry), {} are leased",
            depth.waiting,
            depth.leased
        );
        if depth.dead != self.dead {
            let letters = self.letters().await;
            panic!("the test foresees {} dead letters, and there are {}:\n{letters}", self.dead, depth.dead);
        }
    }

    async fn letters(&self) -> String {
        let mut lines = String::new();
        for tenant in self.app.tenants.list().await.unwrap_or_default() {
            let scope = TenantScope::of_operator(tenant);
            for letter in self.app.queue.dead_letters(&scope, DEAD_LETTERS_TOLD).await.unwrap_or_default() {
                let (what, ticket) = (letter.event.detail.detail_type(), letter.event.detail.ticket_id());
                lines += &format!("  {scope:?} {what} of {ticket}: {}\n", letter.reason);
            }
        }
        lines
    }
}

impl Deref for TestApp {
    type Target = App;

    fn deref(&self) -> &App {
        &self.app
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if !self.finished && !std::thread::panicking() {
            panic!("the test ended without `finish().await`: nobody looked whether work is left");
        }
    }
}
