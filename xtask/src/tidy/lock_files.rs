//! Rules about the lock files: a build elsewhere must find every package.

use super::Violation;
use super::workspace::{File, Workspace};

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";
const NPM: &str = "https://registry.npmjs.org/";

/// Packages come from the public registries; a mirror's address or a Git repository does not get committed.
pub(crate) fn sources_are_public(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in &workspace.files {
        for (index, line) in file.text.lines().enumerate() {
            let Some(source) = source(file, line) else { continue };
            // npm writes a path, without a scheme, for a package of this repository.
            let is_public = match file.name() {
                "Cargo.lock" => source == CRATES_IO,
                _ => source.starts_with(NPM) || !source.contains(':'),
            };
            if !is_public {
                violations.push(Violation {
                    path: file.path.clone(),
                    line: index + 1,
                    rule: "private-source",
                    advice: format!("`{source}` is not the public registry: lock the package from there"),
                });
            }
        }
    }
    violations
}

/// Where the package comes from, if this is the line of a lock file that tells.
fn source<'a>(file: &File, line: &'a str) -> Option<&'a str> {
    let value = match file.name() {
        "Cargo.lock" => line.strip_prefix("source = \"")?,
        "package-lock.json" => line.trim_start().strip_prefix("\"resolved\": \"")?,
        _ => return None,
    };
    value.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, line: &str, is_caught: bool) {
        let workspace = Workspace::of_files(&[(path, &format!("first line\n{line}\n"))]);
        let lines: Vec<usize> = sources_are_public(&workspace).iter().map(|violation| violation.line).collect();
        assert_eq!(lines, if is_caught { vec![2] } else { vec![] }, "{line}");
    }

    #[test]
    fn only_crates_io_is_taken() {
        check("Cargo.lock", r#"source = "registry+https://github.com/rust-lang/crates.io-index""#, false);
        check("Cargo.lock", r#"source = "registry+https://mirror.example/index""#, true);
        check("Cargo.lock", r#"source = "sparse+https://mirror.example/index/""#, true);
        check("fuzz/Cargo.lock", r#"source = "git+https://github.com/a/b#0123""#, true);
        check("Cargo.toml", r#"source = "anything""#, false);
    }

    #[test]
    fn only_npm_is_taken() {
        check("web/package-lock.json", r#"      "resolved": "https://registry.npmjs.org/a/-/a-1.0.0.tgz","#, false);
        check("web/package-lock.json", r#"      "resolved": "api","#, false);
        check("web/package-lock.json", r#"      "resolved": "http://mirror.example/a-1.0.0.tgz","#, true);
        check("web/package-lock.json", r#"      "resolved": "git+ssh://git@github.com/a/b.git","#, true);
        check("web/package-lock.json", r#"      "resolved": "https://registry.npmjs.org.example/a.tgz","#, true);
    }
}
