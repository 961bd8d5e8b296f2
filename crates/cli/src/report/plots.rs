//! Where the shapes of the plots lie; the template draws them.

use std::collections::HashMap;

use serde::Serialize;
use switchboard_knowledge::eval::Metrics;

/// The plots are this wide and high inside their axes.
const WIDTH: f64 = 280.0;
const HEIGHT: f64 = 180.0;
/// More labels make a matrix that nobody can read.
const MATRIX_LABELS: usize = 30;
/// A cell of the matrix.
const CELL: f64 = 22.0;
/// Characters of a label beside the matrix.
const LABEL_CHARS: usize = 24;

/// All plots of a report.
#[derive(Serialize)]
pub(super) struct Plots {
    width: f64,
    height: f64,
    /// Marks of an axis from 0 to 1.
    marks: Vec<Mark>,
    reliability: Vec<Bar>,
    histogram: Vec<Stack>,
    /// The most texts of a bin.
    most: u64,
    curve: String,
    curve_marks: Vec<Mark>,
    matrix: Option<Matrix>,
}

#[derive(Serialize)]
struct Mark {
    x: f64,
    y: f64,
    text: String,
}

/// A bin of the reliability diagram.
#[derive(Serialize)]
struct Bar {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    /// The mean confidence and the accuracy, as a point.
    point_x: f64,
    point_y: f64,
    said: String,
}

/// A bin of the histogram: right answers below, wrong ones above.
#[derive(Serialize)]
struct Stack {
    x: f64,
    width: f64,
    right_y: f64,
    right_height: f64,
    wrong_y: f64,
    wrong_height: f64,
    said: String,
}

#[derive(Serialize)]
struct Matrix {
    size: f64,
    cell: f64,
    labels: Vec<MatrixLabel>,
    cells: Vec<MatrixCell>,
}

#[derive(Serialize)]
struct MatrixLabel {
    name: String,
    middle: f64,
}

#[derive(Serialize)]
struct MatrixCell {
    x: f64,
    y: f64,
    /// The share of the texts of the label.
    opacity: f64,
    is_right: bool,
    said: String,
}

pub(super) fn of(metrics: &Metrics) -> Plots {
    let bins = &metrics.reliability;
    let width = WIDTH / bins.len().max(1) as f64;
    let most = bins.iter().map(|bin| bin.n).max().unwrap_or_default();
    let mut plots = Plots {
        width: WIDTH,
        height: HEIGHT,
        marks: marks(0.0, 5),
        reliability: Vec::new(),
        histogram: Vec::new(),
        most,
        curve: String::new(),
        curve_marks: Vec::new(),
        matrix: matrix(metrics),
    };
    for (n, bin) in bins.iter().enumerate().filter(|(_, bin)| bin.n > 0) {
        let x = n as f64 * width;
        let height = bin.accuracy * HEIGHT;
        plots.reliability.push(Bar {
            x: tenth(x + 1.0),
            y: tenth(HEIGHT - height),
            width: tenth(width - 2.0),
            height: tenth(height),
            point_x: tenth(bin.confidence * WIDTH),
            point_y: tenth(HEIGHT - height),
            said: format!("{} texts: confidence {:.3}, accuracy {:.3}", bin.n, bin.confidence, bin.accuracy),
        });
        let whole = HEIGHT * bin.n as f64 / most as f64;
        let right = whole * bin.accuracy;
        plots.histogram.push(Stack {
            x: tenth(x + 1.0),
            width: tenth(width - 2.0),
            right_y: tenth(HEIGHT - right),
            right_height: tenth(right),
            wrong_y: tenth(HEIGHT - whole),
            wrong_height: tenth(whole - right),
            said: format!("{} texts, {:.0} right", bin.n, bin.n as f64 * bin.accuracy),
        });
    }
    let points = &metrics.coverage_precision_curve;
    let lowest = points.iter().map(|point| point.precision).fold(1.0, f64::min);
    // From a tenth below the worst on: a curve between 0.9 and 1 would be a line at the top.
    let from = ((lowest * 10.0).ceil() / 10.0 - 0.1).clamp(0.0, 0.9);
    plots.curve_marks = marks(from, 5);
    let place = |coverage: f64, precision: f64| {
        format!("{:.1},{:.1}", coverage * WIDTH, HEIGHT * (1.0 - (precision - from) / (1.0 - from)))
    };
    plots.curve = points.iter().map(|point| place(point.coverage, point.precision)).collect::<Vec<_>>().join(" ");
    plots
}

/// Marks of both axes: the vertical one begins at `from`, the horizontal one at 0.
fn marks(from: f64, parts: u32) -> Vec<Mark> {
    (0..=parts)
        .map(|n| {
            let share = f64::from(n) / f64::from(parts);
            let value = from + (1.0 - from) * share;
            Mark { x: tenth(share * WIDTH), y: tenth(HEIGHT * (1.0 - share)), text: format!("{:.0}", value * 100.0) }
        })
        .collect()
}

fn matrix(metrics: &Metrics) -> Option<Matrix> {
    if metrics.per_class.len() > MATRIX_LABELS || metrics.per_class.is_empty() {
        return None;
    }
    let places: HashMap<&str, usize> =
        metrics.per_class.keys().enumerate().map(|(n, label)| (label.as_str(), n)).collect();
    let labels = metrics
        .per_class
        .keys()
        .enumerate()
        .map(|(n, label)| MatrixLabel { name: short(label), middle: tenth((n as f64 + 0.5) * CELL) });
    let cells = metrics.confusion.iter().filter_map(|pair| {
        let (row, column) = (places.get(pair.label.as_str())?, places.get(pair.predicted.as_str())?);
        let of_label = metrics.per_class.get(&pair.label)?.n.max(1);
        Some(MatrixCell {
            x: *column as f64 * CELL,
            y: *row as f64 * CELL,
            opacity: (pair.n as f64 / of_label as f64 * 100.0).round() / 100.0,
            is_right: row == column,
            said: format!("{} answered with {}: {} of {of_label}", pair.label, pair.predicted, pair.n),
        })
    });
    Some(Matrix {
        size: metrics.per_class.len() as f64 * CELL,
        cell: CELL,
        labels: labels.collect(),
        cells: cells.collect(),
    })
}

fn short(label: &str) -> String {
    if label.chars().count() <= LABEL_CHARS {
        return label.to_owned();
    }
    label.chars().take(LABEL_CHARS - 1).chain(['…']).collect()
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
