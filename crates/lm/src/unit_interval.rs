//! Uniform numbers from random bits.

use rand_chacha::rand_core::Rng;

/// A number in [0, 1) with 53 random bits.
pub(crate) fn unit_interval(rng: &mut impl Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}
