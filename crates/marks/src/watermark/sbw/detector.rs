//! SBW's own detectors (served watermarks, 6.1 to 6.3): z and its normal tail.

use std::collections::HashSet;

use oracle::TokenId;
use stats::tail::log10_normal_sf;

use super::{Form, KIND, Sbw, Seeding};
use crate::keyed::vllm::detector;
use crate::keyed::{Authors, AuthorsScore};
use crate::{Key, MarkError};

/// What is wrong with a count of windows under self hash.
const SELF_HASH: &str = "its windows are not independent under self hash: unmarked texts give 25 % false alarms at nominal 1 %";

/// What is wrong with the normal tail.
const NORMAL: &str = "its p is a normal tail, not the exact one: 11,000 times too large at 64 of 64";

impl Sbw {
    /// Windows that the detector of this form counts, each a context as our scorer wants it and then the token.
    fn windows(&self, texts: &[&[TokenId]]) -> Vec<TokenId> {
        let inside = self.rules.context_width;
        match self.list.form {
            Form::Plugin => {
                let mut seen = HashSet::new();
                let all = texts.iter().flat_map(|text| text.windows(inside + 1));
                all.filter(|window| seen.insert(*window)).flatten().copied().collect()
            }
            Form::NativeProposal => {
                // distinct contexts of the whole window, of which self hash leaves out the oldest
                let windows = detector::units(texts, self.width);
                windows.chunks_exact(self.width + 1).flat_map(|window| &window[self.width - inside..]).copied().collect()
            }
        }
    }

    /// Hits among `windows` under `key`, as the detector of this form compares.
    fn hits(&self, key: &Key, windows: &[TokenId]) -> (u64, u64) {
        let width = self.rules.context_width + 1;
        let mut draws = vec![0; windows.len() / width];
        let list = self.list.under(key);
        list.seeds.draws(windows, width, &mut draws);
        let green = |draw: &&u32| match self.list.form {
            // by 32-bit floats, where a draw next to gamma may fall on its other side
            Form::Plugin => **draw as f32 * (1.0 / 2_147_483_648.0) < self.gamma as f32,
            Form::NativeProposal => **draw < list.green_below,
        };
        (draws.iter().filter(green).count() as u64, draws.len() as u64)
    }

    /// z of so many hits among so many units at rate gamma; none of no units.
    pub(super) fn z(&self, hits: u64, units: u64) -> Option<f64> {
        let (n, gamma) = (units as f64, self.gamma);
        (units > 0).then(|| (hits as f64 - gamma * n) / (n * gamma * (1.0 - gamma)).sqrt())
    }
}

impl Authors for Sbw {
    fn judge(&self, key: &Key, texts: &[&[TokenId]]) -> Result<Vec<AuthorsScore>, MarkError> {
        let Sbw { list, .. } = self;
        if (list.form, list.seeds.seeding) == (Form::NativeProposal, Seeding::LeftHash) {
            // its generator seeds by ids, its detector by their hashes
            let why = "the proposal's own detector of left hash looks for other seeds than its generator uses and finds nothing: \
                       read the exact test instead, or compare with the plug-in's detector (form = \"plugin\")";
            return Err(MarkError::unmeasurable(KIND, why));
        }
        let (hits, units) = self.hits(key, &self.windows(texts));
        let z = self.z(hits, units);
        Ok(vec![AuthorsScore {
            detector: if list.form == Form::Plugin { "sbw 1.0.0" } else { "vLLM proposal sbw" },
            units,
            statistic: hits as f64,
            statistic_name: "hits",
            z,
            log10_p: Some(z.map_or(0.0, log10_normal_sf)),
            found: None,
            caution: Some(if list.seeds.seeding == Seeding::SelfHash { SELF_HASH } else { NORMAL }),
        }])
    }
}
