//! SynthID-Text's tournament, whatever its bits come from (Dathathri et al., Nature 634, 2024; methods a5).

use pulp::{Arch, Simd, WithSimd};
use serde::{Deserialize, Serialize};

/// What a unit scores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Score {
    /// The number of its bits that are 1: an exact binomial tail.
    #[default]
    Mean,
    /// The mean of its bits with weights that fall linearly from 10 at the first layer to 1 at the last, as the first layers
    /// carry most: Chernoff's bound of the tail.
    WeightedMean,
}

impl Score {
    /// What each layer's bit adds to a unit's score: 1, or weights of total 1.
    pub(crate) fn weights(self, layers: u32) -> Vec<f64> {
        let falling = |layer: u32| 10.0 - 9.0 * f64::from(layer) / f64::from(layers.max(2) - 1);
        let total: f64 = (0..layers).map(falling).sum();
        match self {
            Self::Mean => vec![1.0; layers as usize],
            Self::WeightedMean => (0..layers).map(|layer| falling(layer) / total).collect(),
        }
    }
}

/// The most probable tokens that the authors let a tournament choose among (methods a5).
pub(crate) const SYNTHID_TOP_K: usize = 40;

/// Partial sums of a layer, so that the loop has no chain of dependent additions.
const LANES: usize = 8;

/// The law `q` after a tournament of `layers` layers, where bit l of a token's draw is its bit of layer l. Two candidates meet
/// in each match.
pub(crate) fn tournament<D: Copy + Into<u64>>(q: &mut [f64], draws: &[D], layers: u32) {
    Arch::new().dispatch(Tournament { q, draws, layers });
}

struct Tournament<'a, D> {
    q: &'a mut [f64],
    draws: &'a [D],
    layers: u32,
}

impl<D: Copy + Into<u64>> WithSimd for Tournament<'_, D> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { q, draws, layers } = self;
        for layer in 0..layers {
            // all ones or none: a selection is cheaper than a number to multiply by
            let mask = |draw: &D| ((*draw).into() >> layer & 1).wrapping_neg();
            let of = |q: f64, mask: u64| f64::from_bits(q.to_bits() & mask);
            let mut sums = [0.0; LANES];
            let ((whole, rest), (whole_draws, rest_draws)) = (q.as_chunks::<LANES>(), draws.as_chunks::<LANES>());
            for (q, draws) in whole.iter().zip(whole_draws) {
                for lane in 0..LANES {
                    sums[lane] += of(q[lane], mask(&draws[lane]));
                }
            }
            for ((sum, q), draw) in sums.iter_mut().zip(rest).zip(rest_draws) {
                *sum += of(*q, mask(draw));
            }
            // a sum may round to more than 1
            let lost = (1.0 - sums.iter().sum::<f64>()).max(0.0);
            for (q, draw) in q.iter_mut().zip(draws) {
                *q *= lost + of(1.0, mask(draw));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Methods, appendix A: bits (1, 0, 1) in the first layer, (0, 1, 1) in the second.
    #[test]
    fn the_tournament_is_that_of_the_paper() {
        let mut q = [0.5, 0.3, 0.2];
        tournament(&mut q, &[0b01_u32, 0b10, 0b11], 2);
        for (q, expected) in q.iter().zip([0.4225, 0.1485, 0.429]) {
            assert!((q - expected).abs() < 1e-12, "{q} for {expected}");
        }
        // one layer on two equal tokens: the one with the bit wins unless both draws are the other, 1 in 4
        let mut q = [0.5, 0.5];
        tournament(&mut q, &[1_u32, 0], 1);
        assert_eq!(q, [0.75, 0.25]);
        // layers beyond those of a word of 32 bits
        let mut q = [0.5, 0.5];
        tournament(&mut q, &[1_u64 << 40, 0], 41);
        assert_eq!(q, [0.75, 0.25]);
    }

    #[test]
    fn weights_fall_from_ten_to_one() {
        let of = |layers| Score::WeightedMean.weights(layers);
        assert_eq!(of(1), [1.0]);
        assert!((of(2)[0] - 10.0 / 11.0).abs() < 1e-15);
        assert!((of(30).iter().sum::<f64>() - 1.0).abs() < 1e-12 && (of(30)[0] / of(30)[29] - 10.0).abs() < 1e-12);
        assert_eq!(Score::Mean.weights(3), [1.0; 3]);
    }
}
