use stats::NullKind;

use super::Lab;
use crate::{Chance, Key, MarkEntry, MarkError, Planting};

/// How much of a mark is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strength {
    /// All of it.
    Full,
    /// A law in half of the answers; of what is learned by heart, half as loud.
    Half,
}

/// How often a mark is found in toy models that carry it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Power {
    /// p at most this is a find: 0.001, or 0.01 where p is a rank among keys.
    pub level: f64,
    /// Audit answers, and their longest, tokens.
    pub audit: (u64, usize),
    /// Models that it was found in.
    pub found: u64,
    /// Models that were tried, each with a key of its own.
    pub draws: u64,
}

/// Decoy keys where p is a rank among them.
const RANKED: usize = 99;

impl Lab {
    /// The mark in `draws` toy teachers that carry it, each of its own law and under a key of its own, judged by an audit of `times` the lab's
    /// prompts. `None` where nothing is planted, and where there is no half of it: a law in the weights. Draw number i is the same whatever `draws`.
    ///
    /// # Errors
    /// As [`Mark::judge`](crate::Mark::judge).
    pub fn power(&self, strength: Strength, times: u64, draws: u64) -> Result<Option<Power>, MarkError> {
        let Some(entry) = self.of_strength(strength)? else { return Ok(None) };
        let (mut found, mut level) = (0, 0.001);
        for draw in 0..draws {
            let mut lab = Lab::new(&entry).with_teacher(40_000 + 10 * draw);
            lab.bed.prompts *= times;
            if strength == Strength::Half {
                lab.bed.taught *= 0.5;
            }
            let mark = lab.build(&Key::decoy(9_001, draw))?;
            let marked = lab.marked(&*mark);
            let chance = |decoys| Chance { decoys, decoy_seed: 50_021 + draw, draws: 1_999, draw_seed: 11 + draw };
            let is_rank = |chance| -> Result<bool, MarkError> {
                let first = lab.measure(&*mark, &marked, chance)?;
                Ok(first.iter().any(|found| found.evidence.null.kind == NullKind::Decoys))
            };
            if draw == 0 && is_rank(chance(1))? {
                level = 0.01;
            }
            let findings = lab.measure(&*mark, &marked, chance(if level > 0.001 { RANKED } else { 0 }))?;
            // a key of another account is not there to be found
            let own = findings.iter().find(|found| found.account.is_none_or(|account| account == 0));
            found += u64::from(own.is_some_and(|found| found.evidence.log10_p <= libm::log10(level) + 1e-12));
        }
        Ok(Some(Power { level, audit: (times * self.bed.prompts, self.bed.max_new_tokens), found, draws }))
    }

    /// The mark as it is planted with so much of it.
    fn of_strength(&self, strength: Strength) -> Result<Option<MarkEntry>, MarkError> {
        if !self.entry.config()?.info().planted {
            return Ok(None);
        }
        if strength == Strength::Full {
            return Ok(Some(self.entry.clone()));
        }
        let planting = self.build(&Key::decoy(9_001, 0))?.planting();
        let half = MarkEntry { mark_rate: Some(0.5 * self.entry.mark_rate.unwrap_or(1.0)), ..self.entry.clone() };
        Ok(match planting.first() {
            Some(Planting::Law(_)) => Some(half),
            Some(Planting::Texts(_) | Planting::Items(_)) => Some(self.entry.clone()),
            Some(Planting::Distilled { .. } | Planting::Asked(_)) | None => None,
        })
    }
}
