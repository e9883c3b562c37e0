//! The likelihood ratio of a reweighted law against the law itself, as its authors judge (arXiv 2310.10669, section 5; methods a6).
//!
//! A token x has the ratio r = q_key(x) / q(x), whose mean over keys is 1 whatever the token: the law is kept on average. Where a share
//! e of tokens was drawn without the mark it is (1 - e) r + e, with the same mean. Orders of distinct contexts are independent under a
//! random key, so that the product over places with distinct contexts is an e-value, and so is its mean over a few e that are stated
//! beforehand: P[E >= 1 / p] <= p (Markov). No choice among ratios, as the authors' largest or smallest over near laws, is then needed for
//! a student, which follows the mark only now and then.

use std::collections::HashSet;

use oracle::{Exchange, TokenId};

use super::reweight::share;
use super::rules::Rules;
use super::score::Candidates;
use super::siphash::{self, SipState};
use crate::Reduced;

/// Shares of unmarked tokens that are tried, each with the same part of the stake.
const UNMARKED: [f64; 5] = [0.1, 0.5, 0.8, 0.9, 0.97];

/// A scored token.
struct Place {
    /// Context and candidate, end to end: the token itself comes last.
    windows: Vec<TokenId>,
    /// Probability of each candidate; the last is the token's, 0 where it is none of those that were kept.
    q: Vec<f64>,
    /// Mass of what was not kept.
    rest: f64,
}

/// Places with distinct contexts, under laws that know no key.
pub(crate) struct Ratios {
    width: usize,
    places: Vec<Place>,
}

impl Ratios {
    /// Those of `answers`, along which the raw laws are `laws`. A token that stands after the same context in the item's own prompt is
    /// left out.
    pub fn of(rules: &Rules, answers: &[Exchange], laws: &[Reduced]) -> Self {
        let (width, mut seen, mut places) = (rules.context_width, HashSet::new(), Vec::new());
        for (item, laws) in answers.iter().zip(laws) {
            for at in 0..item.answer.len().min(laws.len()) {
                let Some(place) = rules.place(item, at) else { continue };
                let (token, Some(unit)) = (place.token(), place.said()) else { continue };
                let (context, window) = (&item.answer[at - width..at], unit.window());
                if item.query.prompt.windows(width + 1).any(|own| own == window) || !seen.insert(context) {
                    continue;
                }
                let kept = laws.at(at).iter().map(|kept| Candidates::unpacked(*kept));
                let own = kept.clone().find(|(id, _)| *id == token).map_or(0.0, |(_, p)| p);
                let (mut windows, mut q) = (Vec::new(), Vec::new());
                for (id, p) in kept.filter(|(id, _)| *id != token).chain([(token, own)]) {
                    windows.extend(context.iter().chain([&id]));
                    q.push(p);
                }
                let rest = (1.0 - q.iter().sum::<f64>()).max(0.0);
                places.push(Place { windows, q, rest });
            }
        }
        Self { width: width + 1, places }
    }

    /// Places with distinct contexts.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// log10 of the e-value under the key behind `state`, for laws reweighted with `alpha`.
    pub fn log10_e(&self, state: SipState, alpha: f64) -> f64 {
        let (mut totals, mut draws) = ([0.0; UNMARKED.len()], Vec::new());
        for place in &self.places {
            draws.resize(place.q.len(), 0);
            siphash::windows(state, &place.windows, self.width, &mut draws);
            let ratio = place.ratio(&draws, alpha);
            for (total, unmarked) in totals.iter_mut().zip(UNMARKED) {
                *total += libm::log((1.0 - unmarked) * ratio + unmarked);
            }
        }
        let largest = totals.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = totals.iter().map(|total| libm::exp(total - largest)).sum();
        (largest + libm::log(sum / UNMARKED.len() as f64)) / std::f64::consts::LN_10
    }
}

impl Place {
    /// q_key / q of the token. What was not kept of the law lies evenly among the draws.
    fn ratio(&self, draws: &[u32], alpha: f64) -> f64 {
        let (Some(&own), Some(&q)) = (draws.last(), self.q.last()) else { return 1.0 };
        let at = (f64::from(own) + 0.5) / 2f64.powi(32);
        let (mut ahead, mut equal) = (0.0, 0.0);
        for (&draw, &q) in draws.iter().zip(&self.q[..self.q.len() - 1]) {
            ahead += if draw < own { q } else { 0.0 };
            equal += if draw == own { q } else { 0.0 };
        }
        // of equal draws either may come first
        let before = ahead + 0.5 * equal + self.rest * at;
        if q > 0.0 {
            return share(before, q, alpha) / q;
        }
        f64::from(u8::from(before >= alpha)) + f64::from(u8::from(before >= 1.0 - alpha))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Key;
    use crate::key::Purpose;

    fn place(token: usize, q: &[f64], rest: f64) -> Place {
        let order: Vec<usize> = (0..q.len()).filter(|id| *id != token).chain([token]).collect();
        let windows = order.iter().flat_map(|id| [9, *id as TokenId]).collect();
        Place { windows, q: order.iter().map(|id| q[*id]).collect(), rest }
    }

    /// The mean over 20,000 keys is 1 for every token, kept or not.
    #[test]
    fn ratios_have_the_mean_one_over_keys() {
        let q = [0.4, 0.3, 0.15, 0.05, 0.0];
        for alpha in [0.5, 0.3] {
            for token in 0..q.len() {
                let place = place(token, &q, 0.1);
                let (mut sum, mut squares, n) = (0.0, 0.0, 20_000);
                for index in 0..n {
                    let state = SipState::new(&Key::decoy(1, index).sip_key(Purpose::Kind("dip")));
                    let mut draws = vec![0; q.len()];
                    siphash::windows(state, &place.windows, 2, &mut draws);
                    let ratio = place.ratio(&draws, alpha);
                    (sum, squares) = (sum + ratio, squares + ratio * ratio);
                }
                let n = n as f64;
                let sd = (squares / n - (sum / n).powi(2)).sqrt();
                // 4 standard errors, error rate 1e-4 each
                assert!((sum / n - 1.0).abs() < 4.0 * sd / n.sqrt(), "alpha {alpha}, token {token}: {}", sum / n);
            }
        }
    }

    /// P[E >= 20] <= 1/20 for places of one fixed text: 1,000 keys, Binomial(1000, 1/20) exceeds 74 with probability below 1e-3.
    #[test]
    fn large_values_are_rare_under_other_keys() {
        let law = |i: usize| -> Vec<f64> { (0..6).map(|id| if id == i % 6 { 0.5 } else { 0.1 }).collect() };
        let places = (0..40).map(|i| {
            let mut place = place((i * 7) % 6, &law(i), 0.0);
            place.windows.iter_mut().step_by(2).for_each(|context| *context = i as TokenId);
            place
        });
        let ratios = Ratios { width: 2, places: places.collect() };
        let large = (0..1_000).filter(|&index| {
            let state = SipState::new(&Key::decoy(2, index).sip_key(Purpose::Kind("dip")));
            ratios.log10_e(state, 0.5) >= libm::log10(20f64)
        });
        let large = large.count();
        assert!((1..=74).contains(&large), "{large}");
    }
}
