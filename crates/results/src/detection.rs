//! What was found of a mark in given texts, as it is written and shown.

use serde::Serialize;
use stats::Evidence;

/// One text, or all texts of one key together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Detected {
    /// Number of the text in its file, from 1; `None` for all together.
    pub text: Option<u64>,
    /// The account whose key this is about, where keys differ by account.
    pub account: Option<u32>,
    /// The test, by the count of distinct units.
    pub evidence: Evidence,
    /// What the effect is.
    pub effect_unit: String,
    /// Texts like this one that prove the mark with the stated power, as far as they bring as many new units; about, unless hits are
    /// counted. `None` where nothing is seen of it.
    pub texts_needed: Option<u64>,
    /// Tokens and units that were judged or left out.
    pub judged: Judged,
    /// What published detectors say of the same tokens.
    pub authors: Vec<Published>,
    /// Why a published detector says nothing.
    pub authors_silent: Option<String>,
}

/// Tokens and units, and why units were left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// Texts.
    pub texts: u64,
    /// Tokens of prompts, none of which is ever scored.
    pub prompt_tokens: u64,
    /// Tokens of the texts themselves.
    pub tokens: u64,
    /// Units that were scored, each once.
    pub units: u64,
    /// Tokens from the end of a text on.
    pub ended: u64,
    /// First tokens of texts, whose context is not known.
    pub without_context: u64,
    /// Special tokens, and tokens after one within the context.
    pub special: u64,
    /// Units that stand in the text's own prompt too.
    pub in_prompt: u64,
    /// Units that were met before.
    pub repeated: u64,
}

/// What a published detector says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Published {
    /// Whose, which version, which test.
    pub detector: String,
    /// Units after its own de-duplication.
    pub units: u64,
    /// What its statistic is called.
    pub statistic_name: String,
    /// Its statistic.
    pub statistic: f64,
    /// Its z, where it has one.
    pub z: Option<f64>,
    /// log10 of its p by its own formula, where it has one.
    pub log10_p: Option<f64>,
    /// Whether it calls the texts marked at its own threshold, where it has one.
    pub found: Option<bool>,
    /// What is known to be wrong with it.
    pub caution: Option<String>,
}

impl Detected {
    /// Whether the mark is proven at `alpha`: by p, and where decoy keys were tried by the rank among them; a p that is no more than an
    /// approximation needs that rank. With fewer decoys than their rank could show, the true key must be above them all.
    pub fn proven(&self, alpha: f64) -> bool {
        let evidence = &self.evidence;
        let log10_alpha = libm::log10(alpha);
        let least = -libm::log10(1.0 + evidence.decoys as f64);
        let ranked = match evidence.log10_p_decoy {
            Some(rank) => rank <= log10_alpha.max(least) + 1e-9,
            None => evidence.null.kind.exact(),
        };
        evidence.log10_p <= log10_alpha && ranked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detected(hits: u64, decoys: &[f64]) -> Detected {
        let evidence = Evidence::binomial(hits, 200, 0.25).with_decoys(decoys).unwrap();
        let judged = Judged::default();
        let (effect_unit, authors) = (String::new(), Vec::new());
        Detected { text: None, account: None, evidence, effect_unit, texts_needed: None, judged, authors, authors_silent: None }
    }

    #[test]
    fn p_and_rank_must_both_hold() {
        assert!(detected(100, &[]).proven(0.001) && !detected(60, &[]).proven(0.001));
        assert!(detected(100, &[50.0; 99]).proven(0.001), "above all of few decoys");
        let mut decoys = vec![50.0; 99];
        decoys[7] = 101.0;
        assert!(!detected(100, &decoys).proven(0.001), "one of few decoys is above it");
        decoys.resize(1_999, 50.0);
        assert!(detected(100, &decoys).proven(0.001), "one of many may be");
    }
}
