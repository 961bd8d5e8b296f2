use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    error::Result,
    ids::{AccountType, CustomerId, Language},
    ports::TenantScope,
    tenants::Tenant,
    time::Timestamp,
    untrusted::Closed,
};

/// What routing needs to know of a customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Customer {
    /// The customer.
    pub customer_id: CustomerId,
    /// Whether the tenant treats the customer as a VIP.
    #[serde(default)]
    pub is_vip: bool,
    /// The kind of account.
    #[serde(default = "residential")]
    pub account_type: AccountType,
    /// The language the customer prefers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
}

fn residential() -> AccountType {
    // invariant: the literal is a valid slug
    "residential".parse().unwrap_or_else(|_| unreachable!("the literal is a valid slug"))
}

impl Closed for Customer {}

/// Says who a customer is.
#[async_trait]
pub trait CustomerDirectory: Send + Sync {
    /// The customer of that tenant, `None` when the tenant does not know the id. An answer of another system is checked:
    /// the id is the one asked for and the fields have their form, else it is [`crate::error::ErrorKind::BadAnswer`].
    async fn customer(&self, tenant: &Tenant, id: &CustomerId) -> Result<Option<Customer>>;
}

/// A customer as kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCustomer {
    /// The customer.
    pub customer: Customer,
    /// When another system last said so; `None` when an operator put it there.
    pub fetched_at: Option<Timestamp>,
}

/// Customers that are kept: put there by an operator, or as another system last answered.
#[async_trait]
pub trait CustomerStore: Send + Sync {
    /// The customer of that id.
    async fn stored_customer(&self, scope: &TenantScope, id: &CustomerId) -> Result<Option<StoredCustomer>>;

    /// Keeps customers; one that is there already is replaced.
    async fn put_customers(&self, scope: &TenantScope, customers: Vec<StoredCustomer>) -> Result<()>;
}
