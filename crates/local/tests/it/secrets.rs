//! What only secrets of files and of the environment promise.

use std::process::Command;

use secrecy::ExposeSecret;
use switchboard_core::ports::Secrets;
use switchboard_local::FolderSecrets;
use switchboard_testkit::sample::parsed;
use tempfile::TempDir;

/// Where the test below finds itself in the environment that it wants.
const VARIABLE: &str = "SWITCHBOARD_SECRET_CONTRACT_A_B";

async fn secret(folder: &TempDir, name: &str) -> Option<String> {
    let secrets = FolderSecrets::new(folder.path().to_owned());
    secrets.secret(&parsed(name)).await.unwrap().map(|secret| secret.expose_secret().to_owned())
}

#[tokio::test]
async fn what_an_editor_leaves_at_the_end_of_a_file_is_no_part_of_the_secret() {
    let folder = TempDir::new().unwrap();
    for end in ["", "\n", "\r\n", "\n\n", " \n"] {
        std::fs::write(folder.path().join("contract-token"), format!(" hunter2\nhunter3{end}")).unwrap();
        assert_eq!(secret(&folder, "contract-token").await.unwrap(), " hunter2\nhunter3", "{end:?}");
    }
}

#[tokio::test]
async fn a_folder_that_is_not_there_has_no_secrets() {
    let folder = TempDir::new().unwrap();
    let secrets = FolderSecrets::new(folder.path().join("nowhere"));
    assert!(secrets.secret(&parsed("contract-token")).await.unwrap().is_none());
}

#[cfg(unix)]
#[tokio::test]
async fn the_environment_comes_before_the_folder() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    let Some(given) = std::env::var_os(VARIABLE) else {
        // A test may not change its own environment: it is run again in another one.
        for value in [&b"hunter2"[..], b"hunter2\n", b"hunter2\xff"] {
            let again = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "secrets::the_environment_comes_before_the_folder"])
                .env(VARIABLE, OsStr::from_bytes(value))
                .output()
                .unwrap();
            let told = String::from_utf8_lossy(&again.stdout);
            assert!(again.status.success() && told.contains("1 passed"), "{value:?}: {told}");
        }
        return;
    };
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("contract-a-b"), "of the folder").unwrap();
    std::fs::write(folder.path().join("contract-b"), "of the folder").unwrap();
    assert_eq!(secret(&folder, "contract-b").await.unwrap(), "of the folder");
    if given.to_str().is_some() {
        assert_eq!(secret(&folder, "contract-a-b").await.unwrap(), "hunter2");
    } else {
        let secrets = FolderSecrets::new(folder.path().to_owned());
        let error = secrets.secret(&parsed("contract-a-b")).await.unwrap_err();
        assert!(error.report().contains("contract-a-b") && !error.report().contains("hunter2"), "{}", error.report());
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}
