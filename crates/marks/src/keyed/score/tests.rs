use std::sync::Arc;

use oracle::{Exchange, Law, Oracle, Query, Sampling, ServedLaw, Stop, Surface, TokenId};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::candidates::Candidates;
use super::tally::Tally;
use super::weighted::WeightedSum;
use super::weights::Weights;
use crate::key::Purpose;
use crate::keyed::cumulant;
use crate::keyed::scheme::{KeyedValues, Scorer, pair_input, units_of};
use crate::keyed::siphash::{self, SipState};
use crate::keyed::walk::{Dedup, Rules};
use crate::testing::{Lab, ToyCodec, ToyModel};
use crate::{Asked, Case, Chance, Finding, Key, MarkEntry, Planting, Question, Reduce, Reduced, Seen};

const VOCAB: usize = 128;

/// Keyed values of one law after one token of context.
#[derive(Debug, Clone, Copy)]
enum Values {
    Green,
    Exponential,
    Bits,
}

impl Values {
    fn scorer(self, key: &Key) -> Scorer {
        let state = SipState::new(&key.sip_key(Purpose::GreenList));
        Box::new(move |windows, values| {
            let mut draws = vec![0; values.len()];
            siphash::windows(state, windows, 2, &mut draws);
            for (value, draw) in values.iter_mut().zip(draws) {
                *value = match self {
                    Self::Green => f64::from(u8::from(draw < 1 << 30)),
                    Self::Exponential => -((f64::from(!draw) + 0.5) / 2f64.powi(32)).ln(),
                    Self::Bits => f64::from(draw.count_ones()),
                };
            }
        })
    }
}

impl KeyedValues for Values {
    fn input(&self, context: &[TokenId], candidate: TokenId) -> u128 {
        pair_input(context, candidate)
    }

    fn values(&self, key: &Key, context: &[TokenId], candidates: &[TokenId], out: &mut [f64]) {
        self.scorer(key)(&units_of(context, candidates), out);
    }

    fn cumulant(&self, lambda: f64, weight: f64) -> [f64; 3] {
        match self {
            Self::Green => cumulant::bernoulli(0.25, lambda, weight),
            Self::Exponential => cumulant::exponential(lambda, weight),
            Self::Bits => cumulant::bits(&[1.0; 32], lambda, weight),
        }
    }
}

fn rules(width: usize) -> Rules {
    Rules::new(width, Dedup::Pairs, &ToyCodec::new(VOCAB))
}

/// A model with some likely tokens after each one, so that contexts and choices come again, that shows its laws.
fn peaked(seed: u64) -> ToyModel {
    let surface = Surface::Logits { law: ServedLaw::PostWatermark };
    ToyModel { order: 1, sharpness: 8.0, end_logit: 3.0, surface, ..ToyModel::new(VOCAB, seed) }
}

fn answers(model: &ToyModel, count: u64) -> Vec<Exchange> {
    let query = |index| {
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        rng.set_stream(index);
        let prompt = std::iter::once(1).chain((0..6).map(|_| rng.random_range(3..VOCAB as u32))).collect();
        Query { sampling: Sampling::PLAIN, seed: rng.random(), ..Query::greedy(index, prompt, 40) }
    };
    model.answer(&(0..count).map(query).collect::<Vec<_>>()).unwrap()
}

fn laws(reference: &ToyModel, answers: &[Exchange], rules: &Rules) -> Vec<Reduced> {
    let question = Question::Laws { given: Arc::new(answers.to_vec()), reduce: Arc::new(Candidates::new(rules)) };
    let seen = Asked { answers: reference, laws: reference, audit: &|| Ok(Arc::default()) }.ask(&question).unwrap();
    let Seen::Laws(laws) = seen else { panic!("no laws") };
    laws
}

fn said(prompt: &[TokenId], answer: &[TokenId]) -> Exchange {
    let query = Query { sampling: Sampling::PLAIN, ..Query::greedy(0, prompt.to_vec(), answer.len()) };
    Exchange { query, answer: answer.to_vec(), stop: Stop::Length }
}

#[test]
fn a_tally_counts_what_was_said_and_what_was_to_be_expected() {
    let rules = rules(1);
    // after 10 the law expects 11, 12, the end (2) and a special token (0); the first place has its context in the prompt
    let law = |at: usize| {
        let mut law = vec![f32::NEG_INFINITY; VOCAB];
        for (id, p) in [(11, 0.5_f32), (12, 0.25), (2, 0.125), (0, 0.0625), (13, 1e-7 * (1.0 + at as f32))] {
            law[id] = p.ln();
        }
        law
    };
    let given = [said(&[1, 10, 12], &[10, 11, 10, 12, 10, 2, 11]), said(&[1, 9], &[10, 11, 0, 11, 12])];
    let reduced = given.each_ref().map(|given| {
        Reduced::new((0..given.answer.len()).map(|at| {
            let mut kept = Vec::new();
            Candidates::new(&rules).reduce(given, at, Law::Whole(&law(at)), &mut kept);
            kept
        }))
    });
    let tally = Tally::of(&given, &reduced, &rules, &Values::Green);
    let found = |context: TokenId, candidate: TokenId| {
        let place = tally
            .met
            .iter()
            .position(|&(item, at, other)| (given[item as usize].answer[at as usize - 1], other) == (context, candidate));
        place.map(|place| (tally.chosen[place], (tally.expected[place] * 1e6).round() / 1e6))
    };
    // three places of the first answer follow a 10, the end token at the third included, and one of the second
    assert_eq!(found(10, 11), Some((2, 2.0)));
    // 10 12 stands in the first prompt: there it is neither chosen nor expected
    assert_eq!(found(10, 12), Some((0, 0.25)));
    assert_eq!((found(11, 10), found(11, 11)), (Some((1, 0.0)), Some((0, 1.5))));
    // 12 follows 11 once; a special token is no candidate and no context, and what is hardly possible is left out
    assert_eq!(
        (found(11, 12), found(10, 2), found(10, 0), found(0, 11), found(10, 13)),
        (Some((1, 0.75)), None, None, None, None)
    );
    assert_eq!(tally.tokens, 5);
}

#[test]
fn candidates_come_back_with_their_probabilities_and_the_most_probable_are_kept() {
    let rules = Rules::new(0, Dedup::Pairs, &ToyCodec::new(160_000));
    let log_probs: Vec<f32> =
        (0..160_000).map(|id| if id % 100 == 7 { (0.4 / f32::from(id as u16 + 1)).ln() } else { -40.0 }).collect();
    let mut kept = Vec::new();
    Candidates::new(&rules).reduce(&said(&[1], &[5]), 0, Law::Whole(&log_probs), &mut kept);
    let whole: Vec<(TokenId, f64)> = kept.iter().map(|kept| Candidates::unpacked(*kept)).collect();
    assert!(whole.len() == 256 && whole.is_sorted_by_key(|(id, _)| *id));
    let mut likely: Vec<f32> = log_probs.clone();
    likely.sort_by(|a, b| b.total_cmp(a));
    for (id, p) in &whole {
        assert!(log_probs[*id as usize] >= likely[255], "{id} is not among the most probable");
        assert!((p - f64::from(log_probs[*id as usize]).exp()).abs() < 1e-9, "{id}: {p}");
    }
    // a law that shows its top only says the same of it
    let ids: Vec<TokenId> = (0..300).filter(|id| id % 100 == 7).collect();
    let top: Vec<f32> = ids.iter().map(|id| log_probs[*id as usize]).collect();
    let mut few = Vec::new();
    Candidates::new(&rules).reduce(&said(&[1], &[5]), 0, Law::Top { ids: &ids, log_probs: &top }, &mut few);
    assert_eq!(few, kept[..3]);
    // certainty is kept as certainty, and a NaN is no probability
    let mut sure = vec![f32::NAN; 10];
    sure[9] = 0.0;
    let mut one = Vec::new();
    Candidates::new(&rules).reduce(&said(&[1], &[5]), 0, Law::Whole(&sure), &mut one);
    assert_eq!(one.iter().map(|kept| Candidates::unpacked(*kept)).collect::<Vec<_>>(), [(9, 1.0)]);
}

#[test]
fn weights_are_those_of_the_formula() {
    let tally = Tally {
        chosen: vec![0, 3, 1, 0, 0, 7, 2, 0, 1],
        expected: vec![0.5, 1.0, 0.25, 0.125, 0.015_625, 3.0, 4.0, 0.031_25, 0.0625],
        met: vec![(0, 0, 0); 9],
        tokens: 14,
    };
    for shrinkage in [0.0, 0.5, 1e3] {
        let weights = Weights::of(&tally, Some(shrinkage));
        let (mut mass, mut all, mut lost, mut kept) = (0.0, 0.0, 0.0, 0);
        for (at, (chosen, expected)) in tally.chosen.iter().zip(&tally.expected).enumerate() {
            let f = 1.0 / (1.0 + shrinkage * expected);
            let exact = f * (f64::from(*chosen) - expected);
            mass += f * expected;
            all += exact * exact;
            if weights.at(at) == 0.0 {
                lost += exact * exact;
            } else {
                assert!((weights.at(at) - exact).abs() < 1e-12, "{at}: {}", weights.at(at));
                kept += 1;
            }
        }
        assert!(lost > 0.0 && lost <= 0.01 * all && kept >= 5, "{lost} of {all}, {kept} weights");
        assert!((weights.mass() - mass).abs() < 1e-12, "{} of {mass}", weights.mass());
        assert_eq!(weights.values().iter().map(|(_, inputs)| inputs).sum::<f64>(), f64::from(kept));
    }
    // an independent search over s2 for nearly these counts ends at the plain score
    assert!(Weights::of(&tally, None).shrinkage < 1e-4);
    // inputs that are far from what was expected count for more when they are shrunk
    let crowded =
        Tally { chosen: vec![400, 1, 1, 1], expected: vec![100.0, 0.5, 0.5, 0.5], met: vec![(0, 0, 0); 4], tokens: 403 };
    assert!(Weights::of(&crowded, None).shrinkage > 1.0);
}

/// Whether `hits` of 2,000 are what a rate of `alpha` gives: error rate 1e-4 on each side by the normal bound, and one more.
fn nominal(hits: usize, alpha: f64) -> bool {
    let (mean, sd) = (2000.0 * alpha, (2000.0 * alpha * (1.0 - alpha)).sqrt());
    (hits as f64 - mean).abs() <= 3.8 * sd + 1.0
}

/// Answers of models that know no key, under 2,000 keys: the approximation has the nominal rates, the bound stays below them, whether every
/// token counts alike, every distinct input, or what the weights choose.
#[test]
fn models_without_a_key_keep_the_level_at_both_ends_of_the_weighting() {
    let rules = rules(1);
    let reference = peaked(50);
    // one has the reference's own law, one a broader one
    let models = [peaked(50), peaked(51), peaked(52), ToyModel { sharpness: 4.0, ..peaked(53) }];
    for (model, values) in
        models.iter().flat_map(|model| [Values::Green, Values::Exponential, Values::Bits].map(|values| (model, values)))
    {
        let answers = answers(model, 60);
        let tally = Tally::of(&answers, &laws(&reference, &answers, &rules), &rules, &values);
        assert!(tally.tokens > 1_000, "{}", tally.tokens);
        for shrinkage in [Some(0.0), Some(1e6), None] {
            let sum = WeightedSum::of(&tally, &answers, &rules, &values, shrinkage);
            let law = sum.law(&values);
            let mut scores = Vec::new();
            let mut under = |index| sum.under(&values.scorer(&Key::decoy(6, index)), &mut scores);
            let found: Vec<[f64; 2]> = (0..2_000)
                .map(&mut under)
                .map(|s| if law.z(s) < 0.5 { [0.0; 2] } else { [law.log10_p(s), sum.log10_bound(&law, s)] })
                .collect();
            for alpha in [0.1, 0.01, 0.001] {
                let [approximate, bounded] = [0, 1].map(|which| found.iter().filter(|p| p[which] <= f64::log10(alpha)).count());
                let what = format!("{values:?}, model {}, {shrinkage:?}, {alpha}: {approximate}, {bounded}", model.seed);
                assert!(nominal(approximate, alpha), "{what}");
                assert!(bounded as f64 <= 2000.0 * alpha, "{what}");
            }
        }
    }
}

/// A list of fixed size is no set of independent values: its bound still holds, and its approximation is right.
#[test]
fn a_list_of_fixed_size_keeps_the_level() {
    let entry = MarkEntry::examples().into_iter().find(|entry| entry.unigram.is_some()).unwrap();
    let lab = Lab::new(&entry);
    let keys: Vec<Key> = (0..2_000).map(|index| Key::decoy(8, index)).collect();
    for seed in 0..2 {
        let model = lab.model(seed);
        let found = lab.judge_under(&keys, &model, model.answer(&lab.audit()).unwrap(), Chance::default()).unwrap();
        for alpha in [0.1, 0.01, 0.001] {
            let at_most = |p: &dyn Fn(&Finding) -> f64| found.iter().filter(|found| p(found) <= f64::log10(alpha)).count();
            let approximate = at_most(&|found| found.metric("score_log10_p").unwrap());
            assert!(nominal(approximate, alpha), "{seed}, {alpha}: {approximate}");
            let bounded = at_most(&|found| found.evidence.log10_p);
            assert!(bounded as f64 <= 2000.0 * alpha, "{seed}, {alpha}: {bounded}");
        }
    }
}

/// Of a model that shows the mark in one answer of eight, the score proves what the count of distinct units does not.
#[test]
fn a_weak_mark_shows_in_the_score_before_the_count() {
    let kgw = crate::watermark::kgw::KgwConfig {
        gamma: 0.25,
        delta: 2.0,
        context_width: 1,
        dedup: Dedup::Pairs,
        test: Default::default(),
    };
    let entry = MarkEntry { kgw: Some(Box::new(kgw)), ..MarkEntry::default() };
    let codec: Arc<dyn oracle::Codec> = Arc::new(ToyCodec::new(VOCAB));
    let reference = peaked(60);
    let (mut scores, mut counts) = (Vec::new(), Vec::new());
    for index in 0..5 {
        let key = Key::decoy(4, index);
        let mark = entry.build(&crate::Owner::new(&key, &codec)).unwrap();
        let [Planting::Law(law)] = &mark.planting()[..] else { panic!("no law") };
        let marked = answers(&ToyModel { processors: vec![law.clone()], ..peaked(60) }, 400);
        let plain = answers(&peaked(60), 400);
        let mixed: Vec<Exchange> =
            (0..400).map(|item| if item % 8 == 0 { marked[item].clone() } else { plain[item].clone() }).collect();
        let suspect = [Seen::Exchanges(Arc::new(mixed))];
        let asked = Asked { answers: &reference, laws: &reference, audit: &|| Ok(Arc::default()) };
        let second: Vec<Seen> =
            mark.follow_up(&suspect).iter().map(|follow_up| asked.ask(&follow_up.question).unwrap()).collect();
        let chance = Chance::default();
        let case = Case { suspect: &suspect, teacher: None, references: &[], second: &second, chance };
        let found = mark.judge(&case).unwrap().remove(0);
        scores.push(found.evidence.log10_p);
        counts.push(found.metric("count_log10_p").unwrap());
        // without the reference there is no test, and no answer is invented
        assert!(mark.judge(&Case { second: &[], ..case }).is_err());
    }
    scores.sort_by(f64::total_cmp);
    counts.sort_by(f64::total_cmp);
    // the bound of the score against the exact p of the count, in the middle of five keys
    assert!(scores[2] < -3.0 && scores[2] < 2.0 * counts[2], "{scores:?} {counts:?}");
}
