//! The fused and the generic path compute the same: laws, loss and every gradient, over one table of shapes.

use kernels::RowLoss;
use lm::arch::{LlamaConfig, RotaryShape};
use lm::{Batch, Model, ModelConfig, gradient_engine};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::support::{PATHS, laws_of, random_batch, random_ids, relative_distance, runtime, unit};

/// Largest difference of two logits of a position, relative to its largest logit. Both paths add up the same products in
/// another order; f32 rounds at 6e-8, and errors of a few tens of such sums come together.
const LOGITS: f32 = 1e-5;
/// Norm of the difference of two gradients of a parameter, relative to the norm of the gradient.
const GRADIENT: f64 = 1e-4;
/// A parameter without slope (queries and keys where there is one token to look at) has a gradient of rounding alone, so none
/// is asked to agree better than this part of the norm of the whole gradient.
const ROUNDING: f64 = 1e-7;

struct Case {
    name: String,
    config: ModelConfig,
    /// Rows and tokens of a row.
    batch: (usize, usize),
}

/// Sizes of a Llama: hidden, heads, key-value heads, feed-forward, layers, vocabulary.
type Sizes = (usize, usize, usize, usize, usize, usize);

/// Name, sizes, whether the head is the embedding, and batches: rows and tokens of a row.
type Llama = (&'static str, Sizes, bool, &'static [(usize, usize)]);

fn llama(sizes: Sizes, tied: bool) -> ModelConfig {
    let (hidden_size, num_attention_heads, num_key_value_heads, intermediate_size, num_hidden_layers, vocab_size) = sizes;
    let mut config = LlamaConfig::examples().remove(0);
    config.shape = RotaryShape {
        hidden_size,
        num_attention_heads,
        num_key_value_heads,
        // heads are of even width
        head_dim: Some(2 * (hidden_size / num_attention_heads).div_ceil(2)),
        intermediate_size,
        num_hidden_layers,
        max_position_embeddings: 128,
        tie_word_embeddings: tied,
        ..config.shape
    };
    config.tokens.vocab_size = vocab_size;
    ModelConfig::Llama(config)
}

/// Every registered architecture in every form it has examples of, the benchmark's shapes, and odd sizes.
fn table() -> Vec<Case> {
    let mut cases = Vec::new();
    for (i, config) in ModelConfig::examples().into_iter().enumerate() {
        for batch in [(1, 1), (1, 9), (3, 7)] {
            cases.push(Case { name: format!("example {i}"), config: config.clone(), batch });
        }
    }
    let llamas: [Llama; 10] = [
        ("nano", (64, 4, 4, 176, 2, 1_024), true, &[(1, 1), (1, 64), (64, 64)]),
        ("micro", (128, 4, 4, 352, 4, 2_048), true, &[(1, 1), (9, 64)]),
        ("s15", (288, 6, 6, 768, 6, 32_000), true, &[(1, 12), (2, 5)]),
        ("smallest", (8, 1, 1, 9, 1, 11), true, &[(1, 1), (1, 2), (13, 3)]),
        ("three heads on one", (36, 3, 1, 50, 2, 101), false, &[(1, 1), (5, 13)]),
        ("five heads", (50, 5, 5, 33, 2, 97), true, &[(1, 17), (7, 9)]),
        ("six heads on three", (48, 6, 3, 65, 2, 1_001), false, &[(1, 1), (2, 31)]),
        ("seven heads on one", (56, 7, 1, 72, 1, 259), true, &[(3, 8)]),
        ("heads that do not add up to the width", (20, 3, 3, 31, 2, 67), false, &[(1, 1), (4, 11)]),
        ("eight heads on four", (64, 8, 4, 172, 3, 512), true, &[(17, 33), (1, 128)]),
    ];
    for (name, sizes, tied, batches) in llamas {
        for batch in batches {
            cases.push(Case { name: name.to_string(), config: llama(sizes, tied), batch: *batch });
        }
    }
    cases
}

#[test]
fn fused_and_generic_paths_agree_on_every_shape() {
    let mut fused = 0;
    for (i, Case { name, config, batch: (rows, time) }) in table().into_iter().enumerate() {
        let what = format!("{name}, {rows} x {time}");
        let compares = config.arch().fused().is_some();
        assert!(compares || name.starts_with("example"), "{name} has no fused path");
        fused += usize::from(compares);
        let model = stirred_mildly(&config, i as u64);
        let batch = random_batch(&config, rows, time, 3);
        laws_agree(&what, &model, &batch);
        gradients_agree(&what, &model, &batch);
    }
    assert!(fused >= 20, "of {fused} shapes there is a fused path to compare");
}

fn laws_agree(what: &str, model: &Model, batch: &Batch) {
    let [fused, generic] = PATHS.map(|path| laws_of(model, batch, path));
    assert_eq!(fused.len(), batch.rows * batch.time);
    for (key, law) in &fused {
        let distance = relative_distance(law, &generic[key]);
        assert!(distance <= LOGITS, "{what}: law {key:?} differs by {distance}");
    }
}

fn gradients_agree(what: &str, model: &Model, batch: &Batch) {
    let loss = Targets(random_ids(batch.ids.len(), model.vocab_size(), 7));
    let [(fused, a), (generic, b)] = PATHS.map(|path| {
        let mut grad = vec![f32::NAN; model.n_params()];
        let engine = gradient_engine(model.config(), &runtime(1, path));
        (engine.loss_and_gradient(model.weights(), batch, &loss, &mut grad).unwrap(), grad)
    });
    assert!((fused - generic).abs() <= 1e-5 * generic, "{what}: loss {fused} against {generic}");
    let norm = |values: &[f32]| values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    let whole = norm(&b);
    for parameter in model.layout().parameters() {
        let (a, b) = (&a[parameter.range.clone()], &b[parameter.range.clone()]);
        let difference: Vec<f32> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        let (distance, size) = (norm(&difference), norm(b));
        let most = (GRADIENT * size).max(ROUNDING * whole);
        assert!(distance <= most, "{what}: gradient of {} differs by {distance}, its norm is {size}", parameter.name);
    }
}

/// Cross-entropy with a token of its own for each position but every fifth: the last token of a row is scored too, so rows of
/// one token are.
struct Targets(Vec<u32>);

impl RowLoss for Targets {
    fn scored(&self, position: usize) -> bool {
        position % 5 != 3
    }

    fn loss_and_gradient(&self, position: usize, logits: &mut [f32]) -> f64 {
        let target = self.0[position];
        let nats = -lm::log_probability(logits, target);
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits.iter().map(|x| libm::exp(f64::from(x - max))).sum();
        for (id, logit) in logits.iter_mut().enumerate() {
            let hit = if id == target as usize { 1.0 } else { 0.0 };
            *logit = (libm::exp(f64::from(*logit - max)) / sum - hit) as f32;
        }
        nats
    }
}

/// Weights near their usual size: with large ones attention saturates and rounding is amplified beyond what is tested.
fn stirred_mildly(config: &ModelConfig, seed: u64) -> Model {
    let model = Model::init(config, seed);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    model.with_weights(model.weights().iter().map(|w| w + 0.1 * unit(&mut rng)).collect())
}
