//! How vLLM's own detectors take units out of a text (served watermarks, 1.4): every token, specials and what follows an end included,
//! with its context of the text only; of equal contexts the first, whatever its token.

use std::collections::HashSet;

use oracle::TokenId;

use crate::keyed::rules::NO_TOKEN;

/// The share of false alarms at which they call a text marked.
const THRESHOLD: f64 = 0.01;

/// Units of `texts`, end to end: a context of `width` tokens and then the token.
pub(crate) fn units(texts: &[&[TokenId]], width: usize) -> Vec<TokenId> {
    let (mut seen, mut units) = (HashSet::new(), Vec::new());
    for text in texts {
        let laid_out = [&vec![NO_TOKEN; width], *text].concat();
        for window in laid_out.windows(width + 1) {
            if seen.insert(window[..width].to_vec()) {
                units.extend_from_slice(window);
            }
        }
    }
    units
}

/// Whether they call a text of this p marked.
pub(crate) fn found(log10_p: f64) -> Option<bool> {
    Some(log10_p <= libm::log10(THRESHOLD))
}
