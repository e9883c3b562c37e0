//! Whether the suspect is nearer to the teacher than every model that learned nothing from it (methods d1, k).
//!
//! A distance between models proves nothing by itself: every trained model of one language is near every other. So it is measured
//! on many units (prompts, groups of texts), for the suspect and for a reference, and the unit's difference is what counts. Where
//! suspect and reference are exchangeable given the teacher, either sign of each difference is equally likely, and flipping signs
//! at random gives the null (Fisher 1935): exact for any law of the differences. Flips order sums as they order Student's t, so
//! that for many units the level also holds for "on average no nearer" without any symmetry (Romano 1990). p is the largest over
//! the references, a valid level for that union of nulls without correction (Berger 1982, intersection-union test).
//!
//! Units are what varies, the models at hand are fixed: the test says that this suspect is nearer than these references. How often
//! a model that learned nothing is nearer than all of them by its nature is what an experiment's negative arms are for.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stats::{Evidence, NullKind, NullLaw, interval, monte_carlo};

use crate::{Chance, MarkError};

/// One reference beside the suspect.
pub(crate) struct Differences<'a> {
    /// Name of the reference.
    pub name: &'a str,
    /// By unit: how much nearer the suspect is to the teacher.
    pub by_unit: Vec<f64>,
}

/// The test over all references, and the name of the nearest one, against which the effect is: the mean difference of a unit.
///
/// # Errors
/// [`MarkError::Unmeasurable`] without a reference, with fewer than two units, or when a difference is not a number.
pub(crate) fn nearer_than_all<'a>(
    mark: &'static str,
    against: &[Differences<'a>],
    unit: &str,
    chance: Chance,
) -> Result<(Evidence, &'a str), MarkError> {
    let mean = |differences: &Differences<'_>| differences.by_unit.iter().sum::<f64>() / differences.by_unit.len() as f64;
    let nearest = against
        .iter()
        .min_by(|a, b| mean(a).total_cmp(&mean(b)))
        .ok_or_else(|| MarkError::unmeasurable(mark, "there is no reference model to compare with"))?;
    let spread = against.iter().all(|reference| reference.by_unit.iter().all(|x| x.is_finite()));
    let interval = interval::mean_interval(&nearest.by_unit).filter(|_| spread).ok_or_else(|| {
        MarkError::unmeasurable(mark, format!("a difference of a {unit} is not a number, or there are fewer than two"))
    })?;
    let log10_p = against.iter().map(|reference| log10_p(&reference.by_unit, chance)).fold(f64::NEG_INFINITY, f64::max);
    let words = format!(
        "sign of each {unit}'s difference as likely either way, {} flips; largest p over {} references, nearest {}",
        chance.draws,
        against.len(),
        nearest.name
    );
    let (null, units) = (NullLaw::new(NullKind::Permutation, words), nearest.by_unit.len() as u64);
    let evidence = Evidence::new(mean(nearest), mean(nearest), interval, units, null, log10_p)
        .map_err(|error| MarkError::unmeasurable(mark, error.to_string()))?;
    Ok((evidence, nearest.name))
}

/// log10 of (1 + flips whose sum reaches the observed one) / (1 + flips).
fn log10_p(differences: &[f64], chance: Chance) -> f64 {
    let observed: f64 = differences.iter().sum();
    // sums of equal terms in another order are equal but for rounding, and count as ties
    let reached = observed - 1e-9 * differences.iter().map(|x| x.abs()).sum::<f64>();
    let mut rng = ChaCha8Rng::seed_from_u64(chance.draw_seed);
    let mut draw = || {
        let mut sum = 0.0;
        for part in differences.chunks(64) {
            let signs = rng.next_u64();
            sum += part.iter().enumerate().map(|(i, x)| if signs >> i & 1 == 0 { *x } else { -x }).sum::<f64>();
        }
        sum
    };
    let exceed = (0..chance.draws).filter(|_| draw() >= reached).count();
    monte_carlo::log10_p(exceed as u64, chance.draws)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chance(draws: u64) -> Chance {
        Chance { draws, draw_seed: 4, ..Chance::default() }
    }

    fn test(differences: &[&[f64]], draws: u64) -> Result<(Evidence, &'static str), MarkError> {
        let names = ["first", "second", "third"];
        let against: Vec<_> =
            differences.iter().zip(names).map(|(by_unit, name)| Differences { name, by_unit: by_unit.to_vec() }).collect();
        nearer_than_all("toy", &against, "prompt", chance(draws))
    }

    #[test]
    fn flips_agree_with_all_flips_with_ties() {
        let values = [0.5, 0.25, 0.25, -0.25, 0.5, 0.0, 0.75, 0.25, -0.5, 0.5];
        let observed: f64 = values.iter().sum();
        let all = (0..1024_u32)
            .map(|signs| values.iter().enumerate().map(|(i, x)| if signs >> i & 1 == 0 { *x } else { -x }).sum::<f64>());
        let exact = all.filter(|sum| *sum >= observed - 1e-12).count() as f64 / 1024.0;
        let found = libm::pow(10f64, log10_p(&values, chance(200_000)));
        // five standard errors of a share over 200,000 draws are at most 0.0056
        assert!((found - exact).abs() < 0.0056, "{found} {exact}");
    }

    #[test]
    fn the_nearest_reference_decides() {
        let (far, near) = ([1.0; 100], std::array::from_fn::<f64, 100, _>(|i| if i < 60 { 0.1 } else { -0.1 }));
        let (evidence, nearest) = test(&[&far, &near, &far], 9_999).unwrap();
        assert_eq!((nearest, evidence.n), ("second", 100));
        // P[Bin(100, 1/2) >= 60] = 0.0284; five standard errors at 9,999 flips
        assert!((libm::pow(10f64, evidence.log10_p) - 0.0284).abs() < 0.0083, "{evidence:?}");
        assert!((evidence.effect - 0.02).abs() < 1e-12 && evidence.interval.contains(0.02));
        assert_eq!(test(&[&far], 999).unwrap().0.log10_p, -3.0);
        assert_eq!(test(&[&[0.0; 7]], 999).unwrap().0.log10_p, 0.0, "no difference is no evidence");
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        for (differences, word) in
            [(vec![], "no reference"), (vec![&[1.0][..]], "fewer than two"), (vec![&[1.0, f64::NAN][..]], "number")]
        {
            assert!(test(&differences, 9).unwrap_err().to_string().contains(word), "{differences:?}");
        }
        let hidden = test(&[&[1.0, 1.0], &[5.0, f64::NAN]], 9);
        assert!(hidden.is_err(), "a reference that is not the nearest counts too");
    }
}
