//! The tokenizer as everything above knows it: text to ids and back.

use oracle::{Codec, TokenId};

use super::Tokenizer;
use super::offsets::Pieces;

impl Codec for Tokenizer {
    fn encode(&self, text: &str) -> Vec<TokenId> {
        let always = "a tokenizer that encoded arbitrary text when it was assembled encodes any";
        let encoding = self.inner.encode_fast(text, false).expect(always);
        // The model behind a tokenizer may know special tokens as words of its own (Unigram and WordPiece do).
        if encoding.get_ids().iter().any(|id| self.roles.is_special(*id)) {
            return Pieces::of(&self.inner, text).encode(self).expect(always).into_iter().map(|token| token.id).collect();
        }
        encoding.get_ids().to_vec()
    }

    fn decode(&self, ids: &[TokenId]) -> String {
        self.inner.decode(ids, true).expect("a tokenizer that decoded all its ids when it was assembled decodes any of them")
    }

    fn vocab_size(&self) -> usize {
        self.size
    }

    fn bos(&self) -> Option<TokenId> {
        self.roles.bos
    }

    fn eos(&self) -> Option<TokenId> {
        self.roles.eos
    }

    fn special_ids(&self) -> &[TokenId] {
        &self.never_text
    }
}
