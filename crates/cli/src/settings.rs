//! Settings: the defaults that are compiled in, then the file, then the environment.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::args::Global;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use switchboard_core::{
    access::{Role, oidc::OidcConfig},
    app::BacklogLimits,
    json::with_nearest,
    tenants::Retention,
};
use switchboard_http::{ClientAddressHeader, Limits, TrustedProxies};
use toml::{Table, Value};
use url::Url;

/// The annotated defaults.
pub(crate) const DEFAULTS: &str = include_str!("../switchboard.default.toml");

/// All settings; `switchboard.default.toml` says what each means.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) server: Server,
    pub(crate) limits: Limits,
    pub(crate) log: Log,
    pub(crate) outbound: Outbound,
    pub(crate) queue: Queue,
    pub(crate) retention: Retention,
    pub(crate) access: Access,
    pub(crate) oidc: OidcSettings,
    pub(crate) models: Models,
    pub(crate) aws: AwsSettings,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Server {
    pub(crate) listen: String,
    pub(crate) environment: String,
    pub(crate) metrics_need_key: bool,
    pub(crate) shutdown_seconds: u64,
    pub(crate) train: bool,
    pub(crate) trusted_proxies: Vec<String>,
    pub(crate) client_address_header: ClientAddressHeader,
    pub(crate) tls: TlsFiles,
}

/// Certificate and key; both or none.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TlsFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Server {
    /// The files of `server.tls`, when there are any.
    pub(crate) fn tls_files(&self) -> Result<Option<(PathBuf, PathBuf)>> {
        let TlsFiles { certificate, key } = &self.tls;
        match (certificate.as_os_str().is_empty(), key.as_os_str().is_empty()) {
            (true, true) => Ok(None),
            (false, false) => Ok(Some((certificate.clone(), key.clone()))),
            _ => bail!("server.tls needs both certificate and key"),
        }
    }

    /// The proxies of `server.trusted_proxies`.
    pub(crate) fn proxies(&self) -> Result<TrustedProxies> {
        TrustedProxies::new(&self.trusted_proxies, self.client_address_header).map_err(|text| {
            anyhow::anyhow!("server.trusted_proxies: `{text}` is no network such as 10.0.0.0/8 and no address")
        })
    }
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Queue {
    pub(crate) tenant_backlog: u64,
    pub(crate) backlog: u64,
}

/// Where calls of language models are recorded, and where recorded ones are played from.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Models {
    pub(crate) record: PathBuf,
    pub(crate) cassettes: PathBuf,
}

impl Models {
    /// What the command line says goes before the settings.
    pub(crate) fn choose(&mut self, global: &mut Global) -> Result<()> {
        if let Some(folder) = global.record.take() {
            *self = Self { record: folder, cassettes: PathBuf::new() };
        }
        if let Some(folder) = global.cassettes.take() {
            *self = Self { record: PathBuf::new(), cassettes: folder };
        }
        if !self.record.as_os_str().is_empty() && !self.cassettes.as_os_str().is_empty() {
            bail!("models.record and models.cassettes are both set: what is played is nothing to record");
        }
        Ok(())
    }
}

impl Settings {
    pub(crate) fn backlog(&self) -> BacklogLimits {
        BacklogLimits { tenant: self.queue.tenant_backlog, all: self.queue.backlog }
    }
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

/// Where AWS is, and what of the server is kept there.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AwsSettings {
    pub(crate) region: String,
    pub(crate) endpoint: String,
    pub(crate) prefix: String,
    pub(crate) bucket: String,
    pub(crate) bus: String,
    pub(crate) jobs_queue: String,
    pub(crate) pepper_secret: String,
    pub(crate) adapters: Vec<AwsAdapter>,
}

/// What `serve` may keep on AWS, beside SQLite for the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AwsAdapter {
    /// Configurations of tenants, in S3.
    Tenants,
    /// Trained models, in S3.
    Models,
    /// Secrets, in Secrets Manager.
    Secrets,
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
        let Some(path) = variable.strip_prefix("SWITCHBOARD_").map(str::to_lowercase) else { continue };
        let layer = one_setting(&path, &value);
        if let Err(error) = layer.clone().try_into::<Settings>() {
            bail!("environment variable {variable}: {}", with_nearest(error.message()));
        }
        merge(&mut table, layer);
    }
    Ok(table.try_into()?)
}

/// The setting at `path`, whose parts `__` parts.
fn one_setting(path: &str, text: &str) -> Table {
    let literal = toml::from_str::<Table>(&format!("value = {text}")).ok().and_then(|mut table| table.remove("value"));
    let value = literal.unwrap_or_else(|| Value::String(text.to_owned()));
    let (section, mut setting) = (path.split("__").next().unwrap_or_default(), value);
    for key in path.split("__").skip(1).collect::<Vec<_>>().into_iter().rev() {
        setting = Value::Table(Table::from_iter([(key.to_owned(), setting)]));
    }
    Table::from_iter([(section.to_owned(), setting)])
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
        assert_eq!(table.values().filter_map(Value::as_table).map(Table::len).sum::<usize>(), 50);
        // No limit is off that somebody would miss.
        let limits = table["limits"].as_table().unwrap();
        assert!(limits.values().all(|limit| limit.as_integer() > Some(0)), "{limits:?}");
        assert_eq!((settings.limits.key_requests_per_second, settings.limits.burst_seconds), (100, 2));
        assert_eq!(settings.server.tls_files().unwrap(), None);
    }

    #[test]
    fn certificate_and_key_come_together() {
        let settings = from_environment("SWITCHBOARD_SERVER__TLS__CERTIFICATE", "/etc/tls/a.pem").unwrap();
        assert_eq!(settings.server.tls.certificate, PathBuf::from("/etc/tls/a.pem"));
        let error = settings.server.tls_files().unwrap_err().to_string();
        assert_eq!(error, "server.tls needs both certificate and key");
        let error = from_environment("SWITCHBOARD_SERVER__TLS__CERT", "x").unwrap_err().to_string();
        assert!(error.ends_with("unknown field `cert`, expected `certificate` or `key`"), "{error}");
    }

    #[test]
    fn a_proxy_that_is_no_network_is_told() {
        let settings = from_environment("SWITCHBOARD_SERVER__TRUSTED_PROXIES", r#"["10.0.0.0/8", "nginx"]"#).unwrap();
        let error = settings.server.proxies().unwrap_err().to_string();
        assert_eq!(error, "server.trusted_proxies: `nginx` is no network such as 10.0.0.0/8 and no address");
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
        let error = from_file("# mine\n[server]\nlisen = \"x\"\n");
        assert!(error.starts_with("switchboard.toml:3: unknown field `lisen`, expected one of `listen`, "), "{error}");
        assert!(error.ends_with("; did you mean `listen`?"), "{error}");
        assert!(from_file("[sever]\n").contains("did you mean `server`?"));
        assert!(from_file("[server]\nshutdown_seconds = \"x\"\n").starts_with("switchboard.toml:2: invalid type"));
        let error = from_environment("SWITCHBOARD_SERVER__LISTN", "x").unwrap_err().to_string();
        assert!(error.starts_with("environment variable SWITCHBOARD_SERVER__LISTN: unknown field `listn`"), "{error}");
        assert!(error.ends_with("did you mean `listen`?"), "{error}");
    }

    #[test]
    fn fuzzed_settings_are_read_or_refused_with_their_line() {
        let seed = "[server]\nlisten = \"127.0.0.1:1\"\nshutdown_seconds = 3\n[outbound]\nallow_hosts = [\"a:1\"]\n";
        switchboard_testkit::fuzz::fuzz("settings", &[seed.as_bytes(), DEFAULTS.as_bytes()], |input| {
            let text = String::from_utf8_lossy(input);
            if let Err(error) = assemble(Some(("f", &text)), std::iter::empty()) {
                assert!(format!("{error:#}").starts_with("f:"), "{error:#}");
            }
            let _ = from_environment("SWITCHBOARD_SERVER__LISTEN", &text);
            let _ = from_environment("SWITCHBOARD_OUTBOUND__ALLOW_HOSTS", &text);
        });
    }
}
