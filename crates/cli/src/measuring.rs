//! What `eval` and `audit` share: reading labelled texts, the embedding model, progress.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Error, Result, anyhow, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use switchboard_knowledge::{
    dataset::{self, DatasetError, Field, ReadOptions, ReadReport, Reservoir, Row},
    embed::Embedder,
    eval::{EvalError, EvalOptions, MonthCounter, Months, Progress},
};
use switchboard_local::SystemClock;

use crate::{
    args::{self, Stages},
    commands::Session,
    embedding, output,
};

/// Bytes that are read from a file at once.
const READ_BYTES: usize = 256 * 1024;
/// How often a bar without news is drawn.
const TICK: Duration = Duration::from_millis(120);

/// How to measure.
pub(crate) struct Measuring<'a> {
    session: &'a Session,
    args: &'a args::Measuring,
    embedder: Option<Embedder>,
}

/// The rows of a file.
pub(crate) struct Loaded {
    pub(crate) rows: Vec<Row>,
    pub(crate) file: ReadFile,
    pub(crate) months: Option<Months>,
    pub(crate) notes: Vec<String>,
}

/// What was found in a file.
#[derive(Serialize)]
pub(crate) struct ReadFile {
    pub(crate) file: String,
    #[serde(flatten)]
    pub(crate) report: ReadReport,
    /// Rows that were taken: all that are usable, or a sample.
    pub(crate) taken: usize,
}

impl<'a> Measuring<'a> {
    /// Looks what can be known before the work: whether the model is there, and whether the report can be written.
    pub(crate) fn new(session: &'a Session, args: &'a args::Measuring) -> Result<Self> {
        if let Some(path) = &args.html {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if !folder.is_dir() {
                bail!("the folder {} for the report is not there; make it first", folder.display());
            }
        }
        let embedder = match args.stage {
            Some(Stages::One) => None,
            None => embedding::open(&session.data)?,
            Some(Stages::Both) => Some(embedding::open(&session.data)?.with_context(|| {
                format!(
                    "--stage both asks for the embedding model, and it is not in {}; install it, or use --stage one",
                    embedding::folder(&session.data).display()
                )
            })?),
        };
        Ok(Self { session, args, embedder })
    }

    /// The stages that can answer.
    pub(crate) fn stages(&self) -> Stages {
        if self.embedder.is_some() { Stages::Both } else { Stages::One }
    }

    /// Reads labelled texts.
    pub(crate) fn load(&self, path: &Path, date_column: Option<&str>) -> Result<Loaded> {
        let bar = self.bar();
        let name = path.display().to_string();
        let source: Box<dyn BufRead> = if path == Path::new("-") {
            Box::new(BufReader::with_capacity(READ_BYTES, bar.wrap_read(io::stdin())))
        } else {
            let file = File::open(path).with_context(|| format!("{name} cannot be opened"))?;
            bar.set_length(file.metadata().map_or(0, |facts| facts.len()));
            Box::new(BufReader::with_capacity(READ_BYTES, bar.wrap_read(file)))
        };
        bar.set_style(style("reading {bar:40} {bytes}/{total_bytes}, {eta} left"));
        let options = ReadOptions {
            text_columns: &self.args.text_columns,
            label_column: self.args.label_column.as_deref(),
            date_column,
        };
        let mut rows = Reservoir::new(self.args.limit as usize, self.args.seed);
        let mut months = MonthCounter::default();
        let report = dataset::read(source, &options, &mut |row| {
            if let Some(date) = &row.date {
                months.add(date);
            }
            rows.add(row);
        });
        bar.finish_and_clear();
        let report = report.map_err(|error| explained(&name, error))?;
        let (seen, rows) = (rows.seen(), rows.into_rows());
        let mut notes: Vec<String> = report.notes.iter().map(|note| format!("{name}: {note}")).collect();
        for skipped in &report.skipped {
            let lines: Vec<String> = skipped.lines.iter().map(u64::to_string).collect();
            notes.push(format!(
                "{name}: rows left out, {}: {} (first at line {})",
                skipped.reason,
                skipped.rows,
                lines.join(", ")
            ));
        }
        if rows.len() < seen {
            notes.push(format!("{name}: a sample of {} of {seen} rows; --limit takes more", rows.len()));
        }
        let file = ReadFile { file: name, report, taken: rows.len() };
        Ok(Loaded { rows, file, months: months.months(), notes })
    }

    /// Does the work with a bar that shows how far it is.
    pub(crate) fn run<T>(&self, work: impl FnOnce(&EvalOptions<'_>) -> Result<T, EvalError>) -> Result<T> {
        let bar = self.bar();
        bar.enable_steady_tick(TICK);
        let show = |progress| match progress {
            Progress::Embedding(done, all) => {
                bar.set_style(style("embedding {bar:40} {pos}/{len}, {eta} left"));
                bar.set_length(all as u64);
                bar.set_position(done as u64);
            }
            Progress::Training => bar.set_style(style("{spinner} training")),
            Progress::Testing(done, all) => {
                bar.set_style(style("testing {bar:40} {pos}/{len}, {eta} left"));
                bar.set_length(all as u64);
                bar.set_position(done as u64);
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let found = work(&EvalOptions {
            embedder: self.embedder.as_ref(),
            threads,
            seed: self.args.seed,
            clock: &SystemClock::new(),
            progress: &show,
        });
        bar.finish_and_clear();
        Ok(found?)
    }

    fn bar(&self) -> ProgressBar {
        if self.session.global.quiet || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        ProgressBar::new(0)
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// The error with the option that mends it. Names of columns are untrusted.
fn explained(file: &str, error: DatasetError) -> Error {
    let option = match error.field() {
        Some(Field::Text) => "--text-column; given twice, two are joined",
        Some(Field::Label) => "--label-column",
        Some(Field::Date) => "--date-column",
        None => return Error::new(error).context(file.to_owned()),
    };
    anyhow!("{file}: {}; name one by {option}", output::printable(&error.to_string()))
}
