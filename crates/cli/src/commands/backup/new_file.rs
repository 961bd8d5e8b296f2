use std::{
    fs::File,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use tempfile::{Builder, NamedTempFile};

/// Whether the name stands for standard input or output.
pub(crate) fn is_standard(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// The folder of a file.
pub(super) fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file on its way: it lies under another name beside its place until it is whole, and only its owner can read it.
pub(crate) struct NewFile {
    temporary: NamedTempFile,
    place: PathBuf,
    force: bool,
}

impl NewFile {
    /// A new file for this place; one that is there is replaced only with `force`.
    pub(crate) fn beside(place: &Path, force: bool) -> Result<Self> {
        if !force && place.exists() {
            bail!("{} is there already; name another file, or use --force", place.display());
        }
        let temporary = temporary_in(folder_of(place))?;
        Ok(Self { temporary, place: place.to_owned(), force })
    }

    /// To write into.
    pub(crate) fn as_file(&mut self) -> &mut File {
        self.temporary.as_file_mut()
    }

    /// Puts the whole file in its place, so that it is there after a power cut, too.
    pub(crate) fn put_in_place(self) -> Result<()> {
        let context = || format!("{} cannot be written", self.place.display());
        self.temporary.as_file().sync_all().with_context(context)?;
        let persisted = match self.force {
            true => self.temporary.persist(&self.place),
            false => self.temporary.persist_noclobber(&self.place),
        };
        persisted.map_err(|error| error.error).with_context(context)?;
        sync_folder(folder_of(&self.place)).with_context(context)
    }
}

/// A file for the moment, for its owner alone. One of a process that was killed stays until somebody removes it.
pub(super) fn temporary_in(folder: &Path) -> Result<NamedTempFile> {
    let made = Builder::new().prefix(".switchboard-").suffix(".part").tempfile_in(folder);
    made.with_context(|| format!("no file can be made in {}", folder.display()))
}

/// Makes renames in a folder survive a power cut.
pub(super) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}
