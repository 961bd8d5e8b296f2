use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};
use switchboard_connect::{HttpCustomers, HttpStatus};
use switchboard_core::{
    by_tenant::StatusByTenant,
    error::Result,
    ids::{CustomerId, ServiceId},
    ports::{Customer, CustomerDirectory, ServiceStatus, StatusReport},
    tenants::Tenant,
};
use switchboard_testkit::{
    contracts::{
        self,
        customer_directory::{Known, Which},
        service_status::Reported,
    },
    doubles::{CustomerDouble, Fault, StatusDouble},
    sample::tenant_with,
    world::FixedClock,
};

use crate::common::{SECRET, outbound, secrets};

struct Status {
    double: StatusDouble,
    status: Arc<dyn ServiceStatus>,
    tenant: Tenant,
}

impl Status {
    async fn new(wrap: impl FnOnce(HttpStatus) -> Arc<dyn ServiceStatus>) -> Self {
        let double = StatusDouble::start().await;
        double.require_token(SECRET);
        let status = wrap(HttpStatus::new(outbound(&[&double]), secrets(), Arc::new(FixedClock::new())));
        let tenant = tenant_with(|config| {
            config["service_status"] = json!({"kind": "http", "url": double.url(), "token": "token"});
        });
        Self { double, status, tenant }
    }
}

#[async_trait]
impl Reported for Status {
    fn status(&self) -> Arc<dyn ServiceStatus> {
        self.status.clone()
    }

    fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    async fn tells(&self, text: &str) {
        self.double.heal();
        self.double.rate(1.0, Fault::Body(text.to_owned()));
    }

    async fn goes_away(&self) {
        self.double.heal();
        self.double.rate(1.0, Fault::Drop);
    }

    fn asked(&self) -> Option<u64> {
        Some(self.double.requests())
    }
}

/// Must not be asked.
struct Nobody;

#[async_trait]
impl ServiceStatus for Nobody {
    async fn status(&self, _tenant: &Tenant, _services: &[ServiceId]) -> Result<StatusReport> {
        panic!("the source of another kind is asked")
    }
}

struct Customers {
    acme: (CustomerDouble, Tenant),
    globex: (CustomerDouble, Tenant),
    customers: Arc<HttpCustomers>,
}

impl Customers {
    async fn new() -> Self {
        let source = async |which: Which| {
            let double = CustomerDouble::start().await;
            double.require_token(SECRET);
            let tenant = tenant_with(|config| {
                config["tenant_id"] = which.id().into();
                config["customers"] = json!({"kind": "http", "url": double.url(), "token": "token"});
            });
            (double, tenant)
        };
        let (acme, globex) = (source(Which::Acme).await, source(Which::Globex).await);
        let outbound = outbound(&[&acme.0, &globex.0]);
        let customers = Arc::new(HttpCustomers::new(outbound, secrets(), Arc::new(FixedClock::new())));
        Self { acme, globex, customers }
    }

    fn of(&self, which: Which) -> &(CustomerDouble, Tenant) {
        match which {
            Which::Acme => &self.acme,
            Which::Globex => &self.globex,
        }
    }
}

#[async_trait]
impl Known for Customers {
    fn directory(&self) -> Arc<dyn CustomerDirectory> {
        self.customers.clone()
    }

    fn tenant(&self, which: Which) -> &Tenant {
        &self.of(which).1
    }

    async fn knows(&self, which: Which, customer: &Customer) {
        self.of(which).0.put(customer.customer_id.as_str(), json!(customer));
    }

    async fn answers(&self, which: Which, id: &CustomerId, answer: Value) -> bool {
        self.of(which).0.put(id.as_str(), answer);
        true
    }

    async fn goes_away(&self, which: Which) -> bool {
        self.of(which).0.rate(1.0, Fault::Drop);
        true
    }
}

#[tokio::test]
async fn http_status_keeps_the_contract() {
    contracts::service_status(async || Status::new(|http| Arc::new(http)).await).await;
}

#[tokio::test]
async fn http_status_by_tenant_keeps_the_contract() {
    let by_tenant = |http| StatusByTenant { file: Arc::new(Nobody), http: Arc::new(http) };
    contracts::service_status(async || Status::new(|http| Arc::new(by_tenant(http))).await).await;
}

#[tokio::test]
async fn http_customers_keep_the_contract() {
    contracts::customer_directory(Customers::new).await;
}
