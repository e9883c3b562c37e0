use std::sync::Arc;

use oracle::{
    Exchange, LogitsProcessor, Oracle, OracleError, ProcessorStage, Query, ScoreItem, ServedLaw, Stop, Surface, TokenId,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use siphasher::sip::SipHasher24;

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
    /// What bends its law.
    pub processors: Vec<Arc<dyn LogitsProcessor>>,
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
        }
    }

    /// The model's own logits after `before`: length `vocab`.
    pub fn logits(&self, before: &[TokenId]) -> Vec<f32> {
        let context = &before[before.len().saturating_sub(self.order)..];
        let mut bytes: Vec<u8> = context.iter().flat_map(|id| id.to_le_bytes()).collect();
        let base = SipHasher24::new_with_keys(self.seed, 0).hash(&bytes);
        bytes.clear();
        let hasher = SipHasher24::new_with_keys(self.seed, base);
        let mut logits: Vec<f32> = (0..self.vocab as u64)
            .map(|id| (hasher.hash(&id.to_le_bytes()) >> 40) as f32 / (1 << 24) as f32 * self.sharpness)
            .collect();
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

    fn process(&self, stage: ProcessorStage, before: &[TokenId], answer_start: usize, logits: &mut [f32]) {
        for processor in self.processors.iter().filter(|processor| processor.stage() == stage) {
            processor.process(before, answer_start, logits);
        }
    }

    fn next(&self, query: &Query, before: &[TokenId], uniform: f64) -> TokenId {
        let mut logits = self.logits(before);
        self.process(ProcessorStage::BeforeTemperature, before, query.prompt.len(), &mut logits);
        let greedy = query.sampling.temperature == 0.0;
        if !greedy {
            logits.iter_mut().for_each(|logit| *logit /= query.sampling.temperature);
        }
        truncate(&mut logits, query.sampling.top_k, query.sampling.top_p);
        self.process(ProcessorStage::AfterTruncation, before, query.prompt.len(), &mut logits);
        if greedy {
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

    /// Natural-log probabilities of `continuation` after `prompt` under the law that `surface` shows.
    fn log_probabilities(&self, item: &ScoreItem, law: ServedLaw) -> Vec<f64> {
        let mut before = item.prompt.clone();
        let mut scores = Vec::with_capacity(item.continuation.len());
        for &token in &item.continuation {
            let mut logits = self.logits(&before);
            if law == ServedLaw::PostWatermark {
                self.process(ProcessorStage::BeforeTemperature, &before, item.prompt.len(), &mut logits);
                self.process(ProcessorStage::AfterTruncation, &before, item.prompt.len(), &mut logits);
            }
            scores.push(softmax(&logits)[token as usize].ln());
            before.push(token);
        }
        scores
    }
}

/// Probabilities of `logits`.
fn softmax(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f64> = logits.iter().map(|&logit| f64::from(logit - largest).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / total).collect()
}

fn truncate(logits: &mut [f32], top_k: usize, top_p: f32) {
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
            let mut before = query.prompt.clone();
            let mut stop = Stop::Length;
            while before.len() < query.prompt.len() + query.max_new_tokens && stop == Stop::Length {
                let token = self.next(query, &before, rng.random::<f64>());
                before.push(token);
                if token == 2 {
                    stop = Stop::EndToken;
                }
            }
            Exchange { query: query.clone(), answer: before.split_off(query.prompt.len()), stop }
        };
        Ok(queries.iter().map(answer).collect())
    }

    fn score(&self, items: &[ScoreItem]) -> Result<Vec<Vec<f64>>, OracleError> {
        match &self.surface {
            Surface::GreedyText | Surface::Text => Err(OracleError::NotShown {
                surface: self.surface.name().to_string(),
                asked: "log-probabilities",
                instead: "logits",
            }),
            Surface::TopLogprobs { law, .. } | Surface::Logits { law } => {
                Ok(items.iter().map(|item| self.log_probabilities(item, *law)).collect())
            }
        }
    }
}
