//! How likely a repeated audit is to prove again what one proved.

use stats::NullKind;
use stats::repeat::{Decoys, again_binomial, again_normal};

use crate::judge::unconfirmed;
use crate::{Record, Verdict};

/// Half the width of a 95 % interval in standard errors.
const HALF_WIDTH: f64 = 1.959_964;

/// P(proven again): the probability that a second audit of the same suspect, of the same size and with fresh draws, proves the mark.
///
/// The level is `alpha / family_size`, Holm's strictest step. The effect found is taken as the true one.
///
/// - Binomial null of rate g, n units, effect e: P\[X >= c\] for X ~ Binomial(n, g + e), where c is the smallest count with
///   P\[Binomial(n, g) >= c\] <= alpha / family_size.
/// - Any other null: P\[Z >= z_a - e / s\], where P\[Z >= z_a\] = alpha / family_size and s is the width of the effect's 95 % interval over
///   2 x 1.96.
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
    let standard_error = (record.effect_high? - record.effect_low?) / (2.0 * HALF_WIDTH);
    let z = effect / standard_error;
    (standard_error > 0.0 && z.is_finite()).then(|| again_normal(z, level, decoys))
}
