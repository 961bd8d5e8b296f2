//! WordPiece, as BERT's uncased models read text. The `tokenizers` crate would bring 35 crates for this, one of them without
//! a maintainer; a test compares with what it gives.

use std::collections::HashMap;

use regex::Regex;
use unicode_normalization::UnicodeNormalization;

use super::EmbedError;

/// Longer words are unknown.
const WORD_CHARS: usize = 100;
/// Characters of a text that are looked at for each token wanted.
const CHARS_PER_TOKEN: usize = 40;

/// Cuts text into the pieces of a vocabulary.
pub(super) struct WordPiece {
    ids: HashMap<String, u32>,
    pieces: Regex,
    marks: Regex,
    start: u32,
    end: u32,
    unknown: u32,
}

impl WordPiece {
    /// Reads a vocabulary of one piece a line.
    pub(super) fn new(vocabulary: &[u8]) -> Result<Self, EmbedError> {
        let text =
            std::str::from_utf8(vocabulary).map_err(|_| EmbedError::Content("vocab.txt is not UTF-8".to_owned()))?;
        let ids: HashMap<String, u32> = text.lines().zip(0..).map(|(piece, id)| (piece.to_owned(), id)).collect();
        let id = |piece: &str| {
            ids.get(piece).copied().ok_or_else(|| EmbedError::Content(format!("vocab.txt has no {piece}")))
        };
        let pattern = |pattern| Regex::new(pattern).map_err(|error| EmbedError::Content(error.to_string()));
        let (start, end, unknown) = (id("[CLS]")?, id("[SEP]")?, id("[UNK]")?);
        Ok(Self {
            start,
            end,
            unknown,
            ids,
            // A sign of punctuation or a CJK character alone, or a run of other characters; BERT counts all ASCII signs.
            pieces: pattern(
                r"(?x)[\p{P}$+<=>^`|~]|[\u{4E00}-\u{9FFF}\u{3400}-\u{4DBF}\u{20000}-\u{2CEAF}\u{F900}-\u{FAFF}\u{2F800}-\u{2FA1F}]
                  |[^\s\p{P}$+<=>^`|~\u{4E00}-\u{9FFF}\u{3400}-\u{4DBF}\u{20000}-\u{2CEAF}\u{F900}-\u{FAFF}\u{2F800}-\u{2FA1F}]+",
            )?,
            // Accents, and control characters that are no blanks.
            marks: pattern(r"[\p{Mn}\u{FFFD}&&[^\s]]|[\p{C}&&[^\t\n\r]]")?,
        })
    }

    /// The ids of `text` with those that begin and end it, at most `most`.
    pub(super) fn ids(&self, text: &str, most: usize) -> Vec<u32> {
        let plain: String = text.chars().take(most * CHARS_PER_TOKEN).nfd().collect();
        let plain = self.marks.replace_all(&plain, "").to_lowercase();
        let mut ids = vec![self.start];
        for word in self.pieces.find_iter(&plain) {
            if ids.len() + 1 >= most {
                break;
            }
            self.add_pieces(word.as_str(), &mut ids);
        }
        ids.truncate(most.saturating_sub(1));
        ids.push(self.end);
        ids
    }

    /// The longest pieces of the vocabulary, from the left; a word that has none is unknown as a whole.
    fn add_pieces(&self, word: &str, ids: &mut Vec<u32>) {
        let before = ids.len();
        if word.chars().count() > WORD_CHARS {
            ids.push(self.unknown);
            return;
        }
        let mut rest = word;
        let mut piece = String::with_capacity(word.len() + 2);
        while !rest.is_empty() {
            let ends = rest.char_indices().map(|(at, char)| at + char.len_utf8()).collect::<Vec<_>>();
            let found = ends.into_iter().rev().find_map(|end| {
                piece.clear();
                if rest.len() < word.len() {
                    piece.push_str("##");
                }
                piece.push_str(rest.get(..end)?);
                self.ids.get(&piece).map(|id| (*id, end))
            });
            let Some((id, end)) = found else {
                ids.truncate(before);
                ids.push(self.unknown);
                return;
            };
            ids.push(id);
            rest = rest.get(end..).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the `tokenizers` crate 0.23 gives with the model's own tokenizer.json.
    const GIVEN: [(&str, &str); 10] = [
        ("Why hasn't my card arrived yet?", "[CLS] why hasn ' t my card arrived yet ? [SEP]"),
        (
            "Die Straße ist überflutet – kein Empfang!",
            "[CLS] die st ##raße ist uber ##fl ##ute ##t – kei ##n em ##pf ##ang ! [SEP]",
        ),
        ("¿Dónde está mi pedido nº 4711?", "[CLS] ¿ don ##de est ##a mi pe ##di ##do n ##º 47 ##11 ? [SEP]"),
        ("ERR-620 & SVC204... $49.90", "[CLS] er ##r - 620 & sv ##c ##20 ##4 . . . $ 49 . 90 [SEP]"),
        ("请帮我 reset 密码", "[CLS] [UNK] [UNK] 我 reset [UNK] [UNK] [SEP]"),
        ("naïve cafe\u{301}\tnew\nline", "[CLS] naive cafe new line [SEP]"),
        ("antidisestablishmentarianism", "[CLS] anti ##dis ##est ##ab ##lish ##ment ##arian ##ism [SEP]"),
        ("🔥🔥 it's down", "[CLS] [UNK] it ' s down [SEP]"),
        ("zero\u{200b}width\u{ad}soft", "[CLS] zero ##wi ##dt ##hs ##oft [SEP]"),
        (" ", "[CLS] [SEP]"),
    ];

    fn pieces(tokens: &WordPiece, text: &str, most: usize) -> String {
        let name =
            |id: &u32| tokens.ids.iter().find(|(_, known)| *known == id).map(|(piece, _)| piece.as_str()).unwrap();
        tokens.ids(text, most).iter().map(name).collect::<Vec<_>>().join(" ")
    }

    /// A vocabulary of these pieces alone gives the same: the longest piece of the whole one is the longest here, too.
    fn word_piece() -> WordPiece {
        let mut vocabulary: Vec<&str> = GIVEN.iter().flat_map(|(_, pieces)| pieces.split(' ')).collect();
        vocabulary.sort_unstable();
        vocabulary.dedup();
        WordPiece::new(vocabulary.join("\n").as_bytes()).unwrap()
    }

    #[test]
    fn texts_are_cut_as_the_reference_cuts_them() {
        let tokens = word_piece();
        for (text, expected) in GIVEN {
            assert_eq!(pieces(&tokens, text, 100), expected, "{text}");
        }
        assert_eq!(pieces(&tokens, &"a".repeat(101), 100), "[CLS] [UNK] [SEP]");
    }

    #[test]
    fn a_long_text_is_cut_and_still_ended() {
        let tokens = word_piece();
        let long = "my card ".repeat(10_000);
        assert_eq!(pieces(&tokens, &long, 5), "[CLS] my card my [SEP]");
        assert_eq!(tokens.ids(&long, 64).len(), 64);
        assert!(WordPiece::new(b"a\nb").is_err(), "a vocabulary without its marks is none");
    }

    #[test]
    fn fuzzed_texts_and_vocabularies_give_bounded_ids() {
        let tokens = word_piece();
        let seeds: Vec<&[u8]> = GIVEN.iter().map(|(text, _)| text.as_bytes()).collect();
        switchboard_testkit::fuzz::fuzz("word-piece", &seeds, |input| {
            let ids = tokens.ids(&String::from_utf8_lossy(input), 64);
            assert!((2..=64).contains(&ids.len()));
            assert_eq!((ids.first(), ids.last()), (Some(&tokens.start), Some(&tokens.end)));
        });
        switchboard_testkit::fuzz::fuzz("vocabulary", &[b"[CLS]\n[SEP]\n[UNK]\na\n##b\n"], |input| {
            if let Ok(tokens) = WordPiece::new(input) {
                assert!(tokens.ids("ab a b", 8).len() <= 8);
            }
        });
    }
}
