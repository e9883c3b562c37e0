//! What several tests share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use kernels::RowLoss;
use lm::{Batch, ComputePath, Model, ModelConfig, Row, Runtime, for_each_law};
use oracle::{Query, Sampling, TokenId};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

pub fn runtime(threads: usize, path: ComputePath) -> Runtime {
    Runtime::new(threads, path, Arc::new(AtomicBool::new(false))).unwrap()
}

pub const PATHS: [ComputePath; 2] = [ComputePath::Fused, ComputePath::Generic];

/// A model whose weights are all well away from their initial values: norms and biases too.
pub fn stirred(config: &ModelConfig, seed: u64) -> Model {
    let model = Model::init(config, seed);
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x5714);
    let weights = model.weights().iter().map(|w| 8.0 * (w % 1.0) + w.trunc() + 0.5 * unit(&mut rng)).collect();
    model.with_weights(weights)
}

/// Uniform in (-1, 1).
pub fn unit(rng: &mut ChaCha8Rng) -> f32 {
    (rng.next_u32() >> 8) as f32 / (1_u32 << 23) as f32 - 1.0
}

pub fn random_ids(n: usize, vocab: usize, seed: u64) -> Vec<TokenId> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..n).map(|_| rng.next_u32() % vocab as u32).collect()
}

pub fn random_batch(config: &ModelConfig, rows: usize, time: usize, seed: u64) -> Batch {
    Batch { ids: random_ids(rows * time, config.vocab_size(), seed), rows, time }
}

/// Weighted cross-entropy with the next token of the row, skipping every position where `position % skip == 1` (none for 1).
pub struct NextToken<'a> {
    pub batch: &'a Batch,
    pub skip: usize,
    pub weight: f64,
}

impl RowLoss for NextToken<'_> {
    fn scored(&self, position: usize) -> bool {
        position % self.batch.time + 1 < self.batch.time && position % self.skip != 1
    }

    fn loss_and_gradient(&self, position: usize, logits: &mut [f32]) -> f64 {
        let target = self.batch.ids[position + 1];
        let nats = -lm::log_probability(logits, target) * self.weight;
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits.iter().map(|x| libm::exp(f64::from(x - max))).sum();
        for (id, logit) in logits.iter_mut().enumerate() {
            let hit = if id == target as usize { 1.0 } else { 0.0 };
            *logit = ((libm::exp(f64::from(*logit - max)) / sum - hit) * self.weight) as f32;
        }
        nats
    }
}

/// Queries with prompts of mixed lengths.
pub fn queries(config: &ModelConfig, n: u64, max_new_tokens: usize, sampling: Sampling) -> Vec<Query> {
    (0..n)
        .map(|index| Query {
            index,
            account: 0,
            prompt: random_ids(1 + (index as usize * 5) % 9, config.vocab_size(), index),
            max_new_tokens,
            sampling,
            seed: 1000 + index,
        })
        .collect()
}

/// Every wanted law by row and index.
pub fn laws(model: &Model, rows: &[Row<'_>], threads: usize, path: ComputePath) -> BTreeMap<(usize, usize), Vec<f32>> {
    let found = Mutex::new(BTreeMap::new());
    for_each_law(model, rows, &runtime(threads, path), &|row, i, logits| {
        let before = found.lock().unwrap().insert((row, i), logits.to_vec());
        assert!(before.is_none(), "law {i} of row {row} came twice");
        logits.fill(f32::NAN); // The sink may do as it likes with the row.
    })
    .unwrap();
    found.into_inner().unwrap()
}

/// All laws of a batch.
pub fn laws_of(model: &Model, batch: &Batch, path: ComputePath) -> BTreeMap<(usize, usize), Vec<f32>> {
    let rows: Vec<Row<'_>> = batch.ids.chunks(batch.time).map(|ids| Row { ids, laws: 1..batch.time + 1 }).collect();
    laws(model, &rows, 2, path)
}

/// A directory beside the checkout that holds reference material, if it is there.
pub fn shared(what: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(what);
    if !path.exists() {
        println!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

/// Largest difference, relative to the largest magnitude of `b`.
pub fn relative_distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let scale = b.iter().fold(1e-12_f32, |max, x| max.max(x.abs()));
    a.iter().zip(b).fold(0.0_f32, |max, (a, b)| max.max((a - b).abs())) / scale
}
