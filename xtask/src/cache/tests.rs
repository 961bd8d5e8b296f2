use super::*;

fn choose(root: &Path, set: &[(&str, &Path)]) -> Cache {
    let variables = |name: &str| {
        let found = set.iter().find(|(candidate, _)| *candidate == name);
        found.map(|(_, value)| value.as_os_str().to_owned())
    };
    Cache::choose(root, &variables)
}

#[test]
fn the_most_specific_variable_wins() {
    let place = tempfile::tempdir().unwrap();
    let (own, xdg, home) = (place.path().join("own"), place.path().join("xdg"), place.path().join("home"));
    let root = Path::new("/clone");

    let all = [("SWITCHBOARD_CACHE", own.as_path()), ("XDG_CACHE_HOME", xdg.as_path()), ("HOME", home.as_path())];
    assert_eq!(choose(root, &all), Cache::shared(&own));
    assert_eq!(choose(root, &all[1..]), Cache::shared(&xdg.join("switchboard")));
    assert_eq!(choose(root, &all[2..]), Cache::shared(&home.join(".cache/switchboard")));
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let place = tempfile::tempdir().unwrap();
    let set = [("SWITCHBOARD_CACHE", Path::new("")), ("HOME", place.path())];
    assert_eq!(choose(Path::new("/clone"), &set), Cache::shared(&place.path().join(".cache/switchboard")));
}

#[test]
fn a_folder_that_cannot_be_made_falls_back_to_the_clone() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let own_target = Cache { target: "/clone/target".into(), tools: "/clone/target/tools".into(), owner: None };

    assert_eq!(choose(Path::new("/clone"), &[("SWITCHBOARD_CACHE", &file.join("below"))]), own_target);
    assert_eq!(choose(Path::new("/clone"), &[]), own_target);
}

#[test]
fn a_target_folder_that_is_already_set_is_kept() {
    let place = tempfile::tempdir().unwrap();
    let set = [("HOME", place.path()), ("CARGO_TARGET_DIR", Path::new("elsewhere"))];
    let cache = choose(Path::new("/clone"), &set);
    assert_eq!(cache.target, Path::new("/clone/elsewhere"));
    assert_eq!(cache.owner, None);
    assert_eq!(cache.tools, place.path().join(".cache/switchboard/tools"));
}
