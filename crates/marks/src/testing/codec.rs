use oracle::{Codec, TokenId};

/// A codec over ASCII that, like byte-pair encodings, joins neighbours: digits to pairs, a space to what follows it.
///
/// Ids: 0 padding, 1 beginning, 2 end, then characters, then a space with a character, then pairs of digits; ids above
/// those are unused words of a larger vocabulary.
#[derive(Debug, Clone)]
pub struct ToyCodec {
    vocab: usize,
}

const SPECIAL: [TokenId; 3] = [0, 1, 2];
const CHARACTERS: TokenId = 3;
const SPACED: TokenId = CHARACTERS + 128;
const PAIRS: TokenId = SPACED + 128;
const TEXT_IDS: usize = PAIRS as usize + 100;

impl ToyCodec {
    /// A codec with `vocab` ids; text needs 359, fewer serve tests on ids alone.
    pub fn new(vocab: usize) -> Self {
        assert!(vocab > SPECIAL.len(), "a vocabulary of {vocab} has no ordinary token");
        Self { vocab }
    }

    /// A codec just large enough for text.
    pub fn text() -> Self {
        Self::new(TEXT_IDS)
    }
}

impl Codec for ToyCodec {
    fn encode(&self, text: &str) -> Vec<TokenId> {
        assert!(self.vocab >= TEXT_IDS && text.is_ascii(), "toy text is ASCII over {TEXT_IDS} ids");
        let bytes = text.as_bytes();
        let mut ids = Vec::new();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match bytes.get(at + 1) {
                Some(&next) if byte == b' ' => ids.push(SPACED + TokenId::from(next)),
                Some(next) if byte.is_ascii_digit() && next.is_ascii_digit() => {
                    ids.push(PAIRS + TokenId::from(10 * (byte - b'0') + (next - b'0')));
                }
                _ => {
                    ids.push(CHARACTERS + TokenId::from(byte));
                    at += 1;
                    continue;
                }
            }
            at += 2;
        }
        ids
    }

    fn decode(&self, ids: &[TokenId]) -> String {
        let mut text = String::new();
        for &id in ids {
            match id {
                CHARACTERS..SPACED => text.push(char::from((id - CHARACTERS) as u8)),
                SPACED..PAIRS => text.extend([' ', char::from((id - SPACED) as u8)]),
                _ if id >= PAIRS && (id as usize) < TEXT_IDS => text.push_str(&format!("{:02}", id - PAIRS)),
                _ => {}
            }
        }
        text
    }

    fn vocab_size(&self) -> usize {
        self.vocab
    }

    fn bos(&self) -> Option<TokenId> {
        Some(1)
    }

    fn eos(&self) -> Option<TokenId> {
        Some(2)
    }

    fn special_ids(&self) -> &[TokenId] {
        &SPECIAL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives_and_digits_join() {
        let codec = ToyCodec::text();
        for text in ["", " ", "a", "The code is 12345.", "x  7 89 ", "00 1"] {
            assert_eq!(codec.decode(&codec.encode(text)), text);
        }
        assert_eq!(codec.encode("1234").len(), 2);
        assert_eq!(codec.encode("is 1").len(), 3);
    }
}
