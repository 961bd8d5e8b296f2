use crate::{
    error::Result,
    tenants::Tenant,
    tickets::{Classification, Ticket},
};

/// Says what a ticket is about. CPU-bound and without I/O, so it is a plain call.
pub trait Classifier: Send + Sync {
    /// Learns the tenant ahead of its first ticket; nothing depends on it but that ticket's time.
    fn prepare(&self, tenant: &Tenant);

    /// Whether the ticket looks critical at a first glance, in a small part of the time of [`Self::classify`]: it only says
    /// what is looked at first when much waits.
    fn looks_critical(&self, ticket: &Ticket) -> bool;

    /// Classifies `ticket` among the tenant's categories. The probabilities are an honest estimate: of the answers given
    /// 0.8, about 80 % are right. The answer depends on the tenant's configuration version and the ticket alone.
    fn classify(&self, tenant: &Tenant, ticket: &Ticket) -> Result<Classification>;
}
