//! What an unmarked model would have chosen, by one reference or several.

/// A model of N by the E of references.
#[derive(Debug, PartialEq)]
pub(super) struct Fit {
    /// E of every input.
    pub expected: Vec<f64>,
    /// The share of each reference in it.
    pub shares: Vec<f64>,
}

/// Most rounds of the fit: those of references that say nearly the same end here, at shares that fit as well as any.
const ROUNDS: usize = 10_000;

/// A change of a share below this ends the fit.
const SETTLED: f64 = 1e-12;

impl Fit {
    /// `references` hold E by reference and input. One reference is taken as it is. Of several, the sum of shares of them that is nearest
    /// to `chosen`, no share below 0: least squares in which an input weighs 1 / its mean E, as a count varies by about its mean.
    /// The shares minimise a quadratic form over the positive orthant, one after the other until they settle. No key enters.
    pub fn of(chosen: &[f64], references: &[Vec<f64>]) -> Self {
        if let [only] = references {
            return Self { expected: only.clone(), shares: vec![1.0] };
        }
        let count = references.len();
        let (mut squares, mut products) = (vec![vec![0.0; count]; count], vec![0.0; count]);
        for (input, n) in chosen.iter().enumerate() {
            let mean = references.iter().map(|e| e[input]).sum::<f64>() / count as f64;
            if mean <= 0.0 {
                continue;
            }
            for (one, e) in references.iter().enumerate() {
                let weighed = e[input] / mean;
                products[one] += weighed * n;
                squares[one].iter_mut().zip(references).for_each(|(sum, other)| *sum += weighed * other[input]);
            }
        }
        let mut shares = vec![0.0; count];
        for _ in 0..ROUNDS {
            let mut moved = 0.0_f64;
            for one in 0..count {
                let others: f64 = (0..count).filter(|other| *other != one).map(|other| squares[one][other] * shares[other]).sum();
                let best = if squares[one][one] > 0.0 { ((products[one] - others) / squares[one][one]).max(0.0) } else { 0.0 };
                moved = moved.max((best - shares[one]).abs());
                shares[one] = best;
            }
            if moved < SETTLED {
                break;
            }
        }
        let fitted = |input| shares.iter().zip(references).map(|(share, e): (&f64, &Vec<f64>)| share * e[input]).sum();
        Self { expected: (0..chosen.len()).map(fitted).collect(), shares }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mixture_is_found_again_and_no_share_is_below_nothing() {
        let references = [vec![4.0, 0.0, 1.0, 0.5, 0.0], vec![1.0, 3.0, 1.0, 0.0, 0.0], vec![0.0, 0.0, 2.0, 2.0, 0.0]];
        let mix = |shares: [f64; 3]| -> Vec<f64> {
            (0..5).map(|input| shares.iter().zip(&references).map(|(share, e)| share * e[input]).sum()).collect()
        };
        let chosen = mix([0.7, 0.2, 0.1]);
        let fit = Fit::of(&chosen, &references);
        assert!(fit.shares.iter().zip([0.7, 0.2, 0.1]).all(|(share, is)| (share - is).abs() < 1e-9), "{:?}", fit.shares);
        assert!(fit.expected.iter().zip(&chosen).all(|(e, n)| (e - n).abs() < 1e-9));
        // a share that least squares alone would put below 0
        let fit = Fit::of(&mix([1.0, -0.3, 0.0]), &references);
        assert!(fit.shares[1] == 0.0 && fit.shares[0] > 0.8, "{:?}", fit.shares);
        // what fits exactly two ways fits
        let twice = [references[0].clone(), references[0].clone()];
        let fit = Fit::of(&references[0], &twice);
        assert!(fit.expected.iter().zip(&references[0]).all(|(e, n)| (e - n).abs() < 1e-9), "{fit:?}");
        // one reference is what it is, and nothing chosen is nothing expected
        assert_eq!(Fit::of(&chosen, &references[..1]).expected, references[0]);
        assert_eq!(Fit::of(&[0.0; 5], &references).expected, [0.0; 5]);
        assert_eq!(Fit::of(&[], &[vec![], vec![]]).shares, [0.0; 2]);
    }

    /// A fit by the normal equations of weighted least squares where every share is above 0: derivatives vanish.
    #[test]
    fn no_other_shares_fit_better() {
        let references = [vec![4.0, 0.2, 1.0, 0.5], vec![1.0, 3.0, 1.0, 0.1]];
        let chosen = [3.0, 2.0, 0.0, 1.0];
        let fit = Fit::of(&chosen, &references);
        let distance = |shares: [f64; 2]| -> f64 {
            let one = |input: usize| {
                let (a, b) = (references[0][input], references[1][input]);
                (chosen[input] - shares[0] * a - shares[1] * b).powi(2) / (0.5 * (a + b))
            };
            (0..4).map(one).sum()
        };
        let found = distance([fit.shares[0], fit.shares[1]]);
        for step in [[1e-3, 0.0], [-1e-3, 0.0], [0.0, 1e-3], [0.0, -1e-3], [1e-3, -1e-3]] {
            assert!(distance([fit.shares[0] + step[0], fit.shares[1] + step[1]]) > found, "{fit:?}");
        }
    }
}
