//! `switchboard eval DATA --tune`: from which sureness on the tenant's language models stand, and what each choice costs.

use std::{io::IsTerminal, path::Path, process::ExitCode};

use anyhow::{Context, Result, bail};
use futures_util::{StreamExt, stream};
use indicatif::ProgressBar;
use serde_json::json;
use switchboard_core::{
    app::App,
    ids::TeamId,
    learning,
    models::ModelError,
    tenants::Tenant,
    tickets::{
        Ticket,
        tuning::{self, StageAnswer, StageAnswers},
    },
    untrusted::Untrusted,
};
use switchboard_knowledge::{
    dataset::Row,
    eval::{CascadePoint, Said, Stages, SureFrom, Tuned, deduplicate},
};

use crate::{args, commands::Session, measuring::Measuring, output};

/// Texts that are asked about at the same time.
const AT_ONCE: usize = 8;
/// Points of the curve that are shown to people.
const SHOWN: usize = 12;

/// What could not be used.
#[derive(Debug, Default, serde::Serialize)]
struct Left {
    /// Texts whose label is neither a category nor a team.
    unknown_labels: usize,
    /// Texts about which a model that was asked gave no answer.
    unanswered: usize,
}

pub(super) async fn tune(session: Session, asked: &args::Eval) -> Result<ExitCode> {
    let measuring = Measuring::new(&session, &asked.measuring)?;
    let file = asked.file.as_deref().unwrap_or(Path::new("-"));
    let loaded = measuring.load(file, None)?;
    let wired = session.open().await?;
    let id = session.tenant(wired.app.tenants.as_ref()).await?;
    let tenant = wired.app.tenants.tenant(&id).await?.with_context(|| format!("tenant `{id}` has gone"))?;
    let models = &tenant.config.models;
    if models.small.is_empty() && models.large.is_empty() {
        bail!("tenant `{id}` has no language models; put them into `models` of its configuration first");
    }
    if let Some(embedder) = wired.embedding.open()? {
        wired.classifier.with_embeddings(embedder);
    }
    learning::refresh(&wired.app, &tenant).await.map_err(|error| anyhow::anyhow!(error.report()))?;

    let (rows, _) = deduplicate(loaded.rows);
    let known: Vec<(Row, TeamId)> =
        rows.into_iter().filter_map(|row| team(&tenant, &row.label).map(|team| (row, team))).collect();
    let mut left = Left { unknown_labels: loaded.file.taken.saturating_sub(known.len()), unanswered: 0 };
    if known.is_empty() {
        bail!("no label in {} is a category or a team of tenant `{id}`", loaded.file.file);
    }
    // The rows are in the order of the file, which may be that of the labels.
    let every = (known.len() as f64 / f64::from(asked.texts)).max(1.0);
    let drawn = (0..known.len()).map(|n| (n as f64 * every) as usize).take_while(|n| *n < known.len());
    let drawn: Vec<&(Row, TeamId)> = drawn.map(|n| &known[n]).collect();
    let (texts, failures) = ask(&session, &wired.app, &tenant, &drawn, &mut left).await?;
    if let Some(why) = failures.first()
        && left.unanswered == drawn.len()
    {
        bail!("no model gave an answer; the first failure: {why}");
    }
    let tuned = switchboard_knowledge::eval::tune(&texts, tenant.config.review.precision);
    if session.global.json {
        output::json(
            &json!({"tenant": id, "precision": tenant.config.review.precision, "tuned": tuned, "left_out": left}),
        )?;
    } else {
        show(&tuned, tenant.config.review.precision, &left);
        for note in &loaded.notes {
            println!("{}", output::printable(note));
        }
        if let Some(why) = failures.first() {
            println!("The first failure: {why}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The team of a label, which is a category's id or a team's, or its name.
fn team(tenant: &Tenant, label: &str) -> Option<TeamId> {
    let is = |id: &str, name: &str| id == label || name.eq_ignore_ascii_case(label);
    let config = &tenant.config;
    let category = config.categories.iter().find(|category| is(category.id.as_str(), &category.name));
    let team = || config.teams.iter().find(|team| is(team.id.as_str(), &team.name)).map(|team| team.id.clone());
    category.map(|category| category.team.clone()).or_else(team)
}

async fn ask(
    session: &Session,
    app: &App,
    tenant: &Tenant,
    drawn: &[&(Row, TeamId)],
    left: &mut Left,
) -> Result<(Vec<Stages>, Vec<ModelError>)> {
    let bar = if session.global.quiet || !std::io::stderr().is_terminal() {
        ProgressBar::hidden()
    } else {
        ProgressBar::new(drawn.len() as u64)
    };
    let answers = stream::iter(drawn).map(|(row, _)| async {
        let ticket = ticket(app, &row.text)?;
        let answers = tuning::answers(app, tenant, &ticket).await;
        bar.inc(1);
        answers.map_err(|error| anyhow::anyhow!(error.report()))
    });
    let answers: Vec<Result<StageAnswers>> = answers.buffered(AT_ONCE).collect().await;
    bar.finish_and_clear();
    let (mut texts, mut failures) = (Vec::with_capacity(drawn.len()), Vec::new());
    for ((_, expected), answers) in drawn.iter().zip(answers) {
        let StageAnswers { local, is_unsure, small, large } = answers?;
        let said = |answer: StageAnswer| Said {
            confidence: answer.confidence,
            is_right: answer.team == *expected,
            cost_usd: answer.cost_usd,
        };
        let before = failures.len();
        let mut model = |answer: Option<std::result::Result<StageAnswer, ModelError>>| match answer {
            Some(Ok(answer)) => Some(said(answer)),
            Some(Err(error)) => {
                failures.push(error);
                None
            }
            None => None,
        };
        let stages = Stages { local: said(local), is_unsure, small: model(small), large: model(large) };
        if failures.len() == before {
            texts.push(stages);
        } else {
            left.unanswered += 1;
        }
    }
    Ok((texts, failures))
}

fn ticket(app: &App, text: &str) -> Result<Ticket> {
    let now = app.clock.now();
    Ok(Ticket {
        id: "tuning".parse()?,
        customer_id: "tuning".parse()?,
        subject: Untrusted::default(),
        description: Untrusted::new(text.to_owned()),
        timestamp: now,
        channel: None,
        language: None,
        attachments: Vec::new(),
        metadata: Untrusted::default(),
        accepted_at: now,
        correlation_id: app.correlation_id(),
        idempotency_key: None,
    })
}

fn show(tuned: &Tuned, precision: f64, left: &Left) {
    let from = |threshold: f64| if threshold > 1.0 { "not asked".to_owned() } else { format!("{threshold:.2}") };
    let row = |point: &CascadePoint| {
        let [local, small, large, person] = point.decided_by.map(output::percent);
        let [low, high] = point.precision_ci95.map(output::percent);
        vec![
            from(point.sure_from.small),
            from(point.sure_from.large),
            format!("{:.6}", point.cost_usd),
            output::percent(point.accuracy),
            format!("{} ({low} to {high})", output::percent(point.precision)),
            format!("{local} / {small} / {large} / {person}"),
        ]
    };
    let step = tuned.curve.len().div_ceil(SHOWN).max(1);
    let last = tuned.curve.len().saturating_sub(1);
    let shown = tuned.curve.iter().enumerate().filter(|(n, _)| n % step == 0 || *n == last);
    let header = [
        "small from",
        "large from",
        "US dollars a text",
        "right in all",
        "right without a look",
        "local/small/large/person",
    ];
    println!("{} texts. What each choice costs and gives, the cheapest first:", tuned.n);
    output::table(&header, shown.map(|(_, point)| row(point)).collect(), "nothing could be compared");
    match &tuned.best {
        Some(best) => {
            println!("\nMost without a look at {} precision (`review.precision`):", output::percent(precision));
            output::table(&header, vec![row(best)], "");
            let SureFrom { small, large } = best.sure_from;
            println!(
                "In the tenant's configuration: \"sure_from\": {}",
                json!({"small": small.min(1.0), "large": large.min(1.0)})
            );
            if small > 1.0 || large > 1.0 {
                println!("A model that is not asked earns its cost nowhere here: its chain may be left out.");
            }
        }
        None => println!("\nNo choice is right {} of the time without a look.", output::percent(precision)),
    }
    if let Some(expected) = tuned.held_back {
        println!(
            "Chosen on one half and seen on the other: {} without a look, {} of them right, ${:.6} a text.",
            output::percent(expected.automatic),
            output::percent(expected.precision),
            expected.cost_usd
        );
    }
    let Left { unknown_labels, unanswered } = left;
    if unknown_labels + unanswered > 0 {
        println!(
            "Left out: {unknown_labels} of unknown label or repeated, {unanswered} without an answer of each model."
        );
    }
}
