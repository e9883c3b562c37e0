//! How likely a repeated audit is to prove again what one proved.

use std::collections::BTreeMap;

use stats::NullKind;
use stats::audit_size::tail_of_bound;
use stats::repeat::{Decoys, again_binomial, again_normal};

use crate::gate::{Families, goes_first};
use crate::judge::unconfirmed;
use crate::{Record, SuspectKey, Verdict};

/// Half the width of a 95 % interval in standard errors.
const HALF_WIDTH: f64 = 1.959_964;

/// P(proven again): the probability that a second audit of the same suspect, of the same size and with fresh draws, proves the mark.
///
/// The level is `alpha / family_size`, Holm's strictest step. The effect found is taken as the true one.
///
/// - Binomial null of rate g, n units, effect e: P\[X >= c\] for X ~ Binomial(n, g + e), where c is the smallest count with
///   P\[Binomial(n, g) >= c\] <= alpha / family_size.
/// - Chernoff's bound of a weighted sum: P\[Z >= z_a - z\], z the statistic, which is the sum in standard deviations, and exp(-z_a^2 / 2) the level.
/// - Any other null: P\[Z >= z_a - e / s\], where P\[Z >= z_a\] = alpha / family_size and s is the width of the effect's 95 % interval over
///   2 x 1.96. Where p is another bound, exp(-z_a^2 / 2) is that level.
/// - With decoy keys the rank among them must be at most alpha too, as for a proof ([`stats::repeat`] has the sum).
///
/// It supposes that no negative fires, and says nothing of another student: that is another seed. `None` for negatives, for what was not
/// planted or not measurable, and where the record lacks an effect. 0 where nothing could be proven.
pub fn proven_again(record: &Record, family_size: usize, alpha: f64) -> Option<f64> {
    let judged = matches!(record.verdict, Some(Verdict::Proven | Verdict::Suggested | Verdict::NotShown));
    if !judged || record.is_negative() || !(alpha > 0.0 && alpha < 1.0) {
        return None;
    }
    let level = alpha / family_size.max(1) as f64;
    let effect = record.effect.filter(|effect| effect.is_finite())?;
    let keys = record.decoys.filter(|_| record.log10_p_decoy.is_some());
    let decoys = keys.map(|keys| Decoys::at(keys, alpha));
    if unconfirmed(record) || decoys == Some(None) {
        return Some(0.0);
    }
    let decoys = decoys.flatten();
    if let (Some(n), Some(NullKind::Binomial), Some(rate)) = (record.n, record.null_law, record.null_mean)
        && rate > 0.0
        && rate < 1.0
    {
        return Some(again_binomial(n, rate, rate + effect, level, decoys));
    }
    let level = if record.null_law.is_some_and(NullKind::bound) { tail_of_bound(level) } else { level };
    let of_a_sum = record.null_law == Some(NullKind::Chernoff) && record.null_mean.is_none();
    let z = match record.statistic.filter(|_| of_a_sum) {
        Some(z) => z,
        None => effect / ((record.effect_high? - record.effect_low?) / (2.0 * HALF_WIDTH)),
    };
    z.is_finite().then(|| again_normal(z, level, decoys))
}

/// [`proven_again`] of the records of one report, in the order in which their tests are made.
pub(crate) struct Again<'a> {
    families: Families,
    first: BTreeMap<SuspectKey, Vec<&'a Record>>,
    alpha: f64,
}

impl<'a> Again<'a> {
    /// Of `records`, judged at `alpha`.
    pub(crate) fn of(records: &'a [Record], alpha: f64) -> Self {
        let mut first: BTreeMap<SuspectKey, Vec<&Record>> = BTreeMap::new();
        for record in records.iter().filter(|record| goes_first(record) && !record.is_negative()) {
            first.entry(record.suspect()).or_default().push(record);
        }
        Self { families: Families::of(records), first, alpha }
    }

    /// P(proven again). Behind a primary mark, that both it and this one are, as if a second audit drew for each anew.
    pub(crate) fn p(&self, record: &Record) -> Option<f64> {
        let alone = |record: &Record| proven_again(record, self.families.size(record), self.alpha);
        let own = alone(record)?;
        let before = self.first.get(&record.suspect()).filter(|_| !goes_first(record));
        Some(own * before.into_iter().flatten().map(|first| alone(first).unwrap_or(0.0)).product::<f64>())
    }
}
