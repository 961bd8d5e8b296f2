//! The data folder: where everything lies that outlives the process.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

/// The data folder and the places in it.
#[derive(Clone, Debug)]
pub(crate) struct DataFolder {
    root: PathBuf,
}

/// Held by the one server of a data folder; ends with the process.
pub(crate) struct ServerLock {
    _file: File,
}

impl DataFolder {
    /// The named folder, or the platform's own.
    pub(crate) fn find(named: Option<&Path>) -> Result<Self> {
        let root = match named {
            Some(path) => path.to_owned(),
            None => directories::ProjectDirs::from("", "", "switchboard")
                .context("this platform names no data folder; use --data DIR")?
                .data_dir()
                .to_owned(),
        };
        Ok(Self { root })
    }

    /// Makes the folder, for its owner alone. The rights of one that is there already are its owner's business.
    pub(crate) fn create(&self) -> Result<()> {
        let context = || format!("the data folder {} cannot be made", self.root.display());
        let is_new = !self.root.exists();
        fs::create_dir_all(self.tenants()).with_context(context)?;
        #[cfg(unix)]
        if is_new {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&self.root, fs::Permissions::from_mode(0o700)).with_context(context)?;
        }
        Ok(())
    }

    /// Becomes the one server of this folder.
    pub(crate) fn lock(&self) -> Result<ServerLock> {
        let path = self.root.join("server.lock");
        let open = File::options().create(true).append(true).open(&path);
        let file = open.with_context(|| format!("{} cannot be opened", path.display()))?;
        // `doctor` holds the lock for a moment when it looks whether a server does.
        let held = (0..20).any(|try_number| {
            if try_number > 0 {
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            file.try_lock().is_ok()
        });
        if !held {
            bail!("another server works on the data folder {}; stop it, or use --data DIR", self.root.display());
        }
        Ok(ServerLock { _file: file })
    }

    /// Whether a server works on this folder now.
    pub(crate) fn has_server(&self) -> bool {
        File::options().append(true).open(self.root.join("server.lock")).is_ok_and(|file| file.try_lock().is_err())
    }

    /// Becomes the one that works on this folder, for as long as the answer lives; none when a server does.
    pub(crate) fn try_lock(&self) -> Result<Option<ServerLock>> {
        let path = self.root.join("server.lock");
        let open = File::options().create(true).append(true).open(&path);
        let file = open.with_context(|| format!("{} cannot be opened", path.display()))?;
        Ok(file.try_lock().is_ok().then_some(ServerLock { _file: file }))
    }

    /// Whether nothing was ever stored here.
    pub(crate) fn is_new(&self) -> bool {
        !self.database().exists()
    }

    /// Notes that a first start is under way, so that one that is killed before its end is made up for by the next.
    pub(crate) fn begin_first_start(&self) -> Result<()> {
        let path = self.unfinished();
        File::create(&path)
            .and_then(|file| file.sync_all())
            .with_context(|| format!("{} cannot be made", path.display()))
    }

    /// Whether a first start is due: nothing was ever stored here, or the one that began did not come to its end.
    pub(crate) fn needs_first_start(&self) -> bool {
        self.is_new() || self.unfinished().exists()
    }

    pub(crate) fn end_first_start(&self) -> Result<()> {
        let path = self.unfinished();
        fs::remove_file(&path).with_context(|| format!("{} cannot be removed", path.display()))
    }

    fn unfinished(&self) -> PathBuf {
        self.root.join("first-start")
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.root.join("switchboard.db")
    }

    pub(crate) fn tenants(&self) -> PathBuf {
        self.root.join("tenants")
    }

    pub(crate) fn secrets(&self) -> PathBuf {
        self.root.join("secrets")
    }

    /// The embedding model and the tenants' trained classifiers.
    pub(crate) fn models(&self) -> PathBuf {
        self.root.join("models")
    }

    pub(crate) fn settings(&self) -> PathBuf {
        self.root.join("switchboard.toml")
    }
}
