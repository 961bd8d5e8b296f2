//! The house rules as checks: who may depend on whom, where a file belongs, what a line must not say.
//!
//! A rule is a function from the [`Workspace`] to its violations, so a test feeds it a made-up workspace. To add one,
//! write the function in the file of its group, a test that sees it catch something, and a line in [`RULES`].

mod asvs;
mod direction;
mod layout;
mod lock_files;
mod rust_lines;
mod text;
mod workspace;

use std::fmt;

use anyhow::{Result, bail};

use crate::commands::no_arguments;
use crate::project::Project;
use workspace::Workspace;

type Rule = fn(&Workspace) -> Vec<Violation>;

const RULES: &[Rule] = &[
    direction::rooms_know_only_the_inner_ones,
    direction::trees_stay_free_of_frameworks,
    layout::rooms_are_known,
    layout::files_are_short,
    layout::folders_are_small,
    layout::crate_roots_are_described,
    text::nothing_is_unfinished,
    text::nothing_is_postponed,
    text::values_are_not_unwrapped,
    text::tests_are_not_ignored,
    lock_files::sources_are_public,
    asvs::the_table_is_whole_and_true,
];

/// A place that breaks a rule, and what to do about it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Violation {
    path: String,
    line: usize,
    rule: &'static str,
    advice: String,
}

/// `cargo xtask tidy`.
pub(crate) fn tidy(project: &Project, arguments: &[String]) -> Result<()> {
    no_arguments(arguments)?;
    check(project)
}

/// Checks all rules and prints each violation; one or more are an error.
pub(crate) fn check(project: &Project) -> Result<()> {
    let workspace = Workspace::read(project)?;
    let mut violations: Vec<Violation> = RULES.iter().flat_map(|rule| rule(&workspace)).collect();
    violations.sort();
    for violation in &violations {
        println!("{violation}");
    }
    if !violations.is_empty() {
        bail!("house rules broken in {} places, listed above", violations.len());
    }
    println!("tidy: {} files keep {} rules", workspace.files.len(), RULES.len());
    Ok(())
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, rule, advice } = self;
        write!(formatter, "{path}:{line}: {rule}: {advice}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_reads_like_a_compiler_message() {
        let violation = Violation {
            path: "crates/core/src/lib.rs".to_owned(),
            line: 7,
            rule: "name",
            advice: "do this".to_owned(),
        };
        assert_eq!(violation.to_string(), "crates/core/src/lib.rs:7: name: do this");
    }
}
