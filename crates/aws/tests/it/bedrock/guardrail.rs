//! Guardrails without a model.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use switchboard_core::{ports::Guardrail, tenants::Tenant};
use switchboard_testkit::{
    contracts::{
        self,
        guardrail::{Guarding, STOPPED},
    },
    doubles::{BedrockDouble, Fault},
    sample::tenant_with,
};

use super::models;

struct Setup {
    double: BedrockDouble,
    guardrail: Arc<dyn Guardrail>,
    tenant: Tenant,
}

#[async_trait]
impl Guarding for Setup {
    fn guardrail(&self) -> Arc<dyn Guardrail> {
        self.guardrail.clone()
    }

    fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    fn asked(&self) -> usize {
        self.double.asked().len()
    }

    async fn fail(&self) {
        self.double.rate(1.0, Fault::status(503));
    }
}

async fn setup() -> Arc<dyn Guarding> {
    let double = BedrockDouble::start().await;
    double.block(STOPPED);
    let of = |id: &str| json!({"kind": "bedrock", "guardrail": {"id": id, "version": "1"}});
    let tenant = tenant_with(|config| {
        config["models"] = json!({"providers": {
            "guarded": of("gr4a7b1c9d2e"), "unknown": of("gr0000000000"), "bare": {"kind": "bedrock"},
        }});
    });
    let guardrail: Arc<dyn Guardrail> = Arc::new(models(&double.url()));
    Arc::new(Setup { double, guardrail, tenant })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bedrock_keeps_the_contract_of_guardrails() {
    contracts::guardrail(setup).await;
}
