use std::ops::Range;

use kernels::vecmath;
use oracle::ConfigError;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::config::AdapterConfig;
use super::modules::{Kind, choose};
use crate::arch::ModelConfig;
use crate::unit_interval::unit_interval;

/// The two matrices that change one weight of the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// Name of the weight without `.weight`.
    pub module: String,
    /// Whether the weight is a table of looked-up rows, whose pair peft names otherwise.
    pub table: bool,
    /// Whether transformers 5 has the module under another name in memory than in checkpoints, so that peft looks for the
    /// pair under either, by version.
    pub renamed: bool,
    /// Its place in the model's flat vector.
    pub weight: Range<usize>,
    /// Width of what goes in.
    pub inputs: usize,
    /// Width of what comes out.
    pub outputs: usize,
    /// The weight is (inputs, outputs) instead of (outputs, inputs).
    pub transposed: bool,
    /// Width between A and B.
    pub rank: usize,
    /// s: what is added is s B A.
    pub scale: f32,
    /// Place of A (rank, inputs) in the adapter's flat vector, row-major.
    pub a: Range<usize>,
    /// Place of B (outputs, rank) there.
    pub b: Range<usize>,
}

/// Which parameters an adapter has, end to end in one flat vector, and which weights of a model they change.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterShape {
    pairs: Vec<Pair>,
    n_weights: usize,
}

impl AdapterShape {
    /// The parameters that `config` asks for on a model of `model`.
    ///
    /// # Errors
    /// When it means none of the model's modules, or one that cannot be adapted.
    pub fn new(config: &AdapterConfig, model: &ModelConfig) -> Result<Self, ConfigError> {
        let mut end = 0;
        let mut place = |len: usize| {
            end += len;
            end - len..end
        };
        let pair = |chosen: super::modules::Chosen| {
            let (module, rank) = (chosen.module, chosen.rank);
            let divisor = if config.rslora { (rank as f64).sqrt() } else { rank as f64 };
            Pair {
                a: place(rank * module.inputs),
                b: place(rank * module.outputs),
                module: module.name,
                table: module.kind == Kind::Table,
                renamed: module.alias.is_some(),
                weight: module.weight,
                inputs: module.inputs,
                outputs: module.outputs,
                transposed: module.transposed,
                rank,
                scale: (chosen.alpha / divisor) as f32,
            }
        };
        let pairs = choose(config, model)?.into_iter().map(pair).collect();
        Ok(Self { pairs, n_weights: model.n_params() })
    }

    /// The pairs, in the order of the weights they change.
    pub fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// Number of parameters: the length of the flat vector.
    pub fn n_params(&self) -> usize {
        self.pairs.last().map_or(0, |pair| pair.b.end)
    }

    /// Number of weights of the model it is for.
    pub fn n_weights(&self) -> usize {
        self.n_weights
    }

    /// New parameters as peft draws them: A uniform within 1 / sqrt(inputs) (He et al. 2015, arXiv 1502.01852, with slope
    /// sqrt(5)), B zero, so that nothing is changed yet. Pair i takes stream i of `seed`.
    pub fn init(&self, seed: u64) -> Vec<f32> {
        let mut values = vec![0.0; self.n_params()];
        for (i, pair) in self.pairs.iter().enumerate() {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(i as u64);
            let bound = 1.0 / (pair.inputs as f64).sqrt();
            values[pair.a.clone()].fill_with(|| ((2.0 * unit_interval(&mut rng) - 1.0) * bound) as f32);
        }
        values
    }

    /// Adds s B A to the weights that are adapted. `values`: the adapter's flat vector; `weights`: the model's. Every sum is
    /// taken in one fixed order.
    ///
    /// # Panics
    /// When a vector has another length than the shape says.
    pub fn merge(&self, values: &[f32], weights: &mut [f32]) {
        self.check(values.len(), weights.len());
        let mut added = Vec::new();
        for pair in &self.pairs {
            let Factors { width, left, right } = Factors::of(pair, values);
            added.resize(width, 0.0);
            for (row, left) in weights[pair.weight.clone()].chunks_exact_mut(width).zip(left.chunks_exact(pair.rank)) {
                added.fill(0.0);
                for (factor, right) in left.iter().zip(right.chunks_exact(width)) {
                    vecmath::axpy(*factor, right, &mut added);
                }
                vecmath::axpy(pair.scale, &added, row);
            }
        }
    }

    /// The gradient of a loss with respect to the adapter from that with respect to the merged weights, by the chain rule:
    /// dA = s Bᵀ dW, dB = s dW Aᵀ. `values` and `gradient`: the adapter's; `of_weights`: as long as the model's weights.
    ///
    /// # Panics
    /// When a vector has another length than the shape says.
    pub fn gradient(&self, values: &[f32], of_weights: &[f32], gradient: &mut [f32]) {
        self.check(values.len(), of_weights.len());
        assert_eq!(gradient.len(), values.len(), "a slope for each parameter");
        for pair in &self.pairs {
            let Factors { width, left, right } = Factors::of(pair, values);
            let (mut of_left, mut of_right) = (vec![0.0; left.len()], vec![0.0; right.len()]);
            let rows = of_weights[pair.weight.clone()].chunks_exact(width);
            for ((row, left), of_left) in rows.zip(left.chunks_exact(pair.rank)).zip(of_left.chunks_exact_mut(pair.rank)) {
                for (k, (factor, slope)) in left.iter().zip(of_left).enumerate() {
                    let part = k * width..(k + 1) * width;
                    *slope = pair.scale * vecmath::dot(row, &right[part.clone()]);
                    vecmath::axpy(pair.scale * factor, row, &mut of_right[part]);
                }
            }
            let (of_a, of_b) = if pair.transposed {
                (transposed(&of_left, pair.rank), transposed(&of_right, pair.outputs))
            } else {
                (of_right, of_left)
            };
            gradient[pair.a.clone()].copy_from_slice(&of_a);
            gradient[pair.b.clone()].copy_from_slice(&of_b);
        }
    }

    fn check(&self, values: usize, weights: usize) {
        assert_eq!((values, weights), (self.n_params(), self.n_weights), "vectors of this adapter and its model");
    }
}

/// A pair as factors of the weight as it is stored: weight row i gets s sum_k left[i, k] right[k].
struct Factors {
    /// Length of a row.
    width: usize,
    /// (rows, rank).
    left: Vec<f32>,
    /// (rank, width).
    right: Vec<f32>,
}

impl Factors {
    fn of(pair: &Pair, values: &[f32]) -> Self {
        let (a, b) = (&values[pair.a.clone()], &values[pair.b.clone()]);
        if pair.transposed {
            Self { width: pair.outputs, left: transposed(a, pair.inputs), right: transposed(b, pair.rank) }
        } else {
            Self { width: pair.inputs, left: b.to_vec(), right: a.to_vec() }
        }
    }
}

/// The transpose of a row-major matrix of rows of `width`.
fn transposed(matrix: &[f32], width: usize) -> Vec<f32> {
    let rows = matrix.len() / width;
    (0..matrix.len()).map(|i| matrix[(i % rows) * width + i / rows]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lora::Modules;

    #[test]
    fn a_new_adapter_changes_nothing_and_is_drawn_within_its_bound() {
        for model in ModelConfig::examples() {
            let config = AdapterConfig::plain(3, 6.0, Modules::AllLinear, false);
            let shape = AdapterShape::new(&config, &model).unwrap();
            let values = shape.init(7);
            assert_eq!(values.len(), shape.n_params());
            let mut weights: Vec<f32> = (0..model.n_params()).map(|i| i as f32).collect();
            let before = weights.clone();
            shape.merge(&values, &mut weights);
            assert!(weights == before);
            for pair in shape.pairs() {
                let bound = 1.0 / (pair.inputs as f32).sqrt();
                let a = &values[pair.a.clone()];
                assert!(a.iter().all(|x| x.abs() <= bound) && a.iter().any(|x| x.abs() > 0.8 * bound), "{}", pair.module);
                assert_eq!(pair.weight.len(), pair.inputs * pair.outputs);
            }
            assert!(shape.init(7) == values && shape.init(8) != values);
        }
    }

    #[test]
    fn scales_are_those_of_both_conventions() {
        let model = ModelConfig::examples().remove(0);
        let scale = |rslora| {
            let config = AdapterConfig::plain(16, 8.0, Modules::AllLinear, rslora);
            AdapterShape::new(&config, &model).unwrap().pairs()[0].scale
        };
        assert_eq!((scale(false), scale(true)), (0.5, 2.0));
    }
}
