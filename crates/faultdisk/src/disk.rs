//! The disk as programs see it: files, their locks, a log of what changed, and the lack of room.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{
        Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::locks::{FileLocks, HandleId, SharedMemory};

/// A file's content; a name points to it.
pub type FileId = u64;

/// The files of a disk by name.
pub type Image = BTreeMap<String, Vec<u8>>;

/// Something that changes what is on the disk, or makes a change last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new empty file.
    Create {
        /// Its name.
        name: String,
        /// The file.
        file: FileId,
    },
    /// Bytes at a place of a file.
    Write {
        /// The file.
        file: FileId,
        /// The place.
        offset: usize,
        /// The bytes.
        bytes: Arc<[u8]>,
    },
    /// A file cut, or made longer with zeros.
    Truncate {
        /// The file.
        file: FileId,
        /// Its new length in bytes.
        size: usize,
    },
    /// What was done to a file before lasts from now on.
    Sync {
        /// The file.
        file: FileId,
        /// Whether the names of all files last too.
        names: bool,
    },
    /// A name taken away.
    Delete {
        /// The name.
        name: String,
        /// Whether that lasts from now on, with all other names.
        sync: bool,
    },
}

/// A line of a disk's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// An operation, in the order in which they were done.
    Did(Operation),
    /// [`Disk::mark`] was called.
    Mark(usize),
}

/// How an operation is refused that takes space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refusal {
    /// There is no space left on the device; SQLite calls it `SQLITE_FULL`.
    #[default]
    NoSpace,
    /// A quota is used up, or a limit on the size of files is reached; SQLite calls it `SQLITE_IOERR_WRITE`.
    Limit,
}

/// A disk in memory. It is gone when the last file on it is closed and the last `Arc` dropped.
pub struct Disk {
    name: String,
    state: Mutex<State>,
    closed: Condvar,
}

#[derive(Default)]
pub(crate) struct State {
    names: BTreeMap<String, FileId>,
    files: BTreeMap<FileId, OneFile>,
    last: u64,
    open: usize,
    log: Vec<Entry>,
    /// Space taken by [`Disk::allocate`].
    allocated: BTreeMap<String, usize>,
    capacity: Option<usize>,
    /// Operations that take space, so far.
    takes: u64,
    /// Those of these numbers are refused.
    full: std::ops::Range<u64>,
    refusal: Refusal,
    refused: u64,
}

#[derive(Default)]
pub(crate) struct OneFile {
    pub(crate) bytes: Vec<u8>,
    pub(crate) locks: FileLocks,
    pub(crate) memory: SharedMemory,
    /// Whether what happens to it goes into the log: not for temporary files without a name.
    named: bool,
}

static DISKS: LazyLock<Mutex<HashMap<String, Weak<Disk>>>> = LazyLock::new(Mutex::default);
static NUMBER: AtomicU64 = AtomicU64::new(0);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Disk {
    /// An empty disk.
    pub fn empty() -> Arc<Self> {
        Self::with(Image::new())
    }

    /// A disk with these files, all of them lasting.
    pub fn with(image: Image) -> Arc<Self> {
        let name = format!("/faultdisk-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut state = State::default();
        for (name, bytes) in image {
            let file = state.create(&name);
            state.files.insert(file, OneFile { bytes, named: true, ..OneFile::default() });
        }
        let disk = Arc::new(Self { name: name.clone(), state: Mutex::new(state), closed: Condvar::new() });
        lock(&DISKS).insert(name, Arc::downgrade(&disk));
        disk
    }

    /// The disk that a path leads to, and the name of the file on it.
    pub(crate) fn find(path: &str) -> Option<(Arc<Self>, String)> {
        let (disk, file) = path.rsplit_once('/')?;
        Some((lock(&DISKS).get(disk)?.upgrade()?, file.to_owned()))
    }

    /// The path by which SQLite reaches a file of this disk through [`crate::vfs`].
    pub fn path(&self, file: &str) -> PathBuf {
        format!("{}/{file}", self.name).into()
    }

    /// Puts a mark into the log, after all operations that are done by now.
    pub fn mark(&self, mark: usize) {
        self.state().log.push(Entry::Mark(mark));
    }

    /// All that was done since the disk was made. What it was made with is not in it.
    pub fn log(&self) -> Vec<Entry> {
        self.state().log.clone()
    }

    /// All files with all that was written, whether it lasts or not: what a process finds that starts after another died.
    pub fn image(&self) -> Image {
        let state = self.state();
        state.names.iter().map(|(name, file)| (name.clone(), state.files[file].bytes.clone())).collect()
    }

    /// Waits until only `open` files are open; `false` when more still are after that time.
    pub fn wait_until_open(&self, open: usize, limit: Duration) -> bool {
        let state = self.state();
        let waited = self.closed.wait_timeout_while(state, limit, |state| state.open > open);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// How many files are open: a connection with a write-ahead log has two.
    pub fn open_files(&self) -> usize {
        self.state().open
    }

    /// How many operations took space, or tried to: writes, changes of a length, new files, allocations.
    pub fn takes(&self) -> u64 {
        self.state().takes
    }

    /// From operation `from` on, counted as in [`Disk::takes`], the next `operations` that take space are refused. Half of
    /// the writes leave a part of their bytes there, as on a disk that fills up in the middle of one.
    pub fn fill_up(&self, from: u64, operations: u64, refusal: Refusal) {
        let mut state = self.state();
        state.full = from..from.saturating_add(operations);
        state.refusal = refusal;
    }

    /// Ends [`Disk::fill_up`].
    pub fn make_room(&self) {
        self.state().full = 0..0;
    }

    /// How many operations were refused.
    pub fn refused(&self) -> u64 {
        self.state().refused
    }

    /// Sets how many bytes the disk holds; `None` is all that there are.
    pub fn set_capacity(&self, bytes: Option<usize>) {
        self.state().capacity = bytes;
    }

    /// Bytes of all files and allocations.
    pub fn used(&self) -> usize {
        self.state().used()
    }

    /// Takes space without a file of SQLite's; `false` when there is none.
    pub fn allocate(&self, name: &str, bytes: usize) -> bool {
        let mut state = self.state();
        let taken = state.take(bytes).is_ok();
        if taken {
            state.allocated.insert(name.to_owned(), bytes);
        }
        taken
    }

    /// Whether that space is taken.
    pub fn is_allocated(&self, name: &str) -> bool {
        self.state().allocated.contains_key(name)
    }

    /// Gives space back.
    pub fn free(&self, name: &str) {
        self.state().allocated.remove(name);
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Tells those who wait that a file was closed.
    pub(crate) fn closed(&self, mut state: MutexGuard<'_, State>) {
        state.open -= 1;
        drop(state);
        self.closed.notify_all();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        lock(&DISKS).remove(&self.name);
    }
}

impl State {
    pub(crate) fn find(&self, name: &str) -> Option<FileId> {
        self.names.get(name).copied()
    }

    /// Opens a file, made if need be; without a name it is a temporary one.
    pub(crate) fn open(&mut self, name: Option<&str>, create: bool) -> Result<Option<(FileId, HandleId)>, Refusal> {
        let file = match name {
            None => {
                self.last += 1;
                self.files.insert(self.last, OneFile::default());
                self.last
            }
            Some(name) => match (self.find(name), create) {
                (Some(file), _) => file,
                (None, false) => return Ok(None),
                (None, true) => {
                    self.take(0)?;
                    let file = self.create(name);
                    self.log.push(Entry::Did(Operation::Create { name: name.to_owned(), file }));
                    file
                }
            },
        };
        self.last += 1;
        self.open += 1;
        Ok(Some((file, self.last)))
    }

    fn create(&mut self, name: &str) -> FileId {
        self.last += 1;
        self.files.insert(self.last, OneFile { named: true, ..OneFile::default() });
        self.names.insert(name.to_owned(), self.last);
        self.last
    }

    pub(crate) fn file(&mut self, file: FileId) -> &mut OneFile {
        // A file that was deleted while it was open is kept until the disk is gone.
        self.files.entry(file).or_default()
    }

    pub(crate) fn write(&mut self, file: FileId, offset: usize, bytes: &[u8]) -> Result<(), Refusal> {
        let grows = (offset + bytes.len()).saturating_sub(self.file(file).bytes.len());
        let outcome = self.take(grows);
        let bytes = match outcome {
            Err(_) if self.takes.is_multiple_of(2) => return outcome,
            Err(_) => &bytes[..bytes.len() / 2],
            Ok(()) => bytes,
        };
        put(&mut self.file(file).bytes, offset, bytes);
        self.did(file, Operation::Write { file, offset, bytes: bytes.into() });
        outcome
    }

    pub(crate) fn truncate(&mut self, file: FileId, size: usize) -> Result<(), Refusal> {
        let grows = size.saturating_sub(self.file(file).bytes.len());
        self.take(grows)?;
        self.file(file).bytes.resize(size, 0);
        self.did(file, Operation::Truncate { file, size });
        Ok(())
    }

    pub(crate) fn sync(&mut self, file: FileId, names: bool) {
        self.did(file, Operation::Sync { file, names });
    }

    /// Whether there was such a file.
    pub(crate) fn delete(&mut self, name: &str, sync: bool) -> bool {
        let was_there = self.names.remove(name).is_some();
        if was_there {
            self.log.push(Entry::Did(Operation::Delete { name: name.to_owned(), sync }));
        }
        was_there
    }

    /// Counts an operation that takes so many bytes more, and refuses it when there is no room.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), Refusal> {
        let number = self.takes;
        self.takes += 1;
        let over = bytes > 0 && self.capacity.is_some_and(|capacity| self.used() + bytes > capacity);
        if over || self.full.contains(&number) {
            self.refused += 1;
            return Err(self.refusal);
        }
        Ok(())
    }

    fn used(&self) -> usize {
        let files: usize =
            self.names.values().filter_map(|file| self.files.get(file)).map(|file| file.bytes.len()).sum();
        files + self.allocated.values().sum::<usize>()
    }

    fn did(&mut self, file: FileId, operation: Operation) {
        if self.file(file).named {
            self.log.push(Entry::Did(operation));
        }
    }
}

/// Writes into `file`, which grows with zeros when it has to.
pub(crate) fn put(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset..end].copy_from_slice(bytes);
}
