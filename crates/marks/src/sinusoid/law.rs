//! The law of cos(f U) for a uniform U in [0, 1), as a bound needs it.

use std::f64::consts::PI;

/// Arcs that half a turn is cut into.
const ARCS: usize = 24;

/// A law on points of \[-1, 1\] that stands for that of cos(f U), which it is never less spread than.
///
/// Half a turn is cut into arcs. The mass of each is put on its two ends so that its mean stays. So the mean is exact, and the mean of any
/// convex function is as large or larger (a mean-preserving spread): Chernoff's bound with this law is never below that of the true one,
/// whatever weight a value has. The variance grows by a third of a percent.
#[derive(Debug, Clone)]
pub(crate) struct CosineLaw {
    /// Points, each with its probability.
    atoms: Vec<(f64, f64)>,
}

impl CosineLaw {
    /// Of cos(`frequency` U); the frequency is above 0.
    pub fn new(frequency: f64) -> Self {
        let width = PI / ARCS as f64;
        // by arc: mass, and mean times mass
        let mut arcs = [[0.0; 2]; ARCS];
        for at in 0..(frequency / width).ceil() as usize {
            let (from, to) = (at as f64 * width, ((at + 1) as f64 * width).min(frequency));
            let turned = at % (2 * ARCS);
            let arc = &mut arcs[if turned < ARCS { turned } else { 2 * ARCS - 1 - turned }];
            arc[0] += (to - from) / frequency;
            arc[1] += (libm::sin(to) - libm::sin(from)) / frequency;
        }
        let ends: Vec<f64> = (0..=ARCS).map(|at| libm::cos(at as f64 * width)).collect();
        let mut masses = [0.0; ARCS + 1];
        for (at, [mass, moment]) in arcs.into_iter().enumerate() {
            if mass > 0.0 {
                let upper = ((moment / mass - ends[at + 1]) / (ends[at] - ends[at + 1])).clamp(0.0, 1.0);
                masses[at] += mass * upper;
                masses[at + 1] += mass * (1.0 - upper);
            }
        }
        Self { atoms: ends.into_iter().zip(masses).filter(|(_, mass)| *mass > 0.0).collect() }
    }

    /// ln of the mean of exp(lambda weight cos(f U)), or a little more, and its first two derivatives by lambda.
    pub fn cumulant(&self, lambda: f64, weight: f64) -> [f64; 3] {
        let x = lambda * weight;
        let largest = self.atoms.iter().map(|(point, _)| x * point).fold(f64::NEG_INFINITY, f64::max);
        let mut sums = [0.0; 3];
        for &(point, mass) in &self.atoms {
            let term = mass * libm::exp(x * point - largest);
            sums[0] += term;
            sums[1] += term * point;
            sums[2] += term * point * point;
        }
        let (mean, square) = (sums[1] / sums[0], sums[2] / sums[0]);
        [largest + libm::log(sums[0]), weight * mean, weight * weight * (square - mean * mean).max(0.0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mean of exp(x cos(f u)) over u, by Simpson's rule.
    fn integral(frequency: f64, x: f64) -> f64 {
        let steps = 20_000;
        let value = |at: usize| libm::exp(x * libm::cos(frequency * at as f64 / f64::from(steps)));
        let sum: f64 = (0..=steps as usize)
            .map(|at| {
                value(at)
                    * if at == 0 || at == steps as usize {
                        1.0
                    } else if at % 2 == 1 {
                        4.0
                    } else {
                        2.0
                    }
            })
            .sum();
        sum / (3.0 * f64::from(steps))
    }

    #[test]
    fn it_bounds_the_true_cumulant_closely() {
        for frequency in [1.0, 16.0, 2.0 * PI, 100.3] {
            let law = CosineLaw::new(frequency);
            assert!((law.atoms.iter().map(|(_, mass)| mass).sum::<f64>() - 1.0).abs() < 1e-12);
            for x in [-30.0, -3.0, -0.1, 0.1, 1.0, 10.0, 50.0] {
                let (found, truth) = (law.cumulant(x, 1.0)[0], libm::log(integral(frequency, x)));
                assert!(found >= truth - 1e-9, "{frequency} {x}: {found} {truth}");
                // half of the added variance in the quadratic term; an arc that is cut short adds more
                assert!(
                    frequency < 6.0 || found - truth < 0.0025 * x * x + 1e-9 && found - truth < 0.07,
                    "{frequency} {x}: {found} {truth}"
                );
            }
        }
        // a whole number of turns: Bessel's I0
        let mut bessel = 1.0;
        let mut term = 1.0;
        for order in 1..40 {
            term *= 1.0 / (f64::from(order) * f64::from(order));
            bessel += term;
        }
        assert!((CosineLaw::new(4.0 * PI).cumulant(2.0, 1.0)[0] - libm::log(bessel)).abs() < 0.01);
    }

    #[test]
    fn derivatives_and_mean() {
        let law = CosineLaw::new(16.0);
        assert!((law.cumulant(0.0, 1.0)[1] - libm::sin(16.0_f64) / 16.0).abs() < 1e-12);
        for (lambda, weight) in [(0.3, 1.5), (-2.0, 0.7), (0.0, 1.0), (40.0, -2.0)] {
            let h = 1e-4;
            let [low, at, high] = [lambda - h, lambda, lambda + h].map(|lambda| law.cumulant(lambda, weight));
            assert!((at[1] - (high[0] - low[0]) / (2.0 * h)).abs() < 1e-6);
            assert!((at[2] - (high[1] - low[1]) / (2.0 * h)).abs() < 1e-6);
        }
        assert!(law.cumulant(1e6, 1.0)[0].is_finite());
    }
}
