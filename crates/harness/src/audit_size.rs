//! What an experiment's audit can show, and how large one has to be to show more.

use results::{Kind, Record};
use serde::Serialize;
use stats::NullKind;
use stats::audit_size::{detectable_by_bound, times_as_many};

/// Power at which it is said (DESIGN 6).
pub const POWER: f64 = 0.8;

/// Effects for which the audit that they need is named.
const EFFECTS: [f64; 2] = [0.01, 0.05];

/// Half the width of a 95 % interval, standard deviations.
const HALF_WIDTH: f64 = 1.959_964;

/// What an audit can show of a mark that is judged by the keyed score test.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditSize {
    /// The mark.
    pub mark: String,
    /// What an effect is.
    pub effect_unit: String,
    /// Prompts that it asks.
    pub prompts: u64,
    /// Level that p has to reach: alpha over the number of tests, Holm's strictest step.
    pub alpha: f64,
    /// Smallest effect that is proven with power 0.8.
    pub detectable_effect: f64,
    /// By effect: prompts that it needs to be proven with this power.
    pub needed: Vec<Needed>,
}

/// An effect with the prompts that it needs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Needed {
    /// The effect.
    pub effect: f64,
    /// Prompts, about: an effect is taken to vary by the root of their number.
    pub prompts: u64,
}

/// By mark, from `records` of some suspects, at level `alpha`: the larger of what the effects of different suspects vary by under a random
/// key. It is that of all tokens alike: what the test's weights win, and where little was bought lose, is not foreseen.
pub fn audit_sizes(records: &[Record], alpha: f64) -> Vec<AuditSize> {
    let tested = || records.iter().filter(|record| record.kind == Kind::Mark && record.log10_p.is_some());
    let tests = tested().map(|record| tested().filter(|other| other.arm == record.arm).count()).max().unwrap_or(1);
    let alpha = alpha / tests.max(1) as f64;
    let mut sizes: Vec<AuditSize> = Vec::new();
    for record in tested().filter(|record| record.null_law == Some(NullKind::Chernoff)) {
        let (Some(mark), Some(prompts), Some(low), Some(high)) =
            (&record.mark, record.audit_queries, record.effect_low, record.effect_high)
        else {
            continue;
        };
        let detectable_effect = detectable_by_bound((high - low) / (2.0 * HALF_WIDTH), alpha, POWER);
        if prompts == 0 || detectable_effect <= 0.0 || !detectable_effect.is_finite() {
            continue;
        }
        let needed =
            |effect| Needed { effect, prompts: (prompts as f64 * times_as_many(detectable_effect, effect)).ceil() as u64 };
        let effect_unit = record.effect_unit.clone().unwrap_or_default();
        let needed = EFFECTS.map(needed).into();
        let size = AuditSize { mark: mark.clone(), effect_unit, prompts, alpha, detectable_effect, needed };
        match sizes.iter_mut().find(|known| known.mark == *mark) {
            Some(known) if known.detectable_effect >= detectable_effect => {}
            Some(known) => *known = size,
            None => sizes.push(size),
        }
    }
    sizes
}

#[cfg(test)]
mod tests {
    use results::Arm;

    use super::*;

    #[test]
    fn the_least_certain_suspect_decides() {
        let of = |arm, half: f64, null_law| Record {
            kind: Kind::Mark,
            arm,
            mark: Some("keyed".into()),
            log10_p: Some(-1.0),
            null_law: Some(null_law),
            effect_low: Some(0.02 - half),
            effect_high: Some(0.02 + half),
            audit_queries: Some(100),
            effect_unit: Some("share".into()),
            ..Record::default()
        };
        let other = Record { mark: Some("other".into()), ..of(Arm::Base, 1.0, NullKind::Binomial) };
        let records = [of(Arm::Teacher, 0.0196, NullKind::Chernoff), of(Arm::Base, 0.0392, NullKind::Chernoff), other];
        let [size] = &audit_sizes(&records, 0.002)[..] else { panic!("one mark is judged by its score") };
        // two tests of the base: alpha 0.001, of which the bound needs 4.5585 standard deviations of 0.02
        assert!((size.alpha, size.prompts) == (0.001, 100) && (size.detectable_effect - 0.09117).abs() < 1e-4, "{size:?}");
        assert_eq!(size.needed.iter().map(|needed| needed.prompts).collect::<Vec<_>>(), [8_313, 333]);
        assert_eq!(audit_sizes(&records[2..], 0.001), []);
    }
}
