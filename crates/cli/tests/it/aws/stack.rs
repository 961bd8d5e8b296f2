//! The deployed stack. `cargo xtask test` deploys it; the tests get its outputs.

use std::net::SocketAddr;

use serde_json::Value;
use switchboard_aws::{Clients, Names, Settings};

use crate::{api::Api, server::Home};

/// The file with the outputs of all stacks, as `npm run deploy:local` prints them.
const OUTPUTS: &str = "SWITCHBOARD_TEST_AWS_OUTPUTS";
const ENDPOINT: &str = "SWITCHBOARD_TEST_AWS_ENDPOINT";
const PREFIX: &str = "switchboard";

pub(super) struct Stack {
    endpoint: String,
    outputs: Value,
}

impl Stack {
    pub(super) fn deployed() -> Self {
        let variable = |name: &str| {
            std::env::var(name)
                .unwrap_or_else(|_| panic!("{name} is not set: `cargo xtask test` deploys the stack and sets it"))
        };
        let text = std::fs::read_to_string(variable(OUTPUTS)).unwrap();
        Self { endpoint: variable(ENDPOINT), outputs: serde_json::from_str(&text).unwrap() }
    }

    pub(super) fn output(&self, stack: &str, name: &str) -> &str {
        let value = &self.outputs[format!("{PREFIX}-{stack}")][name];
        value.as_str().unwrap_or_else(|| panic!("no output {name} of {stack}: {}", self.outputs))
    }

    /// A home whose command line works on the stack.
    pub(super) fn home(&self) -> Home {
        Home::new()
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("SWITCHBOARD_AWS__REGION", "us-east-1")
            .env("SWITCHBOARD_AWS__ENDPOINT", &self.endpoint)
            .env("SWITCHBOARD_AWS__PREFIX", PREFIX)
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
                prefix: PREFIX.to_owned(),
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
}
