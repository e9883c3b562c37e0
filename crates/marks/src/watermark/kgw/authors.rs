//! The authors' `WatermarkDetector` (lm-watermarking, `extended_watermark_processor.py`).

use std::sync::Arc;

use oracle::TokenId;
use stats::tail::log10_normal_sf;

use crate::keyed::torch_lists::TorchLists;
use crate::keyed::window_hits::{Hits, WindowHits};
use crate::{Authors, AuthorsScore, Key, MarkError};

/// What it needs to know.
pub(super) struct Detector {
    /// The lists of a key.
    pub lists: Arc<dyn Fn(&Key) -> TorchLists + Send + Sync>,
    /// Ids of a unit: those that choose a list, and the token.
    pub width: usize,
    /// The rate that its z takes for granted.
    pub gamma: f64,
    /// The id that is dropped where a text begins with it.
    pub bos: Option<TokenId>,
}

/// Above this z it calls a text marked.
const THRESHOLD: f64 = 4.0;

impl Authors for Detector {
    fn judge(&self, key: &Key, texts: &[&[TokenId]]) -> Result<Vec<AuthorsScore>, MarkError> {
        let WindowHits { every, distinct } = WindowHits::of(&(self.lists)(key), self.width, self.bos, texts);
        let score = |hits: Hits, detector, caution| hits.score(detector, self.gamma, log10_normal_sf, THRESHOLD, caution);
        Ok(vec![
            score(
                distinct,
                "lm-watermarking WatermarkDetector",
                "windows in which the same ids choose the list are counted apart, and its p is the normal one: too small a p",
            ),
            score(
                every,
                "lm-watermarking WatermarkDetector, ignore_repeated_ngrams off",
                "counts copies of a unit as if they were several: far too small a p in repetitive text",
            ),
        ])
    }
}
