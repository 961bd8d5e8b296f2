//! What the audit log says of trainings.

use super::{Outcome, Verdict};
use crate::{
    access::audit::{self, Action, By, Details, Label},
    app::App,
    error::Result,
    ids::TenantId,
};

/// Notes a training: the version, how much it learned from, and whether it is in force.
pub async fn trained(app: &App, by: &By, tenant: &TenantId, outcome: &Outcome) -> Result<()> {
    let version = Label::new(outcome.record.version.as_str());
    let is_in_force = outcome.verdict != Verdict::Worse;
    let details = Details {
        to: is_in_force.then(|| version.clone()),
        count: Some(outcome.record.learned_from),
        ..Details::default()
    };
    let outcome = if is_in_force { audit::Outcome::Done } else { audit::Outcome::Refused };
    app.audit
        .append(by.did(Action::ModelTrain, Some(tenant)).to(version).with(details).came_to(outcome))
        .await
        .map(drop)
}
