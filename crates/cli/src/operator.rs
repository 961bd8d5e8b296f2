//! Who sits at the command line, for the audit log.

use switchboard_core::access::audit::{Actor, By, Label};

/// Whoever runs this command: his name as the environment has it, and his number as the system has it.
pub(crate) fn by() -> By {
    let named = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let user = named.filter(|name| !name.is_empty()).unwrap_or_else(|| "somebody".to_owned());
    By::new(Actor::CommandLine { user: Label::new(&user), uid: uid() })
}

/// The owner of this process, where the system has a file that says so.
fn uid() -> Option<u32> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata("/proc/self").ok().map(|file| file.uid())
    }
    #[cfg(not(unix))]
    None
}
