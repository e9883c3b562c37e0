//! Hits as the KGW authors' detector and transformers' count them: over windows of ids, whatever they share.

use std::collections::HashMap;

use oracle::TokenId;

use super::soft_list::Lists;
use crate::AuthorsScore;

/// Windows and hits among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hits {
    /// Windows that were scored.
    pub units: u64,
    /// Those whose last id is green.
    pub hits: u64,
}

/// Every window, and each that differs once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WindowHits {
    /// Every window.
    pub every: Hits,
    /// Different windows.
    pub distinct: Hits,
}

impl WindowHits {
    /// Over windows of `width` ids of all `texts` under the key behind `lists`; a leading `bos` is no part of a text.
    pub fn of(lists: &dyn Lists, width: usize, bos: Option<TokenId>, texts: &[&[TokenId]]) -> Self {
        let texts = texts.iter().map(|text| if text.first().is_some_and(|id| Some(*id) == bos) { &text[1..] } else { text });
        let mut windows: HashMap<&[TokenId], u64> = HashMap::new();
        for window in texts.flat_map(|text| text.windows(width)) {
            *windows.entry(window).or_default() += 1;
        }
        let (windows, counts): (Vec<&[TokenId]>, Vec<u64>) = windows.into_iter().unzip();
        let mut green = vec![0.0; windows.len()];
        lists.score(&windows.concat(), width, &mut green);
        let of = |times: fn(u64) -> u64| {
            let green = counts.iter().zip(&green).filter(|(_, green)| **green > 0.0);
            Hits { units: counts.iter().map(|count| times(*count)).sum(), hits: green.map(|(count, _)| times(*count)).sum() }
        };
        Self { every: of(|count| count), distinct: of(|_| 1) }
    }
}

impl Hits {
    /// What a detector says that takes `ratio` for the rate of hits, `log10_p` for the p of its z, and calls a text marked above
    /// `threshold`.
    pub fn score(
        self,
        detector: &'static str,
        ratio: f64,
        log10_p: fn(f64) -> f64,
        threshold: f64,
        caution: &'static str,
    ) -> AuthorsScore {
        let (n, hits) = (self.units as f64, self.hits as f64);
        // theirs refuses texts without a window
        let z = if self.units == 0 { 0.0 } else { (hits - ratio * n) / (n * ratio * (1.0 - ratio)).sqrt() };
        AuthorsScore {
            detector,
            units: self.units,
            statistic: hits,
            statistic_name: "hits",
            z: Some(z),
            log10_p: Some(log10_p(z)),
            found: Some(z > threshold),
            caution: Some(caution),
        }
    }
}
