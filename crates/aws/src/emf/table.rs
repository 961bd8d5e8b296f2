//! Which metrics there are on CloudWatch, and what each is made from.

use serde::Serialize;

/// A metric of CloudWatch.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Metric {
    /// Its name there.
    pub name: &'static str,
    /// Its unit there: one of CloudWatch's.
    pub unit: &'static str,
    /// What it tells.
    pub what: &'static str,
    /// The dimensions, beside the deployment, by which it is there a second time, split; without any it is always there.
    pub dimensions: &'static [&'static str],
    #[serde(skip)]
    pub(super) source: Source,
}

/// What a metric is made from, by the names of Prometheus.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// How much a counter has grown since the last flush, where the label of `only` has one of its values; split by a label, under
    /// the metric's only dimension.
    Sum { counter: &'static str, only: Option<Only>, by: Option<&'static str> },
    /// The same in dollars, of a counter of their billionths.
    Dollars(&'static str),
    /// The values of a histogram.
    Values(&'static str),
    /// What a gauge was set to last.
    Last(&'static str),
    /// For each count of `among` a 1 when it is one of `of`, where the label has one of the values, else a 0: the average is the
    /// share, over any time.
    Share { of: &'static str, label: Option<Only>, among: &'static str },
}

/// A label, and the values of it that are meant.
pub(super) type Only = (&'static str, &'static [&'static str]);

/// Calls of models that failed, by their outcome. Refusals and prompts that are too long are the ticket's, not the model's, and who
/// stops waiting drops a call.
const MODEL_FAILURES: Only = ("outcome", &["bad_output", "down", "invalid", "overloaded", "throttled", "unauthorised"]);

const fn sum(name: &'static str, what: &'static str, counter: &'static str) -> Metric {
    Metric { name, unit: "Count", what, dimensions: &[], source: Source::Sum { counter, only: None, by: None } }
}

const fn values(name: &'static str, unit: &'static str, what: &'static str, histogram: &'static str) -> Metric {
    Metric { name, unit, what, dimensions: &[], source: Source::Values(histogram) }
}

const fn last(name: &'static str, unit: &'static str, what: &'static str, gauge: &'static str) -> Metric {
    Metric { name, unit, what, dimensions: &[], source: Source::Last(gauge) }
}

/// All metrics: the one table of CloudWatch's names and ours.
pub const METRICS: &[Metric] = &[
    sum("TicketsAccepted", "tickets that were taken in", "switchboard_tickets_accepted_total"),
    sum("TicketsRefused", "tickets that were refused because too much waits", "switchboard_tickets_refused_total"),
    Metric {
        name: "TicketsProcessed",
        unit: "Count",
        what: "tickets that got their decision, and by what",
        dimensions: &["DecidedBy"],
        source: Source::Sum { counter: "switchboard_tickets_processed_total", only: None, by: Some("decided_by") },
    },
    values("ProcessingTime", "Seconds", "time that a decision took", "switchboard_processing_time_seconds"),
    values(
        "TimeToDecision",
        "Seconds",
        "time from taking a ticket in to its decision",
        "switchboard_time_to_decision_seconds",
    ),
    values("ConfidenceScore", "None", "how sure a routing is, 0 to 1", "switchboard_confidence_score"),
    Metric {
        name: "ManualReviewRate",
        unit: "None",
        what: "share of the decisions that a person should look at",
        dimensions: &[],
        source: Source::Share {
            of: "switchboard_manual_reviews_total",
            label: None,
            among: "switchboard_tickets_processed_total",
        },
    },
    Metric {
        name: "RoutingAccuracy",
        unit: "None",
        what: "share of the reviews that confirmed the decision",
        dimensions: &[],
        source: Source::Share {
            of: "switchboard_reviews_total",
            label: Some(("result", &["confirmed"])),
            among: "switchboard_reviews_total",
        },
    },
    Metric {
        name: "ErrorRate",
        unit: "None",
        what: "share of the events whose work failed, for now or for good",
        dimensions: &[],
        source: Source::Share {
            of: "switchboard_events_handled_total",
            label: Some(("outcome", &["retried", "buried"])),
            among: "switchboard_events_handled_total",
        },
    },
    Metric {
        name: "EventsHandled",
        unit: "Count",
        what: "events that were worked on, and with what outcome",
        dimensions: &["Outcome"],
        source: Source::Sum { counter: "switchboard_events_handled_total", only: None, by: Some("outcome") },
    },
    sum("MessagesUnread", "messages of the queue of jobs that name no event", "switchboard_messages_unread_total"),
    sum("TicketingSystemSyncs", "write-backs that the ticketing system took", "switchboard_syncs_total"),
    sum(
        "TicketingSystemSyncFailures",
        "write-backs that failed, each try counted",
        "switchboard_ticketing_system_sync_failures_total",
    ),
    Metric {
        name: "ToolFailures",
        unit: "Count",
        what: "tools of the routing that failed, and which",
        dimensions: &["Tool"],
        source: Source::Sum { counter: "switchboard_tool_failures_total", only: None, by: Some("tool") },
    },
    values("RequestTime", "Seconds", "time that a request took", "switchboard_http_request_seconds"),
    sum("RequestsRefused", "requests that met a limit", "switchboard_http_refused_total"),
    last("QueueDepth", "Count", "events that wait", "switchboard_queue_waiting"),
    last("QueueAge", "Seconds", "age of the event that waits longest", "switchboard_queue_oldest_seconds"),
    last("DeadLetters", "Count", "events that nobody tries any more", "switchboard_dead_letters"),
    last("EffectsUnknown", "Count", "effects whose outcome a person must find out", "switchboard_effects_unknown"),
    sum("RingsFailed", "events whose workers were not woken", "switchboard_rings_failed_total"),
    sum("ModelCalls", "calls of language models, each try counted", "switchboard_model_calls_total"),
    Metric {
        name: "ModelErrors",
        unit: "Count",
        what: "calls of language models that failed, and how",
        dimensions: &["Kind"],
        source: Source::Sum {
            counter: "switchboard_model_calls_total",
            only: Some(MODEL_FAILURES),
            by: Some("outcome"),
        },
    },
    values("ModelLatency", "Seconds", "time that a call of a language model took", "switchboard_model_seconds"),
    values(
        "FirstTokenTime",
        "Seconds",
        "time until a streamed answer of a language model began",
        "switchboard_model_first_token_seconds",
    ),
    Metric {
        name: "ModelTokens",
        unit: "Count",
        what: "tokens of prompts and answers, and of which model",
        dimensions: &["Model"],
        source: Source::Sum {
            counter: "switchboard_model_tokens_total",
            // Those from the cache are among those of the prompts.
            only: Some(("kind", &["input", "output"])),
            by: Some("model"),
        },
    },
    Metric {
        name: "ModelCost",
        unit: "None",
        what: "dollars that calls of language models cost, those that nobody counted at their worst",
        dimensions: &[],
        source: Source::Dollars("switchboard_model_cost_nanousd_total"),
    },
];

impl Source {
    pub(super) fn reads(&self, name: &str) -> bool {
        match self {
            Self::Sum { counter: one, .. } | Self::Dollars(one) | Self::Values(one) | Self::Last(one) => *one == name,
            Self::Share { of, among, .. } => *of == name || *among == name,
        }
    }
}
