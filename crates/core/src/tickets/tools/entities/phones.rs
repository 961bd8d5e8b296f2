//! Telephone numbers. International ones are held against the country codes of E.164 and their lengths, and get that one
//! form. National ones are told by how they are grouped and by the words before them, and keep how they are written: a
//! language does not tell the country, so any region would be a guess.

use super::{
    finder::{Finder, Hit, Reading},
    label::{Label, is_phone_by_what_follows, label},
    numbers::{self, Group, Run},
};

pub(super) const FIND: Finder = find;

/// The most groups that one telephone number is written in.
const GROUPS: usize = 8;
/// Digits of the longest number of E.164, with an international prefix before it.
const DIGITS: usize = 19;

/// Country codes with one plan of numbering that is known well: the digits after the code.
const PLANS: &[(&str, std::ops::RangeInclusive<usize>)] = &[
    ("1", 10..=10),
    ("7", 10..=10),
    ("20", 8..=10),
    ("27", 9..=9),
    ("30", 10..=10),
    ("31", 9..=9),
    ("32", 8..=9),
    ("33", 9..=9),
    ("34", 9..=9),
    ("36", 8..=9),
    ("39", 6..=11),
    ("40", 9..=9),
    ("41", 9..=9),
    ("43", 4..=13),
    ("44", 7..=10),
    ("45", 8..=8),
    ("46", 7..=9),
    ("47", 8..=8),
    ("48", 9..=9),
    ("49", 5..=13),
    ("51", 8..=9),
    ("52", 10..=11),
    ("54", 10..=11),
    ("55", 10..=11),
    ("56", 9..=9),
    ("57", 8..=10),
    ("58", 10..=10),
    ("61", 9..=9),
    ("64", 8..=10),
    ("65", 8..=8),
    ("81", 9..=10),
    ("82", 8..=10),
    ("86", 9..=11),
    ("90", 10..=10),
    ("91", 10..=10),
    ("351", 9..=9),
    ("352", 4..=11),
    ("353", 7..=9),
    ("358", 5..=12),
    ("420", 9..=9),
    ("421", 9..=9),
];
/// The other assigned codes (ITU-T E.164, list of country codes).
const OTHER_CODES: &[&str] = &[
    "53", "60", "62", "63", "66", "84", "92", "93", "94", "95", "98", "211", "212", "213", "216", "218", "220", "221",
    "222", "223", "224", "225", "226", "227", "228", "229", "230", "231", "232", "233", "234", "235", "236", "237",
    "238", "239", "240", "241", "242", "243", "244", "245", "246", "247", "248", "249", "250", "251", "252", "253",
    "254", "255", "256", "257", "258", "260", "261", "262", "263", "264", "265", "266", "267", "268", "269", "290",
    "291", "297", "298", "299", "350", "354", "355", "356", "357", "359", "370", "371", "372", "373", "374", "375",
    "376", "377", "378", "380", "381", "382", "383", "385", "386", "387", "389", "423", "500", "501", "502", "503",
    "504", "505", "506", "507", "508", "509", "590", "591", "592", "593", "594", "595", "596", "597", "598", "599",
    "670", "672", "673", "674", "675", "676", "677", "678", "679", "680", "681", "682", "683", "685", "686", "687",
    "688", "689", "690", "691", "692", "800", "808", "850", "852", "853", "855", "856", "870", "878", "880", "881",
    "882", "883", "886", "888", "960", "961", "962", "963", "964", "965", "966", "967", "968", "970", "971", "972",
    "973", "974", "975", "976", "977", "979", "992", "993", "994", "995", "996", "998",
];

fn find(text: &str, hits: &mut Vec<Hit>) {
    numbers::runs(text, |run| {
        let mut from = 0;
        // In the middle of other figures a number begins only with its area in brackets, or after another one.
        let mut may_begin = true;
        while from < run.groups.len() {
            let found = if may_begin || run.groups[from].bracketed { number_from(text, run, from) } else { None };
            may_begin = found.is_some();
            match found {
                Some((to, form)) => {
                    hits.push(Hit { range: run.range(text, from, to), reading: Reading::Is(form) });
                    from = to + 1;
                }
                None => from += 1,
            }
        }
    });
}

/// The last group of the telephone number that begins with the group `from`, and its form; the longest one.
fn number_from(text: &str, run: &Run, from: usize) -> Option<(usize, Option<String>)> {
    let groups = &run.groups;
    if !groups[from].may_begin || groups[from].len() > DIGITS {
        return None;
    }
    let plus = from == 0 && run.plus;
    let mut said = None;
    let last = groups.len().min(from + GROUPS);
    for to in (from..last).rev().filter(|to| groups[*to].may_end) {
        let length: usize = groups[from..=to].iter().map(Group::len).sum();
        if !(6..=DIGITS).contains(&length) {
            continue;
        }
        let digits = run.digits(text, from, to);
        let said = *said.get_or_insert_with(|| label(&text[..run.range(text, from, from).start]));
        // Nothing else is written with a plus; two zeros begin other numbers too.
        if (plus || (digits.starts_with("00") && matches!(said, None | Some(Label::Phone))))
            && let Some(form) = international(text, run, from, to)
        {
            return Some((to, form));
        }
        if length > 15 || digits.bytes().all(|digit| digit == b'0') {
            continue;
        }
        let is_one = match said {
            None if !plus && is_phone_by_what_follows(&text[groups[to].end..]) => !looks_like_dates(&groups[from..=to]),
            Some(Label::Phone) => !looks_like_dates(&groups[from..=to]),
            Some(_) => false,
            None => !plus && has_national_shape(text, &groups[from..=to], &digits),
        };
        if is_one {
            return Some((to, None));
        }
    }
    None
}

/// The number in E.164, if its country code is assigned and its length is one of that country's. A trunk zero that should not
/// be there leaves it without a form.
fn international(text: &str, run: &Run, from: usize, to: usize) -> Option<Option<String>> {
    // "+44 (0)20": the zero in brackets is for callers inside the country.
    let without_trunk = run.groups[from..=to]
        .iter()
        .enumerate()
        .filter(|(n, group)| !(*n > 0 && *n < 3 && group.bracketed && &text[group.start..group.end] == "0"));
    let digits: String = without_trunk.map(|(_, group)| &text[group.start..group.end]).collect();
    let plus = from == 0 && run.plus;
    let digits = if plus { digits.as_str() } else { digits.strip_prefix("00")? };
    let known = PLANS.iter().find(|(code, _)| digits.starts_with(code));
    let fits = match known {
        Some((code, lengths)) => lengths.contains(&(digits.len() - code.len())),
        None => OTHER_CODES.iter().any(|code| digits.starts_with(code)) && (7..=15).contains(&digits.len()),
    };
    let trunk_zero = known.is_some_and(|(code, _)| digits[code.len()..].starts_with('0') && *code != "39");
    if trunk_zero {
        return (plus && (9..=15).contains(&digits.len())).then_some(None);
    }
    (fits && digits.len() <= 15).then(|| Some(format!("+{digits}")))
}

/// Groups of one or two digits only: rather a time or a date than a number to call, unless there are several.
fn looks_like_dates(groups: &[Group]) -> bool {
    groups.len() < 4 && groups.iter().all(|group| group.len() <= 2)
}

/// Whether the groups are those of a national number that needs no word before it.
fn has_national_shape(text: &str, groups: &[Group], digits: &str) -> bool {
    let lengths: Vec<usize> = groups.iter().map(Group::len).collect();
    let first = digits.as_bytes()[0];
    let second = digits.as_bytes()[1];
    let area_in_brackets = groups[0].bracketed && (2..=5).contains(&lengths[0]);
    match lengths[..] {
        // North America: the area never begins with 0 or 1.
        [3, 3, 4] if first >= b'2' => true,
        [1, 3, 3, 4] if first == b'1' && second >= b'2' => true,
        // Spain: nine digits from 6 to 9. With dots it would be an amount.
        [3, 3, 3] | [3, 2, 2, 2] | [2, 3, 2, 2] => {
            (first >= b'6' || (first == b'0' && second != b'0')) && !text[groups[0].end..].starts_with('.')
        }
        // One block is more often a serial number; with the zero of a trunk call it is as long as a mobile number.
        [10 | 11] => first == b'0' && second != b'0',
        [_] => false,
        // With a trunk zero: Germany, Great Britain, France and others.
        [_, ref rest @ ..] if first == b'0' && second != b'0' => {
            (9..=12).contains(&digits.len()) && lengths[0] <= 6 && rest.iter().all(|length| (2..=8).contains(length))
        }
        [_, ref rest @ ..] => {
            area_in_brackets && (7..=11).contains(&digits.len()) && rest.iter().all(|length| (2..=8).contains(length))
        }
        [] => false,
    }
}
