//! How many tickets come in a month, from dates as exports write them.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::Serialize;

/// Counts dates by month. Dates such as 3/4/2024 are counted both ways until others tell which way the file means.
#[derive(Debug, Default)]
pub struct MonthCounter {
    plain: Counts,
    day_first: Counts,
    month_first: Counts,
    unread: u64,
}

#[derive(Debug, Default)]
struct Counts {
    months: BTreeMap<(i16, i8), u64>,
    /// Dates that make no sense this way.
    impossible: u64,
}

/// How many tickets come in a month.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Months {
    /// The first month, such as `2024-03`.
    pub first: String,
    /// The last month.
    pub last: String,
    /// Months with tickets.
    pub months: usize,
    /// The median month; the first and the last, which may be cut, are left out where more than two remain.
    pub tickets_per_month: f64,
    /// Rows whose date could not be read.
    pub unread: u64,
}

impl Counts {
    fn add(&mut self, date: Option<Date>) {
        match date {
            Some(date) => *self.months.entry((date.year(), date.month())).or_default() += 1,
            None => self.impossible += 1,
        }
    }
}

impl MonthCounter {
    /// Counts a date.
    pub fn add(&mut self, written: &str) {
        let day = written.split(['T', ' ']).next().unwrap_or_default();
        let numbers: Vec<i16> = day.split(['-', '/', '.']).map_while(|number| number.parse().ok()).collect();
        let date = |year: i16, month: i16, day: i16| {
            let year = if year < 100 { year + 2_000 } else { year };
            Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
        };
        match numbers.as_slice() {
            [year, month, day] if *year > 31 => self.plain.add(date(*year, *month, *day)),
            [day_number, month, year] if day.contains('.') => self.plain.add(date(*year, *month, *day_number)),
            [one, other, year] => {
                self.day_first.add(date(*year, *other, *one));
                self.month_first.add(date(*year, *one, *other));
            }
            _ => self.unread += 1,
        }
    }

    /// The months, when there are any.
    pub fn months(self) -> Option<Months> {
        let Self { plain, day_first, month_first, unread } = self;
        // Where no date tells, the day first: the rest of the world outnumbers the United States.
        let slashed = if day_first.impossible <= month_first.impossible { day_first } else { month_first };
        let unread = unread + plain.impossible + slashed.impossible;
        let mut months = plain.months;
        for (month, n) in slashed.months {
            *months.entry(month).or_default() += n;
        }
        let name = |((year, month), _): (&(i16, i8), &u64)| format!("{year:04}-{month:02}");
        let (first, last) = (months.first_key_value().map(name)?, months.last_key_value().map(name)?);
        let mut counts: Vec<u64> = months.values().copied().collect();
        if counts.len() > 4 {
            counts.pop();
            counts.remove(0);
        }
        counts.sort_unstable();
        let at = |place: usize| counts.get(place).copied().unwrap_or_default() as f64;
        let middle = (at((counts.len() - 1) / 2) + at(counts.len() / 2)) / 2.0;
        Some(Months { first, last, months: months.len(), tickets_per_month: middle, unread })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn months(dates: &[&str]) -> Option<Months> {
        let mut counter = MonthCounter::default();
        dates.iter().for_each(|date| counter.add(date));
        counter.months()
    }

    #[test]
    fn usual_dates_are_counted() {
        let found = months(&["2024-03-01T10:00:00Z", "2024-03-31 10:00", "2024/04/02", "05.04.2024", "later"]).unwrap();
        assert_eq!((found.first.as_str(), found.last.as_str(), found.unread), ("2024-03", "2024-04", 1));
        assert_eq!((found.months, found.tickets_per_month), (2, 2.0));
        assert_eq!(months(&["", "yesterday"]), None);
    }

    #[test]
    fn one_telling_date_decides_for_all() {
        let american = months(&["3/4/2024", "3/25/24 10:15"]).unwrap();
        assert_eq!((american.first.as_str(), american.months, american.unread), ("2024-03", 1, 0));
        let other = months(&["3/4/2024", "25/4/2024"]).unwrap();
        assert_eq!((other.first.as_str(), other.months), ("2024-04", 1));
    }

    #[test]
    fn cut_months_at_the_ends_do_not_count() {
        let mut dates = vec!["2024-01-31", "2024-06-01"];
        for month in ["02", "03", "04", "05"] {
            dates.extend(std::iter::repeat_n(format!("2024-{month}-10").leak() as &str, 10));
        }
        assert_eq!(months(&dates).unwrap().tickets_per_month, 10.0);
    }
}
