//! SynthID-Text's tournament. Dathathri et al., *Scalable watermarking for identifying large language model outputs*, Nature 634
//! (2024). Methods a5.
//!
//! Every pair of context and candidate has keyed fair bits, one for each layer. A layer lets two draws from the law meet and
//! keeps the one with the larger bit; for all tokens at once that is q_i (1 + g_i - sum of g_j q_j), so that the law is kept on
//! average over keys. All bits of a pair come from one SipHash of it, not from a hash for each layer as in the authors' code.

use std::sync::Arc;

use oracle::{ConfigError, LogitsProcessor, Row, Stage, Step, TokenId};
use serde::{Deserialize, Serialize};
use stats::Evidence;
use stats::null::{Bits, Null, WeightedBits};

use crate::key::Purpose;
use crate::keyed::cumulant;
use crate::keyed::left_law::change_left;
use crate::keyed::masking::{self, marked_context};
use crate::keyed::scheme::units_of;
use crate::keyed::siphash::{self, SipState};
pub use crate::keyed::tournament::Score;
use crate::keyed::tournament::{SYNTHID_TOP_K, tournament};
use crate::keyed::{Dedup, Keyed, KeyedTest, KeyedValues, Rules, Scheme, Scorer, Skipped};
use crate::{Claim, Family, Key, Mark, MarkConfig, MarkError, MarkInfo, Needs, Owner, identity};

const KIND: &str = "synthid";

/// Most layers; a pair's hash has 32 bits.
const MAX_LAYERS: u32 = 30;

/// Parameters of the SynthID-Text watermark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SynthidConfig {
    /// Layers of the tournament, 1 to 30.
    pub layers: u32,
    /// Number of tokens before the next one that choose its bits, 0 to 5.
    pub context_width: usize,
    /// Whether a token whose context stood before an earlier token of the same answer is drawn unmarked. Needs a context of at
    /// least one token.
    pub mask_repeats: bool,
    /// What a unit scores.
    #[serde(default)]
    pub score: Score,
    /// Which scored units count once: every pair of context and token, or every context.
    #[serde(default)]
    pub dedup: Dedup,
    /// Which test decides.
    #[serde(default, skip_serializing_if = "KeyedTest::is_default")]
    pub test: KeyedTest,
}

impl MarkConfig for SynthidConfig {
    fn info(&self) -> MarkInfo {
        MarkInfo {
            name: KIND,
            family: Family::Watermark,
            needs: self.test.access(),
            claim: Claim::Distillation,
            planted: true,
            compares: false,
            key_label: "watermark synthid",
            source: "Dathathri et al., Scalable watermarking for identifying large language model outputs, Nature 634, 2024",
            summary: "tournament over keyed bits draws each token: every law is kept on average over keys",
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if !(1..=MAX_LAYERS).contains(&self.layers) {
            return Err(ConfigError::new("layers", self.layers, format!("use 1 to {MAX_LAYERS} layers, for example 30")));
        }
        self.test.validate()?;
        masking::check(self.context_width, self.mask_repeats, 4)
    }

    fn needs(&self) -> Needs {
        Needs { lives_in_the_draw: true, ..self.test.of_a_draw().needs(self.context_width) }
    }

    fn build(&self, owner: &Owner<'_>) -> Result<Arc<dyn Mark>, MarkError> {
        // how text is scored changes nothing that is drawn
        let name = identity(
            &Self { score: Score::default(), dedup: Dedup::default(), test: KeyedTest::default(), ..self.clone() },
            owner.key,
        );
        let &Self { layers, context_width, mask_repeats, score, dedup, .. } = self;
        let tournament = Arc::new(Tournament { name, state: state(owner.key), layers, context_width, mask_repeats });
        let rules = Rules::new(context_width, dedup, &**owner.codec);
        Ok(Arc::new(
            Keyed::new(Synthid { rules, score, weights: score.weights(layers), tournament }, owner.key)
                .judged_by(&self.test.of_a_draw()),
        ))
    }

    fn examples() -> Vec<Self> {
        let example = Self {
            layers: 30,
            context_width: 2,
            mask_repeats: true,
            score: Score::Mean,
            dedup: Dedup::Pairs,
            test: KeyedTest::default(),
        };
        let weighted = Self { layers: 12, context_width: 4, score: Score::WeightedMean, ..example.clone() };
        vec![example, Self { mask_repeats: false, dedup: Dedup::Contexts, ..weighted }]
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        vec![("layers", "0"), ("layers", "31"), ("context_width", "6"), ("context_width", "0")]
    }

    /// The count: the score would need laws too.
    fn timed() -> Vec<(String, Self)> {
        Self::examples().into_iter().take(1).map(|example| (String::new(), Self { test: KeyedTest::Count, ..example })).collect()
    }

    fn published_top_k(&self) -> usize {
        SYNTHID_TOP_K
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

struct Synthid {
    rules: Rules,
    score: Score,
    weights: Vec<f64>,
    tournament: Arc<Tournament>,
}

impl Scheme for Synthid {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn rules(&self) -> &Rules {
        &self.rules
    }

    fn null(&self) -> Box<dyn Null> {
        match self.score {
            Score::Mean => Box::new(Bits { per_unit: self.tournament.layers }),
            Score::WeightedMean => Box::new(WeightedBits::new(self.weights.clone())),
        }
    }

    fn scorer(&self, key: &Key) -> Scorer {
        let (state, width, weights) = (state(key), self.rules.context_width + 1, self.weights.clone());
        let counted = (self.score == Score::Mean).then_some(u32::MAX >> (32 - self.tournament.layers.clamp(1, 32)));
        Box::new(move |windows, scores| {
            let mut draws = vec![0; scores.len()];
            siphash::windows(state, windows, width, &mut draws);
            if let Some(layers) = counted {
                for (score, draw) in scores.iter_mut().zip(draws) {
                    *score = f64::from((draw & layers).count_ones());
                }
                return;
            }
            for (score, draw) in scores.iter_mut().zip(draws) {
                *score = weights.iter().enumerate().map(|(layer, weight)| weight * f64::from(draw >> layer & 1)).sum();
            }
        })
    }

    fn processor(&self) -> Arc<dyn LogitsProcessor> {
        self.tournament.clone()
    }

    fn effect_unit(&self) -> &'static str {
        match self.score {
            Score::Mean => "share of ones above one half",
            Score::WeightedMean => "weighted share of ones above one half",
        }
    }

    fn words(&self, evidence: &Evidence, _skipped: &Skipped) -> String {
        format!("{:.1} % ones in {} scored units", 100.0 * (0.5 + evidence.effect), evidence.n)
    }

    fn keyed(&self) -> Option<&dyn KeyedValues> {
        Some(self)
    }
}

/// The score of each candidate.
impl KeyedValues for Synthid {
    fn values(&self, key: &Key, context: &[TokenId], candidates: &[TokenId], out: &mut [f64]) {
        self.scorer(key)(&units_of(context, candidates), out);
    }

    fn cumulant(&self, lambda: f64, weight: f64) -> [f64; 3] {
        cumulant::bits(&self.weights, lambda, weight)
    }
}

/// Applies the tournament to the law that is left after truncation. Special tokens take part like others, so that an answer ends
/// with the probability it would have had without the mark, averaged over keys.
///
/// The law is left as it is where the context is longer than the text, at temperature 0, whose answers are not drawn, and at
/// repeated contexts if these are masked. The first tokens of an answer have contexts in the prompt; detection never scores them.
struct Tournament {
    name: String,
    state: SipState,
    layers: u32,
    context_width: usize,
    mask_repeats: bool,
}

impl LogitsProcessor for Tournament {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn stage(&self) -> Stage {
        Stage::AfterTruncation
    }

    fn process(&self, step: &Step<'_>, row: Row<'_>) {
        let Some(context) = marked_context(step, self.context_width, self.mask_repeats) else { return };
        let vocab = row.logits.len();
        change_left(row.logits, f32::NEG_INFINITY, |left, q| {
            let draws = siphash::some_tokens(self.state, context, left, vocab);
            tournament(q, &draws, self.layers);
        });
    }
}

#[cfg(test)]
mod tests {
    use oracle::{Query, Sampling};

    use super::*;
    use crate::Planting;
    use crate::testing::ToyCodec;

    const Q: [f64; 6] = [0.4, 0.25, 0.2, 0.1, 0.05, 0.0];

    /// `Q` as it is served after `tokens`.
    fn served(config: &SynthidConfig, key: &Key, tokens: &[TokenId], temperature: f32) -> Vec<f64> {
        let codec: Arc<dyn oracle::Codec> = Arc::new(ToyCodec::new(512));
        let Planting::Law(law) = config.build(&Owner::new(key, &codec)).unwrap().planting().remove(0) else { panic!("no law") };
        let query = Query { sampling: Sampling { temperature, ..Sampling::PLAIN }, ..Query::greedy(0, tokens[..1].to_vec(), 9) };
        let mut logits: Vec<f32> = Q.iter().map(|q| libm::log(*q) as f32 + 3.0).collect();
        law.process(&Step { query: &query, tokens }, Row::alone(&mut logits));
        let weights: Vec<f64> = logits.iter().map(|&logit| libm::exp(f64::from(logit))).collect();
        weights.iter().map(|weight| weight / weights.iter().sum::<f64>()).collect()
    }

    fn unmarked(law: &[f64]) -> bool {
        law.iter().zip(Q).all(|(p, q)| (p - q).abs() < 1e-6)
    }

    #[test]
    fn the_law_is_kept_on_average_over_keys_and_not_under_each() {
        let [example, _] = &SynthidConfig::examples()[..] else { panic!("two examples") };
        let (n, mut sums, mut squares) = (4_000_u32, [0.0; 6], [0.0; 6]);
        for index in 0..n {
            let law = served(example, &Key::decoy(1, u64::from(index)), &[1, 8, 9], 1.0);
            for (token, p) in law.into_iter().enumerate() {
                sums[token] += p;
                squares[token] += p * p;
            }
        }
        for (token, q) in Q.into_iter().enumerate() {
            let mean = sums[token] / f64::from(n);
            let sd = (squares[token] / f64::from(n) - mean * mean).max(0.0).sqrt();
            // 4 standard errors, error rate 1e-4; most laws are nearly decided after 30 layers
            assert!((mean - q).abs() <= 4.0 * sd / f64::from(n).sqrt(), "{token}: {mean} for {q}");
            assert!(q == 0.0 || sd > 0.4 * (q * (1.0 - q)).sqrt(), "{token}: {sd}");
        }
    }

    #[test]
    fn repeats_greedy_answers_and_short_texts_are_unmarked() {
        let [masked, _] = &SynthidConfig::examples()[..] else { panic!("two examples") };
        let open = SynthidConfig { mask_repeats: false, ..masked.clone() };
        let law = |config, tokens: &[TokenId], temperature| served(config, &Key::decoy(2, 0), tokens, temperature);
        // the prompt is the first token: 8 9 stood before 8, an answer token
        let again = [1, 8, 9, 8, 9];
        assert!(unmarked(&law(masked, &again, 1.0)) && !unmarked(&law(&open, &again, 1.0)));
        assert!(!unmarked(&law(masked, &again[..4], 1.0)));
        assert!(unmarked(&law(&open, &again, 0.0)) && unmarked(&law(&open, &again[..1], 1.0)));
    }
}
