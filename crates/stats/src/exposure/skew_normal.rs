//! Exposure by extrapolation: a skew-normal law fitted to the references (*The Secret Sharer*, section 4.4).

use serde::{Deserialize, Serialize};

use crate::tail::ln_normal_sf;

/// Skew-normal law with density 2 / ω φ(z) Φ(shape z) at z = (x - location) / ω (Azzalini 1985).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SkewNormal {
    /// Location, in the units of x.
    pub location: f64,
    /// Scale ω, positive, in the units of x.
    pub scale: f64,
    /// Shape: 0 is the normal law, negative leans left.
    pub shape: f64,
}

/// A fitted law and how well it fits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SkewNormalFit {
    /// The law.
    pub law: SkewNormal,
    /// Largest distance between the distribution functions of law and sample (Kolmogorov-Smirnov D). Above 1.36 / √n the fit is
    /// refused at 5 %, and rather earlier, since the law was fitted to the same sample; then exposures beyond log2 n mean nothing.
    pub ks_distance: f64,
}

/// Shapes beyond this are half-normal laws but for a hundredth of a standard deviation; the likelihood can be flat there.
const LARGEST_SHAPE: f64 = 100.0;

impl SkewNormal {
    /// Maximum-likelihood fit from the moment estimate; None for fewer than 8 values, values that are not finite, or no spread.
    pub fn fit(values: &[f64]) -> Option<SkewNormalFit> {
        if values.len() < 8 || values.iter().any(|x| !x.is_finite()) {
            return None;
        }
        let start = SkewNormal::by_moments(values)?;
        let mean_ln_density = |point: [f64; 3]| {
            let law = SkewNormal { location: point[0], scale: libm::exp(point[1]), shape: point[2] };
            if law.shape.abs() > LARGEST_SHAPE || !law.scale.is_normal() {
                return f64::NEG_INFINITY;
            }
            values.iter().map(|&x| law.ln_standard_density((x - law.location) / law.scale)).sum::<f64>() / values.len() as f64
                - point[1]
        };
        let steps = [0.3 * start.scale, 0.2, 0.5 + 0.2 * start.shape.abs()];
        let best = maximise(mean_ln_density, [start.location, libm::log(start.scale), start.shape], steps);
        let law = SkewNormal { location: best[0], scale: libm::exp(best[1]), shape: best[2] };
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(SkewNormalFit { law, ks_distance: law.ks_distance(&sorted) })
    }

    fn by_moments(values: &[f64]) -> Option<SkewNormal> {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let moment = |k: i32| values.iter().map(|x| (x - mean).powi(k)).sum::<f64>() / n;
        let deviation = moment(2).sqrt();
        if deviation.partial_cmp(&0.0) != Some(std::cmp::Ordering::Greater) {
            return None;
        }
        // No skew-normal law is more skewed than 0.995.
        let skewness = (moment(3) / deviation.powi(3)).clamp(-0.95, 0.95);
        let ratio = libm::pow(2.0 * skewness.abs() / (4.0 - std::f64::consts::PI), 2.0 / 3.0);
        let delta = (std::f64::consts::FRAC_PI_2 * ratio / (1.0 + ratio)).sqrt().copysign(skewness);
        let scale = deviation / (1.0 - delta * delta * std::f64::consts::FRAC_2_PI).sqrt();
        let location = mean - scale * delta * std::f64::consts::FRAC_2_PI.sqrt();
        Some(SkewNormal { location, scale, shape: delta / (1.0 - delta * delta).sqrt() })
    }

    /// ln density at z of the law with location 0 and scale 1.
    fn ln_standard_density(&self, z: f64) -> f64 {
        // ln 2 - ln sqrt(2 pi)
        -0.225_791_352_644_727_44 - 0.5 * z * z + ln_normal_sf(-self.shape * z)
    }

    /// ln P\[X <= x\], finite and at most 0 however far left (relative accuracy of P 1e-8).
    ///
    /// # Panics
    /// When `x` is not finite.
    pub fn ln_cdf(&self, x: f64) -> f64 {
        assert!(x.is_finite(), "skew-normal law at {x}");
        let z = (x - self.location) / self.scale;
        let density = |t: f64| self.ln_standard_density(t);
        // The density is log-concave: integrate from z down to where it has fallen by 45 nats from its largest value there.
        let (mut left, mut right) = (z.min(0.0) - 1.0 - self.shape.abs(), z);
        for _ in 0..100 {
            let (a, b) = (left + (right - left) / 3.0, right - (right - left) / 3.0);
            if density(a) < density(b) { left = a } else { right = b }
        }
        let peak = right;
        let largest = density(peak);
        let reach = |side: f64| {
            let mut reach = 1e-6;
            while density(peak + side * reach) > largest - 45.0 {
                reach *= 1.25;
            }
            peak + side * reach
        };
        let relative = |t: f64| libm::exp(density(t) - largest);
        let integral = simpson(relative, reach(-1.0), peak, 1000) + simpson(relative, peak, z.min(reach(1.0)), 1000);
        (largest + libm::log(integral)).clamp(-f64::MAX, 0.0)
    }

    /// Exposure -log2 P\[reference <= x\] in bits; extrapolated, unlike [`exposure`](super::exposure), and only as good as the fit.
    ///
    /// # Panics
    /// When `x` is not finite.
    pub fn exposure(&self, x: f64) -> f64 {
        (-self.ln_cdf(x) / std::f64::consts::LN_2).max(0.0)
    }

    fn ks_distance(&self, sorted: &[f64]) -> f64 {
        let n = sorted.len() as f64;
        let mut cdf = libm::exp(self.ln_cdf(sorted[0]));
        let mut distance = cdf;
        for (i, &x) in sorted.iter().enumerate() {
            if i > 0 {
                let standard = |v: f64| (v - self.location) / self.scale;
                let (from, to) = (standard(sorted[i - 1]), standard(x));
                // Steps a tenth of the scale over which the density curves.
                let panels = (2.0 * ((to - from) * (1.0 + self.shape.abs()) * 5.0).ceil()).clamp(2.0, 1e5) as u32;
                cdf += simpson(|t| libm::exp(self.ln_standard_density(t)), from, to, panels);
            }
            distance = distance.max(cdf - i as f64 / n).max((i as f64 + 1.0) / n - cdf);
        }
        distance
    }
}

/// Simpson's rule with an even number of panels.
fn simpson(f: impl Fn(f64) -> f64, from: f64, to: f64, panels: u32) -> f64 {
    let width = (to - from) / f64::from(panels);
    let inner: f64 = (1..panels).map(|i| f64::from(2 + 2 * (i % 2)) * f(from + width * f64::from(i))).sum();
    width / 3.0 * (f(from) + inner + f(to))
}

/// Nelder-Mead search (1965) for the largest value of a function of three variables.
fn maximise(f: impl Fn([f64; 3]) -> f64, start: [f64; 3], steps: [f64; 3]) -> [f64; 3] {
    let along = |from: [f64; 3], to: [f64; 3], t: f64| std::array::from_fn(|i| from[i] + t * (to[i] - from[i]));
    let mut simplex = vec![(f(start), start)];
    for i in 0..3 {
        let mut point = start;
        point[i] += steps[i];
        simplex.push((f(point), point));
    }
    for _ in 0..400 {
        simplex.sort_by(|a, b| b.0.total_cmp(&a.0));
        if simplex[0].0 - simplex[3].0 < 1e-12 {
            break;
        }
        let centre = std::array::from_fn(|i| (simplex[0].1[i] + simplex[1].1[i] + simplex[2].1[i]) / 3.0);
        let (value, worst) = simplex[3];
        let tried = |t: f64| {
            let point = along(centre, worst, t);
            (f(point), point)
        };
        let reflected = tried(-1.0);
        simplex[3] = if reflected.0 > simplex[0].0 {
            let expanded = tried(-2.0);
            if expanded.0 > reflected.0 { expanded } else { reflected }
        } else if reflected.0 > simplex[2].0 {
            reflected
        } else {
            let contracted = tried(if reflected.0 > value { -0.5 } else { 0.5 });
            if contracted.0 > value.max(reflected.0) {
                contracted
            } else {
                let best = simplex[0].1;
                for corner in &mut simplex[1..] {
                    let point = along(best, corner.1, 0.5);
                    *corner = (f(point), point);
                }
                simplex[3]
            }
        };
    }
    simplex.sort_by(|a, b| b.0.total_cmp(&a.0));
    simplex[0].1
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::{
        random::unit,
        special::{ln_1m_exp, normal_quantile},
    };

    /// A draw from the law: location and half-normal parts (Azzalini 1986).
    fn draw(law: SkewNormal, rng: &mut ChaCha8Rng) -> f64 {
        let delta = law.shape / libm::hypot(law.shape, 1.0);
        let (half, whole) = (normal_quantile(unit(rng)).abs(), normal_quantile(unit(rng)));
        law.location + law.scale * (delta * half + (1.0 - delta * delta).sqrt() * whole)
    }

    #[test]
    fn distribution_function_has_its_closed_forms() {
        for x in [-40.0, -6.0, -1.0, 0.0, 0.7, 3.0] {
            let ln_normal = ln_normal_sf(-(x - 0.5) / 2.0);
            let law = |shape| SkewNormal { location: 0.5, scale: 2.0, shape };
            // Shape 0 is Φ, shape 1 is Φ^2, shape -1 is 1 - (1 - Φ)^2.
            let mirrored = ln_1m_exp(2.0 * ln_normal_sf((x - 0.5) / 2.0));
            for (shape, expected) in [(0.0, ln_normal), (1.0, 2.0 * ln_normal), (-1.0, mirrored)] {
                // 1 - (1 - Φ)^2 itself cancels far left, where it is 2 Φ.
                let expected = if shape < 0.0 && x < -10.0 { std::f64::consts::LN_2 + ln_normal } else { expected };
                let found = law(shape).ln_cdf(x);
                assert!((found - expected).abs() < 1e-7, "{shape} at {x}: {found} {expected}");
            }
        }
    }

    #[test]
    fn distribution_function_reaches_one_whatever_the_shape() {
        for shape in [-100.0, -2.0, 0.0, 3.0, 100.0] {
            let law = SkewNormal { location: 0.0, scale: 1.0, shape };
            for x in [40.0, 1e6] {
                assert!(law.ln_cdf(x).abs() < 1e-7, "{shape} at {x}: {}", law.ln_cdf(x));
            }
            assert!(law.ln_cdf(-1000.0).is_finite() && law.exposure(-1000.0) > 700_000.0);
        }
        // P[X <= 0] = 1/2 - atan(shape) / pi.
        let law = SkewNormal { location: 0.0, scale: 1.0, shape: 100.0 };
        let expected = 0.5 - libm::atan(100f64) / std::f64::consts::PI;
        assert!((law.ln_cdf(0.0) - libm::log(expected)).abs() < 1e-6, "{}", law.ln_cdf(0.0));
    }

    #[test]
    fn fit_recovers_the_law_it_was_drawn_from() {
        let law = SkewNormal { location: 30.0, scale: 4.0, shape: -3.0 };
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        let values: Vec<f64> = (0..4000).map(|_| draw(law, &mut rng)).collect();
        let found = SkewNormal::fit(&values).unwrap();
        // Standard errors over 4,000 values are about 0.1, 0.08 and 0.2.
        let SkewNormal { location, scale, shape } = found.law;
        assert!((location - 30.0).abs() < 0.4 && (scale - 4.0).abs() < 0.3 && (shape + 3.0).abs() < 0.8, "{found:?}");
        assert!(found.ks_distance < 1.36 / 4000f64.sqrt(), "{found:?}");
        assert!(found.law.exposure(0.0) > 12.0 && found.law.exposure(0.0).is_finite());
        // The median has one bit.
        let mut sorted = values;
        sorted.sort_by(f64::total_cmp);
        assert!((found.law.exposure(sorted[2000]) - 1.0).abs() < 0.06);
    }

    #[test]
    fn a_bad_fit_shows() {
        let values: Vec<f64> = (0..1000).map(|i| f64::from(i % 2) * 10.0 + f64::from(i) * 1e-4).collect();
        assert!(SkewNormal::fit(&values).unwrap().ks_distance > 0.1);
        assert_eq!(SkewNormal::fit(&[1.0; 100]), None);
        assert_eq!(SkewNormal::fit(&[1.0, 2.0]), None);
    }
}
