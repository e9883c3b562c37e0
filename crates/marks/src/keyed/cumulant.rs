//! log E exp(lambda w xi) of one keyed value xi, with its first two derivatives by lambda (methods m2).

use std::cell::Cell;

/// xi is 1 with probability `rate`, else 0.
pub(crate) fn bernoulli(rate: f64, lambda: f64, weight: f64) -> [f64; 3] {
    let x = lambda * weight;
    // ln(1 - r + r e^x), from the larger of the two terms
    let (stay, hit) = logs(rate);
    let hit = hit + x;
    let (larger, smaller) = if stay < hit { (hit, stay) } else { (stay, hit) };
    let k = larger + libm::log(1.0 + libm::exp(smaller - larger));
    // the rate of the tilted law
    let tilted = libm::exp(hit - k);
    [k, weight * tilted, weight * weight * tilted * (1.0 - tilted)]
}

/// ln(1 - r) and ln r. One law is asked for thousands of times in turn, so that the last answer is kept: half of the work.
fn logs(rate: f64) -> (f64, f64) {
    thread_local! {
        static LAST: Cell<[f64; 3]> = const { Cell::new([f64::NAN; 3]) };
    }
    let [of, stay, hit] = LAST.get();
    if of == rate {
        return (stay, hit);
    }
    let (stay, hit) = (libm::log(1.0 - rate), libm::log(rate));
    LAST.set([rate, stay, hit]);
    (stay, hit)
}

/// xi is Exp(1): -ln(1 - lambda w), infinite from lambda w = 1 on.
pub(crate) fn exponential(lambda: f64, weight: f64) -> [f64; 3] {
    let left = 1.0 - lambda * weight;
    if left <= 0.0 {
        return [f64::INFINITY; 3];
    }
    let slope = weight / left;
    [-libm::log(left), slope, slope * slope]
}

/// xi is the sum of independent fair bits, each with its own weight.
pub(crate) fn bits(bit_weights: &[f64], lambda: f64, weight: f64) -> [f64; 3] {
    biased_bits(0.5, bit_weights, lambda, weight)
}

/// xi is the sum of independent bits, each 1 with probability `rate` and with its own weight.
pub(crate) fn biased_bits(rate: f64, bit_weights: &[f64], lambda: f64, weight: f64) -> [f64; 3] {
    let mut sum = [0.0; 3];
    // equal bits are computed with once
    for equal in bit_weights.chunk_by(|a, b| a == b) {
        let one = bernoulli(rate, lambda, weight * equal[0]);
        for (sum, one) in sum.iter_mut().zip(one) {
            *sum += equal.len() as f64 * one;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values against the definition, derivatives against finite differences.
    #[test]
    fn cumulants_are_logs_of_expectations() {
        for (lambda, weight) in [(0.3, 1.5), (-2.0, 0.7), (0.0, 1.0), (0.9, -1.0)] {
            let x: f64 = lambda * weight;
            assert!((bernoulli(0.25, lambda, weight)[0] - libm::log(0.75 + 0.25 * libm::exp(x))).abs() < 1e-12);
            assert!((exponential(lambda, weight)[0] + libm::log(1.0 - x)).abs() < 1e-12);
            let two = libm::log(0.25 * (1.0 + libm::exp(x)) * (1.0 + libm::exp(0.5 * x)));
            assert!((bits(&[1.0, 0.5], lambda, weight)[0] - two).abs() < 1e-12);
            let three = libm::log((0.7 + 0.3 * libm::exp(x)) * (0.7 + 0.3 * libm::exp(0.5 * x)));
            assert!((biased_bits(0.3, &[1.0, 0.5], lambda, weight)[0] - three).abs() < 1e-12);
            let h = 1e-4;
            let laws: [&dyn Fn(f64) -> [f64; 3]; 3] =
                [&|l| bernoulli(0.25, l, weight), &|l| exponential(l, weight), &|l| bits(&[1.0, 0.5], l, weight)];
            for law in laws {
                let [low, at, high] = [law(lambda - h), law(lambda), law(lambda + h)];
                assert!((at[1] - (high[0] - low[0]) / (2.0 * h)).abs() < 1e-6);
                assert!((at[2] - (high[1] - low[1]) / (2.0 * h)).abs() < 1e-6);
            }
        }
        assert_eq!(exponential(1.0, 1.0)[0], f64::INFINITY);
        assert!(bernoulli(0.25, 1e4, 1.0)[0].is_finite());
    }
}
