use std::ffi::OsStr;

use super::*;

fn value<'a>(command: &'a Command, name: &str) -> Option<&'a OsStr> {
    let found = command.get_envs().find(|(candidate, _)| *candidate == name);
    found.and_then(|(_, value)| value)
}

fn cargo_with(set: &'static [(&'static str, &'static str)]) -> Command {
    let variables = |name: &str| {
        let found = set.iter().find(|(candidate, _)| *candidate == name);
        found.map(|(_, value)| OsString::from(value))
    };
    Project::at(Path::new("/clone"), &variables).cargo("test --workspace")
}

#[test]
fn cargo_builds_into_the_cache() {
    let command = cargo_with(&[("CARGO_TARGET_DIR", "/elsewhere")]);
    assert_eq!(value(&command, "CARGO_TARGET_DIR"), Some(OsStr::new("/elsewhere")));
    assert_eq!(command.get_current_dir(), Some(Path::new("/clone")));
    assert_eq!(command.get_args().collect::<Vec<_>>(), ["test", "--workspace"]);
}

#[test]
fn incremental_builds_are_off_in_ci_only() {
    assert_eq!(value(&cargo_with(&[("CI", "true")]), "CARGO_INCREMENTAL"), Some(OsStr::new("0")));
    assert_eq!(value(&cargo_with(&[("CI", "false")]), "CARGO_INCREMENTAL"), None);
    assert_eq!(value(&cargo_with(&[]), "CARGO_INCREMENTAL"), None);
    assert_eq!(value(&cargo_with(&[("CI", "true"), ("CARGO_INCREMENTAL", "1")]), "CARGO_INCREMENTAL"), None);
}

#[test]
fn the_description_of_the_xtask_package_does_not_reach_children() {
    // Cargo sets both variables for the test binary too.
    let command = cargo_with(&[]);
    for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME"] {
        assert!(env::var_os(name).is_some(), "{name} is not set");
        assert!(command.get_envs().any(|(key, value)| key == name && value.is_none()), "{name} is passed on");
    }
}
