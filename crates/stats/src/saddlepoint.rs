//! Upper tail of a sum whose cumulant generating function is known: Chernoff's bound, and the approximation of Lugannani and Rice
//! (*Saddle point approximation for the distribution of the sum of independent random variables*, Adv. Appl. Prob. 12, 1980).
//! Methods m2.

use std::f64::consts::{LN_10, PI};

use crate::special::{ln_1m_exp, ln_to_log10_p};
use crate::tail::ln_normal_sf;

/// A sum S by K(λ) = ln E e^(λ S) and its first two derivatives, both infinite where the expectation is.
///
/// For any S it knows Chernoff's bound, P\[S >= s\] <= inf over λ >= 0 of e^(K(λ) - λ s), which holds whatever the law, and an
/// approximation that is right to some percent where S has no coarse lattice: with λ the root of K'(λ) = s, r = √(2 (λ s - K)) and
/// u = λ √K'', P\[S >= s\] = P\[Z >= r\] + φ(r) (1/u - 1/r).
pub struct Saddlepoint<K> {
    cumulants: K,
    mean: f64,
    variance: f64,
}

/// Closer to the mean than this, in standard deviations, the approximation is 0/0: between both ends ln p is a straight line.
const NEAR: f64 = 0.05;

/// Steps until λ is on the far side of the root, and steps to the root. Each λ gives a valid bound, so that the limit costs tightness only.
const STEPS: usize = 100;

/// Largest λ (|mean| + distance from it): beyond it K and λ s, which cancel, no longer tell the bound to seven digits.
const LARGEST: f64 = 1e9;

/// A λ, with how far e^(λ (S - mean)) carries.
#[derive(Clone, Copy)]
struct Tilt {
    lambda: f64,
    /// K(λ) - λ mean, and its derivatives.
    cumulants: [f64; 3],
}

impl Tilt {
    /// ln of Chernoff's bound at this λ, `above` the mean.
    fn ln_bound(&self, above: f64) -> f64 {
        self.cumulants[0] - self.lambda * above
    }
}

impl<K: Fn(f64) -> [f64; 3]> Saddlepoint<K> {
    /// The sum whose K, K' and K'' at λ are `cumulants(λ)`.
    ///
    /// # Panics
    /// When mean or variance is not finite.
    pub fn new(cumulants: K) -> Self {
        let [_, mean, variance] = cumulants(0.0);
        assert!(mean.is_finite() && variance.is_finite() && variance >= 0.0, "a sum of mean {mean}, variance {variance}");
        Self { cumulants, mean, variance }
    }

    /// Mean of the sum.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Standard deviation of the sum.
    pub fn sd(&self) -> f64 {
        self.variance.sqrt()
    }

    /// `s` in standard deviations above the mean; 0 for a sum that does not vary.
    pub fn z(&self, s: f64) -> f64 {
        if self.variance > 0.0 { (s - self.mean) / self.sd() } else { 0.0 }
    }

    /// log10 of Chernoff's bound on P\[S >= s\]: never below the true value, 0 up to the mean.
    ///
    /// # Panics
    /// When `s` is not finite.
    pub fn log10_bound(&self, s: f64) -> f64 {
        assert!(s.is_finite(), "a tail at {s}");
        if self.z(s) <= 0.0 {
            return 0.0;
        }
        ln_to_log10_p(self.tilted(1.0, s - self.mean).1)
    }

    /// log10 of Lugannani and Rice's approximation of P\[S >= s\].
    ///
    /// # Panics
    /// When `s` is not finite.
    pub fn log10_p(&self, s: f64) -> f64 {
        assert!(s.is_finite(), "a tail at {s}");
        let z = self.z(s);
        if self.variance == 0.0 {
            return 0.0;
        }
        let at = |z: f64| {
            let beyond = self.ln_beyond(z.signum(), z.abs() * self.sd());
            if z > 0.0 { beyond } else { ln_1m_exp(beyond) }
        };
        if z.abs() >= NEAR {
            return ln_to_log10_p(at(z));
        }
        let (below, above) = (at(-NEAR), at(NEAR));
        ln_to_log10_p(below + (above - below) * (z + NEAR) / (2.0 * NEAR))
    }

    /// log10 of the e-value e^(λ s - K(λ)) for a λ that was stated beforehand: its mean is 1 when S has this law. The smallest number
    /// where the expectation is infinite.
    ///
    /// # Panics
    /// When `s` is not finite.
    pub fn log10_e(&self, s: f64, lambda: f64) -> f64 {
        assert!(s.is_finite(), "an e-value at {s}");
        let k = self.centred(1.0, lambda)[0];
        ((lambda * (s - self.mean) - k) / LN_10).clamp(-f64::MAX, f64::MAX)
    }

    /// K, K' and K'' of `side` (S - mean).
    fn centred(&self, side: f64, lambda: f64) -> [f64; 3] {
        let [k, slope, curve] = (self.cumulants)(side * lambda);
        let centred = [k - side * lambda * self.mean, side * (slope - self.mean), curve];
        if centred.iter().all(|x| x.is_finite()) { centred } else { [f64::INFINITY; 3] }
    }

    /// The λ of `side` (S - mean) `above` > 0, as near as it is found, and ln of the best bound met on the way.
    fn tilted(&self, side: f64, above: f64) -> (Tilt, f64) {
        let at = |lambda: f64| Tilt { lambda, cumulants: self.centred(side, lambda) };
        let (mut low, mut high, mut wall) = (0.0, above / self.variance, f64::INFINITY);
        let mut ln_bound = 0.0_f64;
        for _ in 0..STEPS {
            let tilt = at(high);
            ln_bound = ln_bound.min(tilt.ln_bound(above));
            let slope = tilt.cumulants[1];
            if slope.is_finite() && slope >= above {
                break;
            }
            // beyond the wall the expectation is infinite
            if slope.is_finite() {
                low = high
            } else {
                wall = high
            }
            high = if wall.is_finite() { 0.5 * (low + wall) } else { 2.0 * high };
            if high * (self.mean.abs() + above) > LARGEST {
                return (tilt, ln_bound);
            }
        }
        let mut root = at(high);
        for _ in 0..STEPS {
            ln_bound = ln_bound.min(root.ln_bound(above));
            let [_, slope, curve] = root.cumulants;
            if (slope - above).abs() <= 1e-13 * above || high - low <= 1e-15 * high {
                break;
            }
            if slope < above {
                low = root.lambda
            } else {
                high = root.lambda
            }
            let newton = root.lambda - (slope - above) / curve;
            root = at(if newton > low && newton < high { newton } else { 0.5 * (low + high) });
        }
        (root, ln_bound)
    }

    /// ln P\[`side` (S - mean) >= above\], approximately.
    fn ln_beyond(&self, side: f64, above: f64) -> f64 {
        let (tilt, ln_bound) = self.tilted(side, above);
        let [_, slope, curve] = tilt.cumulants;
        let (r, u) = ((-2.0 * ln_bound).sqrt(), tilt.lambda * curve.sqrt());
        // at the largest value of a bounded sum there is no root, and the bound tends to that value's probability
        if (slope - above).abs() > 1e-6 * above || u <= 0.0 {
            return ln_bound;
        }
        let ln_sf = ln_normal_sf(r);
        let ln_density = -0.5 * (r * r + libm::log(2.0 * PI));
        let correction = libm::exp(ln_density - ln_sf) * (1.0 / u - 1.0 / r);
        if correction > -1.0 { (ln_sf + libm::log1p(correction)).min(ln_bound) } else { ln_bound }
    }
}

#[cfg(test)]
mod tests;
