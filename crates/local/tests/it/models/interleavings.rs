//! Overspend 0: whatever the order in which calls side by side reserve, are charged, settle, run out of time and die, the
//! provider never charges more than a ceiling allows.
//!
//! The gateway and its layers are the real ones. Ledger and model stop before and after each of their steps, and a schedule says
//! who takes the next one, whether a caller dies instead, and whether time goes on to the end of the next wait. After each step
//! the law is checked. Small cases are gone through in all their orders, larger ones by chance; `SWITCHBOARD_TEST_INTERLEAVINGS`
//! says how many of these.
#![allow(clippy::print_stdout, reason = "a test that counts tells its count")]

use std::{
    collections::{BTreeMap, HashSet},
    future::Future,
    hash::{DefaultHasher, Hash, Hasher},
    pin::{Pin, pin},
    sync::{LazyLock, Mutex},
    task::{Context, Poll, Wake, Waker},
    thread,
};

use switchboard_core::{
    models::{Answer, AnswerStream, Pooled},
    ports::{ChatModel, UsageCount},
    tenants::BudgetConfig,
};
use switchboard_local::{Role as Opened, SqliteStore};
use switchboard_testkit::scripted_model;

use super::*;

/// Stops once, so that another may go first.
async fn step() {
    let mut stopped = false;
    std::future::poll_fn(|_| if std::mem::replace(&mut stopped, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

/// Wakes a thread that waits for a ledger with a thread of its own.
struct Parked(thread::Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn wait_for<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Parked(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

/// A ledger whose steps are taken one at a time.
struct Stepped(Arc<dyn UsageLedger>);

#[async_trait]
impl UsageLedger for Stepped {
    async fn reserve(&self, scope: &TenantScope, wanted: Wanted, ceilings: &Ceilings) -> Result<Reserved> {
        step().await;
        let reserved = wait_for(self.0.reserve(scope, wanted, ceilings));
        step().await;
        reserved
    }

    async fn settle(&self, scope: &TenantScope, reservation: Reservation, settlement: Settlement) -> Result<()> {
        step().await;
        let settled = wait_for(self.0.settle(scope, reservation, settlement));
        step().await;
        settled
    }

    async fn spent(&self, scope: &TenantScope, customer: Option<&CustomerId>, at: Timestamp) -> Result<Spent> {
        wait_for(self.0.spent(scope, customer, at))
    }
}

/// A ledger as one would write it who forgets that others are there: it looks, and then it writes.
struct Careless(MemoryUsage);

#[async_trait]
impl UsageLedger for Careless {
    async fn reserve(&self, scope: &TenantScope, wanted: Wanted, ceilings: &Ceilings) -> Result<Reserved> {
        let spent = self.0.spent(scope, wanted.customer.as_ref(), wanted.at).await?;
        step().await;
        for (count, spend) in wanted.counts().iter().zip([spent.month, spent.day, spent.customer_day]) {
            if !ceilings.has_room(count.ceiling, spend.spent, wanted.amount) {
                return Ok(Reserved::Reached(count.ceiling));
            }
        }
        self.0.reserve(scope, wanted, &Ceilings::default()).await
    }

    async fn settle(&self, scope: &TenantScope, reservation: Reservation, settlement: Settlement) -> Result<()> {
        self.0.settle(scope, reservation, settlement).await
    }

    async fn spent(&self, scope: &TenantScope, customer: Option<&CustomerId>, at: Timestamp) -> Result<Spent> {
        self.0.spent(scope, customer, at).await
    }
}

/// SplitMix64 of Steele, Lea and Flood.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// What the provider has put on its bill, by customer.
type Charged = Arc<Mutex<BTreeMap<String, u64>>>;

/// The provider: it charges in the middle of a call, and what comes of the call is another question.
struct Provider {
    charged: Charged,
    chance: Arc<Mutex<Chance>>,
    /// It always answers, and well.
    kind: bool,
}

#[async_trait]
impl ChatModel for Provider {
    async fn chat(&self, _: &Tenant, link: &ModelLink, prompt: &Prompt) -> std::result::Result<Answer, ModelError> {
        step().await;
        let most = prompt.bytes() as u64 + 2_000;
        let (tokens, written, end) = {
            let mut chance = self.chance.lock().unwrap();
            (1 + chance.below(most), chance.below(101), if self.kind { 0 } else { chance.below(8) })
        };
        let usage = Usage { input_tokens: tokens, cached_tokens: 0, output_tokens: written };
        let charge = |cost: NanoUsd| {
            let customer = prompt.system.clone();
            *self.charged.lock().unwrap().entry(customer).or_default() += cost.0;
        };
        let cost = link.price().cost(usage);
        // What is refused before the model is at work costs nothing; all else does, also when it fails.
        if end != 6 && end != 7 {
            charge(cost);
        }
        step().await;
        let answer = Answer { usage, ..scripted_model::answer("3", &link.model) };
        match end {
            0..=2 => Ok(answer),
            3 => Ok(Answer { usage: Usage::default(), ..answer }),
            4 => Ok(Answer { text: scripted_model::answer("no number", "").text, ..answer }),
            5 => Err(error(ModelErrorKind::Down).billed()),
            6 => Err(error(ModelErrorKind::Throttled)),
            _ => Err(error(ModelErrorKind::Refused)),
        }
    }

    async fn stream(&self, _: &Tenant, _: &ModelLink, _: &Prompt) -> std::result::Result<AnswerStream, ModelError> {
        Err(error(ModelErrorKind::Invalid))
    }
}

/// A case: who asks, and what may be spent.
struct Case {
    callers: usize,
    kind: bool,
    /// In worst cases of one call: the month, the day, a customer's day.
    room: [f64; 3],
    /// Callers may die, at every step.
    can_die: bool,
    /// Time may pass: calls end in their time, and are tried again.
    has_time: bool,
    /// How many models there are to fall back on.
    links: usize,
}

/// What a schedule came to.
struct Outcome {
    steps: Vec<(usize, usize)>,
    answered: usize,
    refused: usize,
    died: usize,
    broken: Option<String>,
}

const CUSTOMERS: [&str; 2] = ["ana", "ben"];

/// Runs one schedule over `ledger`, whose books are `books`: `choose` says which of so many actions comes next.
fn run(
    case: &Case,
    ledger: Arc<dyn UsageLedger>,
    books: &dyn UsageLedger,
    tenant: &str,
    seed: u64,
    mut choose: impl FnMut(usize, usize) -> usize,
) -> Outcome {
    let clock = FixedClock::new();
    let charged = Charged::default();
    let provider = Provider { charged: charged.clone(), chance: Arc::new(Mutex::new(Chance(seed))), kind: case.kind };
    let gateway = Gateway::new(Arc::new(provider), ledger, Arc::new(clock.clone()), Arc::new(SeededIds::new(seed)));
    // To compile a configuration takes longer than all the rest.
    static TENANT: LazyLock<Tenant> = LazyLock::new(|| sample::tenant_with_models(1.0));
    let mut of = TENANT.clone();
    of.id = sample::parsed(tenant);
    of.config.models.small.truncate(case.links);
    // Each question is another one, so that none is answered from what is kept.
    let question = |n: usize| Prompt {
        system: CUSTOMERS[n % 2].to_owned(),
        ..sample::prompt(&format!("question {}", char::from(b'a' + u8::try_from(n).unwrap())))
    };
    let worst = of.config.models.small[0].price().worst_case(&question(0)).usd();
    let [month, day, customer] = case.room.map(|room| room * worst);
    let budget = BudgetConfig { month_usd: month, day_usd: Some(day), customer_day_usd: Some(customer) };
    of.config.models.budget = Some(budget);
    let ceilings = budget.ceilings();
    let prompts: Vec<Prompt> = (0..case.callers).map(question).collect();
    let customers: Vec<CustomerId> = (0..case.callers).map(|n| sample::parsed(CUSTOMERS[n % 2])).collect();
    type Asking<'a> = Pin<Box<dyn Future<Output = std::result::Result<Answered<u32>, ModelError>> + Send + 'a>>;
    let mut callers: Vec<Option<Asking<'_>>> = prompts
        .iter()
        .zip(&customers)
        .map(|(prompt, customer)| {
            let (gateway, of) = (&gateway, &of);
            let ask: Asking<'_> = Box::pin(async move {
                let asked = Asked { role: Role::Small, customer: Some(customer), prompt, bill: None };
                gateway.ask(of, &asked, |answer| answer.read::<u32>()).await
            });
            Some(ask)
        })
        .collect();
    let scope = TenantScope::of_tenant(&of);
    let check = || -> Option<String> {
        let charged = charged.lock().unwrap();
        let total: u64 = charged.values().sum();
        for name in CUSTOMERS {
            let customer: CustomerId = sample::parsed(name);
            let spent = wait_for(books.spent(&scope, Some(&customer), clock.now())).unwrap();
            let theirs = charged.get(name).copied().unwrap_or(0);
            let counts = UsageCount::of(Some(&customer), clock.now());
            let rows = [(spent.month, total), (spent.day, total), (spent.customer_day, theirs)];
            for (count, (spend, charged)) in counts.iter().zip(rows) {
                let most = ceilings.of(count.ceiling).unwrap();
                if NanoUsd(charged) > most || spend.spent > most || NanoUsd(charged) > spend.spent {
                    return Some(format!(
                        "{:?} of {name}: {} charged, {} spent, at most {most}",
                        count.ceiling,
                        NanoUsd(charged),
                        spend.spent
                    ));
                }
            }
        }
        None
    };
    let mut outcome = Outcome { steps: Vec::new(), answered: 0, refused: 0, died: 0, broken: None };
    let mut context = Context::from_waker(Waker::noop());
    loop {
        let living: Vec<usize> = (0..callers.len()).filter(|n| callers[*n].is_some()).collect();
        if living.is_empty() {
            break;
        }
        // Each may take a step, each may die, and time may pass.
        let dying = if case.can_die { living.len() } else { 0 };
        let options = living.len() + dying + usize::from(case.has_time);
        let choice = choose(outcome.steps.len(), options);
        outcome.steps.push((choice, options));
        if let Some(n) = living.get(choice).copied() {
            let ended = callers[n].as_mut().map(|caller| caller.as_mut().poll(&mut context));
            if let Some(Poll::Ready(ended)) = ended {
                callers[n] = None;
                match ended {
                    Ok(_) => outcome.answered += 1,
                    Err(error) if error.kind() == ModelErrorKind::OverBudget => outcome.refused += 1,
                    Err(_) => {}
                }
            }
        } else if choice < living.len() + dying {
            callers[living[choice - living.len()]] = None;
            outcome.died += 1;
        } else if let Some(wake) = clock.next_wake() {
            clock.advance(wake - clock.monotonic());
        }
        outcome.broken = check();
        if outcome.broken.is_some() {
            break;
        }
    }
    outcome
}

/// Chooses by chance: mostly a step, at times a death or the passing of time, in shares that differ by schedule.
fn by_chance(seed: u64) -> impl FnMut(usize, usize) -> usize {
    let mut chance = Chance(seed ^ 0xabcd);
    let (deaths, time) = (chance.below(8), 1 + chance.below(8));
    move |_, options| {
        let living = (options - 1) / 2;
        let kind = chance.below(100);
        if kind < deaths {
            living + usize::try_from(chance.below(living as u64)).unwrap()
        } else if kind < deaths + time {
            options - 1
        } else {
            usize::try_from(chance.below(living as u64)).unwrap()
        }
    }
}

/// The sums of many schedules.
#[derive(Default)]
struct Sum {
    schedules: usize,
    different: HashSet<u64>,
    steps: usize,
    answered: usize,
    refused: usize,
    died: usize,
}

impl Sum {
    fn add(&mut self, seed: u64, outcome: &Outcome) {
        if let Some(broken) = &outcome.broken {
            let choices: Vec<_> = outcome.steps.iter().map(|(choice, _)| choice).collect();
            panic!("overspent after {choices:?} of seed {seed}: {broken}");
        }
        let mut hasher = DefaultHasher::new();
        outcome.steps.hash(&mut hasher);
        self.different.insert(hasher.finish());
        self.schedules += 1;
        self.steps += outcome.steps.len();
        self.answered += outcome.answered;
        self.refused += outcome.refused;
        self.died += outcome.died;
    }

    /// Tells the count, and that it was of something: money was spent, refused and lost.
    fn tell(&self, what: &str) {
        let Self { schedules, steps, answered, refused, died, .. } = self;
        println!(
            "overspend 0 in {schedules} interleavings ({} different) {what}: {steps} steps, {answered} answered, {refused} over \
             budget, {died} died",
            self.different.len()
        );
        assert!(*answered > 0 && *refused > 0, "a schedule where nothing happens shows nothing");
    }
}

/// Every order of this case, one after the other.
fn all_orders(case: &Case) -> Sum {
    let (mut sum, mut path): (Sum, Vec<usize>) = Default::default();
    loop {
        let outcome = over_memory(case, 7, |step, _| path.get(step).copied().unwrap_or(0));
        sum.add(7, &outcome);
        let mut steps = outcome.steps;
        // The last step that has another way, and that way.
        while steps.pop_if(|(choice, options)| *choice + 1 == *options).is_some() {}
        let Some((choice, _)) = steps.last_mut() else { return sum };
        *choice += 1;
        path = steps.into_iter().map(|(choice, _)| choice).collect();
    }
}

fn over_memory(case: &Case, seed: u64, choose: impl FnMut(usize, usize) -> usize) -> Outcome {
    let books = Arc::new(MemoryUsage::default());
    run(case, Arc::new(Stepped(books.clone())), books.as_ref(), "acme", seed, choose)
}

fn interleavings(usual: u64) -> u64 {
    let asked = std::env::var("SWITCHBOARD_TEST_INTERLEAVINGS").ok();
    let is_fast = std::env::var_os("SWITCHBOARD_TEST_FAST").is_some();
    asked.map_or(if is_fast { usual / 5 } else { usual }, |text| text.parse().expect("a number of interleavings"))
}

fn cases() -> [Case; 4] {
    [
        Case { callers: 3, kind: true, room: [1.5, 1.5, 1.5], can_die: true, has_time: true, links: 2 },
        Case { callers: 5, kind: false, room: [2.5, 2.5, 2.5], can_die: true, has_time: true, links: 2 },
        Case { callers: 6, kind: false, room: [9.0, 3.5, 2.2], can_die: true, has_time: true, links: 2 },
        Case { callers: 8, kind: false, room: [6.1, 9.0, 2.9], can_die: true, has_time: true, links: 2 },
    ]
}

#[test]
fn two_calls_never_overspend_in_any_order() {
    // Room for one at its worst, and for both as they come.
    let case = Case { callers: 2, kind: true, room: [1.9, 1.9, 1.9], can_die: false, has_time: false, links: 2 };
    all_orders(&case).tell("of two calls, which are all of them");
}

#[test]
fn two_calls_that_may_die_never_overspend_in_any_order() {
    let case = Case { callers: 2, kind: true, room: [1.9, 1.9, 1.9], can_die: true, has_time: false, links: 1 };
    let sum = all_orders(&case);
    sum.tell("of two calls that may die at every step, which are all of them");
    assert!(sum.died > 0);
}

#[test]
fn many_calls_never_overspend_in_any_order_that_chance_finds() {
    let mut sum = Sum::default();
    for seed in 0..interleavings(2_000) {
        let case = &cases()[usize::try_from(seed % 4).unwrap()];
        sum.add(seed, &over_memory(case, seed, by_chance(seed)));
    }
    sum.tell("over the ledger in memory");
    assert!(sum.died > 0);
}

#[test]
fn many_calls_never_overspend_over_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(FixedClock::new());
    let path = folder.path().join("switchboard.db");
    let store: Arc<dyn UsageLedger> = Arc::new(SqliteStore::open(&path, clock, Opened::Server).unwrap());
    let mut sum = Sum::default();
    for seed in 0..interleavings(200) {
        let case = &cases()[usize::try_from(seed % 4).unwrap()];
        // A new tenant's counts begin at nothing.
        let (ledger, tenant) = (Arc::new(Stepped(store.clone())), format!("tenant-{seed}"));
        sum.add(seed, &run(case, ledger, store.as_ref(), &tenant, seed, by_chance(seed)));
    }
    sum.tell("over the database");
    assert!(sum.died > 0);
}

/// Between the calls of a schedule and the ledger: from the first call on, so that few calls are many.
#[test]
fn many_calls_never_overspend_out_of_purses() {
    let (mut sum, mut lent) = (Sum::default(), 0);
    for seed in 0..interleavings(2_000) {
        let books = Arc::new(MemoryUsage::default());
        let counted = Arc::new(Counted(Arc::new(Stepped(books.clone())), Mutex::new(0)));
        let clock = Arc::new(FixedClock::new());
        let pooled = Arc::new(Pooled::new(counted.clone(), clock, Arc::new(SeededIds::new(seed + 1))));
        let granted = Arc::new(Counted(pooled.clone(), Mutex::new(0)));
        // Room for purses of several calls, and then for single ones.
        let room = [[900.0, 900.0, 900.0], [450.0, 350.0, 300.0], [4.1, 9.0, 2.9]][usize::try_from(seed % 3).unwrap()];
        let case = Case { callers: 24, kind: seed.is_multiple_of(2), room, can_die: true, has_time: true, links: 2 };
        let outcome = run(&case, granted.clone(), books.as_ref(), "acme", seed, by_chance(seed));
        sum.add(seed, &outcome);
        wait_for(poll_through(pooled.close()));
        let scope = sample::scope("acme");
        let spent = wait_for(books.spent(&scope, None, FixedClock::new().now())).unwrap();
        let (counted, granted) = (*counted.1.lock().unwrap(), *granted.1.lock().unwrap());
        // Those that died before they were told are counted, too.
        assert!(spent.month.calls >= granted, "{spent:?} of {granted} calls");
        lent += usize::from(granted > counted);
    }
    sum.tell("out of purses");
    assert!(sum.died > 0 && lent > 0, "{lent} schedules had a purse");
}

/// Counts the reservations that come through.
struct Counted(Arc<dyn UsageLedger>, Mutex<u64>);

#[async_trait]
impl UsageLedger for Counted {
    async fn reserve(&self, scope: &TenantScope, wanted: Wanted, ceilings: &Ceilings) -> Result<Reserved> {
        let reserved = self.0.reserve(scope, wanted, ceilings).await?;
        *self.1.lock().unwrap() += u64::from(matches!(reserved, Reserved::Held(_)));
        Ok(reserved)
    }

    async fn settle(&self, scope: &TenantScope, reservation: Reservation, settlement: Settlement) -> Result<()> {
        self.0.settle(scope, reservation, settlement).await
    }

    async fn spent(&self, scope: &TenantScope, customer: Option<&CustomerId>, at: Timestamp) -> Result<Spent> {
        self.0.spent(scope, customer, at).await
    }
}

/// Takes every step of a future that stops between its steps.
async fn poll_through<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        loop {
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                return Poll::Ready(value);
            }
        }
    })
    .await
}

#[test]
fn a_careless_ledger_is_found_out() {
    let found = (0..500).any(|seed| {
        let case = &cases()[usize::try_from(seed % 4).unwrap()];
        let books = MemoryUsage::default();
        let ledger = Arc::new(Careless(books.clone()));
        run(case, ledger, &books, "acme", seed, by_chance(seed)).broken.is_some()
    });
    assert!(found, "looking and writing in two steps is not noticed");
}
