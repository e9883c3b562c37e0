//! Gumbel-max sampling with keyed noise. Aaronson, *Watermarking of Large Language Models*, talk at the Simons Institute, 2022.
//! Methods a3.
//!
//! Each candidate of each context has a keyed uniform number u, and the drawn token is the one with the largest
//! ln q + (-ln(-ln u)): over keys that is a draw from the law q itself, and under one key it is a function of the context. A
//! token is scored by -ln(1 - u): Exp(1) when the text has nothing to do with the key, larger where the mark chose it. u has 32
//! bits and sits in the middle of its step, so that a score is at most 22.9.

use std::sync::Arc;

use oracle::{ConfigError, LogitsProcessor, Row, Stage, Step, TokenId};
use serde::{Deserialize, Serialize};
use stats::null::{Exponential, Null};

use crate::key::Purpose;
use crate::keyed::cumulant;
use crate::keyed::masking::{self, marked_context};
use crate::keyed::race::{self, Uniform};
use crate::keyed::scheme::units_of;
use crate::keyed::siphash::{self, SipState};
use crate::keyed::{Dedup, Keyed, KeyedTest, KeyedValues, Rules, Scheme, Scorer};
use crate::{Claim, Family, Key, Mark, MarkConfig, MarkError, MarkInfo, Needs, Owner, identity};

const KIND: &str = "gumbel";

/// Parameters of the Gumbel-max watermark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GumbelConfig {
    /// Number of tokens before the next one that choose its noise, 0 to 5.
    pub context_width: usize,
    /// Whether a token whose context stood before an earlier token of the same answer is drawn unmarked. Without it, answers
    /// run in loops where the law is broad. Needs a context of at least one token.
    pub mask_repeats: bool,
    /// Which scored units count once: every pair of context and token, or every context.
    #[serde(default)]
    pub dedup: Dedup,
    /// Which test decides.
    #[serde(default, skip_serializing_if = "KeyedTest::is_default")]
    pub test: KeyedTest,
}

impl MarkConfig for GumbelConfig {
    fn info(&self) -> MarkInfo {
        MarkInfo {
            name: KIND,
            family: Family::Watermark,
            needs: self.test.access(),
            claim: Claim::Distillation,
            planted: true,
            compares: false,
            key_label: "watermark gumbel",
            source: "Aaronson, Watermarking of Large Language Models, Simons Institute 2022, simons.berkeley.edu",
            summary: "keyed Gumbel noise draws each token: every law is kept on average over keys",
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        self.test.validate()?;
        masking::check(self.context_width, self.mask_repeats, 2)
    }

    fn needs(&self) -> Needs {
        Needs { lives_in_the_draw: true, ..self.test.of_a_draw().needs(self.context_width) }
    }

    fn build(&self, owner: &Owner<'_>) -> Result<Arc<dyn Mark>, MarkError> {
        // how text is scored changes nothing that is drawn
        let name = identity(&Self { dedup: Dedup::default(), test: KeyedTest::default(), ..self.clone() }, owner.key);
        let &Self { context_width, mask_repeats, dedup, .. } = self;
        let sampler = Arc::new(Sampler { name, state: state(owner.key), context_width, mask_repeats });
        let rules = Rules::new(context_width, dedup, &**owner.codec);
        Ok(Arc::new(Keyed::new(Gumbel { rules, sampler }, owner.key).judged_by(&self.test.of_a_draw())))
    }

    fn examples() -> Vec<Self> {
        let example = Self { context_width: 2, mask_repeats: true, dedup: Dedup::Pairs, test: KeyedTest::default() };
        vec![example.clone(), Self { context_width: 4, mask_repeats: false, dedup: Dedup::Contexts, ..example }]
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        vec![("context_width", "6"), ("context_width", "0")]
    }

    /// The count: the score would need laws too.
    fn timed() -> Vec<(String, Self)> {
        Self::examples().into_iter().take(1).map(|example| (String::new(), Self { test: KeyedTest::Count, ..example })).collect()
    }

    fn small(&self) -> Self {
        self.clone()
    }

    fn planted(&self) -> Self {
        Self { test: KeyedTest::default(), ..self.clone() }
    }
}

fn state(key: &Key) -> SipState {
    SipState::new(&key.sip_key(Purpose::Kind(KIND)))
}

/// The middle of a draw's step.
struct Middle;

impl Uniform for Middle {
    #[inline(always)]
    fn uniform(draw: u32) -> f64 {
        // exact, as f64::from(draw) is, by operations that AVX2 has: 2^52 plus the draw has it in its lowest bits
        let whole = f64::from_bits(0x4330_0000_0000_0000 | u64::from(draw)) - 4_503_599_627_370_496.0;
        (whole + 0.5) * (1.0 / 4_294_967_296.0)
    }

    #[inline(always)]
    fn above(draw: u32) -> f64 {
        Self::uniform(!draw)
    }
}

/// The middle of a draw's step: u, inside (0, 1).
pub(crate) fn uniform(draw: u32) -> f64 {
    Middle::uniform(draw)
}

/// -ln(1 - u) of each draw.
pub(crate) fn scores_of(draws: &[u32], scores: &mut [f64]) {
    race::scores::<Middle>(draws, scores);
}

/// The place of the largest logit - ln(-ln u); the first among equals, none where every logit is -inf or NaN.
pub(crate) fn winner(logits: &[f32], draws: &[u32]) -> Option<usize> {
    race::winner::<Middle>(logits, draws)
}

struct Gumbel {
    rules: Rules,
    sampler: Arc<Sampler>,
}

impl Scheme for Gumbel {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn rules(&self) -> &Rules {
        &self.rules
    }

    fn null(&self) -> Box<dyn Null> {
        Box::new(Exponential)
    }

    fn scorer(&self, key: &Key) -> Scorer {
        let (state, width) = (state(key), self.rules.context_width + 1);
        Box::new(move |windows, scores| {
            let mut draws = vec![0; scores.len()];
            siphash::windows(state, windows, width, &mut draws);
            scores_of(&draws, scores);
        })
    }

    fn processor(&self) -> Arc<dyn LogitsProcessor> {
        self.sampler.clone()
    }

    fn keyed(&self) -> Option<&dyn KeyedValues> {
        Some(self)
    }
}

/// -ln(1 - u) of each candidate.
impl KeyedValues for Gumbel {
    fn values(&self, key: &Key, context: &[TokenId], candidates: &[TokenId], out: &mut [f64]) {
        self.scorer(key)(&units_of(context, candidates), out);
    }

    fn cumulant(&self, lambda: f64, weight: f64) -> [f64; 3] {
        cumulant::exponential(lambda, weight)
    }
}

/// Leaves one token in the law: the winner of the keyed race among all tokens that are left after truncation. Special tokens
/// race like others, so that an answer ends with the probability it would have had without the mark, averaged over keys.
///
/// The law is left as it is where the context is longer than the text, at temperature 0, whose answers are not drawn, and at
/// repeated contexts if these are masked. The first tokens of an answer have contexts in the prompt; detection never scores them.
struct Sampler {
    name: String,
    state: SipState,
    context_width: usize,
    mask_repeats: bool,
}

impl LogitsProcessor for Sampler {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn stage(&self) -> Stage {
        Stage::AfterTruncation
    }

    fn process(&self, step: &Step<'_>, row: Row<'_>) {
        if let Some(winner) = self.chosen(step, row.logits) {
            race::leave(row.logits, winner as usize);
        }
    }

    fn chosen(&self, step: &Step<'_>, logits: &[f32]) -> Option<TokenId> {
        let context = marked_context(step, self.context_width, self.mask_repeats)?;
        let mut draws = vec![0; logits.len()];
        siphash::all_tokens(self.state, context, &mut draws);
        winner(logits, &draws).map(|place| place as TokenId)
    }
}

#[cfg(test)]
mod tests {
    use oracle::{Oracle, Query, Sampling};

    use super::*;
    use crate::Planting;
    use crate::testing::{ToyCodec, ToyModel};

    fn law(config: &GumbelConfig, key: &Key) -> Arc<dyn LogitsProcessor> {
        let codec: Arc<dyn oracle::Codec> = Arc::new(ToyCodec::new(512));
        let Planting::Law(law) = config.build(&Owner::new(key, &codec)).unwrap().planting().remove(0) else { panic!("no law") };
        law
    }

    fn plain(context_width: usize) -> GumbelConfig {
        GumbelConfig { context_width, mask_repeats: false, dedup: Dedup::Pairs, test: KeyedTest::default() }
    }

    /// The one token that is left of `q` after `tokens`.
    fn drawn(law: &dyn LogitsProcessor, q: &[f64], tokens: &[TokenId]) -> usize {
        let query = Query { sampling: Sampling::PLAIN, ..Query::greedy(0, tokens.to_vec(), 1) };
        // a law is known up to a factor
        let mut logits: Vec<f32> = q.iter().map(|q| libm::log(*q) as f32 + 3.0).collect();
        law.process(&Step { query: &query, tokens }, Row::alone(&mut logits));
        let left: Vec<usize> = (0..q.len()).filter(|&token| logits[token] > f32::NEG_INFINITY).collect();
        assert_eq!(left.len(), 1);
        left[0]
    }

    /// H_x = integral over t in 0..1 of (1 - t^x) / (1 - t), by the midpoint rule.
    fn harmonic(x: f64) -> f64 {
        let steps = 200_000;
        let at = |step: u32| (f64::from(step) + 0.5) / f64::from(steps);
        (0..steps).map(|step| (1.0 - libm::pow(at(step), x)) / (1.0 - at(step))).sum::<f64>() / f64::from(steps)
    }

    fn score(draw: u32) -> f64 {
        -libm::log(Middle::above(draw))
    }

    const Q: [f64; 6] = [0.4, 0.25, 0.2, 0.1, 0.05, 0.0];

    #[test]
    fn scores_of_a_known_law_have_the_mean_of_theory_and_tokens_its_probabilities() {
        assert!((harmonic(2.0) - 1.5).abs() < 1e-9 && (harmonic(4.0) - 25.0 / 12.0).abs() < 1e-9);
        let expected: f64 = Q.iter().filter(|q| **q > 0.0).map(|q| q * harmonic(1.0 / q)).sum();
        let key = Key::decoy(1, 1);
        let (law, state) = (law(&plain(2), &key), state(&key));
        let (n, mut counts, mut sum, mut squares) = (40_000_u32, [0.0; 6], 0.0, 0.0);
        for i in 0..n {
            // contexts differ, so that their noise is independent
            let context = [i, 7 * i + 1];
            let token = drawn(&*law, &Q, &context);
            counts[token] += 1.0;
            let mut draw = [0];
            siphash::windows(state, &[context[0], context[1], token as TokenId], 3, &mut draw);
            sum += score(draw[0]);
            squares += score(draw[0]).powi(2);
        }
        let n = f64::from(n);
        let (mean, sd) = (sum / n, (squares / n - (sum / n).powi(2)).sqrt());
        // 4 standard errors, error rate 1e-4 each
        assert!((mean - expected).abs() < 4.0 * sd / n.sqrt(), "{mean}, {expected} by theory");
        for (count, q) in counts.iter().zip(Q) {
            assert!((count - n * q).abs() <= 4.0 * (n * q * (1.0 - q)).sqrt(), "{counts:?}");
        }
    }

    #[test]
    fn the_law_is_kept_on_average_over_keys() {
        let mut counts = [0.0; 6];
        for index in 0..10_000 {
            counts[drawn(&*law(&plain(1), &Key::decoy(2, index)), &Q, &[1, 9])] += 1.0;
        }
        for (count, q) in counts.iter().zip(Q) {
            assert!((count - 10_000.0 * q).abs() <= 4.0 * (10_000.0 * q * (1.0 - q)).sqrt(), "{counts:?}");
        }
    }

    /// The race that skips logarithms has the winner of the one that takes them all.
    #[test]
    fn the_winner_is_the_largest_of_all() {
        for index in 0..300 {
            let toy = ToyModel { sharpness: 20.0, end_logit: 5.0, ..ToyModel::new(400, index) };
            let logits = toy.logits(&[1, 2]);
            let mut draws = vec![0; 400];
            siphash::all_tokens(state(&Key::decoy(3, index)), &[4], &mut draws);
            let raced = |place: usize| f64::from(logits[place]) - libm::log(-libm::log(uniform(draws[place])));
            let slow = (0..400).reduce(|best, place| if raced(place) > raced(best) { place } else { best });
            assert_eq!(winner(&logits, &draws), slow);
        }
        assert_eq!(winner(&[f32::NEG_INFINITY; 3], &[1, 2, 3]), None);
        assert!(score(u32::MAX) < 23.0 && score(0) > 0.0 && uniform(u32::MAX) < 1.0);
    }

    /// A broad law with noise of one token of context soon comes back to a token and then to all that followed it.
    #[test]
    fn masked_repeats_do_not_loop() {
        let repeated = |mask_repeats| {
            let law = law(&GumbelConfig { mask_repeats, ..plain(1) }, &Key::decoy(4, 0));
            let toy = ToyModel { order: 0, sharpness: 0.1, processors: vec![law], ..ToyModel::new(64, 1) };
            let ask = |index| Query { sampling: Sampling::PLAIN, ..Query::greedy(index, vec![1, 3 + index as u32], 200) };
            let answers = toy.answer(&(0..20).map(ask).collect::<Vec<_>>()).unwrap();
            let distinct = answers.iter().map(|said| said.answer.iter().collect::<std::collections::BTreeSet<_>>().len());
            distinct.sum::<usize>() as f64 / 20.0
        };
        let (looping, masked) = (repeated(false), repeated(true));
        assert!(looping < 30.0 && masked > 50.0, "{looping} and {masked} of 61 tokens in 200");
    }

    #[test]
    fn greedy_answers_and_short_texts_are_unmarked() {
        let law = law(&plain(3), &Key::decoy(5, 0));
        for (tokens, temperature, marked) in [(&[1, 2, 3][..], 1.0, true), (&[1, 2, 3], 0.0, false), (&[1, 2], 1.0, false)] {
            let sampling = Sampling { temperature, ..Sampling::PLAIN };
            let query = Query { sampling, ..Query::greedy(0, tokens.to_vec(), 1) };
            let mut logits = vec![0.0; 50];
            law.process(&Step { query: &query, tokens }, Row::alone(&mut logits));
            assert_eq!(logits.iter().filter(|logit| **logit == 0.0).count(), if marked { 1 } else { 50 });
        }
    }
}
