use crate::TokenId;

/// Text to token ids and back. Implemented by the model crate's tokenizer; marks see only this.
pub trait Codec: Send + Sync {
    /// Token ids of `text`, without any special token added.
    fn encode(&self, text: &str) -> Vec<TokenId>;

    /// Text of `ids`; special tokens are left out.
    fn decode(&self, ids: &[TokenId]) -> String;

    /// Number of token ids, special ones included.
    fn vocab_size(&self) -> usize;

    /// The token put before every text, if the model expects one.
    fn bos(&self) -> Option<TokenId>;

    /// The token that ends an answer, if the model has one.
    fn eos(&self) -> Option<TokenId>;

    /// Ids that are never text (beginning, end, padding ...): never green, never scored, never part of a secret.
    fn special_ids(&self) -> &[TokenId];
}
