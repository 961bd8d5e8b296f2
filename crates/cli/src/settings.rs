//! Settings: the defaults that are compiled in, then the file, then the environment.

use std::{collections::BTreeMap, fs, io, path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use switchboard_core::{
    access::{Role, oidc::OidcConfig},
    json::with_nearest,
};
use toml::{Table, Value};
use url::Url;

/// The annotated defaults.
pub(crate) const DEFAULTS: &str = include_str!("../switchboard.default.toml");

/// All settings; `switchboard.default.toml` says what each means.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) server: Server,
    pub(crate) log: Log,
    pub(crate) outbound: Outbound,
    pub(crate) access: Access,
    pub(crate) oidc: OidcSettings,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Server {
    pub(crate) listen: String,
    pub(crate) environment: String,
    pub(crate) metrics_need_key: bool,
    pub(crate) shutdown_seconds: u64,
    pub(crate) train: bool,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    pub(crate) level: String,
    pub(crate) format: LogFormat,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Outbound {
    pub(crate) allow_hosts: Vec<String>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Access {
    pub(crate) https: bool,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OidcSettings {
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) jwks_url: String,
    pub(crate) tenant_claim: String,
    pub(crate) role_claim: String,
    pub(crate) roles: BTreeMap<String, Role>,
    pub(crate) leeway_seconds: u64,
}

impl OidcSettings {
    /// The issuer whose people may come in; `None` when none is named.
    pub(crate) fn config(&self) -> Result<Option<OidcConfig>> {
        if self.issuer.is_empty() {
            return Ok(None);
        }
        let jwks = match self.jwks_url.as_str() {
            "" => None,
            url => Some(Url::parse(url).context("oidc.jwks_url: is no URL")?),
        };
        Ok(Some(OidcConfig {
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            jwks,
            tenant_claim: self.tenant_claim.clone(),
            role_claim: self.role_claim.clone(),
            roles: self.roles.clone(),
            leeway: Duration::from_secs(self.leeway_seconds),
        }))
    }
}

/// Loads the settings. `named` is the file that the caller named and that must exist; `usual` is read when it is there.
pub(crate) fn load(named: Option<&Path>, usual: &Path) -> Result<Settings> {
    let path = named.unwrap_or(usual);
    let file = match fs::read_to_string(path) {
        Ok(text) => Some((path.display().to_string(), text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => None,
        Err(error) => {
            return Err(error).with_context(|| format!("the settings file {} cannot be read", path.display()));
        }
    };
    let environment = std::env::vars().filter(|(name, _)| {
        name.starts_with("SWITCHBOARD_") && name.contains("__") && !name.starts_with("SWITCHBOARD_SECRET_")
    });
    assemble(file.as_ref().map(|(name, text)| (name.as_str(), text.as_str())), environment)
}

fn assemble(file: Option<(&str, &str)>, environment: impl Iterator<Item = (String, String)>) -> Result<Settings> {
    let mut table: Table = toml::from_str(DEFAULTS).context("the compiled-in settings are not valid")?;
    if let Some((name, text)) = file {
        // Read alone first: only here is the line known.
        toml::from_str::<Settings>(text).map_err(|error| anyhow::anyhow!(explain(name, text, &error)))?;
        merge(&mut table, toml::from_str(text)?);
    }
    for (variable, value) in environment {
        let Some((section, key)) = variable.strip_prefix("SWITCHBOARD_").and_then(|rest| rest.split_once("__")) else {
            continue;
        };
        let layer = one_setting(&section.to_lowercase(), &key.to_lowercase(), &value);
        if let Err(error) = layer.clone().try_into::<Settings>() {
            bail!("environment variable {variable}: {}", with_nearest(error.message()));
        }
        merge(&mut table, layer);
    }
    Ok(table.try_into()?)
}

fn one_setting(section: &str, key: &str, text: &str) -> Table {
    let literal = toml::from_str::<Table>(&format!("value = {text}")).ok().and_then(|mut table| table.remove("value"));
    let value = literal.unwrap_or_else(|| Value::String(text.to_owned()));
    Table::from_iter([(section.to_owned(), Value::Table(Table::from_iter([(key.to_owned(), value)])))])
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(into)), Value::Table(from)) => merge(into, from),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

fn explain(name: &str, text: &str, error: &toml::de::Error) -> String {
    let line =
        error.span().and_then(|span| text.get(..span.start)).map_or(1, |before| before.matches('\n').count() + 1);
    format!("{name}:{line}: {}", with_nearest(error.message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_file(text: &str) -> String {
        format!("{:#}", assemble(Some(("switchboard.toml", text)), std::iter::empty()).unwrap_err())
    }

    fn from_environment(name: &str, value: &str) -> Result<Settings> {
        assemble(None, std::iter::once((name.to_owned(), value.to_owned())))
    }

    #[test]
    fn the_defaults_name_every_setting() {
        let settings = assemble(None, std::iter::empty()).unwrap();
        assert_eq!(settings.server.listen, "127.0.0.1:8080");
        assert_eq!(settings.server.shutdown_seconds, 10);
        let table: Table = toml::from_str(DEFAULTS).unwrap();
        assert_eq!(table.values().filter_map(Value::as_table).map(Table::len).sum::<usize>(), 16);
    }

    #[test]
    fn file_then_environment() {
        let file = Some(("f", "[server]\nlisten = \"[::1]:1\"\nenvironment = \"test\"\n"));
        let environment = [("SWITCHBOARD_SERVER__LISTEN".to_owned(), "[::1]:2".to_owned())];
        let settings = assemble(file, environment.into_iter()).unwrap();
        assert_eq!((settings.server.listen.as_str(), settings.server.environment.as_str()), ("[::1]:2", "test"));
        let settings = from_environment("SWITCHBOARD_OUTBOUND__ALLOW_HOSTS", r#"["desk.internal:8443"]"#).unwrap();
        assert_eq!(settings.outbound.allow_hosts, ["desk.internal:8443"]);
    }

    #[test]
    fn a_wrong_key_is_named_with_its_line_and_the_nearest_right_one() {
        let expected = "switchboard.toml:3: unknown field `lisen`, expected one of `listen`, `environment`, \
                        `metrics_need_key`, `shutdown_seconds`, `train`; did you mean `listen`?";
        assert_eq!(from_file("# mine\n[server]\nlisen = \"x\"\n"), expected);
        assert!(from_file("[sever]\n").contains("did you mean `server`?"));
        assert!(from_file("[server]\nshutdown_seconds = \"x\"\n").starts_with("switchboard.toml:2: invalid type"));
        let error = from_environment("SWITCHBOARD_SERVER__LISTN", "x").unwrap_err().to_string();
        assert!(error.starts_with("environment variable SWITCHBOARD_SERVER__LISTN: unknown field `listn`"), "{error}");
        assert!(error.ends_with("did you mean `listen`?"), "{error}");
    }
}
