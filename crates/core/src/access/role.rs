use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Scope;

/// What a person may do, in one word. The order is the order of power: each role may do all that the ones before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads tickets and decisions.
    Viewer,
    /// Also confirms and corrects decisions.
    Agent,
    /// Also sends tickets in, and reads the audit log of the tenant.
    Lead,
    /// Also makes, rotates and revokes the tenant's API keys.
    Admin,
}

impl Role {
    /// All roles.
    pub const ALL: &[Self] = &[Self::Viewer, Self::Agent, Self::Lead, Self::Admin];

    /// The name, as in the settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Agent => "agent",
            Self::Lead => "lead",
            Self::Admin => "admin",
        }
    }

    /// What the role may do within its tenant. The metrics span all tenants, so no role of one tenant reads them.
    pub fn scopes(self) -> Vec<Scope> {
        let of_its_own: &[Scope] = match self {
            Self::Viewer => &[Scope::TicketsRead],
            Self::Agent => &[Scope::TicketsReview],
            Self::Lead => &[Scope::TicketsWrite, Scope::AuditRead],
            Self::Admin => &[Scope::KeysManage],
        };
        let mut scopes: Vec<_> = Self::ALL.iter().filter(|role| **role < self).flat_map(|role| role.scopes()).collect();
        scopes.extend(of_its_own);
        scopes.sort_by_key(|scope| Scope::ALL.iter().position(|one| one == scope));
        scopes.dedup();
        scopes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_what_the_one_before_may_and_none_reads_the_metrics_of_all_tenants() {
        for pair in Role::ALL.windows(2) {
            let (less, more) = (pair[0].scopes(), pair[1].scopes());
            assert!(less.iter().all(|scope| more.contains(scope)) && less.len() < more.len(), "{pair:?}");
        }
        assert_eq!(Role::Viewer.scopes(), [Scope::TicketsRead]);
        assert!(!Role::Admin.scopes().contains(&Scope::MetricsRead));
        for role in Role::ALL {
            assert_eq!(serde_json::to_value(role).unwrap(), role.name());
        }
    }
}
