use crate::{app::App, error::Result, limits, ports::TenantScope, tenants::Tenant};

/// Why a tenant's model should be trained now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// There are examples and no model yet.
    First,
    /// So many reviews have come since the last training.
    Reviews(u64),
    /// The time is over, and there are new examples.
    Time,
    /// The configuration has changed since.
    Configuration,
}

/// Whether the tenant's model should be trained now, by the tenant's own rules.
pub async fn due(app: &App, tenant: &Tenant) -> Result<Option<Due>> {
    let rules = &tenant.config.learning;
    if !rules.automatic {
        return Ok(None);
    }
    let scope = TenantScope::of_tenant(tenant);
    let counts = app.examples.counts(&scope, None).await?;
    let all = counts.imported + counts.reviewed;
    let Some(last) = app.models.list(&scope).await?.into_iter().next() else {
        return Ok((all >= limits::EXAMPLES_FOR_A_MODEL).then_some(Due::First));
    };
    let known = last.reviews + last.imported;
    let reviews = counts.reviewed.saturating_sub(last.reviews);
    let age = app.clock.now().since(last.created_at);
    Ok(if last.fingerprint != app.learner.fingerprint(tenant) {
        Some(Due::Configuration)
    } else if reviews >= u64::from(rules.after_reviews) {
        Some(Due::Reviews(reviews))
    } else if all > known && age >= std::time::Duration::from_secs(3_600 * u64::from(rules.every_hours)) {
        Some(Due::Time)
    } else {
        None
    })
}
