use std::{
    fs::{self, File},
    io::{self, BufWriter, Read, Seek, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use sha2::{Digest, Sha256};
use switchboard_core::{
    access::audit::{Action, Details, Label},
    ports::Clock,
    tenants::{DeskConfig, Tenant},
};
use switchboard_local::{SystemClock, copy_database};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::{
    DATABASE, FORMAT, MANIFEST, Manifest, PARTS, Part, SECRETS, VERSION, hex,
    new_file::{NewFile, folder_of, is_standard, temporary_in},
    place::finish_interrupted,
};
use crate::{args, commands::Session, data::DataFolder, operator, output};

/// Quick: the copy should not wait for the processor.
const COMPRESSION: i64 = 1;
const BUFFER_BYTES: usize = 256 * 1024;

pub(crate) async fn backup(session: Session, arguments: args::Backup) -> Result<ExitCode> {
    if session.data.is_new() {
        bail!("there is no data in {} yet", session.data.root().display());
    }
    finish_interrupted(&session.data)?;
    // It is noted in the log at the end, which opens the data: better to be refused now.
    drop(session.lock_if_older()?);
    let (data, file, quiet) = (session.data.clone(), arguments.file.clone(), session.global.quiet);
    let manifest = tokio::task::spawn_blocking(move || create(&data, &arguments, quiet));
    let manifest = manifest.await.context("the backup died")??;
    let bytes: u64 = manifest.parts.iter().map(|part| part.bytes).sum();
    let source = Some(Label::new(&file.display().to_string()));
    let details = Details { bytes: Some(bytes), source, ..Details::default() };
    session.open().await?.app.audit.append(operator::by().did(Action::BackupCreate, None).with(details)).await?;
    let summary = format!(
        "{} tickets, {} files, {bytes} bytes, as of {}",
        manifest.tickets,
        manifest.parts.len(),
        manifest.created_at
    );
    if is_standard(&file) {
        if !quiet {
            eprintln!("backup: {summary}");
        }
    } else if session.global.json {
        output::json(&json!({"file": file, "manifest": manifest}))?;
    } else {
        println!("{}: {summary}", file.display());
        println!("It holds what customers wrote and the keys' pepper{}: keep it as safe as the data folder.", {
            if manifest.with_secrets { ", and the tenants' secrets" } else { "" }
        });
    }
    Ok(ExitCode::SUCCESS)
}

fn create(data: &DataFolder, arguments: &args::Backup, quiet: bool) -> Result<Manifest> {
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(0) };
    let style = ProgressStyle::with_template("{msg} {bar:40} {percent} %, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    if is_standard(&arguments.file) {
        let stream = ZipWriter::new_stream(BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock()));
        let (manifest, out) = write(data, data.root(), arguments, stream, &bar)?;
        out.into_inner().flush()?;
        return Ok(manifest);
    }
    let mut new = NewFile::beside(&arguments.file, arguments.force)?;
    let archive = ZipWriter::new(BufWriter::with_capacity(BUFFER_BYTES, new.as_file()));
    let (manifest, mut out) = write(data, folder_of(&arguments.file), arguments, archive, &bar)?;
    out.flush()?;
    drop(out);
    new.put_in_place()?;
    Ok(manifest)
}

fn write<W: Write + Seek>(
    data: &DataFolder,
    scratch: &Path,
    arguments: &args::Backup,
    archive: ZipWriter<W>,
    bar: &ProgressBar,
) -> Result<(Manifest, W)> {
    let created_at = SystemClock::new().now();
    let copy = temporary_in(scratch)?;
    bar.set_message("copying");
    let copied = copy_database(&data.database(), copy.path(), &mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    })?;
    let mut archive = Archive { archive, parts: Vec::new() };
    bar.set_message("packing");
    bar.set_length(fs::metadata(copy.path())?.len());
    bar.set_position(0);
    archive.add(DATABASE, &mut bar.wrap_read(File::open(copy.path())?))?;
    drop(copy);
    for part in PARTS.iter().filter(|part| **part != DATABASE) {
        if *part == SECRETS && arguments.without_secrets {
            continue;
        }
        archive.add_path(part, &data.root().join(part), data)?;
    }
    bar.finish_and_clear();
    let Archive { mut archive, parts } = archive;
    let manifest = Manifest {
        format: FORMAT.to_owned(),
        format_version: VERSION,
        product_version: env!("CARGO_PKG_VERSION").to_owned(),
        schema_version: copied.schema_version,
        created_at,
        tickets: copied.tickets,
        with_secrets: !arguments.without_secrets,
        parts,
    };
    archive.start_file(MANIFEST, options())?;
    archive.write_all(&serde_json::to_vec_pretty(&manifest)?)?;
    Ok((manifest, archive.finish()?))
}

struct Archive<W: Write + Seek> {
    archive: ZipWriter<W>,
    parts: Vec<Part>,
}

impl<W: Write + Seek> Archive<W> {
    /// Adds a file, or a folder with all that is in it. What goes away meanwhile is left out.
    fn add_path(&mut self, name: &str, path: &Path, data: &DataFolder) -> Result<()> {
        let context = || format!("{} cannot be read", path.display());
        let is_there = |error: &io::Error| error.kind() != io::ErrorKind::NotFound;
        let kind = match fs::symlink_metadata(path) {
            Err(error) if !is_there(&error) => return Ok(()),
            metadata => metadata.with_context(context)?,
        };
        // A secret or configuration may be a link to where a platform keeps it: what it points to is taken.
        let kind = if kind.is_symlink() { fs::metadata(path).with_context(context)? } else { kind };
        if kind.is_file() {
            return match File::open(path) {
                Ok(mut file) => self.add(name, &mut file),
                Err(error) if !is_there(&error) => Ok(()),
                Err(error) => Err(error).with_context(context),
            };
        }
        if !kind.is_dir() || is_desk(path, data) {
            return Ok(());
        }
        let mut entries = Vec::new();
        for entry in fs::read_dir(path).with_context(context)? {
            let file = entry.with_context(context)?.file_name();
            let Some(file) = file.to_str() else { bail!("{}: a name in it is no UTF-8", path.display()) };
            entries.push(file.to_owned());
        }
        // `active` names a model and comes first: one that is put in force meanwhile might not be in the list.
        entries.sort_by_key(|file| (file != "active", file.clone()));
        for file in entries {
            self.add_path(&format!("{name}/{file}"), &path.join(&file), data)?;
        }
        Ok(())
    }

    fn add(&mut self, name: &str, from: &mut dyn Read) -> Result<()> {
        self.archive.start_file(name, options())?;
        let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; BUFFER_BYTES]);
        loop {
            let read = from.read(&mut buffer).with_context(|| format!("{name} cannot be read"))?;
            let Some(piece) = buffer.get(..read).filter(|piece| !piece.is_empty()) else { break };
            hash.update(piece);
            self.archive.write_all(piece).context("the backup cannot be written")?;
            bytes += read as u64;
        }
        self.parts.push(Part { path: name.to_owned(), bytes, sha256: hex(&hash.finalize()) });
        Ok(())
    }
}

fn options() -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(COMPRESSION))
        .unix_permissions(0o600)
        .large_file(true)
}

/// Whether the folder is what a desk of files was given: that has left the system, and would reach it again by a restore.
fn is_desk(folder: &Path, data: &DataFolder) -> bool {
    let Ok(inside) = folder.strip_prefix(data.tenants()) else { return false };
    let mut names = inside.components();
    let (Some(tenant), rest) = (names.next(), names.as_path()) else { return false };
    let config: PathBuf = data.tenants().join(tenant).join("config.json");
    let tenant = fs::read(config).ok().and_then(|bytes| Tenant::from_json(&bytes).ok());
    matches!(tenant.map(|tenant| tenant.config.desk), Some(DeskConfig::Folder { path }) if Path::new(&path) == rest)
}
