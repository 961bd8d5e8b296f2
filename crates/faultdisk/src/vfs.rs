//! SQLite's table of functions for [`Disk`]: the one file with `unsafe`.
//!
//! What makes it sound, function by function, rests on what SQLite promises of a VFS (<https://sqlite.org/vfs.html>):
//! - `sqlite3_file` pointers are memory of `szOsFile` bytes that SQLite owns. `open` fills in an [`OpenFile`], whose first
//!   field is the `sqlite3_file`; SQLite calls the other functions only after `open` has set `pMethods`, and never again
//!   after `close`, so `handle` points to a live [`Handle`] in all of them. One file is used by one thread at a time.
//! - Texts are NUL-terminated or null; buffers have the length that is passed with them; result pointers are valid.
//! - All state that threads share lies in the disk, behind its mutex. The one exception is the shared memory of a write-ahead
//!   log: SQLite reads and writes it with its own barriers, Rust hands the pointer out and never looks. The disk keeps a
//!   region in its place until the last handle that mapped it has unmapped it.
//!
//! A panic cannot cross into C: in an `extern "C"` function it ends the process, and with it the test.
#![allow(unsafe_code, reason = "SQLite's interface to file systems is one of raw pointers")]

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    ptr, slice,
    sync::{Arc, Once, atomic::Ordering::SeqCst, atomic::fence},
};

use rusqlite::ffi;

use crate::{
    Disk, FileId,
    disk::Refusal,
    locks::{Busy, HandleId, Level},
};

const NAME: &CStr = c"faultdisk";
const LONGEST_PATH: c_int = 512;
/// What SQLite's VFS for Unix says.
const SECTOR_SIZE: c_int = 4096;

/// The name under which SQLite knows this file system. It is registered at the first call.
pub fn vfs() -> &'static str {
    static REGISTER: Once = Once::new();
    REGISTER.call_once(register);
    "faultdisk"
}

fn register() {
    // SAFETY: a null name asks for the default VFS, which lives as long as the process.
    let system = unsafe { ffi::sqlite3_vfs_find(ptr::null()) };
    let table = ffi::sqlite3_vfs {
        iVersion: 2,
        szOsFile: c_int::try_from(size_of::<OpenFile>()).unwrap_or(c_int::MAX),
        mxPathname: LONGEST_PATH,
        pNext: ptr::null_mut(),
        zName: NAME.as_ptr(),
        pAppData: system.cast(),
        xOpen: Some(open),
        xDelete: Some(delete),
        xAccess: Some(access),
        xFullPathname: Some(full_path),
        xDlOpen: None,
        xDlError: None,
        xDlSym: None,
        xDlClose: None,
        xRandomness: Some(randomness),
        xSleep: Some(sleep),
        xCurrentTime: None,
        xGetLastError: None,
        xCurrentTimeInt64: Some(now),
        xSetSystemCall: None,
        xGetSystemCall: None,
        xNextSystemCall: None,
    };
    // SAFETY: the table is complete and leaked, so it outlives every connection.
    let registered = unsafe { ffi::sqlite3_vfs_register(Box::leak(Box::new(table)), 0) };
    assert_eq!(registered, ffi::SQLITE_OK, "SQLite does not take the file system");
}

/// What SQLite holds of an open file.
#[repr(C)]
struct OpenFile {
    base: ffi::sqlite3_file,
    handle: *mut Handle,
}

struct Handle {
    disk: Arc<Disk>,
    file: FileId,
    id: HandleId,
    /// The next sync makes names last too: SQLite's VFS for Unix does so for journals that it opened to write.
    syncs_names: bool,
    /// The name, when the file is to be deleted as it is closed.
    deletes: Option<String>,
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// # Safety
/// `text` is null or NUL-terminated, and lives as long as it is used.
unsafe fn text<'a>(text: *const c_char) -> Option<&'a str> {
    // SAFETY: as the caller promises.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }).and_then(|text| text.to_str().ok())
}

/// # Safety
/// `file` is one that [`open`] has opened and [`close`] has not closed, and no other thread uses it.
unsafe fn handle<'a>(file: *mut ffi::sqlite3_file) -> &'a mut Handle {
    // SAFETY: as the caller promises; `open` put a boxed handle there.
    unsafe { &mut *(*file.cast::<OpenFile>()).handle }
}

fn number(n: impl TryInto<usize>) -> usize {
    n.try_into().unwrap_or(0)
}

unsafe extern "C" fn open(
    _vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite's memory for an open file; without methods it is not closed when opening fails.
    unsafe { (*file).pMethods = ptr::null() };
    // SAFETY: SQLite's text.
    let path = unsafe { text(name) };
    let (disk, name) = match path {
        // A temporary file: of no disk, and never in a log.
        None => (Disk::empty(), None),
        Some(path) => match Disk::find(path) {
            Some((disk, name)) => (disk, Some(name)),
            None => return ffi::SQLITE_CANTOPEN,
        },
    };
    let creates = flags & ffi::SQLITE_OPEN_CREATE != 0;
    let opened = disk.state().open(name.as_deref(), creates);
    let Ok(Some((id_of_file, id))) = opened else { return ffi::SQLITE_CANTOPEN };
    let journals = ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_SUPER_JOURNAL | ffi::SQLITE_OPEN_WAL;
    let handle = Handle {
        disk,
        file: id_of_file,
        id,
        syncs_names: creates && flags & journals != 0,
        deletes: name.filter(|_| flags & ffi::SQLITE_OPEN_DELETEONCLOSE != 0),
    };
    // SAFETY: SQLite's memory has room for an `OpenFile` (`szOsFile`), and `out_flags` is null or valid.
    unsafe {
        (*file.cast::<OpenFile>()).handle = Box::into_raw(Box::new(handle));
        (*file).pMethods = &raw const METHODS;
        if !out_flags.is_null() {
            *out_flags = flags;
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: an open file, which is not used any more after this; `open` made the box.
    let handle = unsafe { Box::from_raw((*file.cast::<OpenFile>()).handle) };
    let mut state = handle.disk.state();
    state.file(handle.file).locks.unlock(handle.id, Level::None);
    if let Some(name) = &handle.deletes {
        state.delete(name, false);
    }
    handle.disk.closed(state);
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, to: *mut c_void, amount: c_int, offset: i64) -> c_int {
    // SAFETY: an open file, and a buffer of `amount` bytes.
    let (handle, to) = unsafe { (handle(file), slice::from_raw_parts_mut(to.cast::<u8>(), number(amount))) };
    let mut state = handle.disk.state();
    let bytes = &state.file(handle.file).bytes;
    let found = bytes.get(number(offset)..).unwrap_or_default();
    let found = &found[..found.len().min(to.len())];
    to[..found.len()].copy_from_slice(found);
    to[found.len()..].fill(0);
    if found.len() < to.len() { ffi::SQLITE_IOERR_SHORT_READ } else { ffi::SQLITE_OK }
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, from: *const c_void, amount: c_int, offset: i64) -> c_int {
    // SAFETY: an open file, and a buffer of `amount` bytes.
    let (handle, from) = unsafe { (handle(file), slice::from_raw_parts(from.cast::<u8>(), number(amount))) };
    answer(handle.disk.state().write(handle.file, number(offset), from))
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    answer(handle.disk.state().truncate(handle.file, number(size)))
}

fn answer(outcome: Result<(), Refusal>) -> c_int {
    match outcome {
        Ok(()) => ffi::SQLITE_OK,
        Err(Refusal::NoSpace) => ffi::SQLITE_FULL,
        Err(Refusal::Limit) => ffi::SQLITE_IOERR_WRITE,
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    handle.disk.state().sync(handle.file, handle.syncs_names);
    handle.syncs_names = false;
    ffi::SQLITE_OK
}

unsafe extern "C" fn size(file: *mut ffi::sqlite3_file, size: *mut i64) -> c_int {
    // SAFETY: an open file, and a valid place for the result.
    unsafe {
        let handle = handle(file);
        *size = i64::try_from(handle.disk.state().file(handle.file).bytes.len()).unwrap_or(i64::MAX);
    }
    ffi::SQLITE_OK
}

fn level(level: c_int) -> Level {
    match level {
        ffi::SQLITE_LOCK_NONE => Level::None,
        ffi::SQLITE_LOCK_SHARED => Level::Shared,
        ffi::SQLITE_LOCK_RESERVED => Level::Reserved,
        ffi::SQLITE_LOCK_PENDING => Level::Pending,
        _ => Level::Exclusive,
    }
}

fn got(outcome: Result<(), Busy>) -> c_int {
    if outcome.is_ok() { ffi::SQLITE_OK } else { ffi::SQLITE_BUSY }
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, to: c_int) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    got(handle.disk.state().file(handle.file).locks.lock(handle.id, level(to)))
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, to: c_int) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    handle.disk.state().file(handle.file).locks.unlock(handle.id, level(to));
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, reserved: *mut c_int) -> c_int {
    // SAFETY: an open file, and a valid place for the result.
    unsafe {
        let handle = handle(file);
        *reserved = handle.disk.state().file(handle.file).locks.is_reserved().into();
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_control(_file: *mut ffi::sqlite3_file, _what: c_int, _with: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_file: *mut ffi::sqlite3_file) -> c_int {
    SECTOR_SIZE
}

/// The same as SQLite's VFS for Unix on Linux: a write leaves the bytes beside it alone. Saying less would make SQLite
/// write more carefully than it does in the product.
unsafe extern "C" fn device_characteristics(_file: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    size: c_int,
    extend: c_int,
    to: *mut *mut c_void,
) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    let mut state = handle.disk.state();
    let (region, extend) = (number(region), extend != 0);
    // On a real disk the index is a file, too, though nothing of it has to last.
    let grows = extend && !state.file(handle.file).memory.has(region);
    let (mapped, code) = match if grows { state.take(0) } else { Ok(()) } {
        Err(_) => (None, ffi::SQLITE_IOERR_SHMSIZE),
        Ok(()) => (state.file(handle.file).memory.map(handle.id, region, number(size), extend), ffi::SQLITE_OK),
    };
    // SAFETY: a valid place for the result. The region stays where it is until this handle unmaps it.
    unsafe { *to = mapped.map_or(ptr::null_mut(), <*mut u64>::cast) };
    code
}

unsafe extern "C" fn shm_lock(file: *mut ffi::sqlite3_file, offset: c_int, count: c_int, flags: c_int) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    let mut state = handle.disk.state();
    let memory = &mut state.file(handle.file).memory;
    let slots = number(offset)..number(offset) + number(count);
    if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
        memory.unlock(handle.id, slots);
        return ffi::SQLITE_OK;
    }
    got(memory.lock(handle.id, slots, flags & ffi::SQLITE_SHM_EXCLUSIVE != 0))
}

unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
    fence(SeqCst);
    // SAFETY: an open file. SQLite's VFS for Unix takes its mutex as well.
    drop(unsafe { handle(file) }.disk.state());
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, _delete: c_int) -> c_int {
    // SAFETY: an open file, whose regions SQLite does not touch any more.
    let handle = unsafe { handle(file) };
    handle.disk.state().file(handle.file).memory.unmap(handle.id);
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(_vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    // SAFETY: SQLite's text.
    let Some((disk, name)) = unsafe { text(name) }.and_then(Disk::find) else { return ffi::SQLITE_IOERR_DELETE };
    let was_there = disk.state().delete(&name, sync != 0);
    if was_there { ffi::SQLITE_OK } else { ffi::SQLITE_IOERR_DELETE_NOENT }
}

/// As SQLite's VFS for Unix: an empty file counts as none.
unsafe extern "C" fn access(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    _flags: c_int,
    result: *mut c_int,
) -> c_int {
    // SAFETY: SQLite's text.
    let found = unsafe { text(name) }.and_then(Disk::find).is_some_and(|(disk, name)| {
        let mut state = disk.state();
        state.find(&name).is_some_and(|file| !state.file(file).bytes.is_empty())
    });
    // SAFETY: a valid place for the result.
    unsafe { *result = found.into() };
    ffi::SQLITE_OK
}

unsafe extern "C" fn full_path(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    to: *mut c_char,
) -> c_int {
    // SAFETY: SQLite's text, and a buffer of `room` bytes.
    let (name, to) = unsafe { (CStr::from_ptr(name), slice::from_raw_parts_mut(to.cast::<u8>(), number(room))) };
    let name = name.to_bytes_with_nul();
    if name.len() > to.len() {
        return ffi::SQLITE_CANTOPEN;
    }
    to[..name.len()].copy_from_slice(name);
    ffi::SQLITE_OK
}

/// Time and randomness are the machine's own: the default VFS gives them.
macro_rules! by_the_system {
    ($($name:ident => $field:ident($($argument:ident: $kind:ty),*);)*) => {$(
        unsafe extern "C" fn $name(vfs: *mut ffi::sqlite3_vfs, $($argument: $kind),*) -> c_int {
            // SAFETY: `register` put the default VFS there; the arguments are passed on as they came.
            unsafe {
                let system = (*vfs).pAppData.cast::<ffi::sqlite3_vfs>();
                (*system).$field.map_or(ffi::SQLITE_ERROR, |function| function(system, $($argument),*))
            }
        }
    )*};
}

by_the_system! {
    randomness => xRandomness(amount: c_int, to: *mut c_char);
    sleep => xSleep(microseconds: c_int);
    now => xCurrentTimeInt64(to: *mut i64);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rusqlite::{Connection, ErrorCode, OpenFlags};

    use super::*;
    use crate::{Entry, Operation, Platter, Survival};

    fn connect(disk: &Disk) -> Connection {
        Connection::open_with_flags_and_vfs(disk.path("a.db"), OpenFlags::default(), vfs()).unwrap()
    }

    fn sum(connection: &Connection) -> i64 {
        connection.query_row("SELECT coalesce(sum(n), 0) FROM numbers", [], |row| row.get(0)).unwrap()
    }

    fn prepared(disk: &Disk) -> Connection {
        let connection = connect(disk);
        connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE numbers (n INTEGER) STRICT").unwrap();
        connection
    }

    #[test]
    fn several_connections_share_a_write_ahead_log() {
        let disk = Disk::empty();
        let (writer, reader) = (prepared(&disk), connect(&disk));
        let begun = reader.unchecked_transaction().unwrap();
        assert_eq!(sum(&reader), 0);
        writer.execute("INSERT INTO numbers VALUES (7)", []).unwrap();
        assert_eq!(sum(&reader), 0, "a reader sees what was there when it began");
        begun.commit().unwrap();
        assert_eq!(sum(&reader), 7);
        writer.execute_batch("BEGIN IMMEDIATE").unwrap();
        reader.busy_timeout(Duration::ZERO).unwrap();
        let refused = reader.execute("INSERT INTO numbers VALUES (8)", []).unwrap_err();
        assert_eq!(refused.sqlite_error_code(), Some(ErrorCode::DatabaseBusy));
        drop((writer, reader));
        assert!(disk.wait_until_open(0, Duration::from_secs(10)));
        assert_eq!(disk.image().keys().collect::<Vec<_>>(), ["a.db"], "the last one has put the log away");
        assert_eq!(sum(&connect(&disk)), 7);
    }

    #[test]
    fn what_was_committed_outlives_every_power_cut() {
        let disk = Disk::empty();
        let connection = prepared(&disk);
        for n in 1..=3_i64 {
            connection.execute("INSERT INTO numbers VALUES (?1)", [n]).unwrap();
            disk.mark(usize::try_from(n).unwrap());
        }
        let (mut platter, mut acknowledged) = (Platter::default(), 0);
        for entry in disk.log() {
            match entry {
                Entry::Mark(mark) => acknowledged = i64::try_from(mark).unwrap(),
                Entry::Did(operation) => {
                    platter.play(&operation);
                    if acknowledged > 0 {
                        let survivor = Disk::with(platter.cut(Survival::Some(acknowledged.unsigned_abs())));
                        assert!(sum(&connect(&survivor)) >= (1..=acknowledged).sum(), "{operation:?}");
                    }
                }
            }
        }
        assert_eq!(acknowledged, 3);
    }

    #[test]
    fn a_full_disk_is_told_and_leaves_the_rest_alone() {
        let disk = Disk::empty();
        let connection = prepared(&disk);
        connection.execute("INSERT INTO numbers VALUES (1)", []).unwrap();
        disk.fill_up(disk.takes(), 1, Refusal::NoSpace);
        let refused = connection.execute("INSERT INTO numbers VALUES (2)", []).unwrap_err();
        assert_eq!(refused.sqlite_error_code(), Some(ErrorCode::DiskFull));
        assert_eq!((sum(&connection), disk.refused()), (1, 1));
        connection.execute("INSERT INTO numbers VALUES (4)", []).unwrap();
        assert_eq!(sum(&connection), 5);
        disk.set_capacity(Some(disk.used()));
        let large = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
                     INSERT INTO numbers SELECT i FROM n";
        assert_eq!(connection.execute(large, []).unwrap_err().sqlite_error_code(), Some(ErrorCode::DiskFull));
        assert!(disk.allocate("other", 0) && !disk.allocate("other", 1));
        disk.set_capacity(None);
        connection.execute(large, []).unwrap();
    }

    #[test]
    fn a_commit_is_written_synced_and_told_in_this_order() {
        let disk = Disk::empty();
        let connection = prepared(&disk);
        let before = disk.log().len();
        connection.execute("INSERT INTO numbers VALUES (1)", []).unwrap();
        let log = disk.log();
        assert!(matches!(log[before], Entry::Did(Operation::Write { .. })));
        assert!(matches!(log[log.len() - 1], Entry::Did(Operation::Sync { .. })), "{:?}", log[log.len() - 1]);
    }
}
