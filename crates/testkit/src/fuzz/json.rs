//! JSON with damage that knows what JSON is.

use serde_json::Value;

use super::Random;

/// Values in another one's place, as they are written.
const HOSTILE: &[&[u8]] = &[
    b"null",
    b"true",
    b"false",
    b"0",
    b"-0",
    b"-1",
    b"1.5",
    b"1e999",
    b"-1e-999",
    b"123456789012345678901234567890",
    b"18446744073709551616",
    b"\"\"",
    b"\" \"",
    b"\"\\u0000\"",
    b"\"a\\u0000b\"",
    b"\"\\ud800\"",
    b"\"\\udc00x\"",
    b"\"\\ud83d\\udd25\"",
    b"\"\xff\xfe\"",
    b"\"\xed\xa0\x80\"",
    b"\"\x01\"",
    b"\"\\x\"",
    b"\"unfinished",
    b"{}",
    b"[]",
    b"[null]",
    b"{\"a\":1}",
    b"NaN",
    b"-Infinity",
    b"+1",
    b"01",
    b"'x'",
    b"undefined",
    b"/* */",
    b"\"../../etc/passwd\"",
    b"\"%00\"",
    b"\"' OR 1=1 --\"",
    b"\"2026-02-30T25:61:61Z\"",
    b"\"9999-12-31T23:59:59.999999999+23:59\"",
    b"\"-000001-01-01T00:00:00Z\"",
    b"\"\xe2\x80\xae\"",
    b"\"javascript:alert(1)\"",
    b"\"http://[::1\"",
    b"\"(?:a{1000}){1000}\"",
    b"\"(\"",
    b"\"\xf0\x9f\x94\xa5\"",
    b"",
];

/// `value` written with one or more hostile places in it: other types, missing, unknown and doubled fields, swapped values,
/// deep nesting, huge numbers and texts, broken escapes and UTF-8.
pub fn damaged_json(random: &mut Random, value: &Value) -> Vec<u8> {
    let nodes = nodes(value);
    let mut writer = Writer { left: random.below(nodes), more: random.below(3), random, out: Vec::new() };
    writer.value(value);
    writer.out
}

fn nodes(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(nodes).sum::<usize>(),
        Value::Object(fields) => fields.values().map(nodes).sum::<usize>(),
        _ => 0,
    }
}

struct Writer<'r> {
    random: &'r mut Random,
    out: Vec<u8>,
    /// Values until the next damage.
    left: usize,
    /// Damages after that.
    more: usize,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value) {
        if self.left == 0 {
            self.left = if self.more == 0 { usize::MAX } else { 1 + self.random.below(4) };
            self.more = self.more.saturating_sub(1);
            return self.hostile(value);
        }
        self.left -= 1;
        match value {
            Value::Array(items) => self.items(items, None),
            Value::Object(fields) => {
                let fields: Vec<_> = fields.iter().map(|(name, value)| (name.clone(), value)).collect();
                self.fields(&fields);
            }
            plain => self.out.extend(plain.to_string().bytes()),
        }
    }

    fn hostile(&mut self, value: &Value) {
        match (self.random.below(6), value) {
            (0..=2, Value::Object(fields)) if !fields.is_empty() => {
                let mut fields: Vec<_> = fields.iter().map(|(name, value)| (name.clone(), value)).collect();
                self.wrong_fields(&mut fields);
                self.fields(&fields);
            }
            (0..=2, Value::Array(items)) if !items.is_empty() => {
                let times = [0, 2, 25, 1_100][self.random.below(4)];
                let doubled = self.random.below(items.len());
                self.items(items, Some((doubled, times)));
            }
            (0 | 1, Value::String(text)) => self.wrong_text(text),
            (3, _) => self.deep(value),
            _ => self.out.extend(self.random.pick(HOSTILE)),
        }
    }

    fn wrong_fields(&mut self, fields: &mut Vec<(String, &Value)>) {
        let (one, other) = (self.random.below(fields.len()), self.random.below(fields.len()));
        match self.random.below(6) {
            0 => drop(fields.remove(one)),
            1 => {
                let again = fields[one].clone();
                fields.insert(other, again);
            }
            2 => {
                let value = fields[one].1;
                fields[one].1 = fields[other].1;
                fields[other].1 = value;
            }
            3 => fields[one].0 = fields[one].0.to_uppercase(),
            4 => fields[one].0.push_str(["\0", "x", "/~", "\u{202e}", "`"][self.random.below(5)]),
            _ => {
                let value = fields[one].1;
                let times = [1, 10, 60][self.random.below(3)];
                fields.extend((0..times).map(|n| (format!("unknown-{n}"), value)));
            }
        }
    }

    fn wrong_text(&mut self, text: &str) {
        let long = [129, 501, 2_001, 50_001, 200_000][self.random.below(5)];
        let filling = ["x", "\u{1f525}", "a ", "\u{301}", "1", "(", "@a.b "][self.random.below(7)];
        let text = match self.random.below(5) {
            0 => filling.repeat(long / filling.len()),
            1 => format!("{text}\0"),
            2 => text.chars().rev().collect(),
            3 => format!(" {text} "),
            _ => String::new(),
        };
        self.out.extend(Value::from(text).to_string().bytes());
    }

    /// The value behind so many brackets, which are closed or not.
    fn deep(&mut self, value: &Value) {
        let depth = [1, 2, 64, 127, 129, 5_000][self.random.below(6)];
        let (open, close) = if self.random.one_in(3) { (&b"{\"a\":"[..], &b"}"[..]) } else { (&b"["[..], &b"]"[..]) };
        self.out.extend(open.repeat(depth));
        self.out.extend(value.to_string().bytes());
        if !self.random.one_in(3) {
            self.out.extend(close.repeat(depth));
        }
    }

    fn fields(&mut self, fields: &[(String, &Value)]) {
        self.out.push(b'{');
        for (n, (name, value)) in fields.iter().enumerate() {
            if n > 0 {
                self.out.push(b',');
            }
            self.out.extend(Value::from(name.as_str()).to_string().bytes());
            self.out.push(b':');
            self.value(value);
        }
        self.out.push(b'}');
    }

    /// The items; `repeated` is the place of one and how often it stands there.
    fn items(&mut self, items: &[Value], repeated: Option<(usize, usize)>) {
        self.out.push(b'[');
        let mut first = true;
        for (n, item) in items.iter().enumerate() {
            let times = repeated.filter(|(place, _)| *place == n).map_or(1, |(_, times)| times);
            for _ in 0..times {
                if !first {
                    self.out.push(b',');
                }
                first = false;
                self.value(item);
            }
        }
        self.out.push(b']');
    }
}
