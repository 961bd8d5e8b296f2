//! A person confirms or corrects a decision. The decision stays as it was made; the review stands beside it, says where the
//! ticket is from now on, and becomes an example to learn from.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Decision, PriorityLevel, SyncStatus, draft::text_mistakes};
use crate::{
    access::{Principal, Who},
    app::App,
    error::{Error, ErrorKind, FieldError, Result},
    event::{Event, EventDetail, TicketReviewed},
    ids::{CategoryId, CorrelationId, DecisionId, KeyId, SubjectId, TeamId, TicketId},
    json::nearest,
    limits,
    ports::{Example, ExampleSource, NewReview, Recorded, TenantScope, TicketFile},
    tenants::Tenant,
    time::Timestamp,
    untrusted::{Untrusted, shown_if_any},
};

/// A person's decision about a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Review {
    /// The review; also the idempotency key of its write-back.
    pub review_id: DecisionId,
    /// The ticket.
    pub ticket_id: TicketId,
    /// The decision that was reviewed.
    pub decision_id: DecisionId,
    /// Who has looked.
    pub reviewer: Reviewer,
    /// When.
    pub at: Timestamp,
    /// Where the ticket is from now on.
    #[serde(flatten)]
    pub assignment: Assignment,
    /// What the person wrote.
    #[serde(default, serialize_with = "shown_if_any", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub note: Option<Untrusted<String>>,
    /// What differs from the decision.
    pub changed: Changed,
    /// What was decided before any person looked.
    pub decided: Assignment,
    /// Categories that reviews before this one named, beside the one decided: the ticketing system may have their labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub former_categories: Vec<CategoryId>,
    /// The request that brought it.
    pub correlation_id: CorrelationId,
}

/// Where a ticket is: the part of a decision that a person can correct.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Assignment {
    /// The team that has it.
    pub team: TeamId,
    /// How urgent it is.
    pub priority: PriorityLevel,
    /// What it is about.
    pub category: CategoryId,
}

/// What a review changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Changed {
    /// Another team.
    pub team: bool,
    /// Another priority.
    pub priority: bool,
    /// Another category.
    pub category: bool,
}

/// Who has looked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reviewer {
    /// Whoever holds this API key.
    Key {
        /// The public part of the key.
        id: KeyId,
        /// What people call it.
        name: String,
    },
    /// An operator, at the command line or signed in.
    Operator,
    /// A person whom the OIDC issuer vouches for.
    Person {
        /// The beginning of a hash of issuer and subject.
        id: SubjectId,
    },
}

/// A review as a caller sends it. What is absent is as decided. Unknown fields are refused by name.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewDraft {
    /// The team that should have it. When it is absent and the category differs, the category's own team.
    #[schema(example = "billing")]
    pub team: Option<String>,
    /// How urgent it is: `low`, `medium`, `high` or `critical`.
    #[schema(example = "high")]
    pub priority: Option<String>,
    /// What it is about.
    #[schema(example = "invoice_dispute")]
    pub category: Option<String>,
    /// Why, for the agents at the desk; a blank one is as good as none.
    #[schema(value_type = Option<String>, max_length = 2_000)]
    pub note: Option<Untrusted<String>>,
}

/// Why a review was not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotReviewed {
    /// The tenant has no such ticket.
    #[error("there is no ticket of this id")]
    Unknown,
    /// It does not fit.
    #[error("the review does not fit the schema")]
    Invalid(Vec<FieldError>),
    /// There is nothing to review yet.
    #[error("the ticket waits for its decision; review it once its status is `routed`")]
    NotDecided,
    /// It could not be stored.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// Checks and stores a review. One with the content of the newest review gets that review as its answer and changes
/// nothing; another one takes the newest one's place, also one that goes back to what was decided. One that the ticketing system
/// must be told of is refused as a ticket is when too many wait: `BacklogFull`, `Overloaded`.
pub async fn review(
    app: &App,
    scope: &TenantScope,
    reviewer: &Reviewer,
    correlation_id: &CorrelationId,
    ticket: &TicketId,
    draft: ReviewDraft,
) -> Result<Review, NotReviewed> {
    let mut file = load(app, scope, ticket).await?;
    let tenant = app.tenants.tenant(scope.tenant()).await?;
    let none = || Error::new(ErrorKind::Unavailable, "the tenant has no configuration that names its teams");
    let tenant = tenant.ok_or_else(none)?;
    let wish = draft.check(&tenant).map_err(NotReviewed::Invalid)?;
    for _ in 0..limits::REVIEW_TRIES {
        let decision = file.decision.as_ref().ok_or(NotReviewed::NotDecided)?;
        let assignment = wish.assignment(decision, &tenant);
        if let Some(newest) = &file.review
            && newest.assignment == assignment
            && newest.note == wish.note
        {
            return Ok(newest.clone());
        }
        let review = Review {
            review_id: app.decision_id(),
            ticket_id: ticket.clone(),
            decision_id: decision.decision_id.clone(),
            reviewer: reviewer.clone(),
            at: app.clock.now(),
            changed: assignment.changed_from(&Assignment::of(decision)),
            former_categories: former_categories(file.review.as_ref(), &assignment),
            assignment,
            note: wish.note.clone(),
            decided: Assignment::of(decision),
            correlation_id: correlation_id.clone(),
        };
        // What the desk need not be told makes no work.
        if is_news_to_the_desk(&file, decision, &review.assignment) {
            super::accept::room(app, scope).await?;
        }
        let new = new_review(app, scope, &file, decision, review.clone());
        if app.tickets.record_review(scope, new).await? == Recorded::New {
            let result = if review.changed.any() { "corrected" } else { "confirmed" };
            metrics::counter!("switchboard_reviews_total", "result" => result).increment(1);
            tracing::debug!(%ticket, result, "ticket reviewed");
            return Ok(review);
        }
        file = load(app, scope, ticket).await?;
    }
    Err(Error::new(ErrorKind::Unavailable, "others review the ticket at the same moment; try again").into())
}

async fn load(app: &App, scope: &TenantScope, ticket: &TicketId) -> Result<TicketFile, NotReviewed> {
    app.tickets.ticket(scope, ticket).await?.ok_or(NotReviewed::Unknown)
}

fn new_review(app: &App, scope: &TenantScope, file: &TicketFile, decision: &Decision, review: Review) -> NewReview {
    let reviewed = TicketReviewed {
        ticket_id: review.ticket_id.clone(),
        review_id: review.review_id.clone(),
        decision_id: review.decision_id.clone(),
        reviewer: review.reviewer.clone(),
        assigned_team: review.assignment.team.clone(),
        priority_level: review.assignment.priority,
        primary_category: review.assignment.category.clone(),
        changed: review.changed,
        write_back: is_news_to_the_desk(file, decision, &review.assignment),
    };
    NewReview {
        event: Event {
            id: app.event_id(),
            tenant: scope.tenant().clone(),
            at: review.at,
            correlation_id: review.correlation_id.clone(),
            detail: EventDetail::TicketReviewed(reviewed),
        },
        example: Example {
            id: review.ticket_id.clone().into(),
            text: file.ticket.text(),
            category: Some(review.assignment.category.clone()),
            team: Some(review.assignment.team.clone()),
            source: ExampleSource::Review,
            at: review.at,
        },
        replaces: file.review.as_ref().map(|newest| newest.review_id.clone()),
        review,
    }
}

/// Whether the ticketing system is to be told of a review. It is, when the newest thing that it was told, or will be, says
/// otherwise; told counts from the moment of sending, whose outcome may be unclear.
///
/// The first review of a ticket that waited for one is news also when it changes nothing: the desk carries `needs_review`,
/// and an agent who looks for such tickets should not find one that somebody has looked at. And while the write-back of an
/// earlier review is not through, each further review takes its place, so that one key never stands for two contents.
fn is_news_to_the_desk(file: &TicketFile, decision: &Decision, now: &Assignment) -> bool {
    let Some(newest) = &file.review else {
        return *now != Assignment::of(decision) || decision.requires_manual_review;
    };
    let tells_of_review = file.sync_of.as_ref() != Some(&decision.decision_id);
    *now != newest.assignment || tells_of_review && file.sync.status != SyncStatus::Success
}

fn former_categories(replaced: Option<&Review>, now: &Assignment) -> Vec<CategoryId> {
    let Some(replaced) = replaced else { return Vec::new() };
    let named = replaced.former_categories.iter().chain([&replaced.assignment.category]);
    let holds_no_more = |category: &&CategoryId| ![&now.category, &replaced.decided.category].contains(category);
    let mut former: Vec<_> = named.filter(holds_no_more).cloned().collect();
    former.sort();
    former.dedup();
    former
}

/// A draft whose words were understood.
struct Wish {
    team: Option<TeamId>,
    priority: Option<PriorityLevel>,
    category: Option<CategoryId>,
    note: Option<Untrusted<String>>,
}

impl ReviewDraft {
    /// What is wished, or every mistake in it.
    fn check(self, tenant: &Tenant) -> Result<Wish, Vec<FieldError>> {
        let mut mistakes = Vec::new();
        let mut refuse = |pointer: &str, detail: String| mistakes.push(FieldError::new(pointer, detail));
        let team = self.team.and_then(|name| {
            let known = tenant.config.teams.iter().map(|team| &team.id);
            let found = known.clone().find(|id| id.as_str() == name).cloned();
            if found.is_none() {
                refuse("/team", unknown("team", &name, known.map(TeamId::as_str)));
            }
            found
        });
        let priority = self.priority.and_then(|word| word.parse().map_err(|error| refuse("/priority", error)).ok());
        let category = self.category.and_then(|name| {
            let known = tenant.config.categories.iter().map(|category| &category.id);
            let found = known.clone().find(|id| id.as_str() == name).cloned();
            if found.is_none() {
                refuse("/category", unknown("category", &name, known.map(CategoryId::as_str)));
            }
            found
        });
        let note = self.note.filter(|note| !note.read_as(|note| note.trim().is_empty()));
        if let Some(note) = &note {
            mistakes.extend(text_mistakes("/note", note, limits::REVIEW_NOTE_CHARS));
        }
        if mistakes.is_empty() { Ok(Wish { team, priority, category, note }) } else { Err(mistakes) }
    }
}

/// Says that there is no such name, and which one is meant, or which ones there are.
fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    const NAME: usize = 64;
    const NAMES: usize = 50;
    let shown: String = name.chars().filter(|char| !char.is_control()).take(NAME).collect();
    if let Some(near) = nearest(name, known.clone()) {
        return format!("{what} `{shown}` does not exist; did you mean `{near}`?");
    }
    let more = match known.clone().count().saturating_sub(NAMES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let names: Vec<_> = known.take(NAMES).collect();
    format!("{what} `{shown}` does not exist; there are: {}{more}", names.join(", "))
}

impl Wish {
    fn assignment(&self, decision: &Decision, tenant: &Tenant) -> Assignment {
        let decided = Assignment::of(decision);
        let category = self.category.clone().unwrap_or(decided.category.clone());
        let of_category = || tenant.category(&category).filter(|_| category != decided.category);
        let team = self.team.clone().or_else(|| of_category().map(|category| category.team.clone()));
        Assignment { team: team.unwrap_or(decided.team), priority: self.priority.unwrap_or(decided.priority), category }
    }
}

impl Review {
    /// Who said what, in one line.
    pub fn summary(&self) -> String {
        let (now, decided) = (&self.assignment, &self.decided);
        let before = |changed: bool, decided: &str| if changed { format!(" (was {decided})") } else { String::new() };
        format!(
            "{} by {}: team {}{}, priority {}{}, category {}{}",
            if self.changed.any() { "Corrected" } else { "Confirmed" },
            self.reviewer,
            now.team,
            before(self.changed.team, decided.team.as_str()),
            now.priority,
            before(self.changed.priority, decided.priority.word()),
            now.category,
            before(self.changed.category, decided.category.as_str()),
        )
    }
}

impl Assignment {
    /// Where a decision puts its ticket.
    pub fn of(decision: &Decision) -> Self {
        Self {
            team: decision.assigned_team.clone(),
            priority: decision.priority_level,
            category: decision.issue_classification.primary_category.clone(),
        }
    }

    fn changed_from(&self, before: &Self) -> Changed {
        Changed {
            team: self.team != before.team,
            priority: self.priority != before.priority,
            category: self.category != before.category,
        }
    }
}

impl Changed {
    /// Whether anything was.
    pub fn any(self) -> bool {
        self.team || self.priority || self.category
    }
}

impl From<&Principal> for Reviewer {
    fn from(principal: &Principal) -> Self {
        match &principal.who {
            Who::Key(id) => Self::Key { id: id.clone(), name: principal.name.clone() },
            Who::Session(_) => Self::Operator,
            Who::Subject(id) => Self::Person { id: id.clone() },
        }
    }
}

impl fmt::Display for Reviewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { id, name } if name.trim().is_empty() => write!(f, "key {id}"),
            Self::Key { name, .. } => f.write_str(name),
            Self::Operator => f.write_str("the operator"),
            Self::Person { id } => write!(f, "person {id}"),
        }
    }
}

#[cfg(test)]
mod tests;
