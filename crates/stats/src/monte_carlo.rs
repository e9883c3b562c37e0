//! p-values from draws of the null: decoy keys, permutations (methods 0.4, 0.6).

/// log10 of (1 + exceed) / (1 + draws), where `exceed` of `draws` null statistics reach the observed one. Never 0; exact under
/// exchangeability (Phipson & Smyth 2010).
///
/// # Panics
/// When `exceed` > `draws`.
pub fn log10_p(exceed: u64, draws: u64) -> f64 {
    assert!(exceed <= draws, "{exceed} of {draws} draws exceed");
    if exceed == draws {
        return 0.0;
    }
    libm::log10((1.0 + exceed as f64) / (1.0 + draws as f64))
}

/// log10 p of an observed statistic among null ones; larger is more extreme, ties count against.
///
/// # Panics
/// When a statistic is NaN.
pub fn log10_p_against(observed: f64, null: &[f64]) -> f64 {
    assert!(!observed.is_nan() && null.iter().all(|x| !x.is_nan()), "a statistic is NaN");
    let exceed = null.iter().filter(|&&x| x >= observed).count();
    log10_p(exceed as u64, null.len() as u64)
}

/// (observed - mean of null) / standard deviation of null, with n - 1: depth beyond 1 / (1 + draws).
///
/// None when there are fewer than two null statistics or they do not vary.
pub fn z_score(observed: f64, null: &[f64]) -> Option<f64> {
    if null.len() < 2 {
        return None;
    }
    let n = null.len() as f64;
    let mean = null.iter().sum::<f64>() / n;
    let variance = null.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0);
    let z = (observed - mean) / variance.sqrt();
    z.is_finite().then_some(z)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_zero_and_at_most_one() {
        assert_eq!(log10_p(0, 999), -3.0);
        assert_eq!(log10_p(999, 999), 0.0);
        assert_eq!(log10_p(0, 0), 0.0);
        assert!((log10_p(49, 999) - libm::log10(0.05_f64)).abs() < 1e-15);
    }

    #[test]
    fn ties_count_against_the_observed() {
        assert_eq!(log10_p_against(3.0, &[1.0, 2.0, 3.0]), libm::log10(0.5_f64));
        assert_eq!(log10_p_against(4.0, &[1.0, 2.0, 3.0]), libm::log10(0.25_f64));
        assert_eq!(log10_p_against(7.0, &[]), 0.0);
    }

    #[test]
    fn z_of_a_small_sample() {
        assert_eq!(z_score(5.0, &[1.0, 2.0, 3.0]), Some(3.0));
        assert_eq!(z_score(5.0, &[1.0, 1.0]), None);
        assert_eq!(z_score(5.0, &[1.0]), None);
    }
}
