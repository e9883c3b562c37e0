use super::*;
use crate::ContextCounts;
use crate::keyed::score::weights::Weights;

/// One answer of many places, each with the same context, so that weights differ by their counts alone.
fn answer() -> Vec<Exchange> {
    vec![said(&[1], &[10; 12])]
}

/// A tally of inputs that are met at place 1 of the first answer.
fn tally(chosen: &[f64], expected: &[f64]) -> Tally {
    let (chosen, expected) = (chosen.to_vec(), vec![expected.to_vec()]);
    Tally { met: vec![(0, 1, 11); chosen.len()], tokens: 14, chosen, expected, ..Tally::default() }
}

#[test]
fn weights_are_those_of_the_formula() {
    let (answers, rules) = (answer(), rules(1));
    let said = judged_by(&answers, &[], &rules, &Values::Green);
    let tally =
        tally(&[0.0, 3.0, 1.0, 0.0, 0.0, 7.0, 2.0, 0.0, 1.0], &[0.5, 1.0, 0.25, 0.125, 0.015_625, 3.0, 4.0, 0.031_25, 0.0625]);
    for shrinkage in [0.0, 0.5, 1e3] {
        let weights = Weights::of(&tally, &said, Some(shrinkage));
        let (mut all, mut lost, mut kept) = (0.0, 0.0, 0);
        for (at, (chosen, expected)) in tally.chosen.iter().zip(&tally.expected[0]).enumerate() {
            let f = 1.0 / (1.0 + shrinkage * (expected + 0.25 * chosen));
            let exact = f * (chosen - expected);
            all += exact * exact;
            if weights.at(at) == 0.0 {
                lost += exact * exact;
            } else {
                // rounded to 64 numbers for each doubling
                assert!((weights.at(at) - exact).abs() <= exact.abs() / 128.0, "{at}: {}", weights.at(at));
                kept += 1;
            }
        }
        // weights that are nearly alike are all kept
        assert!((lost > 0.0 || shrinkage > 1.0) && lost <= 0.011 * all && kept >= 5, "{lost} of {all}, {kept} weights");
        assert_eq!(weights.values.iter().map(|(_, inputs)| inputs).sum::<f64>(), f64::from(kept));
    }
}

/// s2 is that of counts whose rates scatter: gamma rates of relative variance s2, then Poisson counts, have Var N = E + s2 E^2.
#[test]
fn the_shrinkage_is_the_scatter_beyond_draws() {
    let (answers, rules) = (answer(), rules(1));
    let said = Said { drawn: true, ..judged_by(&answers, &[], &rules, &Values::Exponential) };
    // moments by hand: ((3 - 1)^2 + (1 - 1)^2 + (5 - 4)^2 - 6) / 18 < 0, and (16 + 1 + 4 - 6) / 18
    assert_eq!(Weights::of(&tally(&[3.0, 1.0, 5.0], &[1.0, 1.0, 4.0]), &said, None).shrinkage, 0.0);
    let scattered = tally(&[5.0, 2.0, 6.0], &[1.0, 1.0, 4.0]);
    assert!((Weights::of(&scattered, &said, None).shrinkage - 15.0 / 18.0).abs() < 1e-12);
    // no draws to allow for in laws, which count four times; never more than 1 and 4
    let own = [Reduced::default()];
    let laws = Said { suspect: Some(&own), ..said };
    let of_laws = Weights::of(&tally(&[2.0, 1.5, 3.0], &[1.0, 1.0, 4.0]), &laws, None).shrinkage;
    assert!((of_laws - 4.0 * 2.25 / 18.0).abs() < 1e-12, "{of_laws}");
    let wild = tally(&[9.0, 9.0, 0.0], &[1.0, 1.0, 4.0]);
    assert_eq!([&said, &laws].map(|said| Weights::of(&wild, said, None).shrinkage), [1.0, 4.0]);
    // where the key raises probabilities, an eighth
    assert_eq!(Weights::of(&wild, &Said { drawn: false, ..said }, None).shrinkage, 0.125);
    // nothing was expected, nothing was chosen
    assert_eq!(Weights::of(&tally(&[], &[]), &said, None).shrinkage, 0.0);
    assert_eq!(Weights::of(&tally(&[2.0], &[0.0]), &said, None).shrinkage, 0.0);
}

/// What was chosen again and again against all expectation weighs little more than what was chosen once.
#[test]
fn no_single_input_has_most_of_the_weight() {
    let (answers, rules) = (answer(), rules(1));
    let said = Said { drawn: true, ..judged_by(&answers, &[], &rules, &Values::Exponential) };
    let (mut chosen, mut expected) = (vec![1.0; 200], vec![0.3; 200]);
    chosen.push(100.0);
    expected.push(1.0);
    let weights = Weights::of(&tally(&chosen, &expected), &said, None);
    assert!(weights.shrinkage == 1.0 && weights.at(200) < 9.0 * weights.at(0), "{} {}", weights.at(200), weights.at(0));
}

/// The weights of contexts that `keyed_score.py` has with `met` and `kappa`.
#[test]
fn a_context_weighs_by_how_often_it_occurs_where_no_key_was() {
    let (answers, rules) = (vec![said(&[1], &[10, 11, 12, 13, 14])], rules(1));
    let mut counts = ContextCounts::of(&answers, 1, rules.end);
    for _ in 0..500 {
        counts.add(&[11, 9, 10, 9]);
    }
    (0..1_500).for_each(|_| counts.add(&[11, 9]));
    let said = Said { contexts: Some((&counts, 1_000.0)), ..judged_by(&answers, &[], &rules, &Values::Green) };
    // after 10, 11 and 12: met 500, 2,000 and 0 times
    let tally = Tally {
        met: vec![(0, 1, 20), (0, 2, 20), (0, 3, 20), (0, 1, 21)],
        chosen: vec![2.0, 2.0, 2.0, 0.0],
        expected: vec![vec![1.0, 1.0, 1.0, 0.5]],
        tokens: 6,
        ..Tally::default()
    };
    let weights = Weights::of(&tally, &said, Some(1.0));
    let exact = [1.0 / 3.0 / 2.5, 2.0 / 3.0 / 2.5, 0.0, -0.5 / 3.0 / 1.5];
    for (at, exact) in exact.into_iter().enumerate() {
        assert!((weights.at(at) - exact).abs() <= exact.abs() / 128.0, "{at}: {} for {exact}", weights.at(at));
    }
}
