//! The contract of [`switchboard_core::ports::ExampleStore`].

use std::{sync::Arc, time::Duration};

use switchboard_core::{
    error::ErrorKind,
    ports::{Added, Example, ExampleCounts, ExampleSource, ExampleStore, TenantScope},
};

use super::{
    UnderTest,
    expect::{expect_eq, expect_kind, expect_ok},
    run_checks,
};
use crate::{sample, world::start};

type Store = UnderTest<Arc<dyn ExampleStore>>;

/// Runs the contract of `ExampleStore`; `make` gives a fresh, empty store for each check.
pub async fn example_store(make: impl AsyncFn() -> UnderTest<Arc<dyn ExampleStore>>) {
    run_checks!(
        "ExampleStore",
        make().await,
        [
            examples_are_read_back_as_they_were,
            the_oldest_first,
            an_example_of_the_same_id_takes_its_place,
            a_review_beats_an_import_and_never_the_reverse,
            each_tenant_has_its_own,
            they_are_counted,
            no_gap_and_no_double_over_pages,
            rubbish_as_cursor_is_invalid,
            one_source_is_cleared,
            nothing_in_one_call,
        ]
    );
}

async fn add(store: &Store, scope: &TenantScope, examples: &[Example]) -> Added {
    expect_ok("add", store.add(scope, examples.to_vec()).await)
}

async fn all(store: &Store, scope: &TenantScope) -> Vec<Example> {
    let page = expect_ok("examples", store.examples(scope, None, 1_000).await);
    expect_eq("the cursor after the only page", page.next_cursor, None);
    page.items
}

async fn counts(store: &Store, scope: &TenantScope) -> ExampleCounts {
    expect_ok("counts", store.counts(scope, None).await)
}

fn acme() -> TenantScope {
    sample::scope("acme")
}

fn reviewed(n: u32) -> Example {
    Example { source: ExampleSource::Review, ..sample::example(n) }
}

async fn examples_are_read_back_as_they_were(store: Store) {
    let examples = [sample::example(1), reviewed(3), sample::example(4), sample::example(12)];
    expect_eq("what became of new ones", add(&store, &acme(), &examples).await, Added { new: 4, ..Added::default() });
    let store = store.restart().await;
    expect_eq("the examples after a restart", all(&store, &acme()).await, examples.to_vec());
}

async fn the_oldest_first(store: Store) {
    add(&store, &acme(), &[sample::example(5), sample::example(2)]).await;
    add(&store, &acme(), &[sample::example(3)]).await;
    let same_time = Example { at: sample::example(3).at, ..sample::example(9) };
    add(&store, &acme(), std::slice::from_ref(&same_time)).await;
    let expected = vec![sample::example(2), sample::example(3), same_time, sample::example(5)];
    expect_eq("the examples", all(&store, &acme()).await, expected);
}

async fn an_example_of_the_same_id_takes_its_place(store: Store) {
    add(&store, &acme(), &[sample::example(1), sample::example(2)]).await;
    let newer = Example { id: sample::example(1).id, category: None, ..sample::example(8) };
    let added = add(&store, &acme(), &[newer.clone(), sample::example(3)]).await;
    expect_eq("what became of them", added, Added { new: 1, replaced: 1, kept: 0 });
    let expected = vec![sample::example(2), sample::example(3), newer.clone()];
    expect_eq("the examples", all(&store, &acme()).await, expected);
    let twice = [Example { team: None, ..newer.clone() }, newer.clone()];
    let added = add(&store, &acme(), &twice).await;
    expect_eq("the same id twice in one call", added, Added { replaced: 2, ..Added::default() });
    expect_eq("the last one counts", all(&store, &acme()).await[2].clone(), newer);
}

async fn a_review_beats_an_import_and_never_the_reverse(store: Store) {
    add(&store, &acme(), &[sample::example(1)]).await;
    let added = add(&store, &acme(), &[reviewed(1)]).await;
    expect_eq("a review over an import", added, Added { replaced: 1, ..Added::default() });
    let later = Example { at: start().plus(Duration::from_secs(900)), ..sample::example(1) };
    let added = add(&store, &acme(), &[later, sample::example(2)]).await;
    expect_eq("an import over a review", added, Added { new: 1, replaced: 0, kept: 1 });
    expect_eq("the examples", all(&store, &acme()).await, vec![reviewed(1), sample::example(2)]);
    let newer = Example { category: None, ..reviewed(1) };
    let added = add(&store, &acme(), std::slice::from_ref(&newer)).await;
    expect_eq("a review over a review", added, Added { replaced: 1, ..Added::default() });
    expect_eq("the newer review counts", all(&store, &acme()).await[0].clone(), newer);
}

async fn each_tenant_has_its_own(store: Store) {
    let globex = sample::scope("globex");
    let theirs = Example { category: None, ..sample::example(1) };
    add(&store, &acme(), &[sample::example(1)]).await;
    expect_eq("the same id in another tenant", add(&store, &globex, std::slice::from_ref(&theirs)).await.new, 1);
    expect_eq("acme's", all(&store, &acme()).await, vec![sample::example(1)]);
    expect_eq("globex's", all(&store, &globex).await, vec![theirs]);
    expect_eq("globex clears", expect_ok("clear", store.clear(&globex, ExampleSource::Import).await), 1);
    expect_eq("acme's after that", counts(&store, &acme()).await.imported, 1);
    expect_eq("globex's after that", counts(&store, &globex).await, ExampleCounts::default());
}

async fn they_are_counted(store: Store) {
    let examples = [sample::example(1), sample::example(2), reviewed(3), reviewed(4), reviewed(5)];
    add(&store, &acme(), &examples).await;
    let expected = ExampleCounts { imported: 2, reviewed: 3, reviewed_since: 3 };
    expect_eq("the counts", counts(&store, &acme()).await, expected);
    for (n, since) in [(1, 3), (3, 3), (4, 2), (5, 1), (6, 0)] {
        let at = Some(sample::example(n).at);
        let counts = expect_ok("counts", store.counts(&acme(), at).await);
        expect_eq(&format!("the counts since {at:?}"), counts, ExampleCounts { reviewed_since: since, ..expected });
    }
}

async fn no_gap_and_no_double_over_pages(store: Store) {
    let examples: Vec<_> = (0..50).map(|n| Example { at: sample::example(n / 7).at, ..sample::example(n) }).collect();
    add(&store, &acme(), &examples).await;
    for limit in [1, 7, 49, 50, 51] {
        let mut found = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let page = expect_ok("examples", store.examples(&acme(), cursor.as_deref(), limit).await);
            found.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        expect_eq(&format!("the examples by pages of {limit}"), &found, &examples);
    }
}

async fn rubbish_as_cursor_is_invalid(store: Store) {
    for cursor in ["", "x", "1", "1-", "-", "1-x", "1-2-3"] {
        let page = store.examples(&acme(), Some(cursor), 10).await;
        expect_kind(&format!("the cursor {cursor:?}"), page, ErrorKind::Invalid);
    }
}

async fn one_source_is_cleared(store: Store) {
    add(&store, &acme(), &[sample::example(1), sample::example(2), reviewed(3)]).await;
    expect_eq("cleared", expect_ok("clear", store.clear(&acme(), ExampleSource::Import).await), 2);
    expect_eq("cleared again", expect_ok("clear", store.clear(&acme(), ExampleSource::Import).await), 0);
    expect_eq("the reviews stay", all(&store, &acme()).await, vec![reviewed(3)]);
    expect_eq("cleared", expect_ok("clear", store.clear(&acme(), ExampleSource::Review).await), 1);
    expect_eq("nothing is left", counts(&store, &acme()).await, ExampleCounts::default());
}

async fn nothing_in_one_call(store: Store) {
    expect_eq("nothing added", add(&store, &acme(), &[]).await, Added::default());
    expect_eq("the examples of an empty store", all(&store, &acme()).await, Vec::new());
}
