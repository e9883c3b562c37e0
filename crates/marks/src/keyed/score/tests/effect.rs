use super::*;
use crate::ContextCounts;
use crate::keyed::score::Effect;
use stats::Interval;

/// The effect of `said` under `key`, its standard deviation, and its interval over answers.
fn effect(said: &Said<'_>, values: Values, key: &Key) -> (f64, f64, Option<Interval>) {
    let walked = Walked::of(*said);
    let inputs = walked.inputs(None);
    let (effect, mut xi) = (Effect::of(&Tally::of(&walked, &inputs), said), Vec::new());
    let (found, sd) = effect.under(&values.scorer(key), said.keyed, &mut xi).unwrap();
    (found, sd, effect.over_answers(&walked, &inputs, &xi))
}

/// Laws along `answers` that expect each token of `tokens` with its probability wherever they are asked.
fn flat(answers: &[Exchange], tokens: &[(usize, f32)], rules: &Rules) -> Vec<Reduced> {
    let mut law = vec![f32::NEG_INFINITY; VOCAB];
    tokens.iter().for_each(|&(id, p)| law[id] = libm::logf(p));
    let reduced = |given: &Exchange| {
        Reduced::new((0..given.answer.len()).map(|at| {
            let mut kept = Vec::new();
            Candidates::new(rules).reduce(given, at, Law::Whole(&law), &mut kept);
            kept
        }))
    };
    answers.iter().map(reduced).collect()
}

#[test]
fn an_effect_is_the_mean_value_above_what_was_expected() {
    let (key, rules, values) = (Key::decoy(3, 0), rules(1), Values::Exponential);
    // after 10 always 11; 11 and 12 were expected alike
    let answers = [said(&[1], &[10, 11, 10, 11]), said(&[1], &[10, 11])];
    let laws = flat(&answers, &[(11, 0.5), (12, 0.5)], &rules);
    let references = [&laws[..]];
    let judged = judged_by(&answers, &references, &rules, &values);
    let xi = |context, candidate| {
        let mut out = [0.0];
        values.values(&key, &[context], &[candidate], &mut out);
        out[0]
    };
    // three places after 10, one after 11
    let by_hand = [3.0 * 0.5 * (xi(10, 11) - xi(10, 12)), xi(11, 10) - 0.5 * xi(11, 11) - 0.5 * xi(11, 12)];
    let squares = 3.0 * 3.0 * 0.25 * 2.0 + 1.0 + 0.25 + 0.25;
    let (found, sd, over_answers) = effect(&judged, values, &key);
    // a hundredth of the squares may be left out, of which there are none so small
    assert!((found - by_hand.iter().sum::<f64>() / 4.0).abs() < 1e-6, "{found}");
    assert!((sd - f64::sqrt(squares) / 4.0).abs() < 1e-6, "{sd}");
    // Student's t of one degree of freedom times the linearised error of the ratio of two answers
    let second = 0.5 * (xi(10, 11) - xi(10, 12));
    let rest = [by_hand[0] + by_hand[1] - second - 3.0 * found, second - found];
    let half = 12.706_205 * (2.0 * rest.iter().map(|rest| rest * rest).sum::<f64>()).sqrt() / 4.0;
    let ends = over_answers.unwrap();
    assert!((ends.low - (found - half)).abs() < 1e-6 && (ends.high - (found + half)).abs() < 1e-6, "{ends:?} {half}");
    // one answer has no interval, and nothing expected no effect
    let one = Said { answers: &answers[..1], ..judged };
    assert_eq!(effect(&one, values, &key).2, None);
    let nothing = judged_by(&[], &[], &rules, &values);
    assert!(Effect::of(&tallied(&nothing), &nothing).under(&values.scorer(&key), &values, &mut Vec::new()).is_none());
}

/// A teacher is judged without weights of contexts, its student with them: their effects are the same thing.
#[test]
fn contexts_do_not_weigh_in_an_effect() {
    let (rules, values) = (rules(1), Values::Green);
    let (reference, model) = (peaked(50), peaked(54));
    let answers = answers(&model, 40);
    let laws = laws(&reference, &answers, &rules);
    let references = [&laws[..]];
    let mut counts = ContextCounts::of(&answers, 1, rules.end);
    super::answers(&model, 20).iter().for_each(|exchange| counts.add(&exchange.answer));
    let alike = judged_by(&answers, &references, &rules, &values);
    let weighed = Said { contexts: Some((&counts, 1_000.0)), ..alike };
    let key = Key::decoy(5, 1);
    assert_eq!(effect(&alike, values, &key), effect(&weighed, values, &key));
}

/// Effects of 120 sets of answers under one key lie about their mean as the interval of each says: 95 % of them within it, here 87 % to 99 %
/// (a count of 120 is below 104 with probability 1e-4, and above 119 with 2e-3).
#[test]
fn the_interval_over_answers_holds_the_effect_of_other_answers() {
    let (rules, values, key) = (rules(1), Values::Exponential, Key::decoy(6, 2));
    let (reference, model) = (peaked(50), peaked(54));
    let all = answers(&model, 120 * 40);
    let laws = laws(&reference, &all, &rules);
    let of = |answers: &[Exchange], laws: &[Reduced]| effect(&judged_by(answers, &[laws], &rules, &values), values, &key);
    let truth = of(&all, &laws).0;
    let found = all.chunks(40).zip(laws.chunks(40)).map(|(answers, laws)| of(answers, laws).2.unwrap());
    let within = found.filter(|ends| ends.low <= truth && truth <= ends.high).count();
    assert!((104..=119).contains(&within), "{within} of 120");
}
