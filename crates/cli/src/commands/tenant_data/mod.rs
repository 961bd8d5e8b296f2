//! A tenant's data as a whole: out, in, and gone.

mod examples;
mod export;
mod import;
mod wipe;

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

pub(super) use examples::examples;
pub(super) use export::export;
pub(super) use import::{import, is_export};
pub(super) use wipe::{readmit, wipe};

/// A count that grows on the terminal.
fn counter(quiet: bool, what: &str) -> ProgressBar {
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    let style = ProgressStyle::with_template(&format!("{{human_pos}} {what}, {{elapsed}}"));
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar
}

/// Asks for `word` on a terminal; without one, `--yes` is needed.
fn confirm(question: &str, word: &str, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        bail!("this removes data for good; confirm it by --yes");
    }
    eprint!("{question} Type `{word}` to go on: ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() != word {
        bail!("nothing was removed");
    }
    Ok(())
}
