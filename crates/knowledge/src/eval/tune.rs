//! Thresholds of a cascade, chosen from what its stages said of labelled texts.

use serde::Serialize;

use super::{metrics::share, wilson};

/// What a stage said of one text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Said {
    /// 0 to 1.
    pub confidence: f64,
    /// Whether it was right.
    pub is_right: bool,
    /// In US dollars.
    pub cost_usd: f64,
}

/// What all stages said of one text. A model that was not there, or not asked, said nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stages {
    /// The local classifier.
    pub local: Said,
    /// Whether its word is not enough.
    pub is_unsure: bool,
    /// The small model.
    pub small: Option<Said>,
    /// The large one.
    pub large: Option<Said>,
}

/// From which confidence on a model's word stands; over 1 means that it is not asked at all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SureFrom {
    /// The small model's.
    pub small: f64,
    /// The large model's.
    pub large: f64,
}

/// What a pair of thresholds comes to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CascadePoint {
    /// The thresholds.
    pub sure_from: SureFrom,
    /// The share of texts decided without a person.
    pub automatic: f64,
    /// Of these, the share that is right.
    pub precision: f64,
    /// The interval of that share at 95 %.
    pub precision_ci95: [f64; 2],
    /// The share of all texts whose last word is right, were nobody to look.
    pub accuracy: f64,
    /// US dollars a text, on average.
    pub cost_usd: f64,
    /// The shares decided by the local classifier, the small model, the large one, and a person.
    pub decided_by: [f64; 4],
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tuned {
    /// Texts.
    pub n: usize,
    /// The pair that decides most without a person at the precision that is wanted; of several the cheapest. `None` when none
    /// reaches it.
    pub best: Option<CascadePoint>,
    /// What pairs chosen in the same way on one half of the texts gave on the other: what to expect. `None` when a half had none.
    pub held_back: Option<HeldBack>,
    /// Pairs than which none is both cheaper and more accurate, the cheapest first.
    pub curve: Vec<CascadePoint>,
}

/// What was chosen on one half, seen on the other, both ways.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct HeldBack {
    /// The share decided without a person.
    pub automatic: f64,
    /// Of these, the share that is right.
    pub precision: f64,
    /// US dollars a text.
    pub cost_usd: f64,
}

/// Not to be asked.
const NEVER: f64 = 1.01;
/// Steps of a threshold: models say whole hundredths, and mostly multiples of five.
const STEPS: u32 = 20;

/// Goes through all pairs of thresholds. `precision` is what is wanted of what no person looks at.
pub fn tune(texts: &[Stages], precision: f64) -> Tuned {
    let pairs = pairs(texts);
    let points: Vec<CascadePoint> = pairs.iter().map(|pair| point(texts, *pair)).collect();
    let (even, odd): (Vec<_>, Vec<_>) = texts.iter().copied().enumerate().partition(|(n, _)| n % 2 == 0);
    let bare = |half: Vec<(usize, Stages)>| half.into_iter().map(|(_, text)| text).collect::<Vec<_>>();
    let held_back = held_back(&pairs, [&bare(even), &bare(odd)], precision);
    Tuned { n: texts.len(), best: best(&points, precision), held_back, curve: cheapest(points) }
}

fn pairs(texts: &[Stages]) -> Vec<SureFrom> {
    let steps = |is_there: bool| {
        let steps = (0..=STEPS).map(|step| f64::from(step) / f64::from(STEPS)).filter(move |_| is_there);
        steps.chain([NEVER]).collect::<Vec<_>>()
    };
    let small = steps(texts.iter().any(|text| text.small.is_some()));
    let large = steps(texts.iter().any(|text| text.large.is_some()));
    small.iter().flat_map(|small| large.iter().map(|large| SureFrom { small: *small, large: *large })).collect()
}

/// Runs the cascade over the texts.
fn point(texts: &[Stages], sure_from: SureFrom) -> CascadePoint {
    let (mut decided, mut right, mut last_right, mut cost_usd) = ([0_usize; 4], 0, 0, 0.0);
    for text in texts {
        let mut last = text.local;
        let mut by = (!text.is_unsure).then_some(0);
        for (stage, said, from) in [(1, text.small, sure_from.small), (2, text.large, sure_from.large)] {
            if by.is_some() || from > 1.0 {
                continue;
            }
            let Some(said) = said else { continue };
            cost_usd += said.cost_usd;
            last = said;
            by = (said.confidence >= from).then_some(stage);
        }
        decided[by.unwrap_or(3)] += 1;
        right += usize::from(by.is_some() && last.is_right);
        last_right += usize::from(last.is_right);
    }
    let automatic = texts.len() - decided[3];
    CascadePoint {
        sure_from,
        automatic: share(automatic, texts.len()),
        precision: share(right, automatic),
        precision_ci95: wilson(right, automatic),
        accuracy: share(last_right, texts.len()),
        cost_usd: cost_usd / texts.len().max(1) as f64,
        decided_by: decided.map(|count| share(count, texts.len())),
    }
}

fn best(points: &[CascadePoint], precision: f64) -> Option<CascadePoint> {
    let fits = points.iter().filter(|point| point.automatic > 0.0 && point.precision >= precision);
    // Of those alike, the stricter ones: they are as good here, and safer elsewhere.
    let key = |point: &CascadePoint| {
        (point.automatic, -point.cost_usd, point.sure_from.small.min(1.0) + point.sure_from.large.min(1.0))
    };
    fits.max_by(|one, other| {
        let (one, other) = (key(one), key(other));
        one.0.total_cmp(&other.0).then(one.1.total_cmp(&other.1)).then(one.2.total_cmp(&other.2))
    })
    .copied()
}

fn held_back(pairs: &[SureFrom], halves: [&[Stages]; 2], precision: f64) -> Option<HeldBack> {
    let mut sides = Vec::new();
    for (chosen_on, seen_on) in [(halves[0], halves[1]), (halves[1], halves[0])] {
        let points: Vec<CascadePoint> = pairs.iter().map(|pair| point(chosen_on, *pair)).collect();
        sides.push((point(seen_on, best(&points, precision)?.sure_from), seen_on.len() as f64));
    }
    let sum = |of: &dyn Fn(&CascadePoint) -> f64| sides.iter().map(|(point, n)| of(point) * n).sum::<f64>();
    let (n, automatic) = (sum(&|_| 1.0), sum(&|point| point.automatic));
    Some(HeldBack {
        automatic: automatic / n.max(1.0),
        precision: sum(&|point| point.automatic * point.precision) / automatic.max(f64::MIN_POSITIVE),
        cost_usd: sum(&|point| point.cost_usd) / n.max(1.0),
    })
}

/// The points than which none is both cheaper and more accurate.
fn cheapest(mut points: Vec<CascadePoint>) -> Vec<CascadePoint> {
    points.sort_by(|one, other| {
        one.cost_usd
            .total_cmp(&other.cost_usd)
            .then(other.accuracy.total_cmp(&one.accuracy))
            .then(other.automatic.total_cmp(&one.automatic))
    });
    let mut curve: Vec<CascadePoint> = Vec::new();
    for point in points {
        if curve.last().is_none_or(|last| point.accuracy > last.accuracy) {
            curve.push(point);
        }
    }
    curve
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(confidence: f64, is_right: bool, cost_usd: f64) -> Said {
        Said { confidence, is_right, cost_usd }
    }

    /// A hundred texts: the local classifier is sure of half; of the others, the small model is right where it says 90 and wrong
    /// in a third of those where it says 60; the large one is always right and says 80.
    fn texts() -> Vec<Stages> {
        let unsure = |n: usize| Stages {
            local: said(0.4, n.is_multiple_of(2), 0.0),
            is_unsure: true,
            small: Some(if n < 30 { said(0.9, true, 0.001) } else { said(0.6, !n.is_multiple_of(3), 0.001) }),
            large: Some(said(0.8, true, 0.01)),
        };
        let sure = Stages { local: said(0.99, true, 0.0), is_unsure: false, small: None, large: None };
        (0..50).map(unsure).chain(std::iter::repeat_n(sure, 50)).collect()
    }

    #[test]
    fn the_thresholds_that_keep_the_precision_and_ask_nobody_in_vain() {
        let tuned = tune(&texts(), 0.99);
        let best = tuned.best.unwrap();
        assert_eq!((best.automatic, best.precision), (1.0, 1.0));
        assert_eq!(best.decided_by, [0.5, 0.3, 0.2, 0.0]);
        assert!((0.65..=0.9).contains(&best.sure_from.small) && best.sure_from.large <= 0.8, "{best:?}");
        assert!((best.cost_usd - (50.0 * 0.001 + 20.0 * 0.01) / 100.0).abs() < 1e-12, "{best:?}");
        let held_back = tuned.held_back.unwrap();
        assert!((held_back.automatic - 1.0).abs() < 1e-9 && (held_back.precision - 1.0).abs() < 1e-9, "{held_back:?}");
        // A looser wish is cheaper: the small model's word is enough.
        let loose = tune(&texts(), 0.9).best.unwrap();
        assert_eq!((loose.decided_by[2], loose.automatic), (0.0, 1.0));
        assert!(loose.cost_usd < best.cost_usd);
    }

    #[test]
    fn the_curve_begins_with_nobody_asked_and_gets_dearer_and_better() {
        let curve = tune(&texts(), 0.99).curve;
        assert_eq!((curve[0].cost_usd, curve[0].accuracy), (0.0, 0.75));
        assert!(curve.windows(2).all(|two| two[0].cost_usd < two[1].cost_usd && two[0].accuracy < two[1].accuracy));
        assert_eq!(curve.last().unwrap().accuracy, 1.0);
    }

    #[test]
    fn without_models_or_texts_there_is_nothing_to_choose() {
        let local = |is_right| Stages { local: said(0.9, is_right, 0.0), is_unsure: false, small: None, large: None };
        let tuned = tune(&[local(true), local(false)], 0.9);
        assert_eq!((tuned.best, tuned.curve.len()), (None, 1));
        assert_eq!(
            tune(&[], 0.9),
            Tuned {
                n: 0,
                best: None,
                held_back: None,
                curve: vec![point(&[], SureFrom { small: NEVER, large: NEVER })]
            }
        );
    }
}
