//! What one tenant's classifier has learned: its categories, its teams, and how sure an answer must be.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use switchboard_core::{
    ids::{CategoryId, TeamId},
    learning::{Measured, Scores},
    ports::Example,
    tenants::Tenant,
    tickets::{CategoryProbability, TeamProbability},
};

use super::{
    artifact::{self, ArtifactError},
    corpus::{Corpus, LearnOptions, Learned, Meaning},
    model::{Prediction, Reading, Record, TextClassifier, TrainError},
};
use crate::{
    embed::Embedder,
    learn::{PrecisionCurve, calibration_error},
};

/// Teams get a head of their own when at least one example in so many tells of its team what its category does not: fewer
/// would have all tickets routed by a head that knows less than the categories do.
const HEAD_OF_ITS_OWN_FROM: usize = 20;

/// A tenant's trained model.
#[derive(Debug)]
pub(super) struct TenantModel {
    categories: TextClassifier,
    /// There when examples tell of teams more than their categories do.
    teams: Option<TextClassifier>,
    curve: PrecisionCurve,
}

/// A model with what its training tells.
pub(super) struct Made {
    pub(super) model: TenantModel,
    pub(super) cross_validated: Scores,
    pub(super) learned_from: u64,
    pub(super) left_out: u64,
    pub(super) has_embeddings: bool,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    categories: Record,
    teams: Option<Record>,
    curve: PrecisionCurve,
}

/// What the heads say of a ticket.
pub(super) struct Opinion {
    pub(super) categories: Vec<CategoryProbability>,
    pub(super) teams: Vec<TeamProbability>,
    pub(super) out_of_scope: f64,
    pub(super) is_out_of_scope: bool,
}

impl TenantModel {
    /// Learns from the configuration and the examples.
    pub(super) fn train(tenant: &Tenant, examples: &[Example], options: &LearnOptions<'_>) -> Result<Made, TrainError> {
        let mut of_categories = Corpus::new();
        let mut of_teams = Corpus::new();
        for team in &tenant.config.teams {
            of_teams.add_label(team.id.as_str(), Some(&format!("{}. {}", team.name, team.description)));
        }
        for category in &tenant.config.categories {
            let meaning = format!("{}. {}", category.name, category.description);
            of_categories.add_label(category.id.as_str(), Some(&meaning));
            for text in category.examples.iter().filter(|text| !text.trim().is_empty()) {
                of_categories.add(text.clone(), category.id.as_str());
                of_teams.add(text.clone(), category.team.as_str());
            }
        }
        let (mut left_out, mut differing) = (0, 0);
        for example in examples {
            let category = example.category.as_ref().and_then(|id| tenant.category(id));
            let team = example.team.as_ref().and_then(|id| tenant.team(id)).map(|team| &team.id);
            let text = || example.text.for_storage().clone();
            if category.is_none() && team.is_none() {
                left_out += 1;
            }
            if let Some(category) = category {
                of_categories.add(text(), category.id.as_str());
            }
            if let Some(team) = team.or(category.map(|category| &category.team)) {
                differing += usize::from(category.is_none_or(|category| category.team != *team));
                of_teams.add(text(), team.as_str());
            }
        }
        let teams_differ = differing > 0 && differing * HEAD_OF_ITS_OWN_FROM >= of_teams.examples().count();
        let learned = of_categories.learn(options)?;
        let teams = if teams_differ { Some(of_teams.learn(options)?) } else { None };
        let answers = answers(tenant, &of_categories, &learned, &of_teams, teams.as_ref());
        let curve = PrecisionCurve::of(&answers);
        let categories_right = right(&of_categories, &learned);
        let cross_validated = Scores {
            teams: answers.len() as u64,
            teams_right: answers.iter().filter(|(_, right)| *right).count() as u64,
            categories: of_categories.examples().count() as u64,
            categories_right,
            calibration_error: calibration_error(&answers),
            automatic: curve.coverage(tenant.config.review.precision),
        };
        Ok(Made {
            learned_from: of_teams.examples().count().max(of_categories.examples().count()) as u64,
            left_out,
            has_embeddings: learned.meaning == Meaning::Used,
            cross_validated,
            model: Self {
                categories: learned.trained.classifier,
                teams: teams.map(|teams| teams.trained.classifier),
                curve,
            },
        })
    }

    /// Whether it can say something of every category of the configuration.
    pub(super) fn knows(&self, tenant: &Tenant) -> bool {
        let labels = self.categories.labels();
        tenant.config.categories.iter().all(|category| labels.iter().any(|label| label == category.id.as_str()))
    }

    pub(super) fn opinion(&self, tenant: &Tenant, reading: &Reading<'_>, embedder: Option<&Embedder>) -> Opinion {
        let said = self.categories.predict(reading, embedder);
        let labelled = by_label(self.categories.labels(), &said);
        // What is not the tenant's any more says nothing; the rest is as probable as before in proportion.
        let categories =
            shares(tenant.config.categories.iter().map(|category| {
                (category.id.clone(), labelled.get(category.id.as_str()).copied().unwrap_or_default())
            }));
        let teams = match &self.teams {
            Some(head) => {
                let said = head.predict(reading, embedder);
                let labelled = by_label(head.labels(), &said);
                let teams = tenant.config.teams.iter();
                shares(teams.map(|team| (team.id.clone(), labelled.get(team.id.as_str()).copied().unwrap_or_default())))
            }
            None => teams_of(tenant, &categories),
        };
        Opinion {
            categories: sorted(categories)
                .map(|(category, probability)| CategoryProbability { category, probability })
                .collect(),
            teams: sorted(teams).map(|(team, probability)| TeamProbability { team, probability }).collect(),
            out_of_scope: said.out_of_scope,
            is_out_of_scope: said.is_out_of_scope,
        }
    }

    /// How sure a team must be for `precision`: as held-back examples showed it, or, where they show nothing, so sure that
    /// this one answer alone is worth it.
    pub(super) fn confidence_needed(&self, precision: f64) -> f64 {
        self.curve.threshold(precision).unwrap_or(precision)
    }

    /// The scores on examples that it has not learned from.
    pub(super) fn measure(&self, tenant: &Tenant, examples: &[Example], embedder: Option<&Embedder>) -> Measured {
        let needed = self.confidence_needed(tenant.config.review.precision);
        let mut scores = Scores::default();
        let mut answers = Vec::new();
        for example in examples {
            let category = example.category.as_ref().and_then(|id| tenant.category(id));
            let team = example.team.as_ref().and_then(|id| tenant.team(id)).map(|team| &team.id);
            let opinion = self.opinion(tenant, &Reading::new(example.text.for_storage()), embedder);
            if let (Some(category), Some(said)) = (category, opinion.categories.first()) {
                scores.categories += 1;
                scores.categories_right += u64::from(said.category == category.id);
            }
            if let (Some(team), Some(said)) = (team.or(category.map(|category| &category.team)), opinion.teams.first())
            {
                answers.push((said.probability, said.team == *team));
            }
        }
        scores.teams = answers.len() as u64;
        scores.teams_right = answers.iter().filter(|(_, right)| *right).count() as u64;
        scores.calibration_error = calibration_error(&answers);
        let automatic = answers.iter().filter(|(confidence, _)| *confidence >= needed).count();
        scores.automatic = automatic as f64 / answers.len().max(1) as f64;
        Measured { scores, right: answers.into_iter().map(|(_, right)| right).collect() }
    }

    pub(super) fn to_artifact(&self) -> Result<Vec<u8>, ArtifactError> {
        artifact::write(&Kept {
            categories: self.categories.to_record(),
            teams: self.teams.as_ref().map(|teams| teams.to_record()),
            curve: self.curve.clone(),
        })
    }

    pub(super) fn from_artifact(file: &[u8]) -> Result<Self, ArtifactError> {
        let kept: Kept = artifact::read(file)?;
        let whole = |record| TextClassifier::from_record(record).ok_or(ArtifactError::Content);
        Ok(Self { categories: whole(kept.categories)?, teams: kept.teams.map(whole).transpose()?, curve: kept.curve })
    }
}

/// The part of a configuration that a model is made from.
pub(super) fn fingerprint(tenant: &Tenant) -> String {
    let mut digest = Sha256::new();
    let mut add = |text: &str| {
        digest.update((text.len() as u64).to_le_bytes());
        digest.update(text.as_bytes());
    };
    for team in &tenant.config.teams {
        add(team.id.as_str());
        add(&team.name);
        add(&team.description);
    }
    for category in &tenant.config.categories {
        add(category.id.as_str());
        add(category.team.as_str());
        add(&category.name);
        add(&category.description);
        category.examples.iter().for_each(|example| add(example));
    }
    digest.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn by_label<'a>(labels: &'a [String], said: &Prediction) -> BTreeMap<&'a str, f64> {
    labels.iter().map(String::as_str).zip(said.probabilities.iter().map(|p| f64::from(*p))).collect()
}

/// Probabilities that add up to 1 again; equal ones when nothing is left.
fn shares<T>(each: impl Iterator<Item = (T, f64)>) -> Vec<(T, f64)> {
    let mut each: Vec<(T, f64)> = each.collect();
    let sum: f64 = each.iter().map(|(_, probability)| probability).sum();
    let equal = 1.0 / each.len().max(1) as f64;
    for (_, probability) in &mut each {
        *probability = if sum > 0.0 { *probability / sum } else { equal };
    }
    each
}

fn sorted<T>(mut each: Vec<(T, f64)>) -> impl Iterator<Item = (T, f64)> {
    each.sort_by(|one, other| other.1.total_cmp(&one.1));
    each.into_iter()
}

fn teams_of(tenant: &Tenant, categories: &[(CategoryId, f64)]) -> Vec<(TeamId, f64)> {
    let share = |team: &TeamId| {
        let own =
            categories.iter().filter(|(id, _)| tenant.category(id).is_some_and(|category| category.team == *team));
        own.map(|(_, probability)| probability).sum::<f64>()
    };
    tenant.config.teams.iter().map(|team| (team.id.clone(), share(&team.id).min(1.0))).collect()
}

fn right(corpus: &Corpus, learned: &Learned) -> u64 {
    let labels: Vec<u32> = corpus.examples().map(|(_, label)| label).collect();
    let held = &learned.trained.held_back;
    let is_right = |label: Option<&u32>, said: usize| label.is_some_and(|label| *label as usize == said);
    held.iter().filter(|held| is_right(labels.get(held.example), held.prediction.top().0)).count() as u64
}

/// The team that held-back predictions come to, with whether it was right.
fn answers(
    tenant: &Tenant,
    of_categories: &Corpus,
    learned: &Learned,
    of_teams: &Corpus,
    teams: Option<&Learned>,
) -> Vec<(f64, bool)> {
    if let Some(teams) = teams {
        let labels: Vec<u32> = of_teams.examples().map(|(_, label)| label).collect();
        let held = teams.trained.held_back.iter();
        return held
            .map(|held| {
                let (said, probability) = held.prediction.top();
                (f64::from(probability), labels.get(held.example).is_some_and(|label| *label as usize == said))
            })
            .collect();
    }
    let names = of_categories.labels();
    let team_of = |label: usize| {
        let id: Option<CategoryId> = names.get(label).and_then(|name| name.parse().ok());
        id.and_then(|id| tenant.category(&id)).map(|category| category.team.clone())
    };
    let team_by_label: Vec<Option<TeamId>> = (0..names.len()).map(team_of).collect();
    let labels: Vec<u32> = of_categories.examples().map(|(_, label)| label).collect();
    let held = learned.trained.held_back.iter();
    held.map(|held| {
        let mut shares: BTreeMap<&TeamId, f64> = BTreeMap::new();
        for (team, probability) in team_by_label.iter().zip(&held.prediction.probabilities) {
            if let Some(team) = team {
                *shares.entry(team).or_default() += f64::from(*probability);
            }
        }
        let said = shares.into_iter().max_by(|one, other| one.1.total_cmp(&other.1));
        let own =
            labels.get(held.example).and_then(|label| team_by_label.get(*label as usize)).and_then(Option::as_ref);
        said.map_or((0.0, false), |(team, share)| (share.min(1.0), own == Some(team)))
    })
    .collect()
}
