use std::collections::HashSet;

use oracle::{Codec, ConfigError, TokenId};
use rand::RngExt;

use crate::Key;
use crate::key::Purpose;

/// Possible prompts there must be for each one drawn, so that nobody meets one by chance.
const SPACE_PER_PROMPT: f64 = 1000.0;

/// All ids of `codec` that are text.
pub(crate) fn ordinary(codec: &dyn Codec) -> Vec<TokenId> {
    let special: HashSet<_> = codec.special_ids().iter().copied().collect();
    (0..codec.vocab_size() as TokenId).filter(|id| !special.contains(id)).collect()
}

/// `count` distinct prompts under `key`: the beginning-of-text token, if there is one, and `tokens` random ordinary tokens.
///
/// # Errors
/// When there are too few possible prompts; the configured key is `prompt_tokens`.
pub(crate) fn random_prompts(
    key: &Key,
    codec: &dyn Codec,
    count: usize,
    tokens: usize,
) -> Result<Vec<Vec<TokenId>>, ConfigError> {
    let ordinary = ordinary(codec);
    if libm::log10(ordinary.len() as f64) * (tokens as f64) < libm::log10(SPACE_PER_PROMPT * count as f64) {
        let remedy = format!("use longer prompts: each of {count} needs {SPACE_PER_PROMPT} possible ones");
        return Err(ConfigError::new("prompt_tokens", tokens, remedy));
    }
    let mut rng = key.rng(Purpose::ProbePrompts, 0);
    let mut prompts: Vec<Vec<TokenId>> = Vec::with_capacity(count);
    while prompts.len() < count {
        let random = (0..tokens).map(|_| ordinary[rng.random_range(0..ordinary.len() as u32) as usize]);
        let prompt: Vec<_> = codec.bos().into_iter().chain(random).collect();
        if !prompts.contains(&prompt) {
            prompts.push(prompt);
        }
    }
    Ok(prompts)
}
