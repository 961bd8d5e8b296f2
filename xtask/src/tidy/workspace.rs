//! What the rules look at: the text of the files, and the packages with their dependencies.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use serde_json::Value;

use super::rust_lines::{self, Line};
use crate::process;
use crate::project::Project;

/// The repository as the rules see it.
#[derive(Default)]
pub(crate) struct Workspace {
    /// Every file that is text written by a person, and the lock files.
    pub(crate) files: Vec<File>,
    /// The paths of all pages of text.
    pub(crate) pages: Vec<String>,
    /// Every package of the dependency graph by its id, the workspace's own included.
    pub(crate) packages: BTreeMap<String, Package>,
}

/// A text file.
pub(crate) struct File {
    /// Relative to the root, divided by `/`.
    pub(crate) path: String,
    /// The whole content.
    pub(crate) text: String,
    /// The content by lines with strings and comments taken apart; empty unless this is a Rust file.
    pub(crate) rust: Vec<Line>,
}

/// A package of the dependency graph.
pub(crate) struct Package {
    /// Its name on crates.io, or in its manifest.
    pub(crate) name: String,
    /// Its folder relative to the root, divided by `/`, if it is a member of the workspace.
    pub(crate) folder: Option<String>,
    /// What it needs to be built or to run. Needs of its tests are left out: those are free.
    pub(crate) dependencies: Vec<Dependency>,
}

/// An edge of the dependency graph.
pub(crate) struct Dependency {
    /// The other package.
    pub(crate) id: String,
    /// Whether only the build script needs it.
    pub(crate) for_build_script: bool,
}

/// A page that rules look into; other pages are text for people.
const PAGES: &[&str] = &["asvs.md"];
const EXTENSIONS: &[&str] = &["rs", "ts", "tsx", "js", "mjs", "css", "html", "py", "sh", "sql", "toml"];
const LOCK_FILES: &[&str] = &["Cargo.lock", "package-lock.json"];
const MADE_BY_TOOLS: &[&str] = &["target", "node_modules", "dist"];

impl Workspace {
    /// Reads the clone on disk and asks cargo for the graph.
    pub(crate) fn read(project: &Project) -> Result<Self> {
        let mut workspace = Self::default();
        workspace.read_folder(&project.root, "")?;
        // The graph joins the features that all members ask for, as every build of the whole workspace does.
        let metadata = process::output(&mut project.cargo("metadata --format-version 1"))?;
        workspace.read_metadata(&metadata).context("reading what `cargo metadata` printed")?;
        Ok(workspace)
    }

    /// A workspace of these paths and texts, without packages.
    #[cfg(test)]
    pub(crate) fn of_files(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| File::new((*path).to_owned(), (*text).to_owned()));
        Self { files: files.collect(), ..Self::default() }
    }

    /// The file at `path`, if there is one.
    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) -> Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
            entries.push(entry?);
        }
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            // Links are not followed, so a loop is no danger.
            let kind = entry.file_type()?;
            if kind.is_dir() && !name.starts_with('.') && !MADE_BY_TOOLS.contains(&name.as_str()) {
                self.read_folder(&entry.path(), &format!("{path}/"))?;
                continue;
            }
            if kind.is_file() && name.ends_with(".md") {
                self.pages.push(path.clone());
            }
            if kind.is_file() && is_read(&name) {
                let text = fs::read_to_string(entry.path()).with_context(|| format!("reading {path}"))?;
                self.files.push(File::new(path, text));
            }
        }
        Ok(())
    }

    pub(crate) fn read_metadata(&mut self, json: &[u8]) -> Result<()> {
        let metadata: Value = serde_json::from_slice(json)?;
        let root = text(&metadata, "workspace_root")?;
        let members = list(&metadata, "workspace_members")?;
        for package in list(&metadata, "packages")? {
            let folder = Path::new(text(package, "manifest_path")?).parent();
            let is_member = members.contains(&package["id"]);
            let folder = folder.filter(|_| is_member).and_then(|folder| folder.strip_prefix(root).ok());
            let folder = folder.map(|folder| folder.to_string_lossy().replace('\\', "/"));
            let name = text(package, "name")?.to_owned();
            self.packages.insert(text(package, "id")?.to_owned(), Package { name, folder, dependencies: Vec::new() });
        }
        for node in list(&metadata["resolve"], "nodes")? {
            let package =
                self.packages.get_mut(text(node, "id")?).ok_or_else(|| anyhow!("a node without a package"))?;
            for dependency in list(node, "deps")? {
                let id = text(dependency, "pkg")?;
                for kind in list(dependency, "dep_kinds")? {
                    // `null` is an ordinary dependency.
                    if kind["kind"] != "dev" {
                        let for_build_script = kind["kind"] == "build";
                        package.dependencies.push(Dependency { id: id.to_owned(), for_build_script });
                    }
                }
            }
        }
        Ok(())
    }
}

impl File {
    pub(crate) fn new(path: String, text: String) -> Self {
        let rust = if path.ends_with(".rs") { rust_lines::split(&text) } else { Vec::new() };
        Self { path, text, rust }
    }

    /// The last part of the path.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// The path without its last part; empty for a file at the root.
    pub(crate) fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// Whether the file is source code of the product, for the rules about size.
    pub(crate) fn is_source(&self) -> bool {
        [".rs", ".ts", ".tsx"].iter().any(|ending| self.path.ends_with(ending))
    }

    /// Whether a program writes the file.
    pub(crate) fn is_lock_file(&self) -> bool {
        LOCK_FILES.contains(&self.name())
    }
}

fn is_read(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    EXTENSIONS.contains(&extension) || LOCK_FILES.contains(&name) || PAGES.contains(&name)
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().ok_or_else(|| anyhow!("`{key}` is not a text"))
}

fn list<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    value[key].as_array().ok_or_else(|| anyhow!("`{key}` is not a list"))
}

#[cfg(test)]
mod tests;
