use sha2::{Digest, Sha256};

use super::{Lesson, Measured, ModelRecord};
use crate::{
    app::App,
    error::{Error, ErrorKind, Result},
    ids::ModelVersion,
    limits,
    ports::{Example, ExampleSource, TenantScope},
    tenants::Tenant,
};

/// How a training goes.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Puts the model in force also when it is worse.
    pub force: bool,
    /// Examples beside those of the store, such as a file's.
    pub more: Vec<Example>,
}

/// Whether a new model was put in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// On the held-back examples it is not worse than what was there, by more than chance explains.
    Better,
    /// There is too little held back to compare.
    NothingToCompare,
    /// It is worse, and in force because somebody said so.
    Forced,
    /// It is worse: it is kept, and not in force.
    Worse,
}

/// What a training came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The model.
    pub record: ModelRecord,
    /// Whether it is in force.
    pub verdict: Verdict,
    /// Examples that were left out, because their category or team is not the tenant's.
    pub left_out: u64,
}

/// Fewer held-back examples compare nothing.
const ENOUGH_HELD_BACK: usize = 20;
/// One in so many examples is held back, of all models and for good.
const HELD_BACK_ONE_IN: u8 = 8;

/// Whether no model learns from this example, so that models can be compared on it. It goes by the text, so that the same
/// text always falls on the same side, whoever brings it.
pub fn held_back(example: &Example) -> bool {
    let digest = Sha256::digest(example.text.for_storage().trim().as_bytes());
    digest.first().is_some_and(|first| first % HELD_BACK_ONE_IN == 0)
}

/// All examples of the tenant, oldest first, at most [`limits::EXAMPLES_TO_LEARN`] of them: the newest.
pub async fn examples(app: &App, scope: &TenantScope) -> Result<Vec<Example>> {
    let mut examples = std::collections::VecDeque::new();
    let mut cursor = None;
    loop {
        let page = app.examples.examples(scope, cursor.as_deref(), limits::PAGE_EXAMPLES).await?;
        examples.extend(page.items);
        while examples.len() > limits::EXAMPLES_TO_LEARN {
            examples.pop_front();
        }
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => return Ok(examples.into()),
        }
    }
}

/// Trains the tenant's model and puts it in force unless it is worse than what is there on the held-back examples. Training
/// is work for the processor, not for an executor: the caller runs this on a thread of its own. `progress` is told what is
/// done and how much of it, 0 to 1.
pub async fn train(
    app: &App,
    tenant: &Tenant,
    options: Options,
    progress: &(dyn Fn(&str, f64) + Sync),
) -> Result<Outcome> {
    let scope = TenantScope::of_tenant(tenant);
    let mut known = examples(app, &scope).await?;
    let count = |source| known.iter().filter(|example| example.source == source).count() as u64;
    let (reviews, imported) = (count(ExampleSource::Review), count(ExampleSource::Import));
    known.extend(options.more);
    let active = match app.models.active(&scope).await? {
        Some(version) => app.models.read(&scope, &version).await?,
        None => None,
    };
    let (held, taught): (Vec<Example>, Vec<Example>) = known.into_iter().partition(held_back);
    let compared = held.len();
    let model = app.learner.train(tenant, &Lesson { examples: taught }, progress)?;
    progress("comparing", 0.0);
    let held_back = app.learner.measure(tenant, Some(&model.artifact), &held)?;
    // What is in force may be broken; then there is nothing to be worse than.
    let before = match app.learner.measure(tenant, active.as_deref(), &held) {
        Err(error) if error.kind() == ErrorKind::Invalid => Measured::default(),
        other => other?,
    };
    let is_worse = held_back.is_worse_than(&before);
    let record = ModelRecord {
        version: ModelVersion::from_ulid(app.ids.ulid(app.clock.now())),
        created_at: app.clock.now(),
        learned_from: model.learned_from,
        reviews,
        imported,
        cross_validated: model.cross_validated,
        held_back: held_back.scores,
        before: before.scores,
        has_embeddings: model.has_embeddings,
        bytes: model.artifact.len() as u64,
        fingerprint: model.fingerprint,
    };
    app.models.save(&scope, &record, &model.artifact).await?;
    let verdict = if compared < ENOUGH_HELD_BACK {
        Verdict::NothingToCompare
    } else if !is_worse {
        Verdict::Better
    } else if options.force {
        Verdict::Forced
    } else {
        Verdict::Worse
    };
    if verdict != Verdict::Worse {
        app.models.activate(&scope, Some(&record.version)).await?;
        app.learner.install(&tenant.id, Some((&record.version, &model.artifact)))?;
    }
    Ok(Outcome { record, verdict, left_out: model.left_out })
}

/// Brings the classifier in line with the version in force, which another process may have changed. A broken artifact is
/// refused: what is in force here stays, or else the newest older version that is whole.
pub async fn refresh(app: &App, tenant: &Tenant) -> Result<()> {
    let scope = TenantScope::of_tenant(tenant);
    let active = app.models.active(&scope).await?;
    let installed = app.learner.installed(&tenant.id);
    if active == installed {
        return Ok(());
    }
    let Some(active) = active else { return app.learner.install(&tenant.id, None) };
    let refused = match install(app, &scope, tenant, &active).await {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    if installed.is_none() {
        for older in app.models.list(&scope).await?.into_iter().filter(|record| record.version < active) {
            if install(app, &scope, tenant, &older.version).await.is_ok() {
                break;
            }
        }
    }
    let stays = app.learner.installed(&tenant.id).map_or_else(|| "none".to_owned(), |version| version.to_string());
    let message = format!("model {active} of tenant `{}` is refused, in force stays {stays}", tenant.id);
    Err(Error::new(ErrorKind::Invalid, message).caused_by(refused))
}

async fn install(app: &App, scope: &TenantScope, tenant: &Tenant, version: &ModelVersion) -> Result<()> {
    let artifact = app.models.read(scope, version).await?;
    let artifact = artifact.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("model {version} is gone")))?;
    app.learner.install(&tenant.id, Some((version, &artifact)))
}

/// Puts an older version in force again: the named one, or the one before that in force; without one, what the
/// configuration alone teaches.
pub async fn roll_back(app: &App, tenant: &Tenant, to: Option<&ModelVersion>) -> Result<Option<ModelVersion>> {
    let scope = TenantScope::of_tenant(tenant);
    let target = match to {
        Some(version) => Some(version.clone()),
        None => {
            let active = app.models.active(&scope).await?;
            let active = active
                .ok_or_else(|| Error::new(ErrorKind::NotFound, "no trained model is in force: nothing to roll back"))?;
            app.models.list(&scope).await?.into_iter().map(|record| record.version).find(|version| *version < active)
        }
    };
    app.models.activate(&scope, target.as_ref()).await?;
    refresh(app, tenant).await?;
    Ok(target)
}
