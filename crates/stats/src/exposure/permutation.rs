//! Do the canaries of an experiment, taken together, rank lower than unplanted strings would?

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{exposure, rank};
use crate::{monte_carlo, random::below};

/// Canaries and references of one template: under the null all of them are exchangeable.
#[derive(Debug, Clone, Copy)]
pub struct Stratum<'a> {
    /// Log-perplexity of each planted canary, nats.
    pub canaries: &'a [f64],
    /// Log-perplexity of each reference, nats.
    pub references: &'a [f64],
}

/// What [`exposure_test`] found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExposureTest {
    /// Mean exposure of all canaries, bits.
    pub mean_exposure: f64,
    /// Exposure of each canary, bits, by stratum and in the order given.
    pub exposures: Vec<Vec<f64>>,
    /// Mean of the mean exposure over the draws of the null, bits.
    pub null_mean_exposure: f64,
    /// log10 of the permutation p-value, (1 + exceed) / (1 + draws).
    pub log10_p: f64,
    /// Mean exposure in standard deviations of the null above its mean; None when the null does not vary.
    pub z: Option<f64>,
}

/// Why canaries could not be tested.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExposureError {
    /// A model gave a log-perplexity of NaN.
    #[error("log-perplexity {index} of the {of} in stratum {stratum} is NaN, expected a number; the model has probably diverged")]
    NotANumber {
        /// Which stratum.
        stratum: usize,
        /// `canaries` or `references`.
        of: &'static str,
        /// Which of them.
        index: usize,
    },
    /// Nothing to rank among.
    #[error("stratum {stratum} has canaries but no references; draw some from the same template")]
    NoReferences {
        /// Which stratum.
        stratum: usize,
    },
    /// Nothing to rank.
    #[error("no canary in any of {strata} strata")]
    NoCanaries {
        /// Number of strata given.
        strata: usize,
    },
}

/// Permutation test of the mean exposure over `draws` draws.
///
/// Null: within a stratum canaries and references are exchangeable (no canary was learned, and canaries are drawn from the
/// template as references are). A draw relabels, in each stratum, a uniform subset of the pooled strings as canaries and ranks them among the
/// rest, ties as in [`rank`]. Unlike Fisher's combination of rank p-values this stays exact though canaries share references.
/// Strata without canaries are skipped. Infinite log-perplexities are ranked as such.
///
/// # Errors
/// On NaN, on a stratum with canaries but no references, and when there is no canary at all.
pub fn exposure_test(strata: &[Stratum<'_>], draws: u64, seed: u64) -> Result<ExposureTest, ExposureError> {
    for (stratum, Stratum { canaries, references }) in strata.iter().enumerate() {
        for (of, values) in [("canaries", canaries), ("references", references)] {
            if let Some(index) = values.iter().position(|x| x.is_nan()) {
                return Err(ExposureError::NotANumber { stratum, of, index });
            }
        }
        if !canaries.is_empty() && references.is_empty() {
            return Err(ExposureError::NoReferences { stratum });
        }
    }
    let canaries: usize = strata.iter().map(|stratum| stratum.canaries.len()).sum();
    if canaries == 0 {
        return Err(ExposureError::NoCanaries { strata: strata.len() });
    }

    let mut pools: Vec<Pool> = strata.iter().filter(|stratum| !stratum.canaries.is_empty()).map(Pool::new).collect();
    let observed: u64 = pools.iter_mut().map(Pool::observed_cost).sum();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut exceed = 0;
    let (mut mean, mut squares) = (0.0, 0.0);
    for draw in 1..=draws {
        let cost: u64 = pools.iter_mut().map(|pool| pool.draw_cost(&mut rng)).sum();
        exceed += u64::from(cost <= observed);
        // Running moments relative to the observed cost (Welford 1962): the differences are small and signed.
        let bits = observed as f64 - cost as f64;
        let step = bits - mean;
        mean += step / draw as f64;
        squares += step * (bits - mean);
    }
    let deviation = (squares / (draws as f64 - 1.0)).sqrt();
    let z = -mean / deviation;

    let exposures: Vec<Vec<f64>> = strata
        .iter()
        .map(|Stratum { canaries, references }| {
            canaries.iter().map(|&canary| exposure(rank(canary, references), references.len() as u64)).collect()
        })
        .collect();
    let mean_exposure = exposures.iter().flatten().sum::<f64>() / canaries as f64;
    Ok(ExposureTest {
        mean_exposure,
        exposures,
        null_mean_exposure: mean_exposure + mean / COST_OF_A_BIT / canaries as f64,
        log10_p: monte_carlo::log10_p(exceed, draws),
        z: z.is_finite().then_some(z),
    })
}

/// Costs are log2 ranks in fixed point, so that sums of equal ranks are equal in whatever order they are added.
const COST_OF_A_BIT: f64 = (1u64 << 36) as f64;

/// One stratum pooled and sorted; a subset of it is a set of positions in sorted order.
struct Pool {
    /// By position: how many of the pool are strictly lower.
    lower: Vec<u32>,
    /// By rank: its log2 in fixed point.
    cost_of_rank: Vec<u64>,
    /// A permutation of the positions, shuffled on from draw to draw.
    shuffled: Vec<u32>,
    /// Positions of the present canaries, sorted.
    chosen: Vec<u32>,
}

impl Pool {
    fn new(stratum: &Stratum<'_>) -> Pool {
        let mut pooled: Vec<(f64, bool)> = stratum.canaries.iter().map(|&x| (x, true)).collect();
        pooled.extend(stratum.references.iter().map(|&x| (x, false)));
        pooled.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut lower: Vec<u32> = Vec::with_capacity(pooled.len());
        for (position, (value, _)) in pooled.iter().enumerate() {
            // `==`, not the sorting order: 0 and -0 tie.
            let tied = position > 0 && pooled[position - 1].0 == *value;
            lower.push(if tied { lower[position - 1] } else { position as u32 });
        }
        let chosen = (0..).zip(&pooled).filter(|(_, (_, canary))| *canary).map(|(position, _)| position).collect();
        let cost_of_rank =
            (0..=stratum.references.len() + 1).map(|rank| (libm::log2(rank.max(1) as f64) * COST_OF_A_BIT).round() as u64);
        Pool { shuffled: (0..pooled.len() as u32).collect(), cost_of_rank: cost_of_rank.collect(), lower, chosen }
    }

    fn observed_cost(&mut self) -> u64 {
        self.cost()
    }

    fn draw_cost(&mut self, rng: &mut ChaCha8Rng) -> u64 {
        // A partial Fisher-Yates shuffle of any permutation gives a uniform subset: no need to restore the order.
        let size = self.shuffled.len() as u32;
        for i in 0..self.chosen.len() {
            let j = i as u32 + below(rng, size - i as u32);
            self.shuffled.swap(i, j as usize);
            self.chosen[i] = self.shuffled[i];
        }
        self.chosen.sort_unstable();
        self.cost()
    }

    /// Sum of log2 ranks of the chosen among the others.
    fn cost(&self) -> u64 {
        let mut chosen_lower = 0;
        let mut cost = 0;
        for &position in &self.chosen {
            let lower = self.lower[position as usize];
            // Stops at `position` at the latest, which is not lower than itself.
            while self.chosen[chosen_lower] < lower {
                chosen_lower += 1;
            }
            cost += self.cost_of_rank[1 + lower as usize - chosen_lower];
        }
        cost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::unit;

    fn mean_exposure(pooled: &[f64], chosen: &[usize]) -> f64 {
        let others: Vec<f64> = (0..pooled.len()).filter(|i| !chosen.contains(i)).map(|i| pooled[i]).collect();
        chosen.iter().map(|&i| exposure(rank(pooled[i], &others), others.len() as u64)).sum::<f64>() / chosen.len() as f64
    }

    #[test]
    fn agrees_with_full_enumeration_with_ties() {
        // Three canaries first, six references after, ties within and across.
        let pooled = [1.0, 2.0, 2.0, 1.0, 2.0, 3.0, 3.0, 4.0, 5.0];
        let observed = mean_exposure(&pooled, &[0, 1, 2]);
        let (mut all, mut reached, mut sum) = (0.0, 0.0, 0.0);
        for a in 0..9 {
            for b in a + 1..9 {
                for c in b + 1..9 {
                    let value = mean_exposure(&pooled, &[a, b, c]);
                    all += 1.0;
                    reached += f64::from(u8::from(value >= observed - 1e-9));
                    sum += value;
                }
            }
        }
        let draws = 200_000;
        let found = exposure_test(&[Stratum { canaries: &pooled[..3], references: &pooled[3..] }], draws, 7).unwrap();
        let exact: f64 = reached / all;
        // Five standard errors of a share over 200,000 draws are at most 0.0056; fixed seed.
        assert!((libm::pow(10f64, found.log10_p) - exact).abs() < 0.0056, "{found:?} {exact}");
        assert!((found.mean_exposure - observed).abs() < 1e-12);
        assert!((found.null_mean_exposure - sum / all).abs() < 0.01, "{found:?} {}", sum / all);
    }

    fn null_p_values(experiments: u64, value: impl Fn(&mut ChaCha8Rng) -> f64) -> Vec<f64> {
        (0..experiments)
            .map(|i| {
                let mut rng = ChaCha8Rng::seed_from_u64(99);
                rng.set_stream(i);
                let values: Vec<f64> = (0..70).map(|_| value(&mut rng)).collect();
                let strata = [
                    Stratum { canaries: &values[..3], references: &values[3..33] },
                    Stratum { canaries: &values[33..38], references: &values[38..] },
                ];
                libm::pow(10f64, exposure_test(&strata, 199, i).unwrap().log10_p)
            })
            .collect()
    }

    #[test]
    fn null_p_values_are_uniform() {
        let ps = null_p_values(4000, unit);
        for alpha in [0.01, 0.05, 0.2, 0.5, 0.9] {
            // alpha is a multiple of 1/200, so the share is alpha; four standard errors, fixed seed.
            let share = ps.iter().filter(|&&p| p <= alpha + 1e-9).count() as f64 / ps.len() as f64;
            assert!((share - alpha).abs() < 4.0 * (alpha * (1.0 - alpha) / ps.len() as f64).sqrt(), "{share} at {alpha}");
        }
    }

    #[test]
    fn null_p_values_stay_valid_under_heavy_ties() {
        let ps = null_p_values(3000, |rng| f64::from(below(rng, 4)));
        for alpha in [0.01, 0.05, 0.2] {
            let share = ps.iter().filter(|&&p| p <= alpha + 1e-9).count() as f64 / ps.len() as f64;
            assert!(share < alpha + 4.0 * (alpha * (1.0 - alpha) / ps.len() as f64).sqrt(), "{share} at {alpha}");
        }
        let constant = [1.0; 40];
        let found = exposure_test(&[Stratum { canaries: &constant[..8], references: &constant[8..] }], 99, 1).unwrap();
        assert_eq!((found.log10_p, found.z, found.mean_exposure), (0.0, None, 5.0));
    }

    #[test]
    fn learned_canaries_are_found_at_the_size_of_the_quickstart() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let references: Vec<f64> = (0..4000).map(|_| unit(&mut rng)).collect();
        // Of 8 canaries in each of 4 strata a quarter is learned.
        let canaries: Vec<f64> = (0..32).map(|i| if i % 4 == 0 { -1.0 } else { unit(&mut rng) }).collect();
        let strata: Vec<Stratum<'_>> = canaries
            .chunks(8)
            .zip(references.chunks(1000))
            .map(|(canaries, references)| Stratum { canaries, references })
            .collect();
        let started = std::time::Instant::now();
        let found = exposure_test(&strata, 99_999, 0).unwrap();
        let seconds = started.elapsed().as_secs_f64();
        assert_eq!(found.log10_p, -5.0);
        assert!(found.z.unwrap() > 8.0 && (found.exposures[0][0] - libm::log2(1000f64)).abs() < 1e-12, "{found:?}");
        // E[log2 R - log2 rank] is 1 / ln 2 for many references.
        assert!((found.null_mean_exposure - std::f64::consts::LOG2_E).abs() < 0.02, "{found:?}");
        assert_eq!(found, exposure_test(&strata, 99_999, 0).unwrap());
        println!("99,999 draws of 32 canaries: {seconds:.3} s");
        assert!(seconds < 5.0, "{seconds} s");
    }

    #[test]
    fn bad_input_is_named() {
        let stratum = |canaries, references| Stratum { canaries, references };
        let found = exposure_test(&[stratum(&[1.0], &[1.0]), stratum(&[0.0], &[1.0, f64::NAN])], 9, 0);
        assert_eq!(found, Err(ExposureError::NotANumber { stratum: 1, of: "references", index: 1 }));
        assert_eq!(exposure_test(&[stratum(&[1.0], &[])], 9, 0), Err(ExposureError::NoReferences { stratum: 0 }));
        assert_eq!(exposure_test(&[stratum(&[], &[1.0])], 9, 0), Err(ExposureError::NoCanaries { strata: 1 }));
        let found = exposure_test(&[stratum(&[f64::NEG_INFINITY], &[1.0, f64::INFINITY]), stratum(&[], &[])], 0, 0).unwrap();
        assert_eq!((found.log10_p, found.z, found.exposures), (0.0, None, vec![vec![1.0], vec![]]));
    }
}
