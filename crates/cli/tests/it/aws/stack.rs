//! The deployed stack. `cargo xtask test` deploys it; the tests get its outputs.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use serde_json::{Value, json};
use switchboard_aws::{Clients, DynamoStore, Names, Settings};
use switchboard_core::ports::{Clock, TenantScope};
use switchboard_local::SystemIds;
use switchboard_testkit::doubles::WebhookDouble;

use crate::{
    api::{Api, client},
    desks::HOOK_SECRET,
    server::{Home, finished},
    tenant::acme,
};

/// For cold starts of all functions, in the dev profile.
pub(super) const LONG: Duration = Duration::from_secs(120);

/// The file with the outputs of all stacks, as `npm run deploy:local` prints them.
const OUTPUTS: &str = "SWITCHBOARD_TEST_AWS_OUTPUTS";
const ENDPOINT: &str = "SWITCHBOARD_TEST_AWS_ENDPOINT";
/// The same of a deployment whose functions ask for the tables at a port of the test's.
const THROTTLED_OUTPUTS: &str = "SWITCHBOARD_TEST_AWS_THROTTLED_OUTPUTS";
const THROTTLED_PORT: &str = "SWITCHBOARD_TEST_AWS_THROTTLED_PORT";

pub(super) struct Stack {
    prefix: &'static str,
    pub(super) endpoint: String,
    outputs: Value,
}

impl Stack {
    pub(super) fn deployed() -> Self {
        Self::of("switchboard", OUTPUTS)
    }

    /// The deployment for one test, and the port where its functions look for DynamoDB.
    pub(super) fn throttled() -> (Self, u16) {
        (Self::of("throttled", THROTTLED_OUTPUTS), variable(THROTTLED_PORT).parse().unwrap())
    }

    fn of(prefix: &'static str, outputs: &str) -> Self {
        let text = std::fs::read_to_string(variable(outputs)).unwrap();
        Self { prefix, endpoint: variable(ENDPOINT), outputs: serde_json::from_str(&text).unwrap() }
    }

    pub(super) fn output(&self, stack: &str, name: &str) -> &str {
        let value = &self.outputs[format!("{}-{stack}", self.prefix)][name];
        value.as_str().unwrap_or_else(|| panic!("no output {name} of {stack}: {}", self.outputs))
    }

    /// A home whose command line works on the stack.
    pub(super) fn home(&self) -> Home {
        Home::new()
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("SWITCHBOARD_AWS__REGION", "us-east-1")
            .env("SWITCHBOARD_AWS__ENDPOINT", &self.endpoint)
            .env("SWITCHBOARD_AWS__PREFIX", self.prefix)
            .env("SWITCHBOARD_AWS__BUCKET", self.output("storage", "BucketName"))
            .env("SWITCHBOARD_AWS__BUS", self.output("events", "BusName"))
            .env("SWITCHBOARD_AWS__JOBS_QUEUE", self.output("events", "JobsQueueUrl"))
            .env("SWITCHBOARD_AWS__PEPPER_SECRET", self.output("storage", "PepperSecret"))
    }

    pub(super) async fn clients(&self) -> Clients {
        Clients::new(&Settings {
            region: Some("us-east-1".to_owned()),
            endpoint: Some(self.endpoint.parse().unwrap()),
            names: Names {
                prefix: self.prefix.to_owned(),
                bucket: self.output("storage", "BucketName").to_owned(),
                bus: self.output("events", "BusName").to_owned(),
                jobs_queue: Some(self.output("events", "JobsQueueUrl").parse().unwrap()),
            },
        })
        .await
    }

    /// The API as its callers see it: by a host of its own, which the emulator tells it by.
    pub(super) fn api(&self, key: &str) -> Api {
        let address: SocketAddr = self.endpoint.trim_start_matches("http://").parse().unwrap();
        let host = format!("{}.execute-api.localhost", self.output("api", "ApiId"));
        Api::at(&host, address, key)
    }

    /// A tenant of its own on the stack, with its desk and a key. `change` changes its configuration.
    pub(super) async fn tenant(
        &self,
        id: &str,
        desk: &WebhookDouble,
        change: impl FnOnce(&mut Value),
    ) -> (String, Api) {
        let (home, id) = (self.home(), unique(id));
        let mut config = acme(&json!({"kind": "webhook", "url": desk.hook_url(), "secret": "hook"}));
        config["tenant_id"] = json!(id);
        change(&mut config);
        put_tenant(&home, &config);
        self.put_secret(&id, "hook", HOOK_SECRET).await;
        let made = self.run(&id, &["keys", "create"]);
        (id, self.api(made["key"].as_str().unwrap()))
    }

    /// Puts a secret of a tenant where the operator puts it.
    pub(super) async fn put_secret(&self, tenant: &str, name: &str, secret: &str) {
        let name = format!("{}/{tenant}/{name}", self.prefix);
        self.clients().await.secrets.create_secret().name(name).secret_string(secret).send().await.unwrap();
    }

    /// What a command that must succeed prints for programs.
    #[track_caller]
    pub(super) fn run(&self, tenant: &str, arguments: &[&str]) -> Value {
        let ran = finished(self.home().bare_command().args(["--aws", "--tenant", tenant, "--json"]).args(arguments));
        assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error} in {ran:?}"))
    }

    /// The tenant's events of a type, oldest first.
    pub(super) fn events(&self, tenant: &str, detail_type: &str) -> Vec<Value> {
        let list = ["events", "list", "--type", detail_type, "--limit", "1000"];
        let ran = finished(self.home().bare_command().args(["--aws", "--tenant", tenant, "--json"]).args(list));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The stack's tables as one more process has them, which wakes nobody.
    pub(super) async fn store(&self, clock: Arc<dyn Clock>) -> DynamoStore {
        DynamoStore::new(&self.clients().await, clock, Arc::new(SystemIds::default()))
    }

    /// Calls a function as its trigger does, and gives what it answers.
    pub(super) async fn invoke(&self, function: &str) -> Value {
        let url =
            format!("{}/2015-03-31/functions/{}-{function}/invocations?Qualifier=live", self.endpoint, self.prefix);
        let answer = client().post(url).timeout(LONG).body("{}").send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200);
        let text = answer.text().await.unwrap();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Calls EventBridge, as an operator does: the product only publishes.
    pub(super) async fn bus(&self, operation: &str, body: &Value) -> Value {
        const CREDENTIAL: &str = "AWS4-HMAC-SHA256 Credential=test/20261121/us-east-1/events/aws4_request, \
            SignedHeaders=host, Signature=of-nobody";
        let request = client().post(&self.endpoint).header("x-amz-target", format!("AWSEvents.{operation}"));
        let request = request.header("content-type", "application/x-amz-json-1.1").header("authorization", CREDENTIAL);
        let answer = request.body(body.to_string()).send().await.unwrap();
        let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
        assert_eq!(status, 200, "{operation}: {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Makes messages that failed come again after a second. The emulator hides them for as long as the queue says, as AWS does:
    /// that is six minutes as deployed.
    pub(super) async fn hurry(&self) {
        let (clients, queue) = (self.clients().await, self.output("events", "JobsQueueUrl"));
        let hidden = clients.sqs.set_queue_attributes().queue_url(queue).attributes("VisibilityTimeout".into(), "1");
        hidden.send().await.unwrap();
    }
}

/// A run by hand finds what the one before it has left on the stack: each has tenants of its own.
pub(super) fn unique(id: &str) -> String {
    format!("{id}-{}", std::process::id())
}

/// Everything of that tenant.
pub(super) fn scope(tenant: &str) -> TenantScope {
    TenantScope::of_operator(tenant.parse().unwrap())
}

/// Puts a configuration into the bucket.
pub(super) fn put_tenant(home: &Home, config: &Value) {
    let file = home.beside("config.json");
    std::fs::write(&file, config.to_string()).unwrap();
    let put = finished(home.bare_command().args(["aws", "put-tenant", file.to_str().unwrap()]));
    assert_eq!(put.code, Some(0), "{put:?}");
}

fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: `cargo xtask test` deploys the stack and sets it"))
}
