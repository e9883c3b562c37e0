/// Index of a token in a model's vocabulary.
pub type TokenId = u32;
