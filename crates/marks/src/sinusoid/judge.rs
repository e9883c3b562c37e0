use std::borrow::Cow;

use oracle::TokenId;
use rayon::prelude::*;
use stats::periodogram::Samples;
use stats::{Evidence, EvidenceError, Interval, NullKind, NullLaw, Saddlepoint, monte_carlo};

use super::law::CosineLaw;
use super::phases::{Draw, Phases};
use super::places::Places;
use crate::{Chance, Finding, Key, MarkError, Metric};

/// Half of the window around the frequency in which DRW's code takes the signal's power, radians.
const HALF_WIDTH: f64 = 0.005;

/// Decoy keys that the published statistic is tried under: each is a whole periodogram.
const PERIODOGRAMS: usize = 99;

/// Half of a 95 % interval, standard deviations.
const HALF_INTERVAL: f64 = 1.959_963_984_540_054;

/// A suspect's answers, ready for any key.
pub(crate) struct Waves<'a> {
    /// Kind of the mark.
    pub kind: &'static str,
    /// f, radians.
    pub frequency: f64,
    /// Its law.
    pub law: &'a CosineLaw,
    /// Share of the tokens that are marked.
    pub share: f64,
    /// What the effect is.
    pub effect_unit: &'static str,
    /// The effect that the marked teacher itself has.
    pub planted: f64,
    /// What the suspect shows beyond the raw teacher; no phase enters, and nothing that decides which tokens are marked.
    pub places: &'a (dyn Fn(&Key) -> Cow<'a, Places> + Sync),
    /// The inputs of the published statistic: token and the suspect's own probability, one for each prompt.
    pub published: &'a (dyn Fn(&Key) -> Vec<(TokenId, f64)> + Sync),
}

/// What one key makes of the answers.
struct Found {
    z: f64,
    /// log10 of Chernoff's bound.
    log10_bound: f64,
    /// log10 p by Lugannani and Rice.
    log10_p: f64,
    effect: f64,
    interval: Interval,
    prompts: u64,
    tokens: u64,
    slope: f64,
}

impl Waves<'_> {
    /// What each of `keys` finds; the first finding lists the decoys.
    ///
    /// # Errors
    /// [`MarkError::Unmeasurable`] when a number is not finite.
    pub fn judge(&self, chance: Chance, keys: &[Key]) -> Result<Vec<Finding>, MarkError> {
        let decoy = |index: usize| Key::decoy(chance.decoy_seed, index as u64);
        let decoys: Vec<(f64, f64)> = (0..chance.decoys)
            .into_par_iter()
            .map(|index| {
                let found = self.under(&decoy(index));
                (found.z, found.log10_bound)
            })
            .collect();
        let ratios: Vec<f64> =
            (0..chance.decoys.min(PERIODOGRAMS)).into_par_iter().map(|index| self.signal_to_noise(&decoy(index))).collect();
        let (statistics, log10_p): (Vec<f64>, Vec<f64>) = decoys.into_iter().unzip();
        let found = keys.par_iter().map(|key| self.finding(key, &statistics, &ratios)).collect::<Result<Vec<_>, _>>();
        let mut found = found.map_err(|error| MarkError::unmeasurable(self.kind, error.to_string()))?;
        if let Some(first) = found.first_mut() {
            (first.decoy_statistics, first.decoy_log10_p) = (statistics, log10_p);
        }
        Ok(found)
    }

    fn finding(&self, key: &Key, decoys: &[f64], ratios: &[f64]) -> Result<Finding, EvidenceError> {
        let (found, ratio) = (self.under(key), self.signal_to_noise(key));
        let Found { z, tokens, prompts, effect, interval, .. } = found;
        let words = format!("Chernoff's bound of a weighted sum of {tokens} cosines of uniform phases");
        let null = NullLaw::new(NullKind::Chernoff, words);
        let evidence = Evidence::new(z, effect, interval, prompts, null, found.log10_bound)?.with_self_test(decoys)?;
        let mut metrics = vec![
            Metric::new("wave_z", z, "1"),
            Metric::new("wave_log10_p", found.log10_p, "log10 p"),
            Metric::new("wave_tokens", tokens as f64, "tokens"),
            Metric::new("wave_planted", self.planted, "1"),
            Metric::new("wave_teacher_slope", found.slope, "1"),
            Metric::new("p_snr", ratio, "1"),
        ];
        let mut ranked = String::new();
        if !ratios.is_empty() {
            let log10_p = monte_carlo::log10_p_against(ratio, ratios);
            metrics.push(Metric::new("p_snr_log10_p", log10_p, "log10 p"));
            ranked = format!(" (p {:.2} among {} decoy keys)", libm::pow(10f64, log10_p), ratios.len());
        }
        let detail = format!("z {z:.1} over {prompts} prompts with {tokens} keyed tokens; published P_snr {ratio:.1}{ranked}");
        Ok(Finding { metrics, ..Finding::new(evidence, self.effect_unit, detail) })
    }

    fn marked(&self, phases: &Phases, token: TokenId) -> bool {
        self.share >= 1.0 || phases.uniform(Draw::Selected, token) < self.share
    }

    /// The keyed correlation, and its law under a random key.
    ///
    /// Which tokens are marked is drawn apart from their phases, so the law holds given which they are.
    fn under(&self, key: &Key) -> Found {
        let (phases, places) = (Phases::of(key, self.kind), (self.places)(key));
        // weight, mean residual, cosine
        let mut terms: Vec<(f64, f64, f64)> = Vec::new();
        let mut prompts = 0;
        for (at, &token) in places.tokens.iter().enumerate() {
            if self.marked(&phases, token) {
                terms.push((places.weights[at], places.means[at], phases.cosine(self.frequency, token)));
                prompts += places.prompts[at];
            }
        }
        let law = Saddlepoint::new(|lambda| {
            terms.iter().fold([0.0; 3], |sum, (weight, mean, _)| {
                let one = self.law.cumulant(lambda, weight * mean);
                std::array::from_fn(|order| sum[order] + one[order])
            })
        });
        let s: f64 = terms.iter().map(|(weight, mean, cosine)| weight * mean * cosine).sum();
        let (effect, interval) = slope(&terms);
        let (z, tokens, slope) = (law.z(s), terms.len() as u64, places.slope);
        Found { z, log10_bound: law.log10_bound(s), log10_p: law.log10_p(s), effect, interval, prompts, tokens, slope }
    }

    /// The published statistic.
    fn signal_to_noise(&self, key: &Key) -> f64 {
        let phases = Phases::of(key, self.kind);
        let inputs = (self.published)(key).into_iter().filter(|(token, _)| self.marked(&phases, *token));
        let (places, values) = inputs.map(|(token, value)| (phases.uniform(Draw::Phase, token), value)).unzip();
        Samples::new(places, values).signal_to_noise(self.frequency, HALF_WIDTH)
    }
}

/// The slope of residuals on cosines over (weight, residual, cosine), with its 95 % interval, whose errors need not be of one size; 0
/// where cosines do not vary. Both lie in -1 to 1, as a difference of probabilities does.
fn slope(terms: &[(f64, f64, f64)]) -> (f64, Interval) {
    let all: f64 = terms.iter().map(|(weight, ..)| weight).sum();
    let mean_of = |of: &dyn Fn(&(f64, f64, f64)) -> f64| terms.iter().map(|term| term.0 * of(term)).sum::<f64>() / all;
    let (residual, cosine) = (mean_of(&|term| term.1), mean_of(&|term| term.2));
    let spread: f64 = terms.iter().map(|term| term.0 * (term.2 - cosine) * (term.2 - cosine)).sum();
    if terms.len() < 3 || spread <= 1e-12 * all {
        return (0.0, Interval { low: -1.0, high: 1.0 });
    }
    let product: f64 = terms.iter().map(|term| term.0 * (term.2 - cosine) * (term.1 - residual)).sum();
    let slope = product / spread;
    let error = |term: &(f64, f64, f64)| {
        let off = term.0 * (term.2 - cosine) * (term.1 - residual - slope * (term.2 - cosine));
        off * off
    };
    let half = HALF_INTERVAL * terms.iter().map(error).sum::<f64>().sqrt() / spread;
    (slope, Interval { low: slope - half, high: slope + half })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinusoid::Shown;

    fn waves<'a>(
        law: &'a CosineLaw,
        share: f64,
        places: &'a (dyn Fn(&Key) -> Cow<'a, Places> + Sync),
        published: &'a (dyn Fn(&Key) -> Vec<(TokenId, f64)> + Sync),
    ) -> Waves<'a> {
        Waves { kind: "drw", frequency: 16.0, law, share, effect_unit: "1", planted: 0.1, places, published }
    }

    /// A suspect whose values move with the cosine by `amplitude`, and for reasons of each token's own.
    fn shown(key: &Key, amplitude: f64, tokens: u32, prompts: u32) -> Vec<Shown> {
        let (phases, noise) = (Phases::of(key, "drw"), Phases::of(&Key::decoy(50, 1), "ginsew"));
        (0..prompts)
            .map(|i| {
                let token = i * i % tokens;
                let own = noise.uniform(Draw::Phase, token) + noise.uniform(Draw::Phase, 10_000 + i);
                let value = 0.3 + 0.1 * own + amplitude * phases.cosine(16.0, token);
                Shown { token, value, expected: noise.uniform(Draw::Group, i), size: 1.0 }
            })
            .collect()
    }

    /// p of one suspect under 1,000 random keys: a bound, so no smaller than chance makes it, and not far above.
    #[test]
    fn chance_is_kept_under_random_keys_whatever_the_suspect_shows() {
        let (law, key) = (CosineLaw::new(16.0), Key::decoy(9, 0));
        for (amplitude, share) in [(0.0, 1.0), (0.2, 0.5)] {
            let places = Places::of(&shown(&key, amplitude, 211, 500));
            let (places, published) = (|_: &Key| Cow::Borrowed(&places), |_: &Key| Vec::new());
            let waves = waves(&law, share, &places, &published);
            let p: Vec<[f64; 2]> = (0..1_000)
                .map(|index| waves.under(&Key::decoy(31, index)))
                .map(|found| [found.log10_bound, found.log10_p])
                .collect();
            for alpha in [0.1, 0.01] {
                let share = |which: usize| p.iter().filter(|p| p[which] <= libm::log10(alpha)).count() as f64 / 1_000.0;
                // error rate 1e-4 on both sides of the approximation, one for the bound
                let off = 3.9 * (alpha * (1.0 - alpha) / 1_000.0_f64).sqrt();
                assert!(share(0) <= alpha + off, "bound: {} at {alpha}", share(0));
                assert!((share(1) - alpha).abs() < off + 0.003, "{} at {alpha}", share(1));
                assert!(alpha < 0.1 || share(0) > 0.02 * alpha, "the bound says nothing: {}", share(0));
            }
        }
    }

    #[test]
    fn a_wave_is_found_by_its_key_and_its_amplitude_told() {
        let (law, key) = (CosineLaw::new(16.0), Key::decoy(9, 0));
        let all = shown(&key, 0.1, 211, 500);
        let places = Places::of(&all);
        let (places, published) =
            (|_: &Key| Cow::Borrowed(&places), |_: &Key| all.iter().map(|shown| (shown.token, shown.value)).collect());
        let chance = Chance { decoys: 99, decoy_seed: 4, ..Chance::default() };
        let found = waves(&law, 1.0, &places, &published).judge(chance, &[key, Key::decoy(9, 1)]).unwrap();
        assert!(found[0].evidence.log10_p < -8.0, "{:?}", found[0]);
        assert!(found[0].evidence.interval.contains(0.1) && !found[0].evidence.interval.contains(0.0), "{:?}", found[0]);
        assert!(found[1].evidence.log10_p > -3.0 && found[1].decoy_log10_p.is_empty());
        let metric = |found: &Finding, name: &str| found.metrics.iter().find(|metric| metric.name == name).unwrap().value;
        assert_eq!(metric(&found[0], "p_snr_log10_p"), -2.0);
        assert!(metric(&found[0], "p_snr") > 5.0 * metric(&found[1], "p_snr"));
    }

    #[test]
    fn nothing_shown_is_no_evidence() {
        let law = CosineLaw::new(16.0);
        let (places, published) = (|_: &Key| Cow::Owned(Places::default()), |_: &Key| Vec::new());
        let found = waves(&law, 0.5, &places, &published).judge(Chance::default(), &[Key::decoy(1, 1)]).unwrap();
        assert_eq!((found[0].evidence.n, found[0].evidence.log10_p, found[0].evidence.effect), (0, 0.0, 0.0));
    }
}
