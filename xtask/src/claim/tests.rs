use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use super::*;

/// A clone in the folder `name` whose program prints that name. Its files are old, as those of a clone that lay idle.
fn clone_at(place: &Path, name: &str) -> Project {
    let root = place.join(name);
    fs::create_dir_all(root.join("src")).unwrap();
    let manifest = "[workspace]\n[package]\nname = \"member\"\nedition = \"2024\"\n";
    let files = [("Cargo.toml", manifest.to_owned()), ("src/main.rs", format!("fn main() {{ print!(\"{name}\"); }}"))];
    for (path, text) in files {
        fs::write(root.join(path), text).unwrap();
        File::options().write(true).open(root.join(path)).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }
    project_at(&root, &place.join("cache"))
}

fn project_at(root: &Path, cache: &Path) -> Project {
    Project::at(root, &|name| match name {
        "SWITCHBOARD_CACHE" => Some(cache.as_os_str().to_owned()),
        _ => std::env::var_os(name).filter(|_| name == "CARGO"),
    })
}

fn build_and_run(project: &Project) -> String {
    process::run(&mut project.cargo("build --quiet")).unwrap();
    let program: PathBuf = project.cache.target.join("debug/member");
    String::from_utf8(process::output(&mut project.command(program)).unwrap()).unwrap()
}

#[test]
fn each_clone_gets_its_own_binary() {
    let place = tempfile::tempdir().unwrap();
    let clones = [clone_at(place.path(), "first"), clone_at(place.path(), "second")];
    for (index, name) in [(0, "first"), (1, "second"), (0, "first"), (0, "first")] {
        let _claim = take(&clones[index]).unwrap();
        assert_eq!(build_and_run(&clones[index]), name);
    }
}

#[test]
fn commands_of_one_clone_share_the_claim_and_others_are_kept_out() {
    let place = tempfile::tempdir().unwrap();
    let project = project_at(Path::new("/first"), place.path());
    let claims = [take(&project).unwrap(), take(&project).unwrap()];
    let other = File::open(project.cache.owner.as_ref().unwrap()).unwrap();
    assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
    drop(claims);
    assert!(other.try_lock().is_ok());
}

#[test]
fn a_folder_of_its_own_needs_no_claim() {
    let project = Project::at(Path::new("/nowhere"), &|_| None);
    assert!(take(&project).unwrap()._locked.is_none());
}
