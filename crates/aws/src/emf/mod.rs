//! Metrics for CloudWatch: the embedded metric format, one line of JSON on standard output, which CloudWatch Logs turns into
//! metrics without a call. It costs by the metric and not by the value, so only what stands in [`METRICS`] becomes one; other
//! counters and gauges stand in the line as plain fields, to be searched for.
//!
//! Own code, because `metrics_cloudwatch_embedded` 0.10 sends every name with every label as a metric of its own, under the name
//! that it has here, and drops the values of a histogram from the 101st on.
//!
//! The format: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

mod table;
#[cfg(test)]
mod tests;

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
use serde_json::{Map, Value, json};
use switchboard_core::{models::NanoUsd, time::Timestamp};

pub use table::{METRICS, Metric};
use table::{Only, Source};

/// The namespace of our metrics in CloudWatch.
pub const NAMESPACE: &str = "Switchboard";
/// The dimension that every metric has: the deployment it is of, by the prefix of its names, since an account may have several.
pub const DEPLOYMENT: &str = "Deployment";
/// Values of one metric in one line: a limit of the format.
const VALUES: usize = 100;
/// Values of one metric that are remembered until the next flush; those beyond are counted in `values_left_out`.
const VALUES_KEPT: usize = 10_000;
/// Names with labels that are told apart; those beyond are not recorded.
const SERIES: usize = 1_000;

/// Remembers what the `metrics` facade is told, until it is flushed. A clone is the same recorder: one goes to
/// [`metrics::set_global_recorder`], the other flushes at the end of each invocation.
#[derive(Clone)]
pub struct Emf {
    namespace: Arc<str>,
    deployment: Arc<str>,
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
    /// A recorder for metrics of this namespace of CloudWatch, such as [`NAMESPACE`], and of this deployment, such as
    /// `switchboard`: the value of [`DEPLOYMENT`], which must not be empty.
    pub fn new(namespace: &str, deployment: &str) -> Self {
        Self { namespace: namespace.into(), deployment: deployment.into(), series: Arc::default() }
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
            let (Source::Sum { counter, only, by: Some(label) }, [dimension]) = (metric.source, metric.dimensions)
            else {
                continue;
            };
            for (value, sum) in recorded.split(counter, only, label) {
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
        let names: Vec<_> = std::iter::once(DEPLOYMENT).chain(dimension.map(|(name, _)| name)).collect();
        let described: Vec<_> =
            metrics.iter().map(|(metric, _)| json!({ "Name": metric.name, "Unit": metric.unit })).collect();
        let directive = json!({ "Namespace": *self.namespace, "Dimensions": [names], "Metrics": described });
        // Without a metric there is nothing to extract, and the line is only searched.
        let directives = if metrics.is_empty() { json!([]) } else { json!([directive]) };
        fields.insert("_aws".to_owned(), json!({ "Timestamp": now.as_millis(), "CloudWatchMetrics": directives }));
        fields.insert(DEPLOYMENT.to_owned(), json!(*self.deployment));
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
            Source::Sum { counter, only, .. } => match self.sum(counter, *only) {
                0 => Vec::new(),
                sum => vec![sum as f64],
            },
            Source::Dollars(counter) => match self.sum(counter, None) {
                0 => Vec::new(),
                sum => vec![NanoUsd(sum).usd()],
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

    fn sum(&self, counter: &str, only: Option<Only>) -> u64 {
        self.counted(counter, only).map(|(_, grown)| grown).sum()
    }

    fn split(&self, counter: &str, only: Option<Only>, label: &str) -> BTreeMap<&str, f64> {
        let mut split = BTreeMap::new();
        for (name, grown) in self.counted(counter, only) {
            if let Some((_, value)) = name.labels.iter().find(|(key, value)| key == label && !value.is_empty()) {
                *split.entry(value.as_str()).or_default() += grown as f64;
            }
        }
        split
    }

    fn counted(&self, counter: &str, only: Option<Only>) -> impl Iterator<Item = (&Name, u64)> {
        let is_meant = move |name: &Name| {
            name.name == counter
                && only.is_none_or(|(label, values)| {
                    name.labels.iter().any(|(key, value)| key == label && values.contains(&value.as_str()))
                })
        };
        self.counters.iter().filter(move |(name, _)| is_meant(name)).map(|(name, grown)| (name, *grown))
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
