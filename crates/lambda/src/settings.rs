//! What the infrastructure tells a function, by variables of the environment.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use switchboard_aws::Names;
use switchboard_core::access::{self, oidc::OidcConfig};
use url::Url;

/// How far the issuer's clock may be off, as in the single binary's settings.
const LEEWAY: Duration = Duration::from_secs(60);

/// What a function is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Answers requests of API Gateway.
    Http,
    /// Does the work of events that a queue hands over.
    Jobs,
    /// Writes decisions back, as the stream of the table tells of them.
    Stream,
    /// Each minute: rings for what was stored and never rung, trains what is due.
    Schedule,
}

/// All settings.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) role: Role,
    pub(crate) names: Names,
    /// The name of the secret that goes into every key hash.
    pub(crate) pepper_secret: String,
    pub(crate) environment: String,
    /// Hosts of private addresses that connectors may call.
    pub(crate) allow_hosts: Vec<String>,
    pub(crate) oidc: Option<Issuer>,
    /// `tracing` directives.
    pub(crate) log: String,
}

/// The OIDC issuer whose people may come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Issuer {
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) tenant_claim: String,
    pub(crate) role_claim: String,
}

impl Issuer {
    /// Its claims name roles by our own words.
    pub(crate) fn config(&self) -> OidcConfig {
        OidcConfig {
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            jwks: None,
            tenant_claim: self.tenant_claim.clone(),
            role_claim: self.role_claim.clone(),
            roles: access::Role::ALL.iter().map(|role| (role.name().to_owned(), *role)).collect(),
            leeway: LEEWAY,
        }
    }
}

impl Settings {
    /// Reads them by `variable`; a mistake names the variable.
    pub(crate) fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        let needed = |name: &str| given(name).with_context(|| format!("the variable {name} is not set"));
        let url = |name: &str| {
            given(name)
                .map(|text| text.parse::<Url>().with_context(|| format!("{name}: `{text}` is no URL")))
                .transpose()
        };
        let role = match needed("SWITCHBOARD_ROLE")?.as_str() {
            "http" => Role::Http,
            "jobs" => Role::Jobs,
            "stream" => Role::Stream,
            "schedule" => Role::Schedule,
            other => bail!("SWITCHBOARD_ROLE: `{other}` is none of http, jobs, stream, schedule"),
        };
        let oidc = match given("SWITCHBOARD_OIDC__ISSUER") {
            None => None,
            Some(issuer) => Some(Issuer {
                issuer,
                audience: needed("SWITCHBOARD_OIDC__AUDIENCE")?,
                tenant_claim: given("SWITCHBOARD_OIDC__TENANT_CLAIM").unwrap_or_else(|| "tenant".to_owned()),
                role_claim: given("SWITCHBOARD_OIDC__ROLE_CLAIM").unwrap_or_else(|| "role".to_owned()),
            }),
        };
        Ok(Self {
            role,
            names: Names {
                prefix: needed("SWITCHBOARD_AWS__PREFIX")?,
                bucket: needed("SWITCHBOARD_AWS__BUCKET")?,
                bus: needed("SWITCHBOARD_AWS__BUS")?,
                jobs_queue: url("SWITCHBOARD_AWS__JOBS_QUEUE")?,
            },
            pepper_secret: needed("SWITCHBOARD_AWS__PEPPER_SECRET")?,
            environment: given("SWITCHBOARD_ENVIRONMENT").unwrap_or_else(|| "production".to_owned()),
            allow_hosts: given("SWITCHBOARD_OUTBOUND__ALLOW_HOSTS")
                .map(|hosts| hosts.split(',').map(|host| host.trim().to_owned()).collect())
                .unwrap_or_default(),
            oidc,
            log: given("RUST_LOG").unwrap_or_else(|| "info".to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    fn read(changed: &[(&str, &str)]) -> Result<Settings> {
        let usual = [
            ("SWITCHBOARD_ROLE", "jobs"),
            ("SWITCHBOARD_AWS__PREFIX", "sb"),
            ("SWITCHBOARD_AWS__BUCKET", "b"),
            ("SWITCHBOARD_AWS__BUS", "bus"),
            ("SWITCHBOARD_AWS__PEPPER_SECRET", "p"),
        ];
        let find = |all: &[(&str, &str)], name: &str| {
            all.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Settings::of_environment(|name| find(changed, name).or_else(|| find(&usual, name)))
    }

    #[test]
    fn what_the_infrastructure_sets_is_enough() {
        let settings = read(&[]).unwrap();
        assert_eq!((settings.role, settings.names.table("keys").as_str()), (Role::Jobs, "sb-keys"));
        assert_eq!((settings.oidc, settings.log.as_str()), (None, "info"));
    }

    #[test]
    fn a_mistake_names_the_variable() {
        let error = |changed| read(changed).unwrap_err().to_string();
        assert_eq!(
            error(&[("SWITCHBOARD_ROLE", "cook")]),
            "SWITCHBOARD_ROLE: `cook` is none of http, jobs, stream, schedule"
        );
        assert_eq!(error(&[("SWITCHBOARD_AWS__BUS", "")]), "the variable SWITCHBOARD_AWS__BUS is not set");
        assert_eq!(error(&[("SWITCHBOARD_AWS__JOBS_QUEUE", "x")]), "SWITCHBOARD_AWS__JOBS_QUEUE: `x` is no URL");
        assert_eq!(
            error(&[("SWITCHBOARD_OIDC__ISSUER", "https://x")]),
            "the variable SWITCHBOARD_OIDC__AUDIENCE is not set"
        );
    }
}
