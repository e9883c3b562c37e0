//! Whether anybody is as good a model as the suspect: a good model is nearer to any other good one than a poor one is, whoever taught it,
//! so nearness to the teacher says something only beside a model of the suspect's worth.

use std::cell::OnceCell;

use distill::HeldOut;
use lm::Model;
use oracle::TokenId;
use stats::interval::ratio_interval;

use crate::stages::Context;

/// How much worse than the suspect, nats per token of held-out text, a reference may be and still count as its equal: the upper end of
/// the 95 % interval of the paired difference.
const MOST_WORSE: f64 = 0.05;

/// Losses of one model on the audit's held-out documents, measured once.
#[derive(Default)]
pub struct Worth(OnceCell<HeldOut>);

impl Worth {
    /// Loss of `model` on every held-out document, in its own tokens. `rows` are the same at every call.
    ///
    /// # Errors
    /// When the model fails or the work is cancelled.
    pub fn held_out(&self, ctx: &Context<'_>, model: &Model, rows: &[Vec<TokenId>]) -> anyhow::Result<&HeldOut> {
        if self.0.get().is_none() {
            let _ = self.0.set(distill::held_out(model, rows, ctx.rt)?);
        }
        self.0.get().ok_or_else(|| anyhow::anyhow!("losses were just measured"))
    }
}

/// Why nobody of `references` (names and losses) is as good as `suspect`; `None` where somebody is, or there is nobody. Losses are those of
/// the same documents, and differences are by `tokens`, the documents' lengths in the teacher's tokens.
pub fn nobody_as_good(suspect: &HeldOut, references: &[(&str, &HeldOut)], tokens: &[f64]) -> Option<String> {
    let worse = |(name, losses): &(&str, &HeldOut)| {
        let differences: Vec<f64> = losses.rows.iter().zip(&suspect.rows).map(|(theirs, ours)| theirs.nats - ours.nats).collect();
        let mean = differences.iter().sum::<f64>() / tokens.iter().sum::<f64>();
        // one document has no interval, and shows nothing
        let upper = ratio_interval(&differences, tokens).map_or(f64::INFINITY, |interval| interval.high);
        ((*name).to_string(), mean, upper)
    };
    let best = references.iter().map(worse).min_by(|a, b| a.2.total_cmp(&b.2))?;
    let (name, mean, upper) = best;
    (upper > MOST_WORSE).then(|| {
        format!(
            "needs a reference model as good as the suspect: the nearest, {name}, loses {mean:.2} nats per token more on held-out text (95 % \
             bound {upper:.2}, at most {MOST_WORSE} allowed), and a better model agrees more with any good teacher"
        )
    })
}

#[cfg(test)]
mod tests {
    use distill::RowLikelihood;

    use super::*;

    /// 40 documents of 20 tokens, each `worse` nats per token above a loss that differs by document.
    fn losses(worse: f64, noise: f64) -> HeldOut {
        let rows = (0..40_u32).map(|i| {
            let wobble = noise * if i.is_multiple_of(2) { 1.0 } else { -1.0 };
            RowLikelihood { tokens: 20, nats: 20.0 * (2.0 + f64::from(i) / 40.0 + worse + wobble) }
        });
        HeldOut { rows: rows.collect() }
    }

    #[test]
    fn a_reference_of_the_suspects_worth_is_enough() {
        let (suspect, tokens) = (losses(0.0, 0.0), [20.0; 40]);
        let verdict = |references: &[(&str, &HeldOut)]| nobody_as_good(&suspect, references, &tokens);
        let (equal, better, worse, unsure) = (losses(0.04, 0.0), losses(-1.0, 0.0), losses(0.3, 0.0), losses(0.0, 0.5));
        assert_eq!(verdict(&[("worse", &worse), ("equal", &equal)]), None);
        assert_eq!(verdict(&[("better", &better)]), None);
        assert_eq!(verdict(&[]), None);
        let refused = verdict(&[("base", &worse)]).unwrap();
        assert!(refused.contains("base, loses 0.30 nats") && refused.contains("95 % bound 0.30"), "{refused}");
        // as good in the mean, but it could be worse: t(39) = 2.023, so 2.023 * 0.5 / sqrt(39) = 0.16
        let refused = verdict(&[("base", &unsure)]).unwrap();
        assert!(refused.contains("loses 0.00 nats") && refused.contains("95 % bound 0.16"), "{refused}");
    }
}
