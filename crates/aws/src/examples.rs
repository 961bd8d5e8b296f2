//! What the tenants' classifiers learn from.

use std::collections::BTreeMap;

use async_trait::async_trait;
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    ids::{ExampleId, TenantId},
    ports::{Added, Example, ExampleCounts, ExampleSource, ExampleStore, Page, TenantScope},
    time::Timestamp,
    untrusted::Untrusted,
};
use ulid::Ulid;

use crate::{
    DynamoStore,
    db::{Find, Item, Read, TRANSACTION_BYTES, TRANSACTION_ITEMS, Write, millis, pair, s, throttled},
    store::head,
};

/// Beginnings of one transaction, when others add the same examples.
const TRIES: usize = 5;
/// Bytes of an example beside its text, generously.
const ITEM_BYTES: usize = 600;
/// Behind all places.
const END: &str = "999999999999999$";

fn example_key(tenant: &TenantId, id: &ExampleId) -> Item {
    pair("tenant", tenant.as_str(), "example", id.as_str())
}

/// The place in the order of time; `mark` is a new one, which orders those of one time as they came.
fn listed(at: Timestamp, mark: Ulid) -> String {
    format!("{:015}#{mark}", at.as_millis())
}

/// Adds one example, or puts it in the place of the one with its id.
pub(crate) fn put(tenant: &TenantId, example: &Example, mark: Ulid) -> Write {
    let mut item = example_key(tenant, &example.id);
    let mut put = |name: &str, value| item.insert(name.to_owned(), value);
    put("listed", s(listed(example.at, mark)));
    put("source", s(example.source.word()));
    put("source_key", s(head::of_tenant(tenant, example.source.word())));
    put("text", s(example.text.for_storage().as_str()));
    put("at", millis(example.at));
    if let Some(category) = &example.category {
        put("category", s(category.as_str()));
    }
    if let Some(team) = &example.team {
        put("team", s(team.as_str()));
    }
    Write::put("examples", item)
}

fn example(item: &Item) -> Result<Example> {
    Ok(Example {
        id: item.parsed("example")?,
        text: Untrusted::new(item.needed("text")?.to_owned()),
        category: item.optional("category")?,
        team: item.optional("team")?,
        source: item.parsed("source")?,
        at: item.needed_time("at")?,
    })
}

#[async_trait]
impl ExampleStore for DynamoStore {
    /// In one write as far as they fit into a transaction (100 examples); more are added one transaction after the other, and
    /// a failure in between leaves those before it.
    async fn add(&self, scope: &TenantScope, examples: Vec<Example>) -> Result<Added> {
        let mut added = Added::default();
        let (mut chunk, mut bytes) = (Vec::new(), 0);
        for example in examples {
            let weighs = ITEM_BYTES + example.text.for_storage().len();
            if chunk.len() == TRANSACTION_ITEMS || bytes + weighs > TRANSACTION_BYTES {
                self.add_some(scope.tenant(), &std::mem::take(&mut chunk), &mut added).await?;
                bytes = 0;
            }
            bytes += weighs;
            chunk.push(example);
        }
        self.add_some(scope.tenant(), &chunk, &mut added).await?;
        Ok(added)
    }

    async fn examples(&self, scope: &TenantScope, cursor: Option<&str>, limit: u32) -> Result<Page<Example>> {
        let after = cursor.map(parse_cursor).transpose()?;
        let limit = limit as usize;
        let find = Find::by("examples", "by_time", "tenant", scope.tenant().as_str())
            .between("listed", after.as_deref().unwrap_or("0"), END)
            .at_most(limit + 2);
        // Both bounds of a range are inside, so the one of the cursor comes again.
        let mut items = self.db.all(&find, limit + 2).await?;
        items.retain(|item| item.text("listed") != after.as_deref());
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = items.last().filter(|_| more).and_then(|last| last.text("listed"));
        let next_cursor = next_cursor.map(|place| place.trim_start_matches('0').replace('#', "-"));
        Ok(Page { items: items.iter().map(example).collect::<Result<_>>()?, next_cursor })
    }

    async fn counts(&self, scope: &TenantScope, since: Option<Timestamp>) -> Result<ExampleCounts> {
        let by_source = |source: ExampleSource| {
            let key = head::of_tenant(scope.tenant(), source.word());
            Find::by("examples", "by_source", "source_key", key)
        };
        let reviewed = self.db.count(&by_source(ExampleSource::Review), u64::MAX).await?;
        let reviewed_since = match since {
            None => reviewed,
            Some(since) => {
                let from = format!("{:015}", since.as_millis());
                self.db.count(&by_source(ExampleSource::Review).between("listed", from, END), u64::MAX).await?
            }
        };
        let imported = self.db.count(&by_source(ExampleSource::Import), u64::MAX).await?;
        Ok(ExampleCounts { imported, reviewed, reviewed_since })
    }

    async fn clear(&self, scope: &TenantScope, source: ExampleSource) -> Result<u64> {
        let tenant = scope.tenant();
        let key = head::of_tenant(tenant, source.word());
        let found = self.db.all(&Find::by("examples", "by_source", "source_key", key), usize::MAX).await?;
        let mut removed = 0;
        for chunk in found.chunks(TRANSACTION_ITEMS) {
            let mut left = Vec::with_capacity(chunk.len());
            for item in chunk {
                let write = Write::delete("examples", example_key(tenant, &item.parsed("example")?));
                left.push(write.when("#source = :source", [("source", s(source.word()))]));
            }
            // One that has become a review's since the index was read stays.
            while !left.is_empty() {
                match self.db.transact("removing examples", &left).await? {
                    Ok(()) => {
                        removed += left.len() as u64;
                        break;
                    }
                    Err(cancelled) => {
                        let mut at = 0..;
                        left.retain(|_| at.next().is_some_and(|at| cancelled.failed(at).is_none()));
                    }
                }
            }
        }
        Ok(removed)
    }
}

impl DynamoStore {
    /// Adds as many as fit into a transaction.
    async fn add_some(&self, tenant: &TenantId, examples: &[Example], added: &mut Added) -> Result<()> {
        if examples.is_empty() {
            return Ok(());
        }
        for _ in 0..TRIES {
            let (outcome, writes) = self.plan(tenant, examples).await?;
            if writes.is_empty() || self.db.transact("adding examples", &writes).await?.is_ok() {
                added.new += outcome.new;
                added.replaced += outcome.replaced;
                added.kept += outcome.kept;
                return Ok(());
            }
        }
        Err(throttled("others add the same examples all the time"))
    }

    /// What becomes of the examples, by what is there now: one by one, the last of an id is the one that is written.
    async fn plan(&self, tenant: &TenantId, examples: &[Example]) -> Result<(Added, Vec<Write>)> {
        let mut keys = BTreeMap::new();
        for example in examples {
            keys.insert(example.id.clone(), example_key(tenant, &example.id));
        }
        let mut sources: BTreeMap<ExampleId, ExampleSource> = BTreeMap::new();
        for item in self.db.fetch("examples", keys.into_values().collect()).await? {
            sources.insert(item.parsed("example")?, item.parsed("source")?);
        }
        let before = sources.clone();
        let (mut added, mut last) = (Added::default(), BTreeMap::new());
        for (at, example) in examples.iter().enumerate() {
            match sources.get(&example.id) {
                Some(ExampleSource::Review) if example.source == ExampleSource::Import => {
                    added.kept += 1;
                    continue;
                }
                Some(_) => added.replaced += 1,
                None => added.new += 1,
            }
            sources.insert(example.id.clone(), example.source);
            last.insert(&example.id, at);
        }
        let mut at: Vec<usize> = last.into_values().collect();
        at.sort_unstable();
        let write = |at: usize| {
            let example = &examples[at];
            let write = put(tenant, example, self.ids.ulid(self.now()));
            match before.get(&example.id) {
                Some(source) => write.when("#source = :seen", [("seen", s(source.word()))]),
                None => write.when("attribute_not_exists(#source)", []),
            }
        };
        Ok((added, at.into_iter().map(write).collect()))
    }
}

/// The place that a cursor names.
fn parse_cursor(cursor: &str) -> Result<String> {
    let place = cursor.split_once('-').and_then(|(at, mark)| {
        let at = at.parse().ok().filter(|at| (0..1_000_000_000_000_000).contains(at))?;
        Some(listed(Timestamp::from_millis(at), Ulid::from_string(mark).ok()?))
    });
    place.ok_or_else(|| Error::new(ErrorKind::Invalid, "the cursor is not one that a page of this list gave"))
}
