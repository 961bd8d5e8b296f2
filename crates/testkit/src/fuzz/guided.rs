//! The same targets under libFuzzer, which sees by the coverage what an input reaches, and goes on from there.
//!
//! `cargo xtask fuzz` compiles this instead of the short run. It starts the tests once to hear which targets they have, and
//! then once for each target, in a folder that is the target's own.
#![allow(unsafe_code, reason = "libFuzzer is C++, and its callback takes nothing along")]

use std::{
    cell::Cell,
    env,
    ffi::{CString, c_char, c_int},
    fs, process, ptr, slice, thread,
};

use libfuzzer_sys as _;

/// The environment variable that names the target to run.
const TARGET: &str = "SWITCHBOARD_FUZZ_TARGET";
/// The one with libFuzzer's options, divided by blanks.
const OPTIONS: &str = "SWITCHBOARD_FUZZ_OPTIONS";

type Property = *const dyn Fn(&[u8]);

thread_local! {
    static PROPERTY: Cell<Option<Property>> = const { Cell::new(None) };
}

unsafe extern "C" {
    fn LLVMFuzzerRunDriver(
        argc: *mut c_int,
        argv: *mut *mut *mut c_char,
        callback: extern "C" fn(*const u8, usize) -> c_int,
    ) -> c_int;
}

/// Tells of the target when none is wanted; fuzzes it, and does not come back, when it is the one.
#[allow(clippy::print_stderr, reason = "xtask reads it")]
pub(super) fn run(target: &str, seeds: &[&[u8]], property: &dyn Fn(&[u8])) {
    let Ok(wanted) = env::var(TARGET) else {
        let thread = thread::current();
        eprintln!("fuzz target {target} of {}", thread.name().expect("a test's thread has its name"));
        return;
    };
    if wanted != target {
        return;
    }
    let kept = super::corpus(target);
    for (n, input) in kept.iter().map(Vec::as_slice).chain(seeds.iter().copied()).enumerate() {
        fs::write(format!("corpus/seed-{n}"), input).expect("the target's folder has a corpus");
    }
    let options = env::var(OPTIONS).unwrap_or_default();
    let arguments: Vec<CString> =
        [target].into_iter().chain(options.split_whitespace()).map(|one| CString::new(one).expect("no NUL")).collect();
    let mut argv: Vec<*mut c_char> =
        arguments.iter().map(|one| one.as_ptr().cast_mut()).chain([ptr::null_mut()]).collect();
    let mut argc = c_int::try_from(arguments.len()).expect("few options");
    let mut argv = argv.as_mut_ptr();
    // SAFETY: only the lifetime is dropped, and the process ends in this function, before the property does.
    let property = unsafe { std::mem::transmute::<*const (dyn Fn(&[u8]) + '_), Property>(property) };
    PROPERTY.set(Some(property));
    // SAFETY: `argv` has `argc` texts that end with NUL and a null pointer behind them, and all live until the process ends.
    let status = unsafe { LLVMFuzzerRunDriver(&raw mut argc, &raw mut argv, one_input) };
    process::exit(status);
}

/// A panic cannot leave it, so it ends the process, and libFuzzer keeps the input.
extern "C" fn one_input(bytes: *const u8, length: usize) -> c_int {
    // SAFETY: libFuzzer lends so many bytes for the time of the call, and none at a null pointer.
    let input = if length == 0 { &[] } else { unsafe { slice::from_raw_parts(bytes, length) } };
    let property = PROPERTY.get().expect("libFuzzer calls back in the thread that called it");
    // SAFETY: it was made of a reference in `run`, which has not ended.
    unsafe { (*property)(input) };
    0
}
