//! What only secrets of files and of the environment promise.

use std::process::Command;

use secrecy::ExposeSecret;
use switchboard_core::ports::{Secrets, TenantScope};
use switchboard_local::FolderSecrets;
use switchboard_testkit::sample::{self, parsed};
use tempfile::TempDir;

/// Where the test below finds itself in the environment that it wants.
const VARIABLE: &str = "SWITCHBOARD_SECRET_ACME__CONTRACT_A_B";

fn acme() -> TenantScope {
    sample::scope("acme")
}

fn write(folder: &TempDir, name: &str, value: impl AsRef<[u8]>) {
    std::fs::create_dir_all(folder.path().join("acme")).unwrap();
    std::fs::write(folder.path().join("acme").join(name), value).unwrap();
}

async fn secret(folder: &TempDir, name: &str) -> Option<String> {
    let secrets = FolderSecrets::new(folder.path().to_owned());
    secrets.secret(&acme(), &parsed(name)).await.unwrap().map(|secret| secret.expose_secret().to_owned())
}

#[tokio::test]
async fn what_an_editor_leaves_at_the_end_of_a_file_is_no_part_of_the_secret() {
    let folder = TempDir::new().unwrap();
    for end in ["", "\n", "\r\n", "\n\n", " \n"] {
        write(&folder, "contract-token", format!(" hunter2\nhunter3{end}"));
        assert_eq!(secret(&folder, "contract-token").await.unwrap(), " hunter2\nhunter3", "{end:?}");
    }
}

#[tokio::test]
async fn another_tenants_secret_is_never_given() {
    let folder = TempDir::new().unwrap();
    write(&folder, "token", "hunter2");
    let secrets = FolderSecrets::new(folder.path().to_owned());
    for tenant in ["globex", "acme2", "ac", "acme_token", "acme-token"] {
        for name in ["token", "acme_token", "acme"] {
            let given = secrets.secret(&sample::scope(tenant), &parsed(name)).await;
            assert!(!matches!(given, Ok(Some(_))), "{tenant} {name}");
        }
    }
}

#[tokio::test]
async fn a_folder_that_is_not_there_has_no_secrets() {
    let folder = TempDir::new().unwrap();
    let secrets = FolderSecrets::new(folder.path().join("nowhere"));
    assert!(secrets.secret(&acme(), &parsed("contract-token")).await.unwrap().is_none());
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
    write(&folder, "contract_a_b", "of the folder");
    write(&folder, "contract_b", "of the folder");
    assert_eq!(secret(&folder, "contract_b").await.unwrap(), "of the folder");
    if given.to_str().is_some() {
        assert_eq!(secret(&folder, "contract_a_b").await.unwrap(), "hunter2");
    } else {
        let secrets = FolderSecrets::new(folder.path().to_owned());
        let error = secrets.secret(&acme(), &parsed("contract_a_b")).await.unwrap_err();
        assert!(error.report().contains("contract_a_b") && !error.report().contains("hunter2"), "{}", error.report());
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}
