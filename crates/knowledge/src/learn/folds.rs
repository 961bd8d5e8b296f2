//! Splits that keep the proportions of the labels.

use super::Random;

/// The fold of each row, `0..k`: rows of one label are dealt out in turn, in an order by `seed`.
pub fn folds(labels: &[u32], k: usize, seed: u64) -> Vec<usize> {
    let mut fold = vec![0; labels.len()];
    let mut next = vec![0usize; labels.iter().max().map_or(0, |most| *most as usize + 1)];
    let mut random = Random::new(seed);
    for start in &mut next {
        *start = random.below(k.max(1));
    }
    for row in shuffled(labels.len(), &mut random) {
        let (Some(fold), Some(label)) = (fold.get_mut(row), labels.get(row)) else { continue };
        if let Some(next) = next.get_mut(*label as usize) {
            *fold = *next % k.max(1);
            *next += 1;
        }
    }
    fold
}

/// Whether each row is held back: `share` of the rows of each label, rounded in turn so that the sum holds.
pub fn holdout(labels: &[u32], share: f64, seed: u64) -> Vec<bool> {
    let mut random = Random::new(seed);
    let order = shuffled(labels.len(), &mut random);
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); labels.iter().max().map_or(0, |most| *most as usize + 1)];
    for row in order {
        if let Some(rows) = labels.get(row).and_then(|label| rows.get_mut(*label as usize)) {
            rows.push(row);
        }
    }
    let mut held = vec![false; labels.len()];
    let mut owed = 0.0;
    for rows in rows {
        let wanted = rows.len() as f64 * share + owed;
        let taken = (wanted.round().max(0.0) as usize).min(rows.len().saturating_sub(1));
        owed = wanted - taken as f64;
        for row in rows.into_iter().take(taken) {
            if let Some(held) = held.get_mut(row) {
                *held = true;
            }
        }
    }
    held
}

fn shuffled(n: usize, random: &mut Random) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    random.shuffle(&mut order);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_label_is_dealt_out_evenly() {
        let labels: Vec<u32> = (0..100).map(|n| u32::from(n >= 50)).collect();
        let fold = folds(&labels, 5, 1);
        for label in 0..2 {
            for k in 0..5 {
                let n = fold.iter().zip(&labels).filter(|(f, l)| **f == k && **l == label).count();
                assert_eq!(n, 10);
            }
        }
        assert_eq!(fold, folds(&labels, 5, 1));
        assert_ne!(fold, folds(&labels, 5, 2));
    }

    #[test]
    fn a_holdout_keeps_one_of_each_label_for_training() {
        let labels = [0, 0, 0, 0, 0, 1, 2, 2];
        let held = holdout(&labels, 0.5, 3);
        assert!(!held[5], "the only one of its label is trained on");
        assert!(held.iter().filter(|held| **held).count() >= 3);
        assert!(holdout(&[], 0.5, 3).is_empty());
    }
}
