//! Puts a staged restore in place, so that a kill at any moment leaves the old data or the new.
//!
//! Everything is staged, checked and synced in a folder of the data folder first. One file says that it is complete: from
//! then on the new data are the ones, and whoever opens the data folder next finishes what a kill has left.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use switchboard_local::companions;

use super::{
    DATABASE, PARTS,
    new_file::{NewFile, folder_of, sync_folder},
};
use crate::data::{DataFolder, ServerLock};

const STAGED: &str = "restore-staged";
const COMMIT: &str = "restore-commit";
/// The mark of a first start that did not come to its end: a restore ends that, too.
const FIRST_START: &str = "first-start";

/// What the commit file says.
#[derive(Debug, Serialize, Deserialize)]
struct Plan {
    /// The folder in which the old data are kept.
    aside: String,
    /// The parts that are replaced.
    parts: Vec<String>,
}

/// The folder in which a restore is put together.
pub(super) struct Stage {
    root: PathBuf,
}

impl Stage {
    /// An empty one; what an earlier restore left there without committing is removed.
    pub(super) fn new(data: &DataFolder) -> Result<Self> {
        let stage = Self { root: data.root().to_owned() };
        stage.clear()?;
        make_private(&stage.folder())?;
        Ok(stage)
    }

    fn folder(&self) -> PathBuf {
        self.root.join(STAGED)
    }

    /// Where a part's file is put together.
    pub(super) fn path(&self, part: &str) -> PathBuf {
        self.folder().join(part)
    }

    /// Makes the file of a part, for its owner alone.
    pub(super) fn create(&self, part: &str) -> Result<File> {
        let path = self.path(part);
        make_private(folder_of(&path))?;
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&path).with_context(|| format!("{} cannot be made", path.display()))
    }

    pub(super) fn clear(&self) -> Result<()> {
        let folder = self.folder();
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("{} cannot be removed", folder.display()))
            }
            _ => Ok(()),
        }
    }

    /// Makes what is staged the data of the folder, and keeps the old data in the folder `aside` of it.
    pub(super) fn commit(self, aside: &str) -> Result<()> {
        let staged = self.folder();
        sync_all(&staged).with_context(|| format!("{} cannot be synced", staged.display()))?;
        for part in PARTS {
            same_disk(&self.root, &self.root.join(part))?;
        }
        let parts = PARTS.iter().filter(|part| staged.join(part).exists()).map(|part| (*part).to_owned()).collect();
        let plan = Plan { aside: aside.to_owned(), parts };
        let mut file = NewFile::beside(&self.root.join(COMMIT), true)?;
        file.as_file().write_all(&serde_json::to_vec(&plan)?)?;
        file.put_in_place()?;
        finish(&self.root)
    }
}

/// Whether anything that a restore would replace is in the folder.
pub(super) fn has_data(data: &DataFolder) -> bool {
    let is_there = |part: &&str| {
        let path = data.root().join(part);
        match fs::read_dir(&path) {
            Ok(mut entries) => entries.next().is_some(),
            Err(_) => path.exists(),
        }
    };
    PARTS.iter().any(is_there)
}

/// Finishes a restore that was killed after it was complete, unless a server does so.
pub(crate) fn finish_interrupted(data: &DataFolder) -> Result<()> {
    if data.root().join(COMMIT).exists() {
        let lock = data.lock().context("a restore is under way")?;
        finish_under(&lock, data)?;
    }
    Ok(())
}

/// The same for who holds the lock.
pub(crate) fn finish_under(_lock: &ServerLock, data: &DataFolder) -> Result<()> {
    match data.root().join(COMMIT).exists() {
        true => finish(data.root()),
        false => Ok(()),
    }
}

/// Each step finds what is done already, so it may be killed and begun again anywhere.
fn finish(root: &Path) -> Result<()> {
    let commit = root.join(COMMIT);
    let bytes = fs::read(&commit).with_context(|| format!("{} cannot be read", commit.display()))?;
    let plan: Plan = serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", commit.display()))?;
    if plan.aside.contains('/') || plan.parts.iter().any(|part| !PARTS.contains(&part.as_str())) {
        bail!("{} is damaged", commit.display());
    }
    let (staged, aside) = (root.join(STAGED), root.join(&plan.aside));
    let context =
        || format!("the restore cannot be finished; mend the cause, then run any command on {}", root.display());
    let work = || -> io::Result<()> {
        for part in &plan.parts {
            let new = staged.join(part);
            // No longer there: it is in its place.
            if !new.exists() {
                continue;
            }
            let place = root.join(part);
            if part == DATABASE {
                for old in companions(&place) {
                    move_aside(root, &old, &aside)?;
                }
            }
            move_aside(root, &place, &aside)?;
            fs::create_dir_all(folder_of(&place))?;
            fs::rename(&new, &place)?;
            sync_folder(folder_of(&place))?;
        }
        move_aside(root, &root.join(FIRST_START), &aside)?;
        sync_folder(root)?;
        fs::remove_file(&commit)?;
        sync_folder(root)?;
        fs::remove_dir_all(&staged)
    };
    work().with_context(context)
}

fn move_aside(root: &Path, old: &Path, aside: &Path) -> io::Result<()> {
    let Ok(inside) = old.strip_prefix(root) else { return Ok(()) };
    if !old.exists() {
        return Ok(());
    }
    if fs::read_dir(old).is_ok_and(|mut entries| entries.next().is_none()) {
        return fs::remove_dir(old);
    }
    let to = aside.join(inside);
    make_private(folder_of(&to)).map_err(io::Error::other)?;
    fs::rename(old, &to)?;
    sync_folder(folder_of(&to))
}

fn make_private(folder: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).with_context(|| format!("{} cannot be made", folder.display()))
}

/// Refuses parts that lie on another disk, such as mounts: they cannot be put in place by a rename.
fn same_disk(root: &Path, part: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let Ok(of_part) = fs::metadata(part) else { return Ok(()) };
        if fs::metadata(root)?.dev() != of_part.dev() {
            bail!("{} lies on another disk than {}: restore without that mount", part.display(), root.display());
        }
    }
    Ok(())
}

/// Makes everything in a folder survive a power cut.
fn sync_all(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => sync_all(&entry.path())?,
            false => File::open(entry.path())?.sync_all()?,
        }
    }
    sync_folder(folder)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// All files of a data folder's parts with what is in them, and those of `aside`.
    fn contents(root: &Path) -> BTreeMap<String, String> {
        fn walk(root: &Path, folder: &Path, found: &mut BTreeMap<String, String>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => walk(root, &path, found),
                    false => {
                        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                        found.insert(name, fs::read_to_string(&path).unwrap());
                    }
                }
            }
        }
        let mut found = BTreeMap::new();
        walk(root, root, &mut found);
        found.remove("server.lock");
        found
    }

    fn put(root: &Path, name: &str, text: &str) {
        fs::create_dir_all(folder_of(&root.join(name))).unwrap();
        fs::write(root.join(name), text).unwrap();
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    const DONE: &[(&str, &str)] = &[
        ("switchboard.db", "new"),
        ("pepper", "new"),
        ("tenants/b/config.json", "new"),
        ("secrets/a/x", "old"),
        ("aside/switchboard.db", "old"),
        ("aside/switchboard.db-wal", "old"),
        ("aside/tenants/a/config.json", "old"),
        ("aside/pepper", "old"),
    ];

    fn committed() -> (tempfile::TempDir, DataFolder) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["switchboard.db", "switchboard.db-wal", "pepper", "tenants/a/config.json", "secrets/a/x"] {
            put(root, name, "old");
        }
        for name in ["switchboard.db", "pepper", "tenants/b/config.json"] {
            put(root, &format!("{STAGED}/{name}"), "new");
        }
        put(root, COMMIT, r#"{"aside":"aside","parts":["switchboard.db","pepper","tenants"]}"#);
        let data = DataFolder::find(Some(root)).unwrap();
        (folder, data)
    }

    #[test]
    fn whatever_was_done_before_a_kill_the_next_command_makes_it_whole() {
        // The renames of `finish` in their order: a kill may come after any of them.
        let steps = [
            ("switchboard.db-wal", "aside/switchboard.db-wal"),
            ("switchboard.db", "aside/switchboard.db"),
            ("restore-staged/switchboard.db", "switchboard.db"),
            ("pepper", "aside/pepper"),
            ("restore-staged/pepper", "pepper"),
            ("tenants", "aside/tenants"),
            ("restore-staged/tenants", "tenants"),
        ];
        for killed_after in 0..=steps.len() {
            let (folder, data) = committed();
            let root = folder.path();
            for (from, to) in &steps[..killed_after] {
                fs::create_dir_all(folder_of(&root.join(to))).unwrap();
                fs::rename(root.join(from), root.join(to)).unwrap();
            }
            finish_interrupted(&data).unwrap();
            assert_eq!(contents(root), map(DONE), "killed after {killed_after}");
            finish_interrupted(&data).unwrap();
            assert_eq!(contents(root), map(DONE), "a second time changes nothing");
        }
    }

    #[test]
    fn what_was_staged_and_not_committed_changes_nothing_and_goes_with_the_next_restore() {
        let (folder, data) = committed();
        fs::remove_file(folder.path().join(COMMIT)).unwrap();
        finish_interrupted(&data).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("pepper")).unwrap(), "old");
        Stage::new(&data).unwrap();
        assert!(!folder.path().join(STAGED).join("pepper").exists());
    }

    #[test]
    fn a_damaged_plan_moves_nothing() {
        for plan in ["", "{}", r#"{"aside":"../x","parts":[]}"#, r#"{"aside":"a","parts":["../../etc"]}"#] {
            let (folder, data) = committed();
            put(folder.path(), COMMIT, plan);
            let before = contents(folder.path());
            assert!(finish_interrupted(&data).is_err(), "{plan}");
            assert_eq!(contents(folder.path()), before, "{plan}");
        }
    }
}
