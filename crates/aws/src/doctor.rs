//! Looks whether all that is needed is there on AWS, and says what is missing and what helps.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_sdk_dynamodb::{
    config::{ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeDeserializationInterceptorContextRef},
    error::{BoxError, ProvideErrorMetadata, SdkError},
    primitives::{DateTime, DateTimeFormat},
    types::{
        ContinuousBackupsStatus, IndexStatus, KeySchemaElement, KeyType, PointInTimeRecoveryStatus, ProjectionType,
        ScalarAttributeType, StreamViewType, TableDescription, TableStatus, TimeToLiveStatus,
    },
};
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_sqs::types::QueueAttributeName;
use serde::Serialize;
use switchboard_core::{
    error::{Error, ErrorKind},
    ports::Clock,
    time::Timestamp,
};

use crate::{
    Clients,
    error::explain,
    tables::{Index, TABLES, Table},
};

/// How far our clock may be off before AWS refuses what we sign (Signature Version 4: 5 minutes).
const CLOCK_REFUSED: Duration = Duration::from_secs(5 * 60);
/// How far it may be off before that is pointed out.
const CLOCK_OFF: Duration = Duration::from_secs(30);

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about, such as `table switchboard-tickets`.
    pub subject: String,
    /// What is missing or wrong.
    pub missing: String,
    /// What helps.
    pub remedy: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It will not work so.
    Problem,
    /// It works, and that may end or cost.
    Warning,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.subject, self.missing, self.remedy)
    }
}

/// Checks the credentials and what they may do, the clock, and each table, the bucket, the secrets, the bus and the queue against
/// what the code needs. Nothing found is an empty list. Nothing is changed.
pub async fn doctor(clients: &Clients, clock: &dyn Clock) -> Vec<Finding> {
    let mut report = Report::default();
    let date = Date::default();
    let first = clients.dynamo.describe_limits().customize().interceptor(date.clone()).send().await;
    report.clock(date.seen(), clock.now());
    if let Err(error) = first {
        let (code, has_answer) = (error.code().unwrap_or_default().to_owned(), error.raw_response().is_some());
        let told = explain("asking DynamoDB", error);
        if is_unknown_caller(&code) || !has_answer {
            // Every other call would say the same.
            report.nobody(&code, has_answer, &told);
            return report.0;
        }
        // Whoever may not ask for the limits may still do all that is needed.
    }
    for table in TABLES {
        report.table(clients, table).await;
    }
    report.bucket(clients).await;
    report.secrets(clients).await;
    report.bus(clients).await;
    report.queue(clients).await;
    report.0
}

#[derive(Default)]
struct Report(Vec<Finding>);

impl Report {
    fn add(&mut self, severity: Severity, subject: &str, missing: impl Into<String>, remedy: impl Into<String>) {
        let (missing, remedy) = (missing.into(), remedy.into());
        self.0.push(Finding { severity, subject: subject.to_owned(), missing, remedy });
    }

    fn problem(&mut self, subject: &str, missing: impl Into<String>, remedy: impl Into<String>) {
        self.add(Severity::Problem, subject, missing, remedy);
    }

    /// A call that failed: the thing is not there, may not be looked at, or does not answer.
    fn failed(&mut self, subject: &str, action: &str, error: &Error) {
        match error.kind() {
            ErrorKind::NotFound => self.problem(subject, "is not there", DEPLOY),
            ErrorKind::Forbidden => {
                self.problem(subject, "may not be looked at", format!("allow `{action}` to these credentials"));
            }
            _ => self.problem(subject, format!("cannot be looked at: {error}"), "try again; see the AWS status page"),
        }
    }

    fn nobody(&mut self, code: &str, has_answer: bool, error: &Error) {
        if has_answer {
            let remedy = "sign in again, or give other ones (environment, profile or role); look at the clock too";
            self.problem("credentials", format!("AWS does not accept them ({code})"), remedy);
        } else if matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unavailable) {
            let remedy = "give credentials (environment, profile or role), and look at network, region and endpoint";
            self.problem("AWS", "there are no credentials, or it does not answer", remedy);
        } else {
            let remedy = "name a region and give credentials (environment, profile or role)";
            self.problem("AWS", format!("no call can be made: {}", error.report()), remedy);
        }
    }

    fn clock(&mut self, theirs: Option<Timestamp>, ours: Timestamp) {
        let Some(theirs) = theirs else { return };
        let off = ours.since(theirs).max(theirs.since(ours));
        let missing = || format!("it differs from AWS's by {} s", off.as_secs());
        let remedy = "let NTP set it";
        if off > CLOCK_REFUSED {
            self.problem("clock", format!("{}; AWS refuses what is signed so", missing()), remedy);
        } else if off > CLOCK_OFF {
            self.add(Severity::Warning, "clock", missing(), remedy);
        }
    }

    async fn table(&mut self, clients: &Clients, table: &Table) {
        let name = clients.names.table(table.name);
        let subject = format!("table {name}");
        let described = match clients.dynamo.describe_table().table_name(&name).send().await {
            Ok(answer) => answer.table,
            Err(error) => {
                return self.failed(&subject, "dynamodb:DescribeTable", &explain("looking at a table", error));
            }
        };
        let Some(described) = described else { return self.problem(&subject, "is not there", DEPLOY) };
        self.described(&subject, table, &described);
        match clients.dynamo.describe_time_to_live().table_name(&name).send().await {
            Ok(answer) => {
                let is_on = answer.time_to_live_description.is_some_and(|ttl| {
                    ttl.attribute_name.as_deref() == Some("ttl")
                        && matches!(
                            ttl.time_to_live_status,
                            Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)
                        )
                });
                if !is_on {
                    self.problem(
                        &subject,
                        "nothing is ever deleted: no time to live",
                        "turn it on, by attribute `ttl`",
                    );
                }
            }
            Err(error) => {
                self.failed(
                    &subject,
                    "dynamodb:DescribeTimeToLive",
                    &explain("looking at a table's time to live", error),
                );
            }
        }
        match clients.dynamo.describe_continuous_backups().table_name(&name).send().await {
            Ok(answer) => {
                let is_on = answer.continuous_backups_description.is_some_and(|backups| {
                    backups.continuous_backups_status == ContinuousBackupsStatus::Enabled
                        && backups.point_in_time_recovery_description.is_some_and(|recovery| {
                            recovery.point_in_time_recovery_status == Some(PointInTimeRecoveryStatus::Enabled)
                        })
                });
                if !is_on {
                    let missing = "no point-in-time recovery: what is deleted by mistake is gone";
                    self.add(Severity::Warning, &subject, missing, "turn it on");
                }
            }
            Err(error) => {
                let error = explain("looking at a table's backups", error);
                self.failed(&subject, "dynamodb:DescribeContinuousBackups", &error);
            }
        }
    }

    fn described(&mut self, subject: &str, table: &Table, described: &TableDescription) {
        if !matches!(described.table_status, Some(TableStatus::Active | TableStatus::Updating)) {
            let status = described.table_status.as_ref().map_or("unknown", TableStatus::as_str);
            self.problem(subject, format!("it is not ready: {status}"), "wait until it is, and look again");
        }
        if !has_keys(described.key_schema(), table.hash, table.range) {
            let wanted = keys(table.hash, table.range);
            let remedy = "keys cannot be changed: make the table anew, or use another prefix";
            self.problem(subject, format!("its keys are not {wanted}"), remedy);
        }
        self.are_texts(subject, table, described);
        for index in table.indexes {
            self.index(subject, index, described);
        }
        let has_stream = described.stream_specification.as_ref().is_some_and(|stream| {
            stream.stream_enabled
                && matches!(stream.stream_view_type, Some(StreamViewType::NewImage | StreamViewType::NewAndOldImages))
        });
        if table.stream && !has_stream {
            let missing = "its changes are not streamed with their new image, so no write-back begins";
            self.problem(subject, missing, "turn the stream on, with view type NEW_IMAGE");
        }
    }

    fn are_texts(&mut self, subject: &str, table: &Table, described: &TableDescription) {
        let of_indexes = table.indexes.iter().flat_map(|index| [index.hash, index.range]);
        let mut names: Vec<_> = [Some(table.hash), table.range].into_iter().flatten().chain(of_indexes).collect();
        names.sort_unstable();
        names.dedup();
        for attribute in described.attribute_definitions() {
            let is_ours = names.contains(&attribute.attribute_name.as_str());
            if is_ours && attribute.attribute_type != ScalarAttributeType::S {
                let missing = format!("key `{}` is no string", attribute.attribute_name);
                self.problem(subject, missing, "make the table or the index anew, with a key of type S");
            }
        }
    }

    fn index(&mut self, subject: &str, index: &Index, described: &TableDescription) {
        let known = described.global_secondary_indexes().iter();
        let Some(known) = known.into_iter().find(|known| known.index_name() == Some(index.name)) else {
            return self.problem(subject, format!("index `{}` is not there", index.name), DEPLOY);
        };
        let name = index.name;
        if !has_keys(known.key_schema(), index.hash, Some(index.range)) {
            let wanted = keys(index.hash, Some(index.range));
            self.problem(subject, format!("the keys of index `{name}` are not {wanted}"), "make the index anew");
        }
        let projection = known.projection().and_then(|projection| projection.projection_type.as_ref());
        if index.whole && projection != Some(&ProjectionType::All) {
            self.problem(
                subject,
                format!("index `{name}` does not have whole items"),
                "make it anew, with projection ALL",
            );
        }
        if known.index_status.as_ref().is_some_and(|status| *status != IndexStatus::Active) {
            let missing = format!("index `{name}` is not ready, so lists are not whole");
            self.problem(subject, missing, "wait until it is, and look again");
        }
    }

    async fn bucket(&mut self, clients: &Clients) {
        let bucket = &clients.names.bucket;
        let subject = format!("bucket {bucket}");
        let Err(error) = clients.s3.head_bucket().bucket(bucket).send().await else { return };
        // The answer to HEAD has no body, so there is no code: only the status.
        match error.raw_response().map(|response| response.status().as_u16()) {
            Some(404) => self.problem(&subject, "is not there", DEPLOY),
            Some(403) => {
                self.problem(&subject, "may not be looked at", "allow `s3:ListBucket` on it to these credentials");
            }
            Some(301) => self.problem(&subject, "is in another region", "name its region, or another bucket"),
            _ => self.failed(&subject, "s3:ListBucket", &explain("looking at the bucket", error)),
        }
    }

    async fn secrets(&mut self, clients: &Clients) {
        // No tenant's id begins so; that there is no such secret is the answer of whoever may read them.
        let nobody = format!("{}/-/doctor", clients.names.prefix);
        let Err(error) = clients.secrets.get_secret_value().secret_id(nobody).send().await else { return };
        let told = explain("reading a secret", error);
        if told.kind() != ErrorKind::NotFound {
            let subject = format!("secrets {}/*", clients.names.prefix);
            self.failed(&subject, "secretsmanager:GetSecretValue", &told);
        }
    }

    async fn bus(&mut self, clients: &Clients) {
        let bus = &clients.names.bus;
        if let Err(error) = clients.events.describe_event_bus().name(bus).send().await {
            let error = explain("looking at the bus", error);
            self.failed(&format!("bus {bus}"), "events:DescribeEventBus", &error);
        }
    }

    async fn queue(&mut self, clients: &Clients) {
        let Some(queue) = &clients.names.jobs_queue else {
            let remedy = "give the URL of the queue of jobs";
            return self.add(
                Severity::Warning,
                "queue of jobs",
                "none is named, so retries wait for the sweeper",
                remedy,
            );
        };
        let subject = format!("queue {}", queue.path().rsplit('/').next().unwrap_or_default());
        let asked = clients.sqs.get_queue_attributes().queue_url(queue.as_str());
        let asked =
            asked.attribute_names(QueueAttributeName::RedrivePolicy).attribute_names(QueueAttributeName::QueueArn);
        let attributes = match asked.send().await {
            Ok(answer) => answer.attributes.unwrap_or_default(),
            Err(error) if is_no_queue(&error) => return self.problem(&subject, "is not there", DEPLOY),
            Err(error) => {
                return self.failed(&subject, "sqs:GetQueueAttributes", &explain("looking at the queue", error));
            }
        };
        let policy = attributes.get(&QueueAttributeName::RedrivePolicy);
        let policy = policy.and_then(|policy| serde_json::from_str::<serde_json::Value>(policy).ok());
        let dead = policy.as_ref().and_then(|policy| policy["deadLetterTargetArn"].as_str()?.rsplit(':').next());
        match dead {
            None => {
                let missing = "no queue takes what fails again and again";
                self.problem(&subject, missing, "give it a redrive policy to a queue of dead letters");
            }
            Some(dead) => match clients.sqs.get_queue_url().queue_name(dead).send().await {
                Ok(_) => {}
                Err(error) if is_no_queue(&error) => {
                    let missing = format!("its queue of dead letters, {dead}, is not there");
                    self.problem(&subject, missing, DEPLOY);
                }
                Err(error) => self.failed(
                    &format!("queue {dead}"),
                    "sqs:GetQueueUrl",
                    &explain("looking for the queue of dead letters", error),
                ),
            },
        }
        if let Some(arn) = attributes.get(&QueueAttributeName::QueueArn) {
            self.rule(clients, &subject, arn).await;
        }
    }

    async fn rule(&mut self, clients: &Clients, subject: &str, queue: &str) {
        let bus = &clients.names.bus;
        match clients.events.list_rule_names_by_target().target_arn(queue).event_bus_name(bus).send().await {
            Ok(answer) if answer.rule_names().is_empty() => {
                let missing = format!("no rule brings it events of bus {bus}, so all work waits for the sweeper");
                self.problem(subject, missing, DEPLOY);
            }
            Ok(_) => {}
            Err(error) => {
                let error = explain("looking for the rules of the bus", error);
                // A bus that is not there was told already.
                if error.kind() != ErrorKind::NotFound {
                    self.failed(subject, "events:ListRuleNamesByTarget", &error);
                }
            }
        }
    }
}

const DEPLOY: &str = "deploy the infrastructure, or correct prefix and names in the settings";

fn has_keys(seen: &[KeySchemaElement], hash: &str, range: Option<&str>) -> bool {
    let of = |kind: &KeyType| seen.iter().find(|key| key.key_type == *kind).map(|key| key.attribute_name.as_str());
    of(&KeyType::Hash) == Some(hash) && of(&KeyType::Range) == range
}

fn keys(hash: &str, range: Option<&str>) -> String {
    range.map_or_else(|| format!("`{hash}`"), |range| format!("`{hash}` and `{range}`"))
}

fn is_unknown_caller(code: &str) -> bool {
    matches!(
        code,
        "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "ExpiredTokenException"
            | "ExpiredToken"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "IncompleteSignature"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
    )
}

fn is_no_queue<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    error.code().is_some_and(|code| code.ends_with("QueueDoesNotExist") || code.ends_with("NonExistentQueue"))
}

/// Takes the date out of an answer, whatever else it says.
#[derive(Clone, Debug, Default)]
struct Date(Arc<Mutex<Option<Timestamp>>>);

impl Date {
    fn seen(&self) -> Option<Timestamp> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for Date {
    fn name(&self) -> &'static str {
        "Date"
    }

    fn read_after_transmit(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
        if let Some(millis) = date.and_then(|date| date.to_millis().ok()) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Timestamp::from_millis(millis));
        }
        Ok(())
    }
}
