//! Small models and data that the tests of this crate share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use lm::arch::RotaryShape;
use lm::{ArchitectureConfig, ComputePath, Model, ModelConfig, Runtime};
use oracle::{Codec, Exchange, LogitsProcessor, Query, Row, Sampling, Stage, Step, Stop, TokenId};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::error::DistillError;
use crate::pretrain::{PackedDocuments, PretrainSource};
use crate::tools::Tools;
use crate::train::{Decay, TrainPlan, fit};
use crate::transcript::TranscriptHeader;

pub(crate) const VOCAB: usize = 50;
pub(crate) const BOS: TokenId = 1;
pub(crate) const EOS: TokenId = 2;

pub(crate) fn model_of(vocab: usize, seed: u64) -> Model {
    let shape = RotaryShape {
        hidden_size: 16,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        num_key_value_heads: 1,
        head_dim: None,
        intermediate_size: 32,
        max_position_embeddings: 64,
        rope_theta: 10_000.0,
        rope_scaling: None,
        rms_norm_eps: 1e-5,
        tie_word_embeddings: true,
        initializer_range: 0.3,
    };
    let config = ModelConfig::from_architecture(&ArchitectureConfig::Llama(shape), vocab, Some(BOS), Some(EOS)).unwrap();
    Model::init(&config, seed)
}

pub(crate) fn model(seed: u64) -> Model {
    model_of(VOCAB, seed)
}

pub(crate) fn runtime(threads: usize) -> Arc<Runtime> {
    Arc::new(Runtime::new(threads, ComputePath::Fused, Arc::new(AtomicBool::new(false))).unwrap())
}

pub(crate) fn plan(steps: u64, batch_rows: usize) -> TrainPlan {
    TrainPlan {
        steps,
        batch_rows,
        logical_shards: 3,
        peak_lr: 0.01,
        warmup_steps: 2,
        decay_from: 2,
        final_lr_fraction: 0.1,
        decay: Decay::Cosine,
        weight_decay: 0.1,
        beta1: 0.9,
        beta2: 0.99,
        epsilon: 1e-8,
        grad_clip: 1.0,
    }
}

/// A model that has learned what follows what in documents.
pub(crate) fn grown() -> Arc<Model> {
    let plan = TrainPlan { peak_lr: 0.02, ..plan(150, 16) };
    let packed = PackedDocuments::new(documents(20_000, 1), 16, plan.total_rows(), Some(BOS)).unwrap();
    let source = PretrainSource::new(&packed, &plan).unwrap();
    Arc::new(fit(&model(2), &plan, &source, &runtime(2), &mut |_| ()).unwrap().model)
}

pub(crate) fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// A document: beginning token, 2 to 9 ordinary tokens in which each follows its predecessor by 1 or 2, end token.
pub(crate) fn document(rng: &mut impl Rng) -> Vec<TokenId> {
    let mut document = vec![BOS];
    let mut token = rng.random_range(3..VOCAB as TokenId);
    for _ in 0..rng.random_range(2..10) {
        document.push(token);
        token = 3 + (token - 3 + rng.random_range(1..3)) % (VOCAB as TokenId - 3);
    }
    document.push(EOS);
    document
}

pub(crate) fn documents(n: usize, seed: u64) -> Vec<Vec<TokenId>> {
    let mut rng = rng(seed);
    (0..n).map(|_| document(&mut rng)).collect()
}

/// Calls `act` with tools whose only model is called `judge`.
pub(crate) fn with_tools<T>(act: impl FnOnce(Tools<'_>) -> T) -> T {
    let texts = |tokens: u64| {
        let mut total = 0;
        let enough = |document: &Vec<TokenId>| {
            let wanted = total < tokens;
            total += document.len() as u64;
            wanted
        };
        Ok(documents(400, 5).into_iter().take_while(enough).collect())
    };
    let models = |name: &str| match name {
        "judge" => Ok(Arc::new(model(8))),
        _ => Err(DistillError::Data(format!("there is no model called {name}"))),
    };
    let plan = |steps, batch_rows, peak_lr: f64| TrainPlan { peak_lr: peak_lr as f32, ..plan(steps, batch_rows) };
    act(Tools { codec: &Letters { eos: Some(EOS) }, texts: &texts, models: &models, plan: &plan, runtime: &runtime(2), seed: 9 })
}

/// Query `index` asks for up to `max_new_tokens` after the beginning token and one more.
pub(crate) fn query(index: u64, max_new_tokens: usize, sampling: Sampling) -> Query {
    let prompt = vec![BOS, 3 + (index as TokenId * 7) % (VOCAB as TokenId - 3)];
    Query { sampling, seed: 1000 + index, ..Query::greedy(index, prompt, max_new_tokens) }
}

pub(crate) fn exchange(prompt: &[TokenId], answer: &[TokenId]) -> Exchange {
    let query = Query { sampling: Sampling::PLAIN, ..Query::greedy(0, prompt.to_vec(), answer.len()) };
    Exchange { query, answer: answer.to_vec(), stop: Stop::Length }
}

/// Of a transcript without texts.
pub(crate) fn header(vocab_size: usize) -> TranscriptHeader<'static> {
    TranscriptHeader { vocab_size, tokenizer: "tokenizer", teacher: "teacher", codec: None }
}

/// Exchanges of a stream, of different lengths.
pub(crate) fn exchanges(n: u32) -> Vec<Exchange> {
    (0..n)
        .map(|i| {
            let mut exchange = exchange(&[1, 3 + i % 40], &(0..1 + i % 4).map(|j| 3 + (i + j) % 40).collect::<Vec<_>>());
            exchange.query.index = u64::from(i);
            exchange
        })
        .collect()
}

/// Adds a constant to every token whose sum with the previous one is even.
pub(crate) struct Parity {
    pub(crate) delta: f32,
}

impl LogitsProcessor for Parity {
    fn name(&self) -> String {
        format!("parity({})", self.delta)
    }

    fn stage(&self) -> Stage {
        Stage::BeforeTemperature
    }

    fn process(&self, step: &Step<'_>, row: Row<'_>) {
        let previous = *step.tokens.last().unwrap() as usize;
        for (id, logit) in row.logits.iter_mut().enumerate() {
            if (id + previous).is_multiple_of(2) {
                *logit += self.delta;
            }
        }
    }
}

/// The letters a to z are tokens 3 to 28, `<` is the end token, and nothing else is a token.
pub(crate) struct Letters {
    pub(crate) eos: Option<TokenId>,
}

impl Codec for Letters {
    fn encode(&self, text: &str) -> Vec<TokenId> {
        let token = |c: char| match c {
            '<' => Some(EOS),
            'a'..='z' => Some(3 + c as TokenId - 'a' as TokenId),
            _ => None,
        };
        text.chars().filter_map(token).collect()
    }

    fn decode(&self, ids: &[TokenId]) -> String {
        ids.iter().filter(|id| (3..29).contains(*id)).map(|id| char::from(b'a' + (*id - 3) as u8)).collect()
    }

    fn vocab_size(&self) -> usize {
        VOCAB
    }

    fn bos(&self) -> Option<TokenId> {
        Some(BOS)
    }

    fn eos(&self) -> Option<TokenId> {
        self.eos
    }

    fn special_ids(&self) -> &[TokenId] {
        &[0, BOS, EOS]
    }
}
