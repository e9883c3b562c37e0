//! The plainest possible Llama in f64, straight from the formulas, to compare with.
#![allow(dead_code, reason = "each test binary uses its part")]

use kernels::RowLoss;
use kernels::llama::LlamaShape;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Shapes that meet every awkward case: grouped and plain heads, odd widths, tied and untied heads, one layer and several.
pub fn shapes() -> Vec<LlamaShape> {
    let base = LlamaShape {
        vocab: 11,
        hidden: 8,
        layers: 2,
        heads: 2,
        kv_heads: 2,
        head_dim: 4,
        ffn: 10,
        tied: true,
        norm_eps: 1e-5,
        rope_theta: 10_000.0,
    };
    vec![
        base.clone(),
        LlamaShape { vocab: 37, hidden: 12, heads: 4, kv_heads: 2, head_dim: 6, ffn: 7, tied: false, layers: 1, ..base.clone() },
        LlamaShape {
            vocab: 19,
            hidden: 20,
            heads: 4,
            kv_heads: 1,
            head_dim: 8,
            ffn: 33,
            tied: false,
            rope_theta: 500.0,
            ..base.clone()
        },
        LlamaShape { vocab: 40, hidden: 17, heads: 1, kv_heads: 1, head_dim: 40, ffn: 5, layers: 1, norm_eps: 1e-2, ..base },
    ]
}

/// Parameters of a plausible scale: norms near 1, the rest uniform with variance about 1 / width.
pub fn params(shape: &LlamaShape, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut all = vec![0.0; shape.n_params()];
    for (name, range, dims) in shape.layout() {
        for value in &mut all[range] {
            let u = uniform(&mut rng) * 2.0 - 1.0;
            *value = if dims.len() == 1 {
                1.0 + 0.3 * u
            } else {
                u * if name.contains("embed") { 1.0 } else { 1.7 / (dims[1] as f32).sqrt() }
            };
        }
    }
    all
}

pub fn uniform(rng: &mut ChaCha8Rng) -> f32 {
    (rng.next_u32() >> 8) as f32 / (1 << 24) as f32
}

pub fn ids(shape: &LlamaShape, n: usize, seed: u64) -> Vec<u32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..n).map(|_| rng.next_u32() % shape.vocab as u32).collect()
}

/// Cross-entropy with the given targets and weights, where the weight is not 0.
pub struct Targets {
    pub targets: Vec<u32>,
    pub weights: Vec<f32>,
}

impl RowLoss for Targets {
    fn scored(&self, position: usize) -> bool {
        self.weights[position] != 0.0
    }
    fn loss_and_gradient(&self, position: usize, logits: &mut [f32]) -> f64 {
        kernels::rowloss::cross_entropy(logits, self.targets[position], self.weights[position])
    }
}

/// The same in f64, over logits (m, vocab).
pub fn cross_entropy(logits: &[f64], vocab: usize, targets: &Targets) -> f64 {
    let mut total = 0.0;
    for (position, row) in logits.chunks_exact(vocab).enumerate() {
        let highest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = highest + libm::log(row.iter().map(|x| libm::exp(x - highest)).sum::<f64>());
        total += f64::from(targets.weights[position]) * (log_sum - row[targets.targets[position] as usize]);
    }
    total
}

fn linear(w: &[f64], x: &[f64], out: usize) -> Vec<f64> {
    (0..out).map(|o| w[o * x.len()..][..x.len()].iter().zip(x).map(|(w, x)| w * x).sum()).collect()
}

fn norm(x: &[f64], w: &[f64], eps: f64) -> Vec<f64> {
    let rms = (x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64 + eps).sqrt();
    x.iter().zip(w).map(|(x, w)| x / rms * w).collect()
}

fn rotate(head: &[f64], t: usize, theta: f64) -> Vec<f64> {
    let (d, half) = (head.len(), head.len() / 2);
    let angle = |i: usize| t as f64 * libm::pow(theta, -2.0 * (i % half) as f64 / d as f64);
    let rotated = |i: usize| if i < half { -head[i + half] } else { head[i - half] };
    (0..d).map(|i| head[i] * libm::cos(angle(i)) + rotated(i) * libm::sin(angle(i))).collect()
}

/// Logits (rows * time, vocab).
pub fn logits(shape: &LlamaShape, params: &[f64], ids: &[u32], time: usize) -> Vec<f64> {
    let tensors = shape.layout();
    let tensor = |name: &str| {
        let (_, range, _) = tensors.iter().find(|(n, _, _)| n == name).expect("a tensor of the layout");
        &params[range.clone()]
    };
    let (h, d, group) = (shape.hidden, shape.head_dim, shape.heads / shape.kv_heads);
    let eps = f64::from(shape.norm_eps);
    let mut all = Vec::new();
    for row in ids.chunks(time) {
        let embed = tensor("model.embed_tokens.weight");
        let mut x: Vec<Vec<f64>> = row.iter().map(|&id| embed[id as usize * h..][..h].to_vec()).collect();
        for layer in 0..shape.layers {
            let w = |name: &str| tensor(&format!("model.layers.{layer}.{name}.weight"));
            let (mut q, mut k, mut v) = (Vec::new(), Vec::new(), Vec::new());
            for (t, x) in x.iter().enumerate() {
                let n = norm(x, w("input_layernorm"), eps);
                let turn = |y: Vec<f64>| y.chunks(d).map(|head| rotate(head, t, shape.rope_theta)).collect::<Vec<_>>();
                q.push(turn(linear(w("self_attn.q_proj"), &n, shape.heads * d)));
                k.push(turn(linear(w("self_attn.k_proj"), &n, shape.kv_heads * d)));
                v.push(linear(w("self_attn.v_proj"), &n, shape.kv_heads * d));
            }
            for t in 0..row.len() {
                let mut out = Vec::new();
                for (head, query) in q[t].iter().enumerate() {
                    let kv = head / group;
                    let score =
                        |s: usize| libm::exp(query.iter().zip(&k[s][kv]).map(|(a, b)| a * b).sum::<f64>() / (d as f64).sqrt());
                    let sum: f64 = (0..=t).map(score).sum();
                    out.extend((0..d).map(|c| (0..=t).map(|s| score(s) / sum * v[s][kv * d + c]).sum::<f64>()));
                }
                let attended = linear(w("self_attn.o_proj"), &out, h);
                x[t].iter_mut().zip(attended).for_each(|(x, a)| *x += a);
                let n = norm(&x[t], w("post_attention_layernorm"), eps);
                let (gate, up) = (linear(w("mlp.gate_proj"), &n, shape.ffn), linear(w("mlp.up_proj"), &n, shape.ffn));
                let inner: Vec<f64> = gate.iter().zip(up).map(|(g, u)| g / (1.0 + libm::exp(-g)) * u).collect();
                let down = linear(w("mlp.down_proj"), &inner, h);
                x[t].iter_mut().zip(down).for_each(|(x, d)| *x += d);
            }
        }
        let head = tensor(if shape.tied { "model.embed_tokens.weight" } else { "lm_head.weight" });
        all.extend(x.iter().flat_map(|x| linear(head, &norm(x, tensor("model.norm.weight"), eps), shape.vocab)));
    }
    all
}
