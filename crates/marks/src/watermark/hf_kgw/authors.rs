//! transformers' `WatermarkDetector`, in the two versions whose numbers differ.

use std::sync::Arc;

use oracle::TokenId;
use stats::tail::log10_normal_sf;

use crate::keyed::torch_lists::TorchLists;
use crate::keyed::window_hits::WindowHits;
use crate::{Authors, AuthorsScore, Key, MarkError};

/// What it needs to know.
pub(super) struct Detector {
    /// The lists of a key.
    pub lists: Arc<dyn Fn(&Key) -> TorchLists + Send + Sync>,
    /// Ids of a unit.
    pub width: usize,
    /// `greenlist_ratio`: the rate that its z takes for granted, although lists are rounded down.
    pub ratio: f64,
    /// The id that is dropped where a text begins with it. In a batch its first row decides; 5.24 refuses one whose rows differ.
    pub bos: Option<TokenId>,
}

/// Above this z it calls a text marked.
const THRESHOLD: f64 = 3.0;

const ALL_WINDOWS: &str = "counts copies of a unit as if they were several: far too small a p in repetitive text";
const DISTINCT_WINDOWS: &str = "windows in which the same ids choose the list are counted apart: too small a p";
const OLD_P: &str = "its p is no tail: too large below z 3.3, too small above; and copies of a unit count as several";

impl Authors for Detector {
    fn judge(&self, key: &Key, texts: &[&[TokenId]]) -> Result<Vec<AuthorsScore>, MarkError> {
        let WindowHits { every, distinct } = WindowHits::of(&(self.lists)(key), self.width, self.bos, texts);
        let (new, old, ratio) = (log10_normal_sf, log10_p_of_4_57, self.ratio);
        Ok(vec![
            every.score("transformers 5.24 WatermarkDetector", ratio, new, THRESHOLD, ALL_WINDOWS),
            distinct.score(
                "transformers 5.24 WatermarkDetector, ignore_repeated_ngrams",
                ratio,
                new,
                THRESHOLD,
                DISTINCT_WINDOWS,
            ),
            every.score("transformers 4.57.1 WatermarkDetector", ratio, old, THRESHOLD, OLD_P),
        ])
    }
}

/// The p of 4.57.1: 1/2 -+ 1/2 (1 - exp(-2 z^2 / pi)), an approximation of the normal law without its square root.
fn log10_p_of_4_57(z: f64) -> f64 {
    let exponent = -2.0 * z * z / std::f64::consts::PI;
    let ln_p = if z < 0.0 { libm::log1p(-0.5 * libm::exp(exponent)) } else { exponent - std::f64::consts::LN_2 };
    ln_p / std::f64::consts::LN_10
}
