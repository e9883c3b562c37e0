//! Which bytes of a text each token stands for.
//!
//! The library gives tokens the whole of every character they touch, trims blanks from the spans of some tokenizers, and
//! lets words of the vocabulary be special tokens. So its steps (added tokens, normalizer, pre-tokenizer, model) are taken
//! here one by one: the byte a token ends at is then exact even inside a character, and a piece of text whose word is a
//! special token is broken up.

use std::cell::RefCell;
use std::ops::Range;

use oracle::TokenId;
use tokenizers::normalizer::Range as Referential;
use tokenizers::{
    Model, NormalizedString, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, Token, Tokenizer as Inner,
};

use super::Tokenizer;

/// A token and the bytes of the text that it stands for.
pub(super) struct Placed {
    pub(super) id: TokenId,
    pub(super) bytes: Range<usize>,
}

impl Tokenizer {
    /// [`oracle::Codec::encode`] with the bytes of `text` that each token stands for.
    ///
    /// Starts and ends never decrease and lie within the text. A token that holds a part of a character ends at that byte, so
    /// an end need not be a character's. Bytes between two tokens are text that the tokenizer drops (blanks between words,
    /// say); a token that stands for nothing in the text (a blank put before it) is empty.
    pub fn encode_with_offsets(&self, text: &str) -> Vec<(TokenId, Range<usize>)> {
        let always = "a tokenizer that encoded arbitrary text when it was assembled encodes any";
        let tokens = Pieces::of(&self.inner, text).encode(self).expect(always);
        tokens.into_iter().map(|token| (token.id, token.bytes)).collect()
    }
}

/// A text with its added tokens cut out and the rest normalised, before it is split into words.
pub(super) struct Pieces(pub(super) PreTokenizedString);

impl Pieces {
    /// Added tokens are those that `inner` itself finds in `text`.
    pub(super) fn of(inner: &Inner, text: &str) -> Self {
        Self(inner.get_added_vocabulary().extract_and_normalize(inner.get_normalizer(), text))
    }

    /// The tokens, in order.
    pub(super) fn encode(self, tokenizer: &Tokenizer) -> tokenizers::Result<Vec<Placed>> {
        let Self(mut text) = self;
        if let Some(splitter) = tokenizer.inner.get_pre_tokenizer() {
            splitter.pre_tokenize(&mut text)?;
        }
        let in_text = |text: &PreTokenizedString| -> Vec<(Range<usize>, Option<TokenId>)> {
            let splits = text.get_splits(OffsetReferential::Original, OffsetType::Byte);
            let added = |tokens: &Option<Vec<Token>>| tokens.as_ref().and_then(|tokens| tokens.first()).map(|token| token.id);
            splits.into_iter().map(|(_, bytes, tokens)| (bytes.0..bytes.1, added(tokens))).collect()
        };
        let splits = in_text(&text);
        let words = RefCell::new(Vec::new());
        text.tokenize(|word| {
            let tokens = tokenizer.words(word.get())?;
            words.borrow_mut().push(place(word, &tokens));
            Ok(tokens)
        })?;
        let mut words = words.into_inner().into_iter();
        let mut placed: Vec<Placed> = Vec::new();
        for (bytes, added) in splits {
            match added {
                Some(id) => placed.push(Placed { id, bytes }),
                None => placed.extend(words.next().into_iter().flatten()),
            }
        }
        // A normalizer may reorder what it reads (accents): an end once reached is not taken back.
        let mut reached = 0;
        for token in &mut placed {
            let (start, end) = (token.bytes.start.max(reached), token.bytes.end.max(reached));
            token.bytes = start.min(end)..end;
            reached = end;
        }
        Ok(placed)
    }
}

impl Tokenizer {
    /// Tokens of a word, none of them special but the unknown one. Their offsets are bytes of `word`.
    fn words(&self, word: &str) -> tokenizers::Result<Vec<Token>> {
        let mut tokens = self.inner.get_model().tokenize(word)?;
        byte_by_byte(&mut tokens);
        let says = |token: &Token| word.get(token.offsets.0..token.offsets.1).unwrap_or("");
        // "<unk>" in a text is no unknown character, nor are several of them in one token
        let unknown = |token: &Token| {
            Some(token.id) == self.roles.unknown
                && self.inner.id_to_token(token.id).is_none_or(|text| !says(token).contains(&text))
        };
        let Some(token) = tokens.iter().find(|token| self.roles.is_special(token.id) && !unknown(token)) else {
            return Ok(tokens);
        };
        // Cut after its first character; one that has no second has no other token either.
        let (start, end) = token.offsets;
        let cut = says(token).chars().next().map_or(end, |c| start + c.len_utf8());
        if cut >= end {
            let (id, offsets) = (token.id, token.offsets);
            return Ok(match self.roles.unknown.filter(|unknown| *unknown != id) {
                Some(unknown) => replaced(tokens, id, offsets, unknown),
                None => tokens.into_iter().filter(|token| token.id != id).collect(),
            });
        }
        let mut halves = self.words(&word[..cut])?;
        halves.extend(
            self.words(&word[cut..])?
                .into_iter()
                .map(|token| Token { offsets: (token.offsets.0 + cut, token.offsets.1 + cut), ..token }),
        );
        Ok(halves)
    }
}

fn replaced(tokens: Vec<Token>, id: TokenId, offsets: (usize, usize), by: TokenId) -> Vec<Token> {
    let here = |token: &Token| token.id == id && token.offsets == offsets;
    tokens.into_iter().map(|token| if here(&token) { Token { id: by, ..token } } else { token }).collect()
}

/// Tokens that stand for the bytes of one stretch, and were each given all of it, get a byte each.
fn byte_by_byte(tokens: &mut [Token]) {
    let mut i = 0;
    while i < tokens.len() {
        let (start, end) = tokens[i].offsets;
        let run = tokens[i..].iter().take_while(|token| token.offsets == (start, end)).count();
        if run > 1 && run == end - start {
            for (k, token) in tokens[i..i + run].iter_mut().enumerate() {
                token.offsets = (start + k, start + k + 1);
            }
        }
        i += run.max(1);
    }
}

/// The bytes of the original text that `tokens` of `word` stand for.
fn place(word: &NormalizedString, tokens: &[Token]) -> Vec<Placed> {
    let bytes = origins(word);
    let last = word.offsets_original();
    let place = |token: &Token| {
        let (from, to) = (token.offsets.0.min(bytes.len()), token.offsets.1.min(bytes.len()));
        match bytes.get(from..to) {
            Some([first, .., end]) => first.start..end.end,
            Some([only]) => only.clone(),
            _ => bytes.get(from).map_or(last.1..last.1, |next| next.start..next.start),
        }
    };
    tokens.iter().map(|token| Placed { id: token.id, bytes: place(token) }).collect()
}

/// For every byte of the normalised word, the bytes of the original text that it brings. Characters that come from the same
/// original ones share these out: bytes written as characters (byte-level tokenizers) and unchanged bytes have one each;
/// else the last has all.
fn origins(word: &NormalizedString) -> Vec<Range<usize>> {
    let (shift, text, original) = (word.offsets_original().0, word.get(), word.get_original());
    let source = |at: usize| word.convert_offsets(Referential::Normalized(at..at + 1)).unwrap_or(0..0);
    let mut origins: Vec<Range<usize>> = Vec::with_capacity(text.len());
    let mut rest = text.char_indices().peekable();
    while let Some((start, first)) = rest.next() {
        let from = source(start);
        let mut end = start + first.len_utf8();
        while let Some((at, next)) = rest.next_if(|(at, _)| source(*at) == from) {
            end = at + next.len_utf8();
        }
        let (group, bytes) = (&text[start..end], original.get(from.clone()).unwrap_or(""));
        let at = |brought: usize| shift + from.start + brought;
        if written_as_bytes(group, bytes) {
            // before them may stand a blank that was put there
            let blank = group.chars().count() - bytes.len();
            for (k, c) in group.chars().enumerate() {
                let brings = at(k.saturating_sub(blank))..at((k + 1).saturating_sub(blank));
                origins.extend(std::iter::repeat_n(brings, c.len_utf8()));
            }
        } else if group.ends_with(bytes) {
            let before = group.len() - bytes.len();
            origins.extend((0..group.len()).map(|k| at(k.saturating_sub(before))..at((k + 1).saturating_sub(before))));
        } else {
            // what is partly brought is not yet there
            let last = group.char_indices().next_back().map_or(0, |(k, _)| k);
            origins.extend((0..group.len()).map(|k| at(0)..at(if k >= last { bytes.len() } else { 0 })));
        }
    }
    origins
}

/// Whether the last characters of `group` are `bytes`, one each, in the alphabet of byte-level tokenizers.
fn written_as_bytes(group: &str, bytes: &str) -> bool {
    let mut from_the_end = group.chars().rev();
    bytes.bytes().rev().all(|byte| from_the_end.next().and_then(byte_of) == Some(byte))
}

/// The byte that a character stands for in byte-level tokenizers (GPT-2's `bytes_to_unicode`): printable ones themselves,
/// the others counted up from U+0100.
fn byte_of(c: char) -> Option<u8> {
    match u32::from(c) {
        code @ (0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) => u8::try_from(code).ok(),
        code @ 0x100..=0x120 => u8::try_from(code - 0x100).ok(),
        code @ 0x121..=0x142 => u8::try_from(code - 0x121 + 0x7f).ok(),
        0x143 => Some(0xad),
        _ => None,
    }
}
