use std::collections::HashMap;
use std::sync::Arc;

use oracle::{
    Exchange, Law, LawSink, LogitsProcessor, Matrix, OpenModel, Oracle, OracleError, Query, Role, Row, Sampling, ScoreItem,
    ServedLaw, Stage, Step, Stop, Surface, TokenId,
};
use pulp::{Arch, Simd, WithSimd};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use siphasher::sip::SipHasher24;

use crate::keyed::siphash::{self, SipState};

/// A model whose logits are a hash of (seed, last `order` tokens, token), with whole sequences known by heart if told so.
#[derive(Clone)]
pub struct ToyModel {
    /// Number of token ids; 0, 1 and 2 are padding, beginning and end.
    pub vocab: usize,
    /// Names the law.
    pub seed: u64,
    /// Number of tokens that the next one depends on.
    pub order: usize,
    /// Logits are uniform in 0..sharpness.
    pub sharpness: f32,
    /// Logit of the end token; -inf never ends.
    pub end_logit: f32,
    /// Sequences it knows by heart, and what is added to the logit of the next token of one that it recognises by its
    /// last three tokens.
    pub memory: Vec<(Vec<TokenId>, f32)>,
    /// What it shows.
    pub surface: Surface,
    /// What changes its law.
    pub processors: Vec<Arc<dyn LogitsProcessor>>,
    /// Whether its inside may be looked at.
    pub opened: bool,
    /// Names what its states hold: models of one view hold the same, each in coordinates of its own.
    pub view: u64,
}

impl ToyModel {
    /// A model of the last two tokens that shows its text, never ends, and has learned nothing by heart.
    pub fn new(vocab: usize, seed: u64) -> Self {
        Self {
            vocab,
            seed,
            order: 2,
            sharpness: 3.0,
            end_logit: f32::NEG_INFINITY,
            memory: Vec::new(),
            surface: Surface::Text,
            processors: Vec::new(),
            opened: false,
            view: seed,
        }
    }

    /// The model's own logits after `before`: length `vocab`.
    pub fn logits(&self, before: &[TokenId]) -> Vec<f32> {
        let context = &before[before.len().saturating_sub(self.order)..];
        let bytes: Vec<u8> = context.iter().flat_map(|id| id.to_le_bytes()).collect();
        let base = SipHasher24::new_with_keys(self.seed, 0).hash(&bytes);
        let key = u128::from(self.seed) | u128::from(base) << 64;
        let mut hashes = vec![0; self.vocab];
        siphash::numbers(SipState::new(&key.to_le_bytes()), &mut hashes);
        let mut logits: Vec<f32> =
            hashes.into_iter().map(|hash| (hash >> 40) as f32 / (1 << 24) as f32 * self.sharpness).collect();
        logits[0] = f32::NEG_INFINITY;
        logits[1] = f32::NEG_INFINITY;
        logits[2] = self.end_logit;
        for (sequence, weight) in &self.memory {
            if let Some(window) = sequence.windows(4).find(|window| before.ends_with(&window[..3])) {
                logits[window[3] as usize] += weight;
            }
        }
        logits
    }

    fn process(&self, stage: Stage, step: &Step<'_>, logits: &mut [f32]) {
        for processor in self.processors.iter().filter(|processor| processor.stage() == stage) {
            processor.process(step, Row::alone(logits));
        }
    }

    /// The logits that the next token is drawn from.
    fn served(&self, step: &Step<'_>, sampling: &Sampling, law: ServedLaw) -> Vec<f32> {
        let mut logits = self.logits(step.tokens);
        let keyed = law == ServedLaw::PostWatermark;
        if keyed {
            self.process(Stage::BeforeTemperature, step, &mut logits);
        }
        if sampling.temperature > 0.0 {
            logits.iter_mut().for_each(|logit| *logit /= sampling.temperature);
        }
        assert!(sampling.min_p == 0.0 && sampling.order.is_default(), "a toy model knows no min_p, and one order");
        truncate(&mut logits, sampling.top_k, sampling.top_p);
        if keyed {
            self.process(Stage::AfterTruncation, step, &mut logits);
        }
        logits
    }

    fn next(&self, step: &Step<'_>, uniform: f64) -> TokenId {
        let sampling = &step.query.sampling;
        let logits = self.served(step, sampling, ServedLaw::PostWatermark);
        if sampling.temperature == 0.0 {
            let best = (0..logits.len()).reduce(|best, id| if logits[id] > logits[best] { id } else { best });
            return best.unwrap_or_default() as TokenId;
        }
        let law = softmax(&logits);
        let mut mass = 0.0;
        let mut last = 0;
        for (id, &probability) in law.iter().enumerate().filter(|&(_, &probability)| probability > 0.0) {
            mass += probability;
            last = id;
            if uniform < mass {
                break;
            }
        }
        last as TokenId
    }

    /// Natural-log probabilities at every position of `answer` after `query`'s prompt, under the law that the surface shows.
    fn shown(&self, query: &Query, answer: &[TokenId], law: ServedLaw, sink: &mut dyn FnMut(usize, &[f32])) {
        let mut tokens = query.prompt.clone();
        for (position, &token) in answer.iter().enumerate() {
            let step = Step { query, tokens: &tokens };
            let plain = if query.sampling.temperature == 0.0 { Sampling::PLAIN } else { query.sampling };
            let mut log_probs = self.served(&step, &plain, law);
            let (largest, total) = (largest(&log_probs), weights(&log_probs).iter().sum::<f64>());
            let mass = libm::log(total);
            log_probs.iter_mut().for_each(|logit| *logit = (f64::from(*logit - largest) - mass) as f32);
            self.process(Stage::Shown, &step, &mut log_probs);
            sink(position, &log_probs);
            tokens.push(token);
        }
    }

    fn law(&self) -> Result<ServedLaw, OracleError> {
        match &self.surface {
            Surface::TopLogprobs { law, .. } | Surface::Logits { law } => Ok(*law),
            // without a tokenizer it knows no label
            Surface::GreedyText | Surface::Text | Surface::Label { .. } => Err(OracleError::NotShown {
                surface: self.surface.name().to_string(),
                asked: "log-probabilities",
                instead: "logits",
            }),
        }
    }
}

fn largest(logits: &[f32]) -> f32 {
    logits.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

/// Probabilities of `logits`, not yet divided by their sum.
fn weights(logits: &[f32]) -> Vec<f64> {
    let mut weights = vec![0.0; logits.len()];
    Arch::new().dispatch(Weights { logits, largest: largest(logits), weights: &mut weights });
    weights
}

/// [`weights`] by the vector instructions that there are; each number is computed by itself, so that bits do not depend on these.
struct Weights<'a> {
    logits: &'a [f32],
    largest: f32,
    weights: &'a mut [f64],
}

impl WithSimd for Weights<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        for (weight, &logit) in self.weights.iter_mut().zip(self.logits) {
            *weight = exp(f64::from(logit - self.largest));
        }
    }
}

/// Probabilities of `logits`.
fn softmax(logits: &[f32]) -> Vec<f64> {
    let mut weights = weights(logits);
    let total: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= total);
    weights
}

/// exp of a number that is at most 0, within 1e-15 of its size; 0 below -700. It is most of what a toy model does, and this one the compiler can
/// turn into vector instructions: 2^n times the Taylor sum of what is left.
#[inline(always)]
fn exp(x: f64) -> f64 {
    // 1 / n! for n = 13, 12, ..., 0
    const TAYLOR: [f64; 14] = {
        let (mut terms, mut n, mut factorial) = ([1.0; 14], 0, 1.0);
        while n < 14 {
            if n > 0 {
                factorial *= n as f64;
            }
            terms[13 - n] = 1.0 / factorial;
            n += 1;
        }
        terms
    };
    // adding and taking off rounds to the nearest whole number, which then stands in the lowest bits
    const ROUND: f64 = 1.5 * (1u64 << 52) as f64;
    // ln 2 in two parts, the first of 32 bits: its products with whole numbers are exact
    const LN_2: [f64; 2] = [0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10];
    let shifted = x.max(-700.0) * std::f64::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let rest = x.max(-700.0) - n * LN_2[0] - n * LN_2[1];
    let sum = TAYLOR.iter().fold(0.0, |sum, term| sum * rest + term);
    let power = f64::from_bits((shifted.to_bits() << 52).wrapping_add(1023 << 52));
    if x < -700.0 { 0.0 } else { sum * power }
}

fn truncate(logits: &mut [f32], top_k: usize, top_p: f32) {
    if top_k == 0 && top_p >= 1.0 {
        return;
    }
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    let mut keep = if top_k == 0 { order.len() } else { top_k.min(order.len()) };
    if top_p < 1.0 {
        let kept: Vec<f32> = order[..keep].iter().map(|&id| logits[id]).collect();
        let mut mass = 0.0;
        let enough = softmax(&kept).iter().position(|&probability| {
            mass += probability;
            mass >= f64::from(top_p)
        });
        keep = enough.map_or(keep, |last| last + 1);
    }
    for &id in &order[keep..] {
        logits[id] = f32::NEG_INFINITY;
    }
}

impl Oracle for ToyModel {
    fn surface(&self) -> &Surface {
        &self.surface
    }

    fn vocab_size(&self) -> usize {
        self.vocab
    }

    fn answer(&self, queries: &[Query]) -> Result<Vec<Exchange>, OracleError> {
        let answer = |query: &Query| {
            let mut rng = ChaCha8Rng::seed_from_u64(query.seed);
            let mut tokens = query.prompt.clone();
            let mut stop = Stop::Length;
            while tokens.len() < query.prompt.len() + query.max_new_tokens && stop == Stop::Length {
                let token = self.next(&Step { query, tokens: &tokens }, rng.random::<f64>());
                tokens.push(token);
                if token == 2 {
                    stop = Stop::EndToken;
                }
            }
            Exchange { query: query.clone(), answer: tokens.split_off(query.prompt.len()), stop }
        };
        Ok(queries.iter().map(answer).collect())
    }

    fn score(&self, items: &[ScoreItem]) -> Result<Vec<f64>, OracleError> {
        let law = self.law()?;
        // where neither whole texts nor prompts matter, the same last tokens have one law
        let plain = self.processors.is_empty() && self.memory.is_empty();
        let mut known: HashMap<Vec<TokenId>, Vec<f32>> = HashMap::new();
        let score = |item: &ScoreItem| {
            let ScoreItem { prompt, continuation } = item;
            let query = Query { sampling: Sampling::PLAIN, ..Query::greedy(0, prompt.clone(), continuation.len()) };
            let mut total = 0.0;
            if !plain {
                self.shown(&query, continuation, law, &mut |position, law| {
                    total += f64::from(law[continuation[position] as usize]);
                });
                return total;
            }
            let tokens = [&prompt[..], continuation].concat();
            for (position, &token) in continuation.iter().enumerate() {
                let before = &tokens[..prompt.len() + position];
                let context = &before[before.len().saturating_sub(self.order)..];
                let log_probs = known.entry(context.to_vec()).or_insert_with(|| {
                    let mut shown = Vec::new();
                    let query = Query { prompt: before.to_vec(), ..query.clone() };
                    self.shown(&query, &[token], law, &mut |_, law| shown = law.to_vec());
                    shown
                });
                total += f64::from(log_probs[token as usize]);
            }
            total
        };
        Ok(items.iter().map(score).collect())
    }

    fn laws(&self, given: &[&Exchange], sink: &LawSink<'_>) -> Result<(), OracleError> {
        let law = self.law()?;
        for (index, exchange) in given.iter().enumerate() {
            self.shown(&exchange.query, &exchange.answer, law, &mut |position, log_probs| match self.surface {
                Surface::TopLogprobs { k, .. } => {
                    let mut ids: Vec<TokenId> = (0..self.vocab as TokenId).collect();
                    ids.sort_by(|&a, &b| log_probs[b as usize].total_cmp(&log_probs[a as usize]).then(a.cmp(&b)));
                    ids.truncate(k);
                    let top: Vec<f32> = ids.iter().map(|&id| log_probs[id as usize]).collect();
                    sink(index, position, Law::Top { ids: &ids, log_probs: &top });
                }
                _ => sink(index, position, Law::Whole(log_probs)),
            });
        }
        Ok(())
    }

    fn open(&self) -> Option<&dyn OpenModel> {
        self.opened.then_some(self)
    }
}

/// Width of a toy state.
const WIDTH: usize = 16;

/// States are a fixed mixture, drawn under the model's own seed, of features of the last two tokens, drawn under its view: models of
/// one view hold the same information in other coordinates, models of two views have nothing in common.
impl OpenModel for ToyModel {
    fn layers(&self) -> usize {
        2
    }

    fn hidden(&self, texts: &[Vec<TokenId>], layer: usize) -> Result<Matrix, OracleError> {
        let value = |seed: u64, bytes: &[u8]| {
            (SipHasher24::new_with_keys(seed, layer as u64).hash(bytes) >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        let weights: Vec<f32> =
            (0..WIDTH * WIDTH).map(|at| value(self.seed, &[(at / WIDTH) as u8, (at % WIDTH) as u8, 255])).collect();
        let mut data = Vec::new();
        for text in texts {
            for at in 0..text.len() {
                let last: Vec<u8> = text[at.saturating_sub(1)..=at].iter().flat_map(|id| id.to_le_bytes()).collect();
                let features: Vec<f32> = (0..WIDTH as u8).map(|i| value(self.view, &[&last[..], &[i]].concat())).collect();
                data.extend(weights.chunks(WIDTH).map(|row| row.iter().zip(&features).map(|(w, x)| w * x).sum::<f32>()));
            }
        }
        Ok(Matrix { rows: data.len() / WIDTH, cols: WIDTH, data })
    }

    fn weight(&self, _role: Role, _layer: usize) -> Option<Matrix> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_those_of_libm() {
        for step in 0..70_000 {
            let x = -0.01 * f64::from(step);
            assert!((exp(x) / libm::exp(x) - 1.0).abs() < 1e-15, "{x}: {} {}", exp(x), libm::exp(x));
        }
        assert_eq!([0.0, -701.0, f64::NEG_INFINITY].map(exp), [1.0, 0.0, 0.0]);
    }

    #[test]
    fn a_law_is_a_hash_and_what_is_shown_are_its_logarithms() {
        let model = ToyModel { surface: Surface::Logits { law: ServedLaw::PostWatermark }, ..ToyModel::new(300, 5) };
        let logits = model.logits(&[9, 7, 8]);
        let base = SipHasher24::new_with_keys(5, 0).hash(&[7, 0, 0, 0, 8, 0, 0, 0]);
        let hash = SipHasher24::new_with_keys(5, base).hash(&299u64.to_le_bytes());
        assert_eq!(logits[299], (hash >> 40) as f32 / (1 << 24) as f32 * 3.0);
        let query = Query { sampling: Sampling::PLAIN, ..Query::greedy(0, vec![9, 7, 8], 1) };
        let given = Exchange { query, answer: vec![4], stop: Stop::Length };
        let (law, mut shown) = (softmax(&logits), Vec::new());
        let total: f64 = law.iter().sum();
        assert!((total - 1.0).abs() < 1e-12 && law[2] == 0.0);
        let sink = std::sync::Mutex::new(&mut shown);
        let put = |_: usize, _: usize, law: Law<'_>| {
            if let Law::Whole(log_probs) = law {
                sink.lock().unwrap().extend(log_probs.to_vec());
            }
        };
        model.laws(&[&given], &put).unwrap();
        assert!(shown.iter().zip(law).all(|(log_p, p)| (f64::from(*log_p) - libm::log(p)).abs() < 1e-6 || p == 0.0));
    }
}
