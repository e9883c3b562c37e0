use std::sync::Arc;

use oracle::{Exchange, Law, Oracle, Query, Sampling, ServedLaw, Stop, Surface, TokenId};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::candidates::Candidates;
use super::said::{Said, Walked};
use super::tally::Tally;
use crate::key::Purpose;
use crate::keyed::cumulant;
use crate::keyed::rules::{Dedup, Rules};
use crate::keyed::scheme::{KeyedValues, Scorer, units_of};
use crate::keyed::siphash::{self, SipState};
use crate::testing::{ToyCodec, ToyModel};
use crate::{Asked, Key, Question, Reduce, Reduced, Seen, no_texts};

mod effect;
mod level;
mod weights;

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
                    Self::Exponential => -libm::log((f64::from(!draw) + 0.5) / 2f64.powi(32)),
                    Self::Bits => f64::from(draw.count_ones()),
                };
            }
        })
    }
}

impl KeyedValues for Values {
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
    let seen =
        Asked { answers: reference, laws: reference, audit: &|| Ok(Arc::default()), marked: &no_texts }.ask(&question).unwrap();
    let Seen::Laws(laws) = seen else { panic!("no laws") };
    laws
}

/// The tally of all that was `said`.
fn tallied(said: &Said<'_>) -> Tally {
    let walked = Walked::of(*said);
    Tally::of(&walked, &walked.inputs(None))
}

/// Answers judged by `references`.
fn judged_by<'a>(
    answers: &'a [Exchange],
    references: &'a [&'a [Reduced]],
    rules: &'a Rules,
    keyed: &'a dyn KeyedValues,
) -> Said<'a> {
    Said { answers, references, suspect: None, places: None, rules, keyed, drawn: false, contexts: None }
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
            law[id] = libm::logf(p);
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
    let tally = tallied(&judged_by(&given, &[&reduced], &rules, &Values::Green));
    let found = |context: TokenId, candidate: TokenId| {
        let place = tally
            .met
            .iter()
            .position(|&(item, at, other)| (given[item as usize].answer[at as usize - 1], other) == (context, candidate));
        place.map(|place| (tally.chosen[place] as u32, (tally.expected[0][place] * 1e6).round() / 1e6))
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
        (0..160_000).map(|id| if id % 100 == 7 { libm::logf(0.4 / f32::from(id as u16 + 1)) } else { -40.0 }).collect();
    let mut kept = Vec::new();
    Candidates::new(&rules).reduce(&said(&[1], &[5]), 0, Law::Whole(&log_probs), &mut kept);
    let whole: Vec<(TokenId, f64)> = kept.iter().map(|kept| Candidates::unpacked(*kept)).collect();
    assert!(whole.len() == 256 && whole.is_sorted_by_key(|(id, _)| *id));
    let mut likely: Vec<f32> = log_probs.clone();
    likely.sort_by(|a, b| b.total_cmp(a));
    for (id, p) in &whole {
        assert!(log_probs[*id as usize] >= likely[255], "{id} is not among the most probable");
        assert!((p - libm::exp(f64::from(log_probs[*id as usize]))).abs() < 1e-9, "{id}: {p}");
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
