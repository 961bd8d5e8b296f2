//! Words, pairs of words that stand near each other, and parts of words, each as a hash with its count.

/// Parts of words, in characters, with the blanks around the word: they carry typing errors, inflections and compounds.
const PART_CHARS: std::ops::RangeInclusive<usize> = 2..=5;
/// Words before a word that make a pair with it.
const PAIR_WINDOW: usize = 10;
/// Words of a text that count: what a ticket is about is said early, and time stays bounded.
const WORDS: usize = 400;
/// Characters of a word that count.
const WORD_CHARS: usize = 40;

/// The n-grams of a text, in two blocks that are weighted apart: each is a hash with its count, in the order of the hash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Words and pairs of words.
    pub words: Vec<(u64, u32)>,
    /// Parts of words.
    pub parts: Vec<(u64, u32)>,
}

/// The features of `text`, the same in every process.
pub fn features(text: &str) -> Features {
    let lower = text.to_lowercase();
    let mut words = Vec::with_capacity(64);
    let mut recent: Vec<u64> = Vec::with_capacity(64);
    for word in lower.split(|char: char| !is_word(char)).filter(|word| !word.is_empty()).take(WORDS) {
        let this = finish(word.chars().take(WORD_CHARS).fold(1, add));
        words.push(this);
        for (gap, before) in recent.iter().rev().take(PAIR_WINDOW).enumerate() {
            // Neighbours keep their order; words further apart only stand together.
            let pair = match gap {
                0 => step(step(2, *before), this),
                _ => step(step(4, *before.min(&this)), *before.max(&this)),
            };
            words.push(finish(pair));
        }
        recent.push(this);
    }
    let mut parts = Vec::with_capacity(lower.len() * 4);
    let mut padded = Vec::with_capacity(WORD_CHARS + 2);
    for word in lower.split_whitespace().take(WORDS) {
        padded.clear();
        padded.push(' ');
        padded.extend(word.chars().take(WORD_CHARS));
        padded.push(' ');
        add_parts(&padded, &mut parts);
    }
    Features { words: counted(words), parts: counted(parts) }
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

fn add_parts(padded: &[char], parts: &mut Vec<u64>) {
    for start in 0..padded.len() {
        let mut hash = 3;
        for (n, char) in padded.iter().skip(start).take(*PART_CHARS.end()).enumerate() {
            hash = add(hash, *char);
            if n + 1 >= *PART_CHARS.start() {
                parts.push(finish(hash));
            }
        }
    }
}

fn counted(mut hashes: Vec<u64>) -> Vec<(u64, u32)> {
    hashes.sort_unstable();
    let mut counts: Vec<(u64, u32)> = Vec::with_capacity(hashes.len());
    for hash in hashes {
        match counts.last_mut() {
            Some((last, count)) if *last == hash => *count += 1,
            _ => counts.push((hash, 1)),
        }
    }
    counts
}

fn add(hash: u64, char: char) -> u64 {
    step(hash, u64::from(char))
}

/// One step of a multiplicative hash; the constant is that of FxHash.
fn step(hash: u64, value: u64) -> u64 {
    (hash.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95)
}

/// Spreads the high bits over the low ones, which tables look at.
fn finish(hash: u64) -> u64 {
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    mixed ^ (mixed >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_pairs_and_parts_are_counted() {
        let found = features("Card, card");
        assert_eq!(found.words.len(), 2, "the word and the pair");
        assert_eq!(found.words.iter().map(|(_, count)| count).sum::<u32>(), 3);
        assert_eq!(features("CARD card").words, features("card Card").words);
        assert_eq!(features(""), Features::default());
        assert_eq!(features(" \u{0} … "), features("\u{0} …"));
    }

    #[test]
    fn parts_stay_inside_words() {
        let apart = features("ab cd");
        let together = features("abcd");
        assert!(
            apart.parts.iter().all(|(hash, _)| features("ab")
                .parts
                .iter()
                .chain(&features("cd").parts)
                .any(|(other, _)| hash == other))
        );
        assert_ne!(apart.parts, together.parts);
    }

    #[test]
    fn a_long_text_has_bounded_features() {
        let long = "wort ".repeat(100_000) + &"x".repeat(100_000);
        let found = features(&long);
        assert!(found.words.iter().map(|(_, count)| *count as usize).sum::<usize>() <= (1 + PAIR_WINDOW) * WORDS);
        assert!(found.parts.iter().map(|(_, count)| *count as usize).sum::<usize>() <= WORDS * (WORD_CHARS + 2) * 4);
    }
}
