//! The bill of a month on AWS: what a ticket asks of each service, times its price.
//!
//! What a ticket asks for is written down here as constants, each with its reckoning, so that it can be compared with the
//! adapters; sizes and times are those of ordinary tickets: a text of a thousand characters, a desk that answers in 300 ms.

use serde::{Deserialize, Serialize};

/// Days of a month.
const DAYS: f64 = 30.0;
/// Hours of a month.
const HOURS: f64 = DAYS * 24.0;
/// Runs of the schedule a month: one a minute.
const RUNS: f64 = HOURS * 60.0;
const MILLION: f64 = 1e6;

/// Write units of DynamoDB a ticket: one a KB of an item and of its entry in each index, twice in a transaction (the entries
/// once).
/// Accept: head 1 KB, record 2, event 2, idempotency key 1, in a transaction (12); entries of the head by time and customer (2)
/// and of the event by tenant, ticket and queue, keys only (3).
const ACCEPT_UNITS: f64 = 17.0;
/// Decide: head 1 KB, decision 3, new event 1, event settled 2, in a transaction (14); entries of the head by time, team and
/// sync state (3), of the new event (3), and the settled one's out of the queue (1).
const DECIDE_UNITS: f64 = 21.0;
/// Claim: event 1 KB and head 1 KB in a transaction (4); entry of the queue moved (2), of the head by time (1).
const CLAIM_UNITS: f64 = 7.0;
/// Attempt: the effect 1 KB with its entry by ticket.
const ATTEMPT_UNITS: f64 = 2.0;
/// Result: head, event, effect and `TicketSynced` 1 KB each in a transaction (8); entries of the head by time (1) and moved by
/// sync state (2), out of the queue (1), of the new event by tenant and ticket (2).
const RESULT_UNITS: f64 = 14.0;
const WRITE_UNITS: f64 = ACCEPT_UNITS + DECIDE_UNITS + CLAIM_UNITS + ATTEMPT_UNITS + RESULT_UNITS;
/// Read units: one for 4 KB, half when a moment old may be. The ticket with 3 KB and with 7 KB (3), customer (1), the history's
/// index (1) and its five heads (5), the event of the write-back (1), the key (1).
const READ_UNITS: f64 = 12.0;
/// Read units of one run of the schedule: a page of each queue, and its tenants.
const RUN_READ_UNITS: f64 = 10.0;

/// GB that a ticket takes in the tables for 90 days: items and entries of indexes, 12 KB; its events, 4 KB, for 7 days.
const TICKET_GB: f64 = 12.0 * KB;
const TICKET_DAYS: f64 = 90.0;
const EVENTS_GB: f64 = 4.0 * KB;
const EVENT_DAYS: f64 = 7.0;
const KB: f64 = 1e-6;

/// Requests of SQS a ticket: EventBridge sends, Lambda receives and deletes.
const QUEUE_REQUESTS: f64 = 3.0;
/// Requests of SQS by five pollers that wait 20 s each, while nothing is there.
const IDLE_POLLS: f64 = 5.0 * 3.0 * 60.0 * HOURS;

/// GB of memory and seconds of a call, by role.
const HTTP: (f64, f64) = (0.5, 0.06);
const JOBS: (f64, f64) = (1.0, 0.15);
const STREAM: (f64, f64) = (0.5, 0.4);
const SCHEDULE: (f64, f64) = (1.0, 0.3);
/// Calls of functions a ticket: http, jobs, stream. Batches make fewer of them.
const CALLS: f64 = 3.0;

/// GB of logs a ticket: Lambda's two lines and one of metrics a call, an access line, a line of the decision.
const LOG_GB: f64 = 3.0 * KB;
/// GB of logs of one run of the schedule.
const RUN_LOG_GB: f64 = 1.0 * KB;
/// Metrics of our own at most, without those of language models: 21 names (`infra/metrics.json`), and those split: five that decide,
/// seven tools, five outcomes.
const METRICS: f64 = 38.0;
/// Metrics that alarms look at: one that divides pays for each of its parts.
const ALARM_METRICS: f64 = 52.0;
/// Share of the calls that X-Ray records, over one a second and role.
const TRACED: f64 = 0.05;
/// Calls of KMS: each table asks every five minutes for each role that uses it; queues, logs and cold starts the rest.
const KMS_CALLS: f64 = 8.0 * 4.0 * 12.0 * HOURS;
/// Secrets: the pepper, and one of a ticketing system. Functions keep them for five minutes.
const SECRETS: f64 = 2.0;
const SECRET_CALLS: f64 = 4.0 * 12.0 * HOURS;
/// Share of the tickets whose body is too large for an item, and goes to S3.
const LARGE: f64 = 0.01;
/// Reads of S3 that do not hang on tickets: each role looks at its tenants' configuration every minute.
const CONFIGURATION_READS: f64 = 4.0 * RUNS;

/// The file of prices.
#[derive(Debug, Deserialize)]
pub(super) struct PriceList {
    /// The day they were written down.
    pub(super) date: String,
    pub(super) region: String,
    /// Where they come from.
    pub(super) note: String,
    pub(super) prices: Prices,
}

/// Prices in dollars; the names say of what.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Prices {
    lambda_million_requests: f64,
    lambda_gb_second_arm64: f64,
    dynamodb_million_write_units: f64,
    dynamodb_million_read_units: f64,
    dynamodb_gb_month: f64,
    dynamodb_recovery_gb_month: f64,
    eventbridge_million_events: f64,
    eventbridge_archive_gb: f64,
    scheduler_million_calls: f64,
    sqs_million_requests: f64,
    s3_gb_month: f64,
    s3_thousand_writes: f64,
    s3_thousand_reads: f64,
    http_api_million_requests: f64,
    rest_api_million_requests: f64,
    logs_gb: f64,
    logs_gb_month: f64,
    metric_month: f64,
    alarm_metric_month: f64,
    dashboard_month: f64,
    xray_million_traces: f64,
    kms_key_month: f64,
    kms_ten_thousand_requests: f64,
    secret_month: f64,
    secret_ten_thousand_calls: f64,
}

/// What is in front of the functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Front {
    Http,
    Rest,
}

/// What the bill is of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deployment {
    pub(super) tickets_per_day: u64,
    pub(super) front: Front,
}

/// A line of the bill.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Item {
    pub(super) service: &'static str,
    pub(super) what: &'static str,
    /// How much of it a month.
    pub(super) quantity: f64,
    pub(super) unit: &'static str,
    /// Dollars a month.
    pub(super) usd: f64,
}

/// The bill of a month.
#[derive(Clone, Debug)]
pub(super) struct Bill {
    pub(super) tickets_per_day: u64,
    pub(super) items: Vec<Item>,
}

impl Bill {
    /// Dollars a month.
    pub(super) fn total(&self) -> f64 {
        self.items.iter().map(|item| item.usd).sum()
    }

    /// Dollars for a thousand tickets.
    pub(super) fn of_thousand(&self) -> f64 {
        self.total() / (self.tickets_per_day as f64 * DAYS) * 1e3
    }
}

/// The bill of a month, without free tiers, taxes, language models and data that leave the region.
pub(super) fn bill(prices: &Prices, deployment: &Deployment) -> Bill {
    let tickets = deployment.tickets_per_day as f64 * DAYS;
    let mut items = front(prices, deployment.front, tickets);
    items.extend(functions(prices, tickets));
    items.extend(tables(prices, tickets));
    items.extend(messages(prices, tickets));
    items.extend(bucket(prices, tickets));
    items.extend(watching(prices, tickets));
    items.extend(secrets(prices));
    Bill { tickets_per_day: deployment.tickets_per_day, items }
}

/// A line: `quantity` units, of which `pack` together cost `price`.
fn item(service: &'static str, what: &'static str, quantity: f64, unit: &'static str, pack: f64, price: f64) -> Item {
    Item { service, what, quantity, unit, usd: quantity / pack * price }
}

fn front(prices: &Prices, front: Front, tickets: f64) -> Vec<Item> {
    let (what, price) = match front {
        Front::Http => ("HTTP API", prices.http_api_million_requests),
        Front::Rest => ("REST API", prices.rest_api_million_requests),
    };
    vec![item("API Gateway", what, tickets, "requests", MILLION, price)]
}

fn functions(prices: &Prices, tickets: f64) -> Vec<Item> {
    let time = |(memory, seconds): (f64, f64), calls: f64| memory * seconds * calls;
    let used = time(HTTP, tickets) + time(JOBS, tickets) + time(STREAM, tickets) + time(SCHEDULE, RUNS);
    vec![
        item("Lambda", "calls", CALLS * tickets + RUNS, "requests", MILLION, prices.lambda_million_requests),
        item("Lambda", "time × memory, arm64", used, "GB-s", 1.0, prices.lambda_gb_second_arm64),
    ]
}

fn tables(prices: &Prices, tickets: f64) -> Vec<Item> {
    let reads = READ_UNITS * tickets + RUN_READ_UNITS * RUNS;
    // What is there when as much goes as comes.
    let kept = tickets / DAYS * (TICKET_GB * TICKET_DAYS + EVENTS_GB * EVENT_DAYS);
    vec![
        item("DynamoDB", "writes", WRITE_UNITS * tickets, "write units", MILLION, prices.dynamodb_million_write_units),
        item("DynamoDB", "reads", reads, "read units", MILLION, prices.dynamodb_million_read_units),
        item("DynamoDB", "storage", kept, "GB", 1.0, prices.dynamodb_gb_month),
        item("DynamoDB", "point-in-time recovery", kept, "GB", 1.0, prices.dynamodb_recovery_gb_month),
    ]
}

fn messages(prices: &Prices, tickets: f64) -> Vec<Item> {
    let requests = QUEUE_REQUESTS * tickets + IDLE_POLLS;
    vec![
        item("EventBridge", "events", tickets, "events", MILLION, prices.eventbridge_million_events),
        item("EventBridge", "archive", tickets * EVENTS_GB / 2.0, "GB", 1.0, prices.eventbridge_archive_gb),
        item("EventBridge", "schedule", RUNS, "calls", MILLION, prices.scheduler_million_calls),
        item("SQS", "requests, idle polls with them", requests, "requests", MILLION, prices.sqs_million_requests),
    ]
}

fn bucket(prices: &Prices, tickets: f64) -> Vec<Item> {
    // 500 KB of each large body, for 97 days, and a GB of configurations, models and logs.
    let kept = tickets / DAYS * LARGE * 500.0 * KB * 97.0 + 1.0;
    let reads = 3.0 * LARGE * tickets + CONFIGURATION_READS;
    vec![
        item("S3", "storage", kept, "GB", 1.0, prices.s3_gb_month),
        item("S3", "writes", 2.0 * LARGE * tickets, "requests", 1e3, prices.s3_thousand_writes),
        item("S3", "reads", reads, "requests", 1e3, prices.s3_thousand_reads),
    ]
}

fn watching(prices: &Prices, tickets: f64) -> Vec<Item> {
    let logs = LOG_GB * tickets + RUN_LOG_GB * RUNS;
    let calls = CALLS * tickets + RUNS;
    // One a second and role at most, and a share of the rest; with few tickets that is all of them.
    let first = calls.min(4.0 * HOURS * 3600.0);
    let traces = first + (calls - first) * TRACED;
    vec![
        item("CloudWatch", "logs taken in", logs, "GB", 1.0, prices.logs_gb),
        // Functions' logs stay a week, accesses 90 days; the latter are a tenth.
        item("CloudWatch", "logs kept", logs / DAYS * (7.0 + 9.0), "GB", 1.0, prices.logs_gb_month),
        item("CloudWatch", "metrics of our own", METRICS, "metrics", 1.0, prices.metric_month),
        item("CloudWatch", "alarms", ALARM_METRICS, "metrics", 1.0, prices.alarm_metric_month),
        item("CloudWatch", "dashboard", 1.0, "dashboards", 1.0, prices.dashboard_month),
        item("X-Ray", "traces", traces, "traces", MILLION, prices.xray_million_traces),
    ]
}

fn secrets(prices: &Prices) -> Vec<Item> {
    vec![
        item("KMS", "key", 1.0, "keys", 1.0, prices.kms_key_month),
        item("KMS", "calls", KMS_CALLS, "requests", 1e4, prices.kms_ten_thousand_requests),
        item("Secrets Manager", "secrets", SECRETS, "secrets", 1.0, prices.secret_month),
        item("Secrets Manager", "calls", SECRET_CALLS, "requests", 1e4, prices.secret_ten_thousand_calls),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(tickets_per_day: u64, front: Front) -> Bill {
        let prices: PriceList = serde_json::from_str(super::super::PRICES).unwrap();
        bill(&prices.prices, &Deployment { tickets_per_day, front })
    }

    fn usd(bill: &Bill, service: &str, what: &str) -> f64 {
        bill.items.iter().find(|item| item.service == service && item.what == what).unwrap().usd
    }

    #[test]
    fn lines_are_quantity_times_price() {
        let bill = of(1_000, Front::Http);
        // 30,000 tickets of 61 units, at $0.625 a million.
        assert!((usd(&bill, "DynamoDB", "writes") - 30_000.0 * 61.0 / 1e6 * 0.625).abs() < 1e-9);
        // 30,000 calls of http, jobs and stream each, and one a minute.
        assert!((usd(&bill, "Lambda", "calls") - (90_000.0 + 43_200.0) / 1e6 * 0.20).abs() < 1e-9);
        assert!((usd(&bill, "API Gateway", "HTTP API") - 0.03).abs() < 1e-9);
        assert!((usd(&of(1_000, Front::Rest), "API Gateway", "REST API") - 0.105).abs() < 1e-9);
        let total: f64 = bill.items.iter().map(|item| item.usd).sum();
        assert!((bill.total() - total).abs() < 1e-9 && (bill.of_thousand() - total / 30.0).abs() < 1e-9);
    }

    #[test]
    fn what_hangs_on_no_ticket_is_shared_by_more() {
        let (small, large) = (of(1_000, Front::Http), of(100_000, Front::Http));
        assert!(large.total() > small.total() && large.of_thousand() < small.of_thousand() / 5.0);
        // A line that hangs on tickets alone grows as they do.
        let ratio = usd(&large, "DynamoDB", "writes") / usd(&small, "DynamoDB", "writes");
        assert!((ratio - 100.0).abs() < 1e-9);
        // One that hangs on none does not.
        assert!((usd(&large, "KMS", "key") - usd(&small, "KMS", "key")).abs() < 1e-9);
    }
}
