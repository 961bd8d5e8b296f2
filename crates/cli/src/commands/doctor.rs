use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;
use switchboard_core::{
    access::audit::chain::Verdict,
    ids::{SecretName, TenantId},
    ports::{AuditLog, EventQueue, KeyRecord, KeyStore, TenantScope},
    tenants::{CustomersConfig, DeskConfig, ProviderConfig, ServiceStatusConfig, Tenant},
};

use super::{IN_PART, Session, retention};
use crate::{output, wire::Wired};

struct Finding {
    what: String,
    good: bool,
    detail: String,
}

impl Finding {
    fn new(what: impl Into<String>, good: bool, detail: impl Into<String>) -> Self {
        Self { what: what.into(), good, detail: detail.into() }
    }
}

pub(super) async fn doctor(session: Session) -> Result<ExitCode> {
    let wired = session.open().await?;
    let mut findings = vec![Finding::new("data folder", true, session.data.root().display().to_string())];
    findings.extend(check_permissions(&session));
    findings.push(check_database(&wired).await);
    let server = if session.data.has_server() { "a server works on it" } else { "no server works on it now" };
    findings.push(Finding::new("server", true, server));
    findings.push(check_queue(&wired).await);
    findings.extend(check_retention(&session, &wired).await?);
    findings.push(check_audit_log(&wired).await);
    for id in wired.app.tenants.list().await? {
        findings.extend(check_tenant(&session, &wired, &id).await?);
        findings.extend(check_keys(&wired, &id).await?);
    }
    let all_good = findings.iter().all(|finding| finding.good);
    if session.global.json {
        let shown: Vec<_> = findings
            .iter()
            .map(|finding| json!({"what": finding.what, "good": finding.good, "detail": finding.detail}))
            .collect();
        output::json(&json!({"good": all_good, "findings": shown}))?;
    } else {
        let mark = |good| if good { "good" } else { "MEND" }.to_owned();
        let rows = findings.into_iter().map(|finding| vec![mark(finding.good), finding.what, finding.detail]).collect();
        output::table(&["", "what", "found"], rows, "nothing was checked");
    }
    Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::from(IN_PART) })
}

fn check_permissions(session: &Session) -> Option<Finding> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let path = session.data.root().join("pepper");
        let mode = std::fs::metadata(&path).ok()?.permissions().mode() & 0o777;
        let detail = if mode & 0o077 == 0 { "only its owner can read it" } else { "others can read it: chmod 600" };
        Some(Finding::new("pepper", mode & 0o077 == 0, detail))
    }
    #[cfg(not(unix))]
    None
}

async fn check_database(wired: &Wired) -> Finding {
    match wired.store.integrity().await {
        Ok(found) => {
            let good = found.messages == ["ok"];
            let detail = match good {
                true => format!("integrity ok, tables of version {}", found.schema_version),
                false => format!("damaged, restore a backup: {}", found.messages.join("; ")),
            };
            Finding::new("database", good, detail)
        }
        Err(error) => Finding::new("database", false, error.report()),
    }
}

async fn check_queue(wired: &Wired) -> Finding {
    match wired.store.depth().await {
        Ok(depth) => {
            let detail = format!("{} waiting, {} in work, {} dead letters", depth.waiting, depth.leased, depth.dead);
            let remedy =
                if depth.dead > 0 { "; see `switchboard dlq list` and `switchboard effects list`" } else { "" };
            Finding::new("queue", depth.dead == 0, detail + remedy)
        }
        Err(error) => Finding::new("queue", false, error.report()),
    }
}

async fn check_retention(session: &Session, wired: &Wired) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for wiped in wired.store.wiped().await? {
        let id = &wiped.tenant;
        // A training or a file for the desk that was under way may have come to its end after the wipe.
        let folders = [session.data.tenants(), session.data.models().join("tenants"), session.data.secrets()];
        let is_back = folders.iter().any(|folder| folder.join(id.as_str()).exists());
        let what = match (wiped.done_at, is_back) {
            (None, _) => "its wipe did not come to its end",
            (Some(_), true) => "it was wiped and has files again",
            (Some(_), false) => continue,
        };
        let detail =
            format!("{what}: run `switchboard tenants wipe {id}` again, or `switchboard tenants readmit {id}`");
        findings.push(Finding::new(format!("tenant {id}"), false, detail));
    }
    wired.store.set_retention(retention::policy(wired.app.tenants.as_ref(), session.settings.retention).await);
    let state = wired.store.retention_state().await?;
    if state.overdue > 0 {
        let detail = format!("{} tickets are past their time and kept, because they are not finished", state.overdue);
        findings.push(Finding::new("retention", false, detail));
    }
    // Without a server nobody sweeps, and a server that was off begins by waiting; that mends itself.
    if state.clock_suspect_since.is_some() && session.data.has_server() {
        let detail =
            "the clock has jumped ahead, nothing is deleted for a day; if it is right: `switchboard retention confirm`";
        findings.push(Finding::new("retention", false, detail));
    }
    Ok(findings)
}

async fn check_audit_log(wired: &Wired) -> Finding {
    let what = "audit log";
    match wired.store.verify().await {
        Ok(Verdict::Whole { entries, .. }) => Finding::new(what, true, format!("whole, {entries} entries")),
        Ok(Verdict::Broken { sequence, fault }) => {
            Finding::new(what, false, format!("broken at entry {sequence}: {fault}"))
        }
        Err(error) => Finding::new(what, false, error.report()),
    }
}

/// Keys whose end is near: whoever uses them will be refused then.
async fn check_keys(wired: &Wired, id: &TenantId) -> Result<Vec<Finding>> {
    let (keys, now) = (wired.store.list_keys(&TenantScope::of_operator(id.clone())).await?, wired.app.clock.now());
    // One that was rotated is meant to end.
    let successors = |key: &KeyRecord| {
        let is_one = |other: &KeyRecord| other.name == key.name && other.scopes == key.scopes && other.is_in_force(now);
        !key.name.is_empty() && keys.iter().any(|other| other.created_at > key.created_at && is_one(other))
    };
    let near = keys.iter().filter(|key| !successors(key)).filter_map(|key| Some((key, key.ends_soon(now)?)));
    let findings = near.map(|(key, end)| {
        let detail = format!("key {} ends {end}; replace it: switchboard keys rotate --tenant {id} {}", key.id, key.id);
        Finding::new(format!("tenant {id}"), false, detail)
    });
    Ok(findings.collect())
}

async fn check_tenant(session: &Session, wired: &Wired, id: &TenantId) -> Result<Vec<Finding>> {
    let what = format!("tenant {id}");
    let tenant = match wired.tenants.check(id) {
        Ok(Some(tenant)) => tenant,
        Ok(None) => return Ok(vec![Finding::new(what, false, "its configuration is gone")]),
        Err(error) => return Ok(vec![Finding::new(what, false, error.report())]),
    };
    let mut findings = vec![Finding::new(&what, true, format!("configuration version {}", tenant.version))];
    for name in secrets(&tenant) {
        let there = wired.secrets.secret(&TenantScope::of_tenant(&tenant), &name).await?.is_some();
        let detail = match there {
            true => format!("secret `{name}` is there"),
            false => format!("secret `{name}` is missing: put it into the data folder's secrets/{id}/{name}"),
        };
        findings.push(Finding::new(&what, there, detail));
    }
    for (provider, config) in &tenant.config.models.providers {
        if let ProviderConfig::Bedrock { region, .. } = config {
            let what = format!("{what}, models of `{provider}`");
            findings.push(check_bedrock(session, what, region.as_deref()).await?);
        }
    }
    Ok(findings)
}

/// Looks without a call of the service: a call of a model costs.
#[cfg(feature = "aws")]
async fn check_bedrock(session: &Session, what: String, region: Option<&str>) -> Result<Finding> {
    use switchboard_aws::bedrock::Credentials;

    let clients = crate::aws::bedrock(&session.settings.aws)?;
    let Some(region) = region.map(str::to_owned).or(clients.default_region().await) else {
        let detail = "there is no region: name one (`region` of the provider, `aws.region`, or AWS_REGION)";
        return Ok(Finding::new(what, false, detail));
    };
    Ok(match clients.credentials().await {
        Credentials::Found => {
            let detail =
                format!("Bedrock in {region}, with credentials that were found; whether they may ask was not tried");
            Finding::new(what, true, detail)
        }
        Credentials::Missing => {
            let detail = format!("Bedrock in {region}: there are no credentials of AWS (environment, profile or role)");
            Finding::new(what, false, detail)
        }
    })
}

#[cfg(not(feature = "aws"))]
async fn check_bedrock(_: &Session, what: String, _: Option<&str>) -> Result<Finding> {
    Ok(Finding::new(what, false, format!("Bedrock: {}", crate::wire::WITHOUT_AWS)))
}

fn secrets(tenant: &Tenant) -> Vec<SecretName> {
    let customers = match &tenant.config.customers {
        CustomersConfig::Http { token, .. } => token.clone(),
        CustomersConfig::Store => None,
    };
    let status = match &tenant.config.service_status {
        ServiceStatusConfig::Http { token, .. } => token.clone(),
        ServiceStatusConfig::None | ServiceStatusConfig::File { .. } => None,
    };
    let desk = match &tenant.config.desk {
        DeskConfig::Webhook { secret, .. } => Some(secret.clone()),
        DeskConfig::Zendesk { token, .. } => Some(token.clone()),
        DeskConfig::None | DeskConfig::Folder { .. } => None,
    };
    let models = tenant.config.models.providers.values().filter_map(|provider| match provider {
        ProviderConfig::Openai { key, .. } => key.clone(),
        ProviderConfig::Bedrock { .. } | ProviderConfig::Local {} => None,
    });
    let hooks = tenant.config.hooks.generic.iter().flat_map(|hook| hook.secrets.clone());
    [customers, status, desk].into_iter().flatten().chain(models).chain(hooks).collect()
}
