//! Lomb-Scargle periodogram with a floating mean: how much of the spread of values at uneven places a sine and a cosine of one frequency
//! explain beside a constant. Lomb, Astrophys. Space Sci. 39, 1976; Scargle, Astrophys. J. 263, 1982; the floating mean is Zechmeister and
//! Kürster's, Astron. Astrophys. 496, 2009. Methods a7.
//!
//! Frequencies are in radians per unit of place.

use std::f64::consts::TAU;

/// Lowest and highest frequency of the band that noise is measured in: 0.002 to 40 turns per unit of place, as DRW's code has it.
const BAND: [f64; 2] = [0.002 * TAU, 40.0 * TAU];

/// Frequencies in the band. Places within one unit tell frequencies apart that differ by about a turn, so that 50 of them in each turn give
/// the mean of all; DRW's code takes 200,000.
const FREQUENCIES: usize = 2_000;

/// Values that are worked on side by side.
const LANES: usize = 4;

/// Places with their values, less the mean.
#[derive(Debug, Clone)]
pub struct Samples {
    places: Vec<f64>,
    values: Vec<f64>,
}

/// Sums over samples of cos, sin, cos cos, cos sin, value cos, value sin.
type Sums = [f64; 6];

impl Samples {
    /// Of `values` at `places`.
    ///
    /// # Panics
    /// When there are not as many of both, or one is not finite.
    pub fn new(places: Vec<f64>, mut values: Vec<f64>) -> Self {
        assert_eq!(places.len(), values.len(), "a value for each place");
        assert!(places.iter().chain(&values).all(|x| x.is_finite()), "a place or value is not finite");
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        values.iter_mut().for_each(|value| *value -= mean);
        Self { places, values }
    }

    /// Half of what is taken off the sum of squares around the mean when a sine and a cosine of `frequency` are fitted beside it (the `psd`
    /// normalisation).
    pub fn power(&self, frequency: f64) -> f64 {
        let mut sums = [0.0; 6];
        for (place, value) in self.places.iter().zip(&self.values) {
            let (sin, cos) = libm::sincos(frequency * place);
            add(&mut sums, cos, sin, *value);
        }
        self.explained(sums)
    }

    /// [`power`](Self::power) at `count` frequencies from `first` on, `step` apart: each place's angle is turned from one to the next.
    pub fn powers(&self, first: f64, step: f64, count: usize) -> Vec<f64> {
        let filled = self.places.len().next_multiple_of(LANES);
        let at = |frequency: f64| -> (Vec<f64>, Vec<f64>) {
            let (mut sin, mut cos): (Vec<f64>, Vec<f64>) =
                self.places.iter().map(|place| libm::sincos(frequency * place)).unzip();
            // what fills the last lanes up counts nothing
            sin.resize(filled, 0.0);
            cos.resize(filled, 0.0);
            (sin, cos)
        };
        let ((mut sin, mut cos), (turn_sin, turn_cos)) = (at(first), at(step));
        let mut values = self.values.clone();
        values.resize(filled, 0.0);
        let mut powers = Vec::with_capacity(count);
        for _ in 0..count {
            let mut lanes = [[0.0; LANES]; 6];
            let (sin, turn_sin) = (sin.as_chunks_mut::<LANES>().0.iter_mut(), turn_sin.as_chunks::<LANES>().0);
            let (cos, turn_cos) = (cos.as_chunks_mut::<LANES>().0.iter_mut(), turn_cos.as_chunks::<LANES>().0);
            let values = values.as_chunks::<LANES>().0;
            for ((((s, c), turn_s), turn_c), v) in sin.zip(cos).zip(turn_sin).zip(turn_cos).zip(values) {
                for lane in 0..LANES {
                    let (sin, cos) = (s[lane], c[lane]);
                    lanes[0][lane] += cos;
                    lanes[1][lane] += sin;
                    lanes[2][lane] += cos * cos;
                    lanes[3][lane] += cos * sin;
                    lanes[4][lane] += v[lane] * cos;
                    lanes[5][lane] += v[lane] * sin;
                    s[lane] = sin * turn_c[lane] + cos * turn_s[lane];
                    c[lane] = cos * turn_c[lane] - sin * turn_s[lane];
                }
            }
            powers.push(self.explained(lanes.map(|lanes| lanes.iter().sum())));
        }
        powers
    }

    /// P_snr of DRW: the mean power within `half_width` of `frequency` over the mean power elsewhere between 0.002 and 40 turns. 0 for
    /// fewer than four samples, or values that are all equal.
    pub fn signal_to_noise(&self, frequency: f64, half_width: f64) -> f64 {
        if self.places.len() < 4 {
            return 0.0;
        }
        let [first, last] = BAND;
        let step = (last - first) / (FREQUENCIES - 1) as f64;
        let elsewhere = |(at, _): &(usize, f64)| (first + *at as f64 * step - frequency).abs() >= half_width;
        let noise: Vec<f64> =
            self.powers(first, step, FREQUENCIES).into_iter().enumerate().filter(elsewhere).map(|(_, power)| power).collect();
        let noise = noise.iter().sum::<f64>() / noise.len() as f64;
        let signal = [-1.0, 0.0, 1.0].map(|side| self.power(frequency + side * half_width)).iter().sum::<f64>() / 3.0;
        if noise > 0.0 { signal / noise } else { 0.0 }
    }

    /// The power behind `sums`.
    fn explained(&self, [cos, sin, cos_cos, cos_sin, value_cos, value_sin]: Sums) -> f64 {
        let n = self.places.len() as f64;
        if n == 0.0 {
            return 0.0;
        }
        // the mean floats: what a constant explains is taken off; that of the values is 0
        let cc = cos_cos - cos * cos / n;
        let ss = (n - cos_cos) - sin * sin / n;
        let cs = cos_sin - cos * sin / n;
        let determinant = cc * ss - cs * cs;
        let explained = if cc.min(ss) > 1e-12 * n && determinant > 1e-9 * cc * ss {
            (ss * value_cos * value_cos + cc * value_sin * value_sin - 2.0 * cs * value_cos * value_sin) / determinant
        } else {
            // both are one function of these places
            let (square, product) = if cc > ss { (cc, value_cos) } else { (ss, value_sin) };
            if square > 1e-12 * n { product * product / square } else { 0.0 }
        };
        0.5 * explained.max(0.0)
    }
}

fn add(sums: &mut Sums, cos: f64, sin: f64, value: f64) {
    for (sum, term) in sums.iter_mut().zip([cos, sin, cos * cos, cos * sin, value * cos, value * sin]) {
        *sum += term;
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn places(seed: u64, count: usize) -> (Vec<f64>, Vec<f64>) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..count).map(|_| (rng.random::<f64>(), rng.random::<f64>())).unzip()
    }

    /// What is left of the squares after a fit of 1, cos and sin, by Gauss's elimination on the normal equations.
    fn left(places: &[f64], values: &[f64], frequency: f64) -> f64 {
        let row = |place: f64| [1.0, libm::cos(frequency * place), libm::sin(frequency * place)];
        let mut system = [[0.0; 4]; 3];
        for (place, value) in places.iter().zip(values) {
            let row = row(*place);
            for (i, equation) in system.iter_mut().enumerate() {
                for j in 0..3 {
                    equation[j] += row[i] * row[j];
                }
                equation[3] += row[i] * value;
            }
        }
        for i in 0..3 {
            let pivot = system[i];
            for (j, equation) in system.iter_mut().enumerate() {
                if j != i {
                    let factor = equation[i] / pivot[i];
                    for k in 0..4 {
                        equation[k] -= factor * pivot[k];
                    }
                }
            }
        }
        let fitted: Vec<f64> = (0..3).map(|i| system[i][3] / system[i][i]).collect();
        let off = |(place, value): (&f64, &f64)| {
            value - row(*place).iter().zip(&fitted).map(|(term, factor)| term * factor).sum::<f64>()
        };
        places.iter().zip(values).map(off).map(|off| off * off).sum()
    }

    #[test]
    fn power_is_half_of_what_least_squares_explain() {
        let (places, values) = places(1, 61);
        let samples = Samples::new(places.clone(), values.clone());
        let mean = values.iter().sum::<f64>() / 61.0;
        let around_mean: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        for frequency in [0.7, 3.0, 16.0, 77.7, 250.0] {
            let direct = 0.5 * (around_mean - left(&places, &values, frequency));
            assert!((samples.power(frequency) - direct).abs() < 1e-10, "{frequency}: {} {direct}", samples.power(frequency));
        }
    }

    #[test]
    fn turned_angles_give_the_same_powers() {
        let (places, values) = places(2, 97);
        let samples = Samples::new(places, values);
        for (at, power) in samples.powers(0.5, 0.25, 1_000).into_iter().enumerate() {
            let direct = samples.power(0.5 + 0.25 * at as f64);
            assert!((power - direct).abs() < 1e-9, "{at}: {power} {direct}");
        }
    }

    /// Noise and signal of the grid against a grid of 200,000, as DRW's code has it.
    #[test]
    fn a_coarse_grid_has_the_mean_of_a_fine_one() {
        let (places, noise) = places(3, 400);
        let wave = |(place, noise): (&f64, &f64)| 0.3 * libm::cos(16.0 * place) + noise;
        let values: Vec<f64> = places.iter().zip(&noise).map(wave).collect();
        let samples = Samples::new(places, values);
        let [first, last] = BAND;
        let step = (last - first) / 199_999.0;
        let (mut near, mut far) = (Vec::new(), Vec::new());
        for (at, power) in samples.powers(first, step, 200_000).into_iter().enumerate() {
            if (first + at as f64 * step - 16.0).abs() < 0.005 { near.push(power) } else { far.push(power) }
        }
        let mean = |powers: &[f64]| powers.iter().sum::<f64>() / powers.len() as f64;
        let (fine, coarse) = (mean(&near) / mean(&far), samples.signal_to_noise(16.0, 0.005));
        assert!((coarse / fine - 1.0).abs() < 0.01, "{coarse} {fine}");
        assert!(coarse > 5.0, "{coarse}");
    }

    #[test]
    fn a_wave_stands_out_where_it_is_and_noise_nowhere() {
        let (places, noise) = places(4, 300);
        let ratio = |values: Vec<f64>| Samples::new(places.clone(), values).signal_to_noise(16.0, 0.005);
        let wave = |frequency: f64| places.iter().map(|place| libm::cos(frequency * place)).collect::<Vec<f64>>();
        assert!(ratio(wave(16.0)) > 15.0 && ratio(wave(60.0)) < 1.0 && ratio(noise.clone()) < 8.0);
        assert_eq!((ratio(vec![0.5; 300]), Samples::new(vec![0.1; 3], vec![1.0; 3]).signal_to_noise(16.0, 0.005)), (0.0, 0.0));
        // all at one place: nothing is explained
        assert_eq!(Samples::new(vec![0.5; 9], (0..9).map(f64::from).collect()).power(16.0), 0.0);
    }
}
