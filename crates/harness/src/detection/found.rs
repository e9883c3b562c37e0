//! What was found, in the form in which it is written.

use marks::{AuthorsScore, Chance, Mark, MarkError};
use oracle::{Exchange, TokenId};
use rayon::prelude::*;
use results::detection::{Detected, Judged, Published};
use stats::needed::units_needed;

/// At what level, beside how many decoy keys, and for which power.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// The mark is proven from this p on.
    pub alpha: f64,
    /// Decoy keys.
    pub decoys: usize,
    /// Names the family of decoy keys.
    pub decoy_seed: u64,
    /// Probability with which as many texts as are said to be needed prove it.
    pub power: f64,
}

/// What was found in all texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Each text on its own, then all together; by account where keys differ by it.
    pub all: Vec<Detected>,
    /// The level at which one key proves the mark: alpha shared evenly by all accounts.
    pub alpha: f64,
    /// Whether the mark is proven in all texts together, of one account at least.
    pub proven: bool,
}

/// Looks for `mark` in `texts`.
///
/// # Errors
/// [`MarkError::Unmeasurable`] when a score is no number.
pub fn detect(mark: &dyn Mark, texts: &[Exchange], level: &Level) -> Result<Found, MarkError> {
    let chance = Chance { decoys: level.decoys, decoy_seed: level.decoy_seed, ..Chance::default() };
    let found = mark.detector().map_or(Ok(Vec::new()), |detector| detector.detect(texts, chance))?;
    let alpha = level.alpha / found.len().max(1) as f64;
    let mut all = Vec::new();
    for detection in &found {
        let one = |text: Option<u64>, detected: &marks::Detected, own: &[&[TokenId]]| {
            let mut one = written(detected, text, detection.account, alpha, level.power);
            match mark.authors(own) {
                Ok(said) => one.authors = said.into_iter().map(published).collect(),
                Err(MarkError::Unmeasurable { reason, .. }) => one.authors_silent = Some(reason),
                Err(error) => return Err(error),
            }
            Ok(one)
        };
        let own: Vec<&[TokenId]> = detection.texts.iter().map(|&at| texts[at].answer.as_slice()).collect();
        let each = detection.texts.par_iter().zip(&detection.each).zip(&own);
        let each = each.map(|((&at, each), own)| one(Some(at as u64 + 1), each, &[own]));
        all.extend(each.collect::<Result<Vec<_>, _>>()?);
        all.push(one(None, &detection.pooled, &own)?);
    }
    let proven = all.iter().any(|one| one.text.is_none() && one.proven(alpha));
    Ok(Found { all, alpha, proven })
}

fn written(detected: &marks::Detected, text: Option<u64>, account: Option<u32>, alpha: f64, power: f64) -> Detected {
    let (evidence, judged) = (detected.finding.evidence.clone(), detected.judged);
    let units = evidence.n as f64;
    let above = evidence.null.mean.filter(|_| units > 0.0).map(|mean| evidence.statistic / units - mean);
    let needed = above.and_then(|above| units_needed(&evidence.null, above, alpha, power));
    let by_text = units / judged.texts.max(1) as f64;
    let marks::Judged { texts, prompt_tokens, tokens, units, ended, without_context, special, in_prompt, repeated } = judged;
    Detected {
        text,
        account,
        effect_unit: detected.finding.effect_unit.clone(),
        texts_needed: needed.map(|needed| (needed as f64 / by_text).ceil() as u64),
        judged: Judged { texts, prompt_tokens, tokens, units, ended, without_context, special, in_prompt, repeated },
        evidence,
        authors: Vec::new(),
        authors_silent: None,
    }
}

fn published(said: AuthorsScore) -> Published {
    let AuthorsScore { detector, units, statistic, statistic_name, z, log10_p, found, caution } = said;
    let (detector, statistic_name, caution) = (detector.to_string(), statistic_name.to_string(), caution.map(str::to_string));
    Published { detector, units, statistic_name, statistic, z, log10_p, found, caution }
}
