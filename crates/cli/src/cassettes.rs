//! Folders of recorded calls of language models: one file of JSON lines a tenant.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::mpsc::{SyncSender, sync_channel},
    thread::JoinHandle,
};

use anyhow::{Context, Result, bail};
use switchboard_core::models::{Cassette, Recording, Tape};

/// Recordings that wait for the disk; more are lost, and told to be.
const WAITING: usize = 1_024;
/// Bytes that are recorded until the program ends; more is a mistake of somebody who has left it on.
const MOST_BYTES: u64 = 1 << 30;
/// Bytes of one recording that is played.
const LINE_BYTES: usize = 32 << 20;

/// Appends recordings to the files of a folder, beside the calls. What was taken is written before it is dropped.
pub(crate) struct FolderTape {
    /// None while it is dropped.
    send: Option<SyncSender<Box<Recording>>>,
    writer: Option<JoinHandle<()>>,
}

impl FolderTape {
    /// Records into `folder`, which is made when it is not there.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("the folder {} cannot be made", folder.display()))?;
        // A folder that cannot be written to is told before the first call.
        let probe = folder.join(format!(".probe-{}", std::process::id()));
        File::create(&probe)
            .and_then(|_| fs::remove_file(&probe))
            .with_context(|| format!("the folder {} for recordings cannot be written", folder.display()))?;
        let (send, receive) = sync_channel::<Box<Recording>>(WAITING);
        let folder = folder.to_owned();
        let write = move || {
            let mut written = 0;
            for recording in receive {
                if written >= MOST_BYTES {
                    continue;
                }
                match append(&folder, &recording) {
                    Ok(bytes) => written += bytes,
                    Err(error) => tracing::warn!(error = format!("{error:#}"), "a call of a model is not recorded"),
                }
                if written >= MOST_BYTES {
                    tracing::warn!(
                        bytes = MOST_BYTES,
                        "no more calls of models are recorded: so much was recorded already"
                    );
                }
            }
        };
        let writer = std::thread::Builder::new().name("recordings".to_owned()).spawn(write).context("no thread")?;
        Ok(Self { send: Some(send), writer: Some(writer) })
    }
}

impl Tape for FolderTape {
    fn record(&self, recording: Recording) {
        let Some(send) = &self.send else { return };
        if send.try_send(Box::new(recording)).is_err() {
            tracing::warn!("a call of a model is not recorded: the disk is too slow");
        }
    }
}

impl Drop for FolderTape {
    fn drop(&mut self) {
        self.send = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the writer of recordings panicked");
        }
    }
}

fn append(folder: &Path, recording: &Recording) -> Result<u64> {
    // A tenant's id is a name that every file system takes.
    let path = folder.join(format!("{}.jsonl", recording.tenant));
    let mut line = serde_json::to_vec(recording).context("it cannot be written as JSON")?;
    line.push(b'\n');
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("{} cannot be opened", path.display()))?;
    file.write_all(&line).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(line.len() as u64)
}

/// Reads all recordings of a folder.
pub(crate) fn cassette(folder: &Path) -> Result<Cassette> {
    let entries = fs::read_dir(folder).with_context(|| format!("the folder {} cannot be read", folder.display()))?;
    let mut paths: Vec<PathBuf> =
        entries.collect::<Result<Vec<_>, _>>()?.into_iter().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    paths.sort();
    if paths.is_empty() {
        bail!("there are no recordings (*.jsonl) in {}; make some by --record", folder.display());
    }
    let mut recordings = Vec::new();
    for path in paths {
        let file = File::open(&path).with_context(|| format!("{} cannot be opened", path.display()))?;
        for (n, line) in BufReader::new(file).lines().enumerate() {
            let at = || format!("{}, line {}", path.display(), n + 1);
            let line = line.with_context(|| format!("{} cannot be read", at()))?;
            if line.len() > LINE_BYTES {
                bail!("{} is longer than {LINE_BYTES} bytes", at());
            }
            if line.trim().is_empty() {
                continue;
            }
            let recording: Recording =
                serde_json::from_str(&line).with_context(|| format!("{} is no recording", at()))?;
            recordings.push(recording);
        }
    }
    Cassette::new(recordings).with_context(|| format!("a recording in {} cannot be played", folder.display()))
}
