use super::super::workspace::{Dependency, File};
use super::*;

/// Packages by name, each with the names it depends on; a name with a `/` is a member in that folder, and a
/// dependency that begins with `build:` is one of the build script.
fn workspace(packages: &[(&str, &[&str])]) -> Workspace {
    let mut workspace = Workspace::default();
    for (id, dependencies) in packages {
        let folder = (id.contains('/') || matches!(*id, "xtask" | "bench")).then(|| (*id).to_owned());
        let mut edges = Vec::new();
        for dependency in *dependencies {
            let id = dependency.strip_prefix("build:").unwrap_or(dependency);
            edges.push(Dependency { id: id.to_owned(), for_build_script: id != *dependency });
        }
        let name = id.replace("crates/", "switchboard-");
        workspace.packages.insert((*id).to_owned(), Package { name, folder, dependencies: edges });
    }
    workspace
}

fn directions(packages: &[(&str, &[&str])]) -> Vec<String> {
    let violations = rooms_know_only_the_inner_ones(&workspace(packages));
    violations.iter().map(ToString::to_string).collect()
}

fn check_direction(from: &str, to: &str, allowed: bool) {
    let violations = directions(&[(from, &[to]), (to, &[])]);
    assert_eq!(violations.is_empty(), allowed, "{from} → {to}: {violations:?}");
    let by_build_script = directions(&[(from, &[&format!("build:{to}")]), (to, &[])]);
    assert_eq!(by_build_script.is_empty(), allowed, "{from} → build:{to}");
}

#[test]
fn every_pair_of_members_is_decided_as_the_architecture_says() {
    let members = [
        "crates/core",
        "crates/knowledge",
        "crates/http",
        "crates/local",
        "crates/aws",
        "crates/connect",
        "crates/testkit",
        "crates/cli",
        "crates/lambda",
        "xtask",
        "bench",
    ];
    let allowed = "
        knowledge→core http→core local→core local→knowledge aws→core aws→knowledge connect→core testkit→core
        cli→core cli→knowledge cli→http cli→local cli→aws cli→connect
        lambda→core lambda→knowledge lambda→http lambda→local lambda→aws lambda→connect";
    for from in members {
        for to in members {
            let pair = format!("{from}→{to}").replace("crates/", "");
            let is_allowed = from == "bench" || allowed.split_whitespace().any(|candidate| candidate == pair);
            if from != to {
                check_direction(from, to, is_allowed);
            }
        }
    }
}

#[test]
fn a_member_outside_the_table_may_not_use_what_is_for_development() {
    check_direction("evals/runner", "crates/core", true);
    check_direction("evals/runner", "crates/testkit", false);
}

#[test]
fn the_advice_names_the_line_and_what_is_allowed() {
    let mut workspace = workspace(&[("crates/http", &["crates/local"]), ("crates/local", &[])]);
    let manifest = "[dependencies]\nswitchboard-local-x = \"1\"\nswitchboard-local.workspace = true\n";
    workspace.files.push(File::new("crates/http/Cargo.toml".to_owned(), manifest.to_owned()));
    let violations = rooms_know_only_the_inner_ones(&workspace);
    let text = "crates/http/Cargo.toml:3: direction: `http` may know core, and not `local`";
    assert_eq!(violations[0].to_string(), text);

    let text = "crates/cli/Cargo.toml:1: direction: `testkit` is for development: make it a dev-dependency";
    assert_eq!(directions(&[("crates/cli", &["crates/testkit"]), ("crates/testkit", &[])]), [text]);
    let text = "crates/core/Cargo.toml:1: direction: `core` may know no other room, and not `http`";
    assert_eq!(directions(&[("crates/core", &["crates/http"]), ("crates/http", &[])]), [text]);
}

fn trees(packages: &[(&str, &[&str])]) -> Vec<String> {
    let violations = trees_stay_free_of_frameworks(&workspace(packages));
    violations.iter().map(|violation| violation.advice.clone()).collect()
}

#[test]
fn a_framework_below_core_is_found_with_the_way_to_it() {
    let packages: &[(&str, &[&str])] = &[
        ("crates/core", &["serde", "long", "short"]),
        ("long", &["middle"]),
        ("middle", &["tokio"]),
        ("short", &["tokio"]),
        ("serde", &["build:hyper"]),
        ("tokio", &["short", "reqwest"]),
        ("reqwest", &[]),
        ("hyper", &[]),
    ];
    assert_eq!(trees(packages), ["`core` must not need `tokio`, and does by switchboard-core → short → tokio"]);
}

#[test]
fn each_unwanted_package_is_found() {
    for unwanted in ["axum", "hyper", "tokio", "reqwest", "rusqlite", "aws-sdk-s3", "aws-config"] {
        assert_eq!(trees(&[("crates/core", &[unwanted]), (unwanted, &[])]).len(), 1, "{unwanted}");
    }
    for wanted in ["tokio-util", "awscreds", "axum-core"] {
        assert!(trees(&[("crates/core", &[wanted]), (wanted, &[])]).is_empty(), "{wanted}");
    }
    let packages: &[(&str, &[&str])] =
        &[("crates/http", &["tokio", "rusqlite", "reqwest"]), ("tokio", &[]), ("rusqlite", &[]), ("reqwest", &[])];
    assert_eq!(trees(packages).len(), 2);
    assert!(trees(&[("crates/local", &["rusqlite"]), ("rusqlite", &[])]).is_empty());
}
