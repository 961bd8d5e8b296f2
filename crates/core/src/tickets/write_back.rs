//! Telling the ticketing system of a decision, or of a person's review of it.

use std::time::Duration;

use async_trait::async_trait;

use crate::{
    app::App,
    deadline,
    effects::Outgoing,
    error::{Error, ErrorKind, Result},
    ids::{CategoryId, DecisionId},
    limits,
    ports::{DeskUpdate, Repeats, TicketFile},
    tenants::Tenant,
    tickets::{Decision, SyncStatus, review::Review},
};

/// What a write-back has to do.
#[derive(Debug)]
pub enum WriteBack {
    /// This is to be sent.
    Send(Box<DeskUpdate>),
    /// The ticketing system has it.
    DoneBefore,
    /// A newer review is to be told instead.
    Superseded,
}

/// What the tenant's ticketing system is to be told of `about`, the ticket's decision or a review of it, unless it has it
/// already or a newer review has taken its place.
pub fn write_back(file: &TicketFile, about: &DecisionId) -> Result<WriteBack> {
    let broken = |what: &'static str| Error::new(ErrorKind::Internal, what);
    let decision = file.decision.as_ref().ok_or_else(|| broken("a routed ticket has no decision"))?;
    if file.sync_of.as_ref() != Some(about) {
        return Ok(WriteBack::Superseded);
    }
    if file.sync.status == SyncStatus::Success {
        return Ok(WriteBack::DoneBefore);
    }
    let update = match &file.review {
        _ if *about == decision.decision_id => update(decision),
        Some(review) if review.review_id == *about => reviewed_update(decision, review),
        _ => return Err(broken("a review that is to be written back is not the ticket's newest")),
    };
    Ok(WriteBack::Send(Box::new(update)))
}

/// An update on its way out.
pub struct DeskCall<'a> {
    /// The ports.
    pub app: &'a App,
    /// Whose ticketing system it is.
    pub tenant: &'a Tenant,
    /// What is sent.
    pub update: &'a DeskUpdate,
}

#[async_trait]
impl Outgoing for DeskCall<'_> {
    fn repeats(&self) -> Repeats {
        self.app.desk.repeats(self.tenant)
    }

    fn rests(&self) -> Option<Duration> {
        self.app.desk.rests(self.tenant)
    }

    async fn look_up(&self) -> Result<Option<String>> {
        let asked = self.app.desk.look_up(self.tenant, self.update);
        let found = deadline::within(self.app.clock.as_ref(), limits::DESK_TIME, "the ticketing system", asked).await?;
        Ok(found.map(|receipt| receipt.text))
    }

    async fn send(&self) -> Result<String> {
        let sent = self.app.desk.update(self.tenant, self.update);
        let sent = deadline::within(self.app.clock.as_ref(), limits::DESK_TIME, "the ticketing system", sent).await?;
        Ok(sent.text)
    }
}

/// The label of a ticket that a person should look at.
const NEEDS_REVIEW: &str = "needs_review";

/// What the ticketing system is told of a decision.
pub fn update(decision: &Decision) -> DeskUpdate {
    let issue = &decision.issue_classification;
    let mut tags = tags(decision, &issue.primary_category);
    if decision.requires_manual_review {
        tags.push(NEEDS_REVIEW.to_owned());
    }
    let mut note = decision.reasoning.clone();
    for reason in &decision.review_reasons {
        note.push_str("\nPlease review: ");
        note.push_str(reason);
    }
    DeskUpdate {
        decision_id: decision.decision_id.clone(),
        reviewed: None,
        ticket_id: decision.ticket_id.clone(),
        team: decision.assigned_team.clone(),
        priority: decision.priority_level,
        priority_score: decision.priority_score,
        confidence: decision.confidence_score,
        requires_manual_review: decision.requires_manual_review,
        tags,
        remove_tags: Vec::new(),
        note,
        decided_at: decision.timestamp,
        correlation_id: decision.correlation_id.clone(),
    }
}

/// What the ticketing system is told of a review: everything, also what the decision said, because the decision's own
/// write-back may never have got through.
///
/// `needs_review` goes, and so do the labels of categories that hold no more. The note tells who has looked and what the
/// person wrote, each line marked, so that no line can be taken for one of ours.
pub fn reviewed_update(decision: &Decision, review: &Review) -> DeskUpdate {
    let now = &review.assignment;
    let mut remove_tags = vec![NEEDS_REVIEW.to_owned()];
    let former = review.former_categories.iter().chain([&review.decided.category]);
    remove_tags.extend(former.filter(|category| **category != now.category).map(category_tag));
    let mut note = review.summary();
    note.push('.');
    if let Some(text) = &review.note {
        for line in text.for_person().to_owned_text().lines() {
            note.push_str("\n> ");
            note.push_str(line);
        }
    }
    note.push_str("\n\nWhat was decided before: ");
    note.push_str(&decision.reasoning);
    DeskUpdate {
        decision_id: review.review_id.clone(),
        reviewed: Some(decision.decision_id.clone()),
        ticket_id: decision.ticket_id.clone(),
        team: now.team.clone(),
        priority: now.priority,
        priority_score: decision.priority_score,
        // A person has said so.
        confidence: 1.0,
        requires_manual_review: false,
        tags: tags(decision, &now.category),
        remove_tags,
        note,
        decided_at: review.at,
        correlation_id: review.correlation_id.clone(),
    }
}

fn tags(decision: &Decision, category: &CategoryId) -> Vec<String> {
    let severity = decision.issue_classification.severity;
    vec!["switchboard".to_owned(), category_tag(category), format!("severity_{severity}")]
}

fn category_tag(category: &CategoryId) -> String {
    format!("category_{category}")
}
