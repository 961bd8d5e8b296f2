use super::Row;
use crate::learn::Random;

/// Holds a sample of the rows that pass, each with the same chance (Vitter's algorithm R).
pub struct Reservoir {
    kept: Vec<Row>,
    limit: usize,
    seen: usize,
    random: Random,
}

impl Reservoir {
    /// Holds at most `limit` rows; which, depends on `seed` alone.
    pub fn new(limit: usize, seed: u64) -> Self {
        Self { kept: Vec::new(), limit, seen: 0, random: Random::new(seed) }
    }

    /// Lets a row pass.
    pub fn add(&mut self, row: Row) {
        self.seen += 1;
        if self.kept.len() < self.limit {
            self.kept.push(row);
            return;
        }
        let at = self.random.below(self.seen);
        if let Some(place) = self.kept.get_mut(at) {
            *place = row;
        }
    }

    /// Rows that have passed.
    pub fn seen(&self) -> usize {
        self.seen
    }

    /// The rows that are held, in the order of the file.
    pub fn into_rows(mut self) -> Vec<Row> {
        self.kept.sort_by_key(|row| row.line);
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_has_the_same_chance() {
        let row = |line| Row { text: String::new(), label: String::new(), line, date: None };
        let mut early = 0;
        for seed in 0..200 {
            let mut reservoir = Reservoir::new(10, seed);
            (0..100).for_each(|line| reservoir.add(row(line)));
            let rows = reservoir.into_rows();
            assert_eq!(rows.len(), 10);
            assert!(rows.windows(2).all(|pair| pair[0].line < pair[1].line));
            early += rows.iter().filter(|row| row.line < 50).count();
        }
        assert!((900..1_100).contains(&early), "{early} of 2000 come from the first half");
    }
}
