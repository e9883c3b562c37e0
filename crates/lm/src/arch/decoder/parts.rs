//! The weights of a decoder by what they do, cut out of products that do several things at once.

use std::ops::Range;

use oracle::{Matrix, Role};

use super::{Attention, Decoder, FeedForward, Gate, Linear, Projections};
use crate::arch::Layout;

/// Some outputs of one parameter.
struct Part {
    name: String,
    /// Outputs that belong to it, in order.
    outputs: Vec<Range<usize>>,
    /// Kept as (inputs, outputs).
    transposed: bool,
}

impl Decoder {
    /// The weight of `role` in layer `layer` (0 is the first; embedding and head have none), one row per output, as it lies in
    /// `flat` (in layout order). A factor of the embedding (Gemma) is not in it. `None` when there is no such weight.
    pub fn weight(&self, role: Role, layer: usize, layout: &Layout, flat: &[f32]) -> Option<Matrix> {
        let part = self.part(role, layer)?;
        let parameter = layout.get(&part.name)?;
        let [first, second] = parameter.shape[..] else { return None };
        let values = flat.get(parameter.range.clone())?;
        let (outputs, inputs) = if part.transposed { (second, first) } else { (first, second) };
        let row = |output: usize| -> Box<dyn Iterator<Item = f32> + '_> {
            if part.transposed {
                Box::new((0..inputs).map(move |input| values[input * outputs + output]))
            } else {
                Box::new(values[output * inputs..][..inputs].iter().copied())
            }
        };
        let rows = part.outputs.iter().map(ExactSizeIterator::len).sum();
        Some(Matrix { rows, cols: inputs, data: part.outputs.into_iter().flatten().flat_map(row).collect() })
    }

    fn part(&self, role: Role, layer: usize) -> Option<Part> {
        let table = |name: &str| Part { name: name.into(), outputs: one(0..self.vocab_size), transposed: false };
        let attention = || self.blocks.get(layer).map(|block| &block.attention.layer);
        let feed_forward = || self.blocks.get(layer).map(|block| &block.feed_forward.layer);
        Some(match role {
            Role::Embedding => table(self.embedding.tokens),
            Role::Head if self.head.tied => table(self.embedding.tokens),
            Role::Head => table(self.head.name),
            Role::Query => projection(attention()?, 0),
            Role::Key => projection(attention()?, 1),
            Role::Value => projection(attention()?, 2),
            Role::Output => whole(&attention()?.out),
            Role::Gate => gate(feed_forward()?)?,
            Role::Up => up(feed_forward()?),
            Role::Down => whole(&feed_forward()?.down),
        })
    }
}

fn whole(product: &Linear) -> Part {
    some(product, one(0..product.outputs))
}

/// Outputs that lie side by side.
fn one(outputs: Range<usize>) -> Vec<Range<usize>> {
    std::iter::once(outputs).collect()
}

fn some(product: &Linear, outputs: Vec<Range<usize>>) -> Part {
    Part { name: format!("{}.weight", product.name), outputs, transposed: product.transposed }
}

/// To queries (0), keys (1) or values (2).
fn projection(attention: &Attention, which: usize) -> Part {
    let (queries, keys) = (attention.heads * attention.head_dim, attention.kv_heads * attention.head_dim);
    match &attention.projections {
        Projections::Separate { q, k, v } => whole([q, k, v][which]),
        Projections::Stacked(all) => {
            let ends = [0, queries, queries + keys, queries + 2 * keys];
            some(all, one(ends[which]..ends[which + 1]))
        }
        Projections::Interleaved(all) => {
            let width = attention.head_dim;
            let of_head = |head: usize| (3 * head + which) * width..(3 * head + which + 1) * width;
            some(all, (0..attention.heads).map(of_head).collect())
        }
    }
}

fn gate(feed_forward: &FeedForward) -> Option<Part> {
    match &feed_forward.gate {
        Gate::None => None,
        Gate::Product(gate) => Some(whole(gate)),
        Gate::Stacked => Some(some(&feed_forward.up, one(0..feed_forward.down.inputs))),
    }
}

fn up(feed_forward: &FeedForward) -> Part {
    let width = feed_forward.down.inputs;
    match &feed_forward.gate {
        Gate::None | Gate::Product(_) => whole(&feed_forward.up),
        Gate::Stacked => some(&feed_forward.up, one(width..2 * width)),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Tensor;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    use super::*;
    use crate::arch::{ModelConfig, Weights};
    use crate::device::Device;

    fn numbers(n: usize, seed: u64) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..n).map(|_| (rng.next_u32() >> 8) as f32 / (1_u32 << 24) as f32 - 0.5).collect()
    }

    /// `x` (n, inputs) -> (n, outputs), in f64.
    fn applied(matrix: &Matrix, x: &[f32]) -> Vec<f32> {
        let product = |row: &[f32], x: &[f32]| row.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum::<f64>() as f32;
        x.chunks(matrix.cols).flat_map(|x| matrix.data.chunks(matrix.cols).map(move |row| product(row, x))).collect()
    }

    fn assert_close(ours: &[f32], theirs: &Tensor, what: &str) {
        let theirs = theirs.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(ours.len(), theirs.len(), "{what}");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert!((ours - theirs).abs() < 1e-4, "{what}: {ours} is not {theirs}");
        }
    }

    /// Biases are 0, so that each product is its weight alone.
    #[test]
    fn weights_compute_what_the_layers_of_every_architecture_compute() {
        const ROWS: usize = 3;
        for config in ModelConfig::examples() {
            let (decoder, layout) = (config.arch().decoder(), config.layout());
            let mut flat = numbers(layout.n_params(), 1);
            for bias in layout.parameters().iter().filter(|parameter| parameter.name.ends_with(".bias")) {
                flat[bias.range.clone()].fill(0.0);
            }
            let weights = Weights::constant(&layout, &flat, &Device::cpu()).unwrap();
            for (layer, block) in decoder.blocks.iter().enumerate() {
                let name = format!("{} layer {layer}", config.model_type());
                let matrix = |role| decoder.weight(role, layer, &layout, &flat).unwrap();
                let input = |width: usize| {
                    let x = numbers(ROWS * width, 2);
                    (Tensor::from_slice(&x, (ROWS, width), weights.device()).unwrap(), x)
                };
                let (x, plain) = input(decoder.hidden_size);
                let attention = &block.attention.layer;
                let projected = attention.project(&weights, &x).unwrap();
                for (role, theirs) in [Role::Query, Role::Key, Role::Value].into_iter().zip(&projected) {
                    assert_close(&applied(&matrix(role), &plain), theirs, &format!("{name} {role:?}"));
                }
                let (y, attended) = input(attention.heads * attention.head_dim);
                let theirs = attention.out.apply(&weights, &y).unwrap();
                assert_close(&applied(&matrix(Role::Output), &attended), &theirs, &format!("{name} output"));

                let feed_forward = &block.feed_forward.layer;
                let of = |role| {
                    let values = applied(&matrix(role), &plain);
                    Tensor::from_vec(values, (ROWS, feed_forward.down.inputs), weights.device()).unwrap()
                };
                let activated = |x: &Tensor| feed_forward.activation.apply(x).unwrap();
                let inner = match feed_forward.gate {
                    Gate::None => {
                        assert_eq!(decoder.weight(Role::Gate, layer, &layout, &flat), None);
                        activated(&of(Role::Up))
                    }
                    Gate::Product(_) | Gate::Stacked => (activated(&of(Role::Gate)) * of(Role::Up)).unwrap(),
                };
                let inner = inner.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                let theirs = feed_forward.apply(&weights, &x).unwrap();
                assert_close(&applied(&matrix(Role::Down), &inner), &theirs, &format!("{name} feed-forward"));
            }
        }
    }
}
