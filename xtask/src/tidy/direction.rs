//! Rules about who may depend on whom: the picture in ARCHITECTURE.md, held against cargo's dependency graph.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Violation;
use super::workspace::{Package, Workspace};

/// The members that each member may depend on. The table is complete: what a room may know of a room it knows is
/// listed too, so looking at direct dependencies is enough.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("knowledge", &["core"]),
    ("http", &["core"]),
    ("local", &["core", "knowledge"]),
    ("aws", &["core", "knowledge"]),
    ("connect", &["core"]),
    ("testkit", &["core"]),
    ("faultdisk", &[]),
    ("cli", &["core", "knowledge", "http", "local", "aws", "connect"]),
    ("lambda", &["core", "knowledge", "http", "local", "aws", "connect"]),
    ("xtask", &[]),
];

/// Members for development; only tests and the benchmarks may use them.
const DEVELOPMENT: &[&str] = &["testkit", "faultdisk", "xtask", "bench"];

/// Packages that must not be anywhere below a room; a `*` stands for any ending.
const MUST_NOT_NEED: &[(&str, &[&str])] =
    &[("core", &["axum", "hyper", "tokio", "reqwest", "rusqlite", "aws-*"]), ("http", &["rusqlite", "reqwest"])];

/// Dependencies between members point inwards, to `core`. What tests need is free.
pub(crate) fn rooms_know_only_the_inner_ones(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    for package in workspace.packages.values() {
        let Some(room) = room(package) else { continue };
        for dependency in &package.dependencies {
            let Some(other) = workspace.packages.get(&dependency.id) else { continue };
            let Some(other_room) = self::room(other) else { continue };
            if !may_know(room, other_room) {
                let advice = match (may_know_list(room), DEVELOPMENT.contains(&other_room)) {
                    (_, true) => format!("`{other_room}` is for development: make it a dev-dependency"),
                    (Some([]), _) => format!("`{room}` may know no other room, and not `{other_room}`"),
                    (Some(list), _) => format!("`{room}` may know {}, and not `{other_room}`", list.join(", ")),
                    (None, _) => format!("`{room}` may not know `{other_room}`"),
                };
                violations.push(Violation {
                    rule: "direction",
                    advice,
                    ..at_dependency(workspace, package, &other.name)
                });
            }
        }
    }
    violations
}

/// Some rooms stay free of frameworks, databases and clouds, however long the way to them.
pub(crate) fn trees_stay_free_of_frameworks(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (id, package) in &workspace.packages {
        let Some(room) = room(package) else { continue };
        let Some((_, unwanted)) = MUST_NOT_NEED.iter().find(|(name, _)| *name == room) else { continue };
        let is_unwanted = |name: &str| unwanted.iter().any(|pattern| matches_pattern(name, pattern));
        for (name, path) in shortest_paths(workspace, id) {
            // What an unwanted package brings along goes with it.
            let above = &path[..path.len() - 1];
            if is_unwanted(name) && !above.iter().any(|name| is_unwanted(name)) {
                let advice = format!("`{room}` must not need `{name}`, and does by {}", path.join(" → "));
                let first = path.get(1).unwrap_or(&name);
                violations.push(Violation { rule: "free-tree", advice, ..at_dependency(workspace, package, first) });
            }
        }
    }
    violations
}

/// The last part of a member's folder: `core`, `xtask`.
fn room(package: &Package) -> Option<&str> {
    package.folder.as_deref().and_then(|folder| folder.rsplit('/').next())
}

fn may_know(room: &str, other: &str) -> bool {
    match may_know_list(room) {
        Some(list) => list.contains(&other),
        None => room == "bench" || !DEVELOPMENT.contains(&other),
    }
}

fn may_know_list(room: &str) -> Option<&'static [&'static str]> {
    MAY_KNOW.iter().find(|(name, _)| *name == room).map(|(_, list)| *list)
}

fn matches_pattern(name: &str, pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

/// The package names below `start`, each with the names on the shortest way to it. Breadth first, so that the way
/// shown is the one that is quickest to cut. Build scripts do not run in the product, so their needs do not count.
fn shortest_paths<'a>(workspace: &'a Workspace, start: &'a str) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut paths = BTreeMap::new();
    let mut seen = BTreeSet::from([start]);
    let mut waiting = VecDeque::from([(start, Vec::new())]);
    while let Some((id, mut path)) = waiting.pop_front() {
        let Some(package) = workspace.packages.get(id) else { continue };
        path.push(package.name.as_str());
        for dependency in &package.dependencies {
            if !dependency.for_build_script && seen.insert(&dependency.id) {
                waiting.push_back((&dependency.id, path.clone()));
            }
        }
        paths.entry(package.name.as_str()).or_insert(path);
    }
    paths
}

/// A violation at the line of the manifest that names the dependency.
fn at_dependency(workspace: &Workspace, package: &Package, dependency: &str) -> Violation {
    let path = format!("{}/Cargo.toml", package.folder.as_deref().unwrap_or("."));
    let manifest = workspace.file(&path).map_or("", |file| file.text.as_str());
    let line = manifest.lines().position(|line| {
        let rest = line.trim_start().strip_prefix(dependency);
        rest.is_some_and(|rest| rest.starts_with([' ', '.', '=']))
    });
    Violation { path, line: line.map_or(1, |index| index + 1), rule: "", advice: String::new() }
}

#[cfg(test)]
mod tests;
