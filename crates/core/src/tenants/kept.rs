//! From a configuration as some shell keeps it to the one in force: the same in all shells.

use std::sync::Arc;

use super::Tenant;
use crate::{
    error::{Error, ErrorKind, Result},
    ids::TenantId,
};

impl Tenant {
    /// Reads the configuration that is kept as that of tenant `id`.
    pub fn kept_as(id: &TenantId, bytes: &[u8]) -> Result<Self> {
        let tenant = Self::from_json(bytes).map_err(|mistakes| {
            Error::new(ErrorKind::Invalid, format!("the configuration of tenant `{id}` is not valid"))
                .caused_by(mistakes)
        })?;
        if tenant.id != *id {
            let message = format!("the file of tenant `{id}` has tenant_id `{}`; they must be the same", tenant.id);
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        Ok(tenant)
    }

    /// What is in force when `found` was found in the place of `known`: a broken version leaves the last good one, which then
    /// says so; without a good one it is the error.
    pub fn in_force(id: &TenantId, known: Option<&Self>, found: Result<Option<Self>>) -> Result<Option<Arc<Self>>> {
        match (known, found) {
            (_, Ok(Some(tenant))) => {
                tracing::info!(tenant = %id, version = %tenant.version, "tenant configuration loaded");
                Ok(Some(Arc::new(tenant)))
            }
            (None, Ok(None)) => Ok(None),
            (Some(_), Ok(None)) => {
                tracing::warn!(tenant = %id, "tenant configuration removed");
                Ok(None)
            }
            (None, Err(error)) => Err(error),
            (Some(known), Err(error)) => {
                let problem = error.report();
                tracing::error!(tenant = %id, problem, "new tenant configuration refused, the last good one stays");
                Ok(Some(Arc::new(known.with_problem(problem))))
            }
        }
    }
}
