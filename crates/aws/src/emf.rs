//! Metrics for CloudWatch: the embedded metric format, one line of JSON on standard output, which CloudWatch Logs turns into
//! metrics without a call. It costs by the metric and not by the value, so only what stands in [`METRICS`] becomes one; other
//! counters and gauges stand in the line as plain fields, to be searched for.
//!
//! Own code, because `metrics_cloudwatch_embedded` 0.10 sends every name with every label as a metric of its own, under the name
//! that it has here, and drops the values of a histogram from the 101st on.
//!
//! The format: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use switchboard_core::time::Timestamp;

/// Values of one metric in one line: a limit of the format.
const VALUES: usize = 100;
/// Values of one metric that are remembered until the next flush; those beyond are counted in `values_left_out`.
const VALUES_KEPT: usize = 10_000;
/// Names with labels that are told apart; those beyond are not recorded.
const SERIES: usize = 1_000;

/// A metric of CloudWatch.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Metric {
    /// Its name there.
    pub name: &'static str,
    /// Its unit there: one of CloudWatch's.
    pub unit: &'static str,
    /// What it tells.
    pub what: &'static str,
    /// The dimensions by which it is there a second time, split; without any it is always there.
    pub dimensions: &'static [&'static str],
    #[serde(skip)]
    source: Source,
}

/// What a metric is made from, by the names of Prometheus.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// How much a counter has grown since the last flush; split by a label, under the metric's only dimension.
    Sum { counter: &'static str, by: Option<&'static str> },
    /// The values of a histogram.
    Values(&'static str),
    /// What a gauge was set to last.
    Last(&'static str),
    /// For each count of `among` a 1 when it is one of `of`, where the label has one of the values, else a 0: the average is the
    /// share, over any time.
    Share { of: &'static str, label: Option<(&'static str, &'static [&'static str])>, among: &'static str },
}

const fn sum(name: &'static str, what: &'static str, counter: &'static str) -> Metric {
    Metric { name, unit: "Count", what, dimensions: &[], source: Source::Sum { counter, by: None } }
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
        source: Source::Sum { counter: "switchboard_tickets_processed_total", by: Some("decided_by") },
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
        source: Source::Sum { counter: "switchboard_tool_failures_total", by: Some("tool") },
    },
    values("RequestTime", "Seconds", "time that a request took", "switchboard_http_request_seconds"),
    sum("RequestsRefused", "requests that met a limit", "switchboard_http_refused_total"),
    last("QueueDepth", "Count", "events that wait", "switchboard_queue_waiting"),
    last("QueueAge", "Seconds", "age of the event that waits longest", "switchboard_queue_oldest_seconds"),
    last("DeadLetters", "Count", "events that nobody tries any more", "switchboard_dead_letters"),
    last("EffectsUnknown", "Count", "effects whose outcome a person must find out", "switchboard_effects_unknown"),
    sum("RingsFailed", "events whose workers were not woken", "switchboard_rings_failed_total"),
];

/// Remembers what the `metrics` facade is told, until it is flushed. A clone is the same recorder: one goes to
/// [`metrics::set_global_recorder`], the other flushes at the end of each invocation.
#[derive(Clone)]
pub struct Emf {
    namespace: Arc<str>,
    series: Arc<Mutex<Series>>,
}

#[derive(Default)]
struct Series {
    counters: BTreeMap<Name, Arc<AtomicU64>>,
    gauges: BTreeMap<Name, Arc<Set>>,
    histograms: BTreeMap<Name, Arc<Values>>,
}

/// A name of Prometheus, with its labels in order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    name: String,
    labels: Vec<(String, String)>,
}

/// A gauge, and whether it was set since the last flush.
#[derive(Default)]
struct Set {
    bits: AtomicU64,
    is_set: AtomicBool,
}

#[derive(Default)]
struct Values {
    values: Mutex<Vec<f64>>,
    left_out: AtomicU64,
}

/// What was recorded since the last flush.
#[derive(Default)]
struct Recorded {
    counters: Vec<(Name, u64)>,
    gauges: Vec<(Name, f64)>,
    histograms: BTreeMap<String, Vec<f64>>,
    left_out: u64,
}

impl Emf {
    /// A recorder for metrics of this namespace of CloudWatch, such as `Switchboard`.
    pub fn new(namespace: &str) -> Self {
        Self { namespace: namespace.into(), series: Arc::default() }
    }

    /// Writes what was recorded since the last flush to standard output; nothing when there is nothing.
    pub fn flush(&self, now: Timestamp) -> io::Result<()> {
        self.flush_to(now, &mut io::stdout().lock())
    }

    /// Writes what was recorded since the last flush: one line, and further ones where the format asks for it, because there
    /// are more values than fit or because a metric is split by a dimension.
    pub fn flush_to(&self, now: Timestamp, out: &mut impl Write) -> io::Result<()> {
        let mut lines = String::new();
        for line in self.lines(&self.take(), now) {
            lines.push_str(&line.to_string());
            lines.push('\n');
        }
        out.write_all(lines.as_bytes())?;
        out.flush()
    }

    fn series(&self) -> MutexGuard<'_, Series> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Recorded {
        let series = self.series();
        let mut recorded = Recorded::default();
        for (name, counter) in &series.counters {
            let grown = counter.swap(0, Ordering::Relaxed);
            recorded.counters.extend((grown > 0).then(|| (name.clone(), grown)));
        }
        for (name, gauge) in &series.gauges {
            let value = f64::from_bits(gauge.bits.load(Ordering::Relaxed));
            let is_new = gauge.is_set.swap(false, Ordering::Relaxed) && value.is_finite();
            recorded.gauges.extend(is_new.then(|| (name.clone(), value)));
        }
        for (name, histogram) in &series.histograms {
            let values = std::mem::take(&mut *histogram.values.lock().unwrap_or_else(PoisonError::into_inner));
            if !values.is_empty() {
                recorded.histograms.entry(name.name.clone()).or_default().extend(values);
            }
            recorded.left_out += histogram.left_out.swap(0, Ordering::Relaxed);
        }
        recorded
    }

    fn lines(&self, recorded: &Recorded, now: Timestamp) -> Vec<Value> {
        let of: Vec<_> = METRICS.iter().map(|metric| (metric, recorded.values(&metric.source))).collect();
        let longest = of.iter().map(|(_, values)| values.len().div_ceil(VALUES)).max().unwrap_or(0);
        let mut fields = recorded.fields();
        let mut lines = Vec::new();
        // At least one round, for the plain fields alone.
        for n in 0..longest.max(1) {
            let part = |values: &[f64]| values.chunks(VALUES).nth(n).map(<[f64]>::to_vec);
            let here: Vec<_> = of.iter().filter_map(|(metric, values)| Some((*metric, part(values)?))).collect();
            let fields = std::mem::take(&mut fields);
            if !here.is_empty() || !fields.is_empty() {
                lines.push(self.line(now, None, &here, fields));
            }
        }
        for (metric, _) in of {
            let (Source::Sum { counter, by: Some(label) }, [dimension]) = (metric.source, metric.dimensions) else {
                continue;
            };
            for (value, sum) in recorded.split(counter, label) {
                lines.push(self.line(now, Some((dimension, value)), &[(metric, vec![sum])], Map::new()));
            }
        }
        lines
    }

    fn line(
        &self,
        now: Timestamp,
        dimension: Option<(&str, &str)>,
        metrics: &[(&Metric, Vec<f64>)],
        mut fields: Map<String, Value>,
    ) -> Value {
        let names: Vec<_> = dimension.iter().map(|(name, _)| name).collect();
        let described: Vec<_> =
            metrics.iter().map(|(metric, _)| json!({ "Name": metric.name, "Unit": metric.unit })).collect();
        let directive = json!({ "Namespace": *self.namespace, "Dimensions": [names], "Metrics": described });
        // Without a metric there is nothing to extract, and the line is only searched.
        let directives = if metrics.is_empty() { json!([]) } else { json!([directive]) };
        fields.insert("_aws".to_owned(), json!({ "Timestamp": now.as_millis(), "CloudWatchMetrics": directives }));
        fields.extend(dimension.map(|(name, value)| (name.to_owned(), json!(value))));
        for (metric, values) in metrics {
            let value = if let [value] = values.as_slice() { json!(value) } else { json!(values) };
            fields.insert(metric.name.to_owned(), value);
        }
        Value::Object(fields)
    }
}

impl Recorded {
    fn values(&self, source: &Source) -> Vec<f64> {
        match source {
            Source::Sum { counter, .. } => match self.sum(counter, None) {
                0 => Vec::new(),
                sum => vec![sum as f64],
            },
            Source::Values(name) => self.histograms.get(*name).cloned().unwrap_or_default(),
            Source::Last(name) => self
                .gauges
                .iter()
                .rev()
                .find(|(known, _)| known.name == *name)
                .map(|(_, value)| *value)
                .into_iter()
                .collect(),
            Source::Share { of, label, among } => {
                let all = self.sum(among, None).min(VALUES_KEPT as u64);
                let hits = self.sum(of, *label);
                (0..all).map(|n| if n < hits { 1.0 } else { 0.0 }).collect()
            }
        }
    }

    fn sum(&self, counter: &str, label: Option<(&str, &[&str])>) -> u64 {
        let is_meant = |name: &Name| {
            name.name == counter
                && label.is_none_or(|(label, values)| {
                    name.labels.iter().any(|(key, value)| key == label && values.contains(&value.as_str()))
                })
        };
        self.counters.iter().filter(|(name, _)| is_meant(name)).map(|(_, grown)| grown).sum()
    }

    fn split(&self, counter: &str, label: &str) -> BTreeMap<&str, f64> {
        let mut split = BTreeMap::new();
        for (name, grown) in self.counters.iter().filter(|(name, _)| name.name == counter) {
            if let Some((_, value)) = name.labels.iter().find(|(key, value)| key == label && !value.is_empty()) {
                *split.entry(value.as_str()).or_default() += *grown as f64;
            }
        }
        split
    }

    /// What is no metric, under its own name; labels are summed up.
    fn fields(&self) -> Map<String, Value> {
        let is_other = |name: &Name| !METRICS.iter().any(|metric| metric.source.reads(&name.name));
        let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
        for (name, grown) in self.counters.iter().filter(|(name, _)| is_other(name)) {
            *sums.entry(&name.name).or_default() += grown;
        }
        let mut fields: Map<String, Value> =
            sums.into_iter().map(|(name, sum)| (name.to_owned(), json!(sum))).collect();
        for (name, value) in self.gauges.iter().filter(|(name, _)| is_other(name)) {
            fields.insert(name.name.clone(), json!(value));
        }
        if self.left_out > 0 {
            fields.insert("values_left_out".to_owned(), json!(self.left_out));
        }
        fields
    }
}

impl Source {
    fn reads(&self, name: &str) -> bool {
        match self {
            Self::Sum { counter: one, .. } | Self::Values(one) | Self::Last(one) => *one == name,
            Self::Share { of, among, .. } => *of == name || *among == name,
        }
    }
}

impl Name {
    fn of(key: &Key) -> Self {
        let mut labels: Vec<_> = key.labels().map(|label| (label.key().to_owned(), label.value().to_owned())).collect();
        labels.sort();
        Self { name: key.name().to_owned(), labels }
    }
}

/// The series of that name; none when there are too many already.
fn series<T: Default>(known: &mut BTreeMap<Name, Arc<T>>, key: &Key) -> Option<Arc<T>> {
    let (name, is_full) = (Name::of(key), known.len() >= SERIES);
    match known.get(&name) {
        Some(series) => Some(Arc::clone(series)),
        None if is_full => None,
        None => Some(Arc::clone(known.entry(name).or_default())),
    }
}

impl Recorder for Emf {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        series(&mut self.series().counters, key).map_or_else(Counter::noop, Counter::from_arc)
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        series(&mut self.series().gauges, key).map_or_else(Gauge::noop, Gauge::from_arc)
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        series(&mut self.series().histograms, key).map_or_else(Histogram::noop, Histogram::from_arc)
    }
}

impl GaugeFn for Set {
    fn increment(&self, value: f64) {
        GaugeFn::increment(&self.bits, value);
        self.is_set.store(true, Ordering::Relaxed);
    }

    fn decrement(&self, value: f64) {
        GaugeFn::decrement(&self.bits, value);
        self.is_set.store(true, Ordering::Relaxed);
    }

    fn set(&self, value: f64) {
        GaugeFn::set(&self.bits, value);
        self.is_set.store(true, Ordering::Relaxed);
    }
}

impl HistogramFn for Values {
    fn record(&self, value: f64) {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        if values.len() < VALUES_KEPT && value.is_finite() {
            values.push(value);
        } else {
            CounterFn::increment(&self.left_out, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn recorded(record: impl FnOnce()) -> (Emf, Vec<Value>) {
        let emf = Emf::new("Switchboard");
        metrics::with_local_recorder(&emf, record);
        let lines = flushed(&emf);
        (emf, lines)
    }

    fn flushed(emf: &Emf) -> Vec<Value> {
        let mut out = Vec::new();
        emf.flush_to(Timestamp::from_millis(1_795_161_600_000), &mut out).unwrap();
        String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What CloudWatch makes of a line: dimension and value of the dimension, then each metric with its values.
    fn metrics_of(line: &Value) -> Vec<(String, String, Vec<f64>)> {
        let directives = line["_aws"]["CloudWatchMetrics"].as_array().unwrap();
        let mut seen = Vec::new();
        for directive in directives {
            assert_eq!(directive["Namespace"], "Switchboard");
            let metrics = directive["Metrics"].as_array().unwrap();
            assert!((1..=100).contains(&metrics.len()));
            for set in directive["Dimensions"].as_array().unwrap() {
                let set: Vec<_> =
                    set.as_array().unwrap().iter().map(|name| line[name.as_str().unwrap()].as_str().unwrap()).collect();
                for metric in metrics {
                    let name = metric["Name"].as_str().unwrap();
                    let values = match &line[name] {
                        Value::Array(values) => values.iter().map(|value| value.as_f64().unwrap()).collect(),
                        value => vec![value.as_f64().unwrap()],
                    };
                    assert!((1..=VALUES).contains(&values.len()));
                    seen.push((set.join(","), name.to_owned(), values));
                }
            }
        }
        seen
    }

    fn values(lines: &[Value], dimension: &str, name: &str) -> Vec<f64> {
        let all = lines.iter().flat_map(metrics_of);
        all.filter(|(set, metric, _)| set == dimension && metric == name).flat_map(|(_, _, values)| values).collect()
    }

    #[test]
    fn one_line_tells_what_was_recorded_and_the_next_flush_begins_anew() {
        let (emf, lines) = recorded(|| {
            metrics::counter!("switchboard_tickets_accepted_total").increment(3);
            metrics::counter!("switchboard_tickets_accepted_total").increment(2);
            metrics::gauge!("switchboard_queue_waiting").set(7.0);
            metrics::histogram!("switchboard_processing_time_seconds").record(0.25);
            metrics::histogram!("switchboard_processing_time_seconds").record(0.5);
            metrics::histogram!("switchboard_processing_time_seconds").record(f64::NAN);
            metrics::counter!("switchboard_trainings_total", "in_force" => "yes").increment(1);
            metrics::counter!("switchboard_trainings_total", "in_force" => "no").increment(1);
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!(lines[0]["_aws"]["Timestamp"], 1_795_161_600_000_i64);
        assert_eq!(values(&lines, "", "TicketsAccepted"), [5.0]);
        assert_eq!(values(&lines, "", "QueueDepth"), [7.0]);
        assert_eq!(values(&lines, "", "ProcessingTime"), [0.25, 0.5]);
        assert_eq!(lines[0]["switchboard_trainings_total"], 2, "no metric, and to be searched for");
        assert_eq!(lines[0]["values_left_out"], 1);
        assert_eq!(flushed(&emf), Vec::<Value>::new());
    }

    #[test]
    fn a_metric_is_there_as_a_whole_and_split() {
        let (_, lines) = recorded(|| {
            metrics::counter!("switchboard_tickets_processed_total", "decided_by" => "local").increment(2);
            metrics::counter!("switchboard_tickets_processed_total", "decided_by" => "rule").increment(1);
        });
        assert_eq!(values(&lines, "", "TicketsProcessed"), [3.0]);
        assert_eq!(values(&lines, "local", "TicketsProcessed"), [2.0]);
        assert_eq!(values(&lines, "rule", "TicketsProcessed"), [1.0]);
        assert_eq!(values(&lines, "", "ManualReviewRate"), [0.0; 3]);
    }

    #[test]
    fn the_average_of_a_share_is_the_share() {
        let (_, lines) = recorded(|| {
            metrics::counter!("switchboard_tickets_processed_total", "decided_by" => "local").increment(250);
            metrics::counter!("switchboard_manual_reviews_total").increment(50);
            metrics::counter!("switchboard_reviews_total", "result" => "confirmed").increment(3);
            metrics::counter!("switchboard_reviews_total", "result" => "corrected").increment(1);
            for (outcome, count) in [("done", 7), ("retried", 1), ("buried", 1), ("left", 1)] {
                let counted = metrics::counter!("switchboard_events_handled_total", "event" => "TicketRouted", "outcome" => outcome);
                counted.increment(count);
            }
        });
        let mean = |name: &str| {
            let values = values(&lines, "", name);
            values.iter().sum::<f64>() / values.len() as f64
        };
        assert_eq!(mean("ManualReviewRate"), 0.2);
        assert_eq!(mean("RoutingAccuracy"), 0.75);
        assert_eq!(mean("ErrorRate"), 0.2);
    }

    #[test]
    fn many_values_go_into_several_lines_and_none_is_lost() {
        let (_, lines) = recorded(|| {
            for n in 0..250 {
                metrics::histogram!("switchboard_confidence_score").record(f64::from(n));
            }
            metrics::counter!("switchboard_syncs_total").increment(1);
        });
        assert_eq!(lines.len(), 3);
        assert_eq!(values(&lines, "", "ConfidenceScore"), (0..250).map(f64::from).collect::<Vec<_>>());
        assert_eq!(values(&lines, "", "TicketingSystemSyncs"), [1.0], "once, not in each line");
    }

    #[test]
    fn names_without_end_are_bounded() {
        let (_, lines) = recorded(|| {
            for n in 0..2 * SERIES {
                metrics::counter!("switchboard_tool_failures_total", "tool" => n.to_string()).increment(1);
            }
        });
        assert_eq!(values(&lines, "", "ToolFailures"), [SERIES as f64]);
    }

    #[test]
    fn the_table_fits_cloudwatch_and_names_what_the_code_records() {
        let mut sources = String::new();
        for folder in ["aws", "core", "http"] {
            read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder).join("src"), &mut sources);
        }
        for metric in METRICS {
            assert_eq!(METRICS.iter().filter(|other| other.name == metric.name).count(), 1, "{}", metric.name);
            assert!(["Count", "None", "Seconds"].contains(&metric.unit), "{}", metric.unit);
            let recorded = match metric.source {
                Source::Sum { counter: one, .. } | Source::Values(one) | Source::Last(one) => vec![one],
                Source::Share { of, among, .. } => vec![of, among],
            };
            for name in recorded {
                assert!(sources.contains(&format!("!(\"{name}\"")), "{name} is recorded nowhere");
            }
            assert_eq!(matches!(metric.source, Source::Sum { by: Some(_), .. }), metric.dimensions.len() == 1);
        }
        assert!(METRICS.len() <= 100, "more would not fit into one line");
    }

    fn read(folder: &Path, sources: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, sources);
            } else if !path.ends_with("emf.rs") {
                sources.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
}
