//! Seeded draws with bits that do not depend on the version of a library's samplers.

use rand::Rng;

/// A whole number uniform on 0..bound, exactly (Lemire 2019), for bound >= 1.
pub(crate) fn below(rng: &mut impl Rng, bound: u32) -> u32 {
    let mut product = u64::from(rng.next_u32()) * u64::from(bound);
    if (product as u32) < bound {
        let threshold = bound.wrapping_neg() % bound;
        while (product as u32) < threshold {
            product = u64::from(rng.next_u32()) * u64::from(bound);
        }
    }
    (product >> 32) as u32
}

/// A number uniform on (0, 1), 53 bits.
pub(crate) fn unit(rng: &mut impl Rng) -> f64 {
    ((rng.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn draws_are_uniform_and_in_range() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut counts = [0.0; 7];
        for _ in 0..70_000 {
            counts[below(&mut rng, 7) as usize] += 1.0;
        }
        let chi2 = counts.iter().map(|c| (c - 10_000.0) * (c - 10_000.0) / 10_000.0).sum();
        // Fixed seed; a right generator fails one seed in 1,000.
        assert!(crate::tail::log10_chi2_sf(chi2, 6.0) > -3.0, "{counts:?}");
        assert_eq!(below(&mut rng, 1), 0);
    }
}
