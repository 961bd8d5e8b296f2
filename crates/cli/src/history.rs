//! Labelled history from a file, as examples of a tenant.

use std::{collections::BTreeMap, fs::File, io::BufReader, path::Path};

use anyhow::{Context, Result, anyhow, bail};
use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};
use switchboard_core::{
    ids::{CategoryId, TeamId},
    ports::{Example, ExampleSource},
    tenants::Tenant,
    time::Timestamp,
    untrusted::Untrusted,
};
use switchboard_knowledge::dataset::{self, ReadOptions, ReadReport, Row};

use crate::args::{HistoryColumns, HistoryFormat};

/// What the labels of a file stand for.
pub(crate) struct Labels<'a> {
    tenant: &'a Tenant,
    renamed: BTreeMap<String, String>,
    /// Labels that stand for nothing of the tenant, with how many rows have them.
    pub(crate) unknown: BTreeMap<String, u64>,
}

impl<'a> Labels<'a> {
    /// The labels as `renamed` pairs (`theirs=ours`) and the tenant's own ids and names say.
    pub(crate) fn new(tenant: &'a Tenant, renamed: &[String]) -> Result<Self> {
        let mut map = BTreeMap::new();
        for pair in renamed {
            let (theirs, ours) =
                pair.split_once('=').with_context(|| format!("--map `{pair}`: write it as theirs=ours"))?;
            let labels = Labels { tenant, renamed: BTreeMap::new(), unknown: BTreeMap::new() };
            if labels.meaning(ours).is_none() {
                bail!("--map `{pair}`: `{ours}` is neither a category nor a team of tenant `{}`", tenant.id);
            }
            map.insert(theirs.trim().to_lowercase(), ours.trim().to_owned());
        }
        Ok(Self { tenant, renamed: map, unknown: BTreeMap::new() })
    }

    fn meaning(&self, label: &str) -> Option<(Option<CategoryId>, Option<TeamId>)> {
        let wanted = label.trim().to_lowercase();
        let config = &self.tenant.config;
        let categories = &config.categories;
        if let Some(found) =
            categories.iter().find(|one| one.id.as_str() == wanted || one.name.to_lowercase() == wanted)
        {
            return Some((Some(found.id.clone()), None));
        }
        let is_team = |group: &Option<String>| group.as_ref().is_some_and(|group| group.to_lowercase() == wanted);
        let mut teams = config.teams.iter();
        teams
            .find(|one| one.id.as_str() == wanted || one.name.to_lowercase() == wanted || is_team(&one.desk_group))
            .map(|found| (None, Some(found.id.clone())))
    }

    /// The row as an example; `None`, and counted, when its label stands for nothing of the tenant. Its id is made from its
    /// text, so that the same file brings the same examples again.
    pub(crate) fn example(&mut self, row: Row, at: Timestamp) -> Option<Example> {
        let label = self.renamed.get(&row.label.to_lowercase()).unwrap_or(&row.label);
        let Some((category, team)) = self.meaning(label) else {
            *self.unknown.entry(row.label).or_default() += 1;
            return None;
        };
        let digest = Sha256::digest(row.text.trim().as_bytes());
        let id: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        // invariant: `import:` and hexadecimal digits are an id
        let id = format!("import:{id}").parse().ok()?;
        Some(Example { id, text: Untrusted::new(row.text), category, team, source: ExampleSource::Import, at })
    }
}

/// Reads the rows of a file and gives each to `take`, with a bar of the bytes read on a terminal. Blocks.
pub(crate) fn read(
    file: &Path,
    format: HistoryFormat,
    columns: &HistoryColumns,
    quiet: bool,
    take: &mut dyn FnMut(Row),
) -> Result<ReadReport> {
    let context = || format!("{} cannot be read", file.display());
    let opened = File::open(file).with_context(context)?;
    let bytes = opened.metadata().with_context(context)?.len();
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(bytes) };
    let style = ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let reader = BufReader::new(bar.wrap_read(opened));
    let zendesk_text = ["subject".to_owned(), "description".to_owned()];
    let is_zendesk = format == HistoryFormat::Zendesk;
    let text_columns: &[String] = match (columns.text_column.as_slice(), is_zendesk) {
        ([], true) => &zendesk_text,
        (named, _) => named,
    };
    let label_column = columns.label_column.as_deref().or(is_zendesk.then_some("group_id"));
    let options = ReadOptions { text_columns, label_column, date_column: None };
    let report = dataset::read(reader, &options, take);
    bar.finish_and_clear();
    report.map_err(|error| {
        let remedy = match error.field() {
            Some(dataset::Field::Text) => "; name it by --text-column",
            Some(dataset::Field::Label) => "; name it by --label-column",
            _ => "",
        };
        anyhow!("{}: {error}{remedy}", file.display())
    })
}

/// Told on standard error: what was left out of a file and why.
pub(crate) fn tell_left_out(report: &ReadReport, labels: &Labels<'_>) {
    for skipped in &report.skipped {
        let lines: Vec<String> = skipped.lines.iter().map(u64::to_string).collect();
        eprintln!("{} rows left out: {} (lines {} …)", skipped.rows, skipped.reason, lines.join(", "));
    }
    for note in &report.notes {
        eprintln!("{note}");
    }
    if labels.unknown.is_empty() {
        return;
    }
    let mut unknown: Vec<(&String, &u64)> = labels.unknown.iter().collect();
    unknown.sort_by(|one, other| other.1.cmp(one.1));
    let shown: Vec<String> =
        unknown.iter().take(15).map(|(label, rows)| format!("{} ({rows})", crate::output::printable(label))).collect();
    eprintln!(
        "{} rows left out: their label is neither a category nor a team: {}{}",
        labels.unknown.values().sum::<u64>(),
        shown.join(", "),
        if unknown.len() > 15 { ", …" } else { "" }
    );
    eprintln!("Say what a label stands for by --map 'theirs=ours', once for each.");
}
