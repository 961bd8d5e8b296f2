use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read, Write},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use sha2::{Digest, Sha256};
use switchboard_core::{
    access::audit::{Action, Details, Label},
    ports::Clock,
};
use switchboard_local::{SystemClock, check_database, end_sessions};
use zip::ZipArchive;

use super::{
    DATABASE, FORMAT, MANIFEST, Manifest, PEPPER, VERSION, hex, is_part,
    new_file::{is_standard, temporary_in},
    place::{Stage, finish_under, has_data},
};
use crate::{args, commands::Session, data::DataFolder, operator, output};

/// Bytes of a manifest: a million files fit.
const MANIFEST_BYTES: u64 = 256 * 1024 * 1024;
const BUFFER_BYTES: usize = 256 * 1024;

pub(crate) async fn restore(session: Session, arguments: args::Restore) -> Result<ExitCode> {
    let (data, quiet) = (session.data.clone(), session.global.quiet);
    let (check, force, file) = (arguments.check, arguments.force, arguments.file.clone());
    let restored = tokio::task::spawn_blocking(move || run(&data, &arguments, quiet));
    let Restored { manifest, aside } = restored.await.context("the restore died")??;
    if !check {
        let source = Some(Label::new(&file.display().to_string()));
        let details =
            Details { from: Some(Label::new(&manifest.created_at.to_string())), source, ..Details::default() };
        session.open().await?.app.audit.append(operator::by().did(Action::BackupRestore, None).with(details)).await?;
    }
    let root = session.data.root();
    if session.global.json {
        output::json(&json!({
            "file": file, "data": root, "restored": !check, "kept_aside": aside, "created_at": manifest.created_at,
            "product_version": manifest.product_version, "schema_version": manifest.schema_version,
            "tickets": manifest.tickets, "files": manifest.parts.len(), "with_secrets": manifest.with_secrets,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let what = format!(
        "{} tickets, {} files, as of {}, written by version {}",
        manifest.tickets,
        manifest.parts.len(),
        manifest.created_at,
        manifest.product_version
    );
    if check {
        println!("{}: good: {what}", file.display());
        return Ok(ExitCode::SUCCESS);
    }
    println!("{} restored: {what}", root.display());
    if let (Some(aside), true) = (aside, force) {
        println!("What was there before is kept in {}; remove it when it is not needed.", root.join(aside).display());
    }
    if !manifest.with_secrets {
        println!("The backup has no secrets: put them in place, `switchboard doctor` names what is missing.");
    }
    println!("Tickets that came after the backup are not here: have their systems send them again.");
    Ok(ExitCode::SUCCESS)
}

struct Restored {
    manifest: Manifest,
    aside: Option<String>,
}

fn run(data: &DataFolder, arguments: &args::Restore, quiet: bool) -> Result<Restored> {
    if arguments.check {
        let scratch = tempfile::tempdir().context("no folder can be made to check in")?;
        let checked = DataFolder::find(Some(scratch.path()))?;
        let mut archive = open(arguments, &checked)?;
        return Ok(Restored { manifest: stage(&mut archive, &Stage::new(&checked)?, quiet)?, aside: None });
    }
    data.create()?;
    let lock = data.lock()?;
    finish_under(&lock, data)?;
    let had_data = has_data(data);
    if had_data && !arguments.force {
        let folder = data.root().display();
        bail!("{folder} has data; restore into an empty folder by --data DIR, or use --force, which keeps them aside");
    }
    let mut archive = open(arguments, data)?;
    let place = Stage::new(data)?;
    let manifest = match stage(&mut archive, &place, quiet) {
        Ok(manifest) => manifest,
        Err(error) => {
            // What was refused is of no use; the old data were not touched.
            place.clear()?;
            return Err(error);
        }
    };
    let aside = aside_name(data);
    place.commit(&aside)?;
    Ok(Restored { manifest, aside: had_data.then_some(aside) })
}

/// A name that is free, with the time for people.
fn aside_name(data: &DataFolder) -> String {
    let time: String = SystemClock::new().now().to_string().chars().filter(char::is_ascii_alphanumeric).collect();
    let names =
        std::iter::once(format!("before-restore-{time}")).chain((2..).map(|n| format!("before-restore-{time}-{n}")));
    let mut free = names.filter(|name| !data.root().join(name).exists());
    // invariant: the names have no end
    free.next().unwrap_or_default()
}

fn open(arguments: &args::Restore, data: &DataFolder) -> Result<ZipArchive<File>> {
    let file = match is_standard(&arguments.file) {
        true => {
            let mut copy = temporary_in(data.root())?.into_file();
            io::copy(&mut io::stdin().lock(), &mut copy).context("standard input cannot be read")?;
            copy
        }
        false => {
            File::open(&arguments.file).with_context(|| format!("{} cannot be opened", arguments.file.display()))?
        }
    };
    ZipArchive::new(file).context("this is no backup of Switchboard, or one that is cut off")
}

/// Takes everything out and checks it: hashes, names, the whole database.
fn stage(archive: &mut ZipArchive<File>, place: &Stage, quiet: bool) -> Result<Manifest> {
    let manifest = manifest(archive)?;
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(0) };
    let style = ProgressStyle::with_template("{msg} {bar:40} {bytes} of {total_bytes}, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_length(manifest.parts.iter().map(|part| part.bytes).sum());
    bar.set_message("unpacking");
    let mut buffer = vec![0; BUFFER_BYTES];
    for part in &manifest.parts {
        let damaged = || format!("the backup is damaged: {}", output::printable(&part.path));
        let entry = archive.by_name(&part.path).with_context(damaged)?;
        let mut from = entry.take(part.bytes.saturating_add(1));
        let (mut to, mut hash, mut bytes) = (place.create(&part.path)?, Sha256::new(), 0);
        loop {
            let read = from.read(&mut buffer).with_context(damaged)?;
            let Some(piece) = buffer.get(..read).filter(|piece| !piece.is_empty()) else { break };
            hash.update(piece);
            to.write_all(piece).with_context(|| format!("{} cannot be written", part.path))?;
            bytes += read as u64;
            bar.inc(read as u64);
        }
        if bytes != part.bytes || hex(&hash.finalize()) != part.sha256 {
            bail!("{}: its hash differs", damaged());
        }
    }
    bar.set_message("checking");
    if fs::metadata(place.path(PEPPER)).map_or(0, |pepper| pepper.len()) != 32 {
        bail!("the backup is damaged: the pepper is missing or of a wrong length");
    }
    let found = check_database(&place.path(DATABASE)).context("the backup is refused")?;
    end_sessions(&place.path(DATABASE)).context("the sessions in the backup cannot be ended")?;
    if (found.schema_version, found.tickets) != (manifest.schema_version, manifest.tickets) {
        bail!("the backup is damaged: its database is not the one that the manifest tells of");
    }
    bar.finish_and_clear();
    Ok(manifest)
}

fn manifest(archive: &mut ZipArchive<File>) -> Result<Manifest> {
    let foreign = "this is no backup of Switchboard";
    let mut bytes = Vec::new();
    archive.by_name(MANIFEST).context(foreign)?.take(MANIFEST_BYTES).read_to_end(&mut bytes).context(foreign)?;
    let manifest: Manifest = serde_json::from_slice(&bytes).context(foreign)?;
    if manifest.format != FORMAT {
        bail!(foreign);
    }
    if manifest.format_version > VERSION {
        let found = manifest.format_version;
        bail!("the backup has format version {found}, this program reads up to {VERSION}: use a newer program");
    }
    let mut listed: BTreeSet<&str> = BTreeSet::new();
    for part in &manifest.parts {
        if !is_part(&part.path) || !listed.insert(&part.path) {
            bail!("the backup is refused: `{}` has no place in a data folder", output::printable(&part.path));
        }
    }
    if !listed.contains(DATABASE) {
        bail!("the backup is damaged: it has no database");
    }
    for name in archive.file_names() {
        let name = name.context(foreign)?;
        if name != MANIFEST && !listed.contains(name.as_ref()) {
            bail!("the backup is refused: `{}` is not in its manifest", output::printable(&name));
        }
    }
    Ok(manifest)
}
