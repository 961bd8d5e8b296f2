//! `switchboard eval`: how well texts are classified that nothing was learned from.

pub(super) mod show;
mod trial;
mod tune;

use std::{fs, path::Path, process::ExitCode};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use switchboard_knowledge::eval::{
    Evaluated, Evaluation, GateResult, Split, deduplicate, evaluate, few_shot, split_by_text,
};

use super::Session;
use crate::{
    args::{self, Stages},
    measuring::{Loaded, Measuring, ReadFile},
    output, report,
};

/// What `--json` prints: the figures, and how they came about.
#[derive(Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    evaluation: &'a Evaluation,
    stage: &'static str,
    data: &'a Data,
    gates: &'a [GateResult],
    notes: &'a [String],
}

/// Where the rows came from.
#[derive(Serialize)]
struct Data {
    files: Vec<ReadFile>,
    #[serde(skip_serializing_if = "Option::is_none")]
    holdout: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shots: Option<u32>,
    /// Rows that repeat a text under the same label; they count once.
    repeated_rows: usize,
    train_rows: usize,
    test_rows: usize,
}

pub(super) async fn run(session: Session, asked: &args::Eval) -> Result<ExitCode> {
    match &asked.trial {
        Some(name) => trial::compare(session, asked, name.as_ref()).await,
        None if asked.tune => tune::tune(session, asked).await,
        None => eval(&session, asked),
    }
}

fn eval(session: &Session, eval: &args::Eval) -> Result<ExitCode> {
    let measuring = Measuring::new(session, &eval.measuring)?;
    let (mut split, mut data, mut notes) = rows(&measuring, eval)?;
    if let Some(shots) = eval.shots {
        split.train = few_shot(split.train, shots as usize, eval.measuring.seed);
        data.train_rows = split.train.len();
    }
    let evaluated = measuring.run(|options| evaluate(&split.train, &split.test, options))?;
    let Evaluated { evaluation, mistakes } = &evaluated;
    notes.extend(notes_on(evaluation, &data));
    let gates: Vec<GateResult> =
        eval.gates.iter().map(|gate| gate.check(evaluation)).collect::<Result<_, _>>().context("--gate")?;
    let stage = if measuring.stages() == Stages::One { "one" } else { "both" };
    if let Some(path) = &eval.measuring.html {
        let page = report::of_evaluation(
            &name(eval),
            evaluation,
            mistakes,
            &notes,
            show::stages(&evaluation.training, &evaluation.metrics, stage),
        );
        report::write(path, &page)?;
    }
    if session.global.json {
        output::json(&Printed { evaluation, stage, data: &data, gates: &gates, notes: &notes })?;
    } else {
        show::show(evaluation, &data, stage, &notes);
    }
    Ok(judge(&gates))
}

/// The rows to learn from and to test with, where they came from, and what people should know of them.
fn rows(measuring: &Measuring<'_>, eval: &args::Eval) -> Result<(Split, Data, Vec<String>)> {
    let of = |split: &Split, files, holdout, repeated_rows| Data {
        files,
        holdout,
        shots: eval.shots,
        repeated_rows,
        train_rows: split.train.len(),
        test_rows: split.test.len(),
    };
    match (&eval.file, &eval.train, &eval.test) {
        (Some(file), ..) => {
            let Loaded { rows, file, notes, .. } = measuring.load(file, None)?;
            let (rows, repeated) = deduplicate(rows);
            let split = split_by_text(rows, eval.holdout, eval.measuring.seed);
            let data = of(&split, vec![file], Some(eval.holdout), repeated);
            Ok((split, data, notes))
        }
        (None, Some(train), Some(test)) => {
            refuse_same(train, test)?;
            let (train, test) = (measuring.load(train, None)?, measuring.load(test, None)?);
            let split = Split { train: train.rows, test: test.rows };
            let data = of(&split, vec![train.file, test.file], None, 0);
            Ok((split, data, [train.notes, test.notes].concat()))
        }
        // Clap asks for one or the other; this is for the reader of its attributes.
        _ => bail!("name a file with labelled texts, or two by --train and --test"),
    }
}

fn refuse_same(train: &Path, test: &Path) -> Result<()> {
    let same = match (fs::canonicalize(train), fs::canonicalize(test)) {
        (Ok(train), Ok(test)) => train == test,
        _ => train == test,
    };
    if same {
        bail!(
            "--train and --test are the same file, {}; leave them out and use `switchboard eval {}`, which holds a part back",
            train.display(),
            train.display()
        );
    }
    Ok(())
}

fn notes_on(evaluation: &Evaluation, data: &Data) -> Vec<String> {
    let mut notes = Vec::new();
    if data.repeated_rows > 0 {
        notes.push(format!("rows that repeat a text under the same label and count once: {}", data.repeated_rows));
    }
    let seen = evaluation.seen_texts;
    if seen.rows > 0 {
        notes.push(format!(
            "test texts that are learned from too: {} of {}; on the {} others in scope the accuracy is {}",
            seen.rows,
            data.test_rows,
            seen.unseen_n,
            output::percent(seen.unseen_accuracy)
        ));
    }
    if evaluation.unknown_label_rows > 0 {
        notes.push(format!(
            "test rows whose label does not occur in training, which count as wrong: {}",
            evaluation.unknown_label_rows
        ));
    }
    notes
}

/// One line for each gate that was not passed.
fn judge(gates: &[GateResult]) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for gate in gates.iter().filter(|gate| !gate.passed) {
        match gate.found {
            Some(found) => eprintln!("gate not passed: wanted {}, found {found:.4}", output::printable(&gate.gate)),
            None => {
                eprintln!("gate not passed: wanted {}, found nothing to measure it on", output::printable(&gate.gate))
            }
        }
        code = ExitCode::FAILURE;
    }
    code
}

fn name(eval: &args::Eval) -> String {
    let name = |path: &Path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    match (&eval.file, &eval.train, &eval.test) {
        (None, Some(train), Some(test)) => format!("{} tested with {}", name(train), name(test)),
        (file, ..) => file.as_deref().map(name).unwrap_or_default(),
    }
}
