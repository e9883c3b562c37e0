//! Speed of the fused path: `cargo run --release -p kernels --example step [-- nano micro s15 1 2 ce kl score decode]`.
//!
//! Words pick shapes, numbers of workers and tasks; without any, all are measured.
//! Shapes and batches are those of the project's benchmark (64 x 64 tokens a step; s15: 8 x 128): a full step is forward, loss, backward over
//! micro-batches on each worker, a sum of gradients, and AdamW over half the parameters each. Decoding is a full batch in
//! groups of as many rows as `Decoder::advised_rows` says, 16 prompt and 32 new tokens (s15: 16), the next token being the arg-max. Each figure is the best of several repeats; GFLOP/s counts 6 N per trained, 2 N per generated token,
//! beside the ceiling: independent 1024^3 products of the `gemm` crate, one per worker, measured just before.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use gemm::{Parallelism, gemm};
use kernels::RowLoss;
use kernels::adamw::{self, AdamW};
use kernels::llama::{Decoder, LlamaShape, PackedWeights, StepWeights, Workspace, for_each_logits, loss_and_gradient};
use kernels::rowloss::{cross_entropy, kl_to_teacher};
use kernels::vecmath;
use std::time::Instant;

struct Case {
    name: &'static str,
    shape: LlamaShape,
    rows: usize,
    time: usize,
    micro_rows: usize,
    decode_rows: usize,
    new_tokens: usize,
}

fn cases() -> [Case; 3] {
    let shape = |vocab, hidden, layers, heads, ffn| LlamaShape {
        vocab,
        hidden,
        layers,
        heads,
        kv_heads: heads,
        head_dim: hidden / heads,
        ffn,
        tied: true,
        norm_eps: 1e-5,
        rope_theta: 10_000.0,
    };
    let case = |name, shape, (rows, time), micro_rows, decode_rows, new_tokens| Case {
        name,
        shape,
        rows,
        time,
        micro_rows,
        decode_rows,
        new_tokens,
    };
    [
        case("nano", shape(1_024, 64, 2, 4, 176), (64, 64), 16, 256, 32),
        case("micro", shape(2_048, 128, 4, 4, 352), (64, 64), 16, 256, 32),
        case("s15", shape(32_000, 288, 6, 6, 768), (8, 128), 4, 32, 16),
    ]
}

enum Loss {
    CrossEntropy(Vec<u32>),
    Kl { teacher: Vec<f32>, vocab: usize },
}

/// The loss of the rows that start at position `offset` of the whole batch.
struct Part<'a> {
    loss: &'a Loss,
    offset: usize,
}

impl RowLoss for Part<'_> {
    fn scored(&self, _: usize) -> bool {
        true
    }
    fn loss_and_gradient(&self, position: usize, logits: &mut [f32]) -> f64 {
        let at = self.offset + position;
        match self.loss {
            Loss::CrossEntropy(targets) => cross_entropy(logits, targets[at], 1.0),
            Loss::Kl { teacher, vocab } => kl_to_teacher(logits, &teacher[at * vocab..][..*vocab], 1.0, 1.0),
        }
    }
}

/// Uniform values in (-1, 1) times `scale`.
fn noise(n: usize, scale: f32) -> Vec<f32> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as f32 / (1 << 23) as f32 - 1.0) * scale
    };
    (0..n).map(|_| next()).collect()
}

/// Shortest of `repeats` runs, in seconds.
fn best(repeats: usize, mut run: impl FnMut()) -> f64 {
    run();
    let time = |_| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    };
    (0..repeats).map(time).fold(f64::INFINITY, f64::min)
}

/// GFLOP/s of `workers` independent single-threaded products.
fn ceiling(workers: usize) -> f64 {
    const N: usize = 1_024;
    let (a, b) = (noise(N * N, 1.0), noise(N * N, 1.0));
    let mut outputs = vec![vec![0.0_f32; N * N]; workers];
    let seconds = best(8, || {
        std::thread::scope(|scope| {
            for c in &mut outputs {
                let (a, b) = (&a, &b);
                scope.spawn(move || {
                    // SAFETY: three N x N row-major matrices.
                    #[expect(unsafe_code, reason = "the gemm crate's interface is raw pointers")]
                    unsafe {
                        let n = N as isize;
                        gemm(
                            N,
                            N,
                            N,
                            c.as_mut_ptr(),
                            1,
                            n,
                            false,
                            a.as_ptr(),
                            1,
                            n,
                            b.as_ptr(),
                            1,
                            n,
                            0.0,
                            1.0,
                            false,
                            false,
                            false,
                            Parallelism::None,
                        );
                    }
                });
            }
        });
    });
    workers as f64 * 2.0 * (N as f64).powi(3) / seconds / 1e9
}

fn train(case: &Case, loss: &Loss, workers: usize) -> f64 {
    let shape = &case.shape;
    let n = shape.n_params();
    let mut params = noise(n, 0.05);
    let (mut m, mut v) = (vec![0.0; n], vec![0.0; n]);
    let ids: Vec<u32> = (0..case.rows * case.time).map(|at| (at * 7_919 % shape.vocab) as u32).collect();
    let mut states: Vec<(Workspace, Vec<f32>, Vec<f32>)> =
        (0..workers).map(|_| (Workspace::new(), vec![0.0; n], vec![0.0; n])).collect();
    let shards: Vec<usize> = (0..case.rows).step_by(case.micro_rows).collect();
    let config = AdamW { lr: 1e-4, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };
    let mut step = 0;
    let seconds = best(8, || {
        step += 1;
        let weights = StepWeights::new(shape, &params);
        std::thread::scope(|scope| {
            for (worker, (workspace, sum, grad)) in states.iter_mut().enumerate() {
                let (params, weights, ids, shards) = (&params, &weights, &ids, &shards);
                scope.spawn(move || {
                    sum.fill(0.0);
                    for &row in shards.iter().skip(worker).step_by(workers) {
                        let rows = case.micro_rows.min(case.rows - row);
                        let part = Part { loss, offset: row * case.time };
                        let ids = &ids[row * case.time..][..rows * case.time];
                        loss_and_gradient(shape, params, weights, ids, rows, case.time, &part, grad, workspace);
                        vecmath::axpy(1.0, grad, sum);
                    }
                });
            }
        });
        let (first, rest) = states.split_at_mut(1);
        for (_, sum, _) in rest {
            vecmath::axpy(1.0, sum, &mut first[0].1);
        }
        let (grad, half) = (&first[0].1, n.div_ceil(workers));
        std::thread::scope(|scope| {
            let parts = params.chunks_mut(half).zip(grad.chunks(half)).zip(m.chunks_mut(half)).zip(v.chunks_mut(half));
            for (((params, grad), m), v) in parts {
                let config = &config;
                scope.spawn(move || adamw::step(params, grad, m, v, config, step, 1.0 / 4_096.0));
            }
        });
    });
    (case.rows * case.time) as f64 / seconds
}

fn score(case: &Case, workers: usize) -> f64 {
    let shape = &case.shape;
    let weights = PackedWeights::new(shape, &noise(shape.n_params(), 0.05));
    let rows = case.rows / workers;
    let ids: Vec<u32> = (0..rows * case.time).map(|at| (at * 7_919 % shape.vocab) as u32).collect();
    let mut workspaces: Vec<Workspace> = (0..workers).map(|_| Workspace::new()).collect();
    let seconds = best(8, || {
        std::thread::scope(|scope| {
            for workspace in &mut workspaces {
                let (weights, ids) = (&weights, &ids);
                scope.spawn(move || {
                    let mut sum = 0.0;
                    let mut sink = |_: usize, logits: &mut [f32]| sum += vecmath::log_sum_exp(logits);
                    for_each_logits(weights, ids, rows, case.time, &|_| true, &mut sink, workspace);
                    assert!(sum.is_finite());
                });
            }
        });
    });
    (workers * rows * case.time) as f64 / seconds
}

/// Index of the largest logit, the first of equals.
fn arg_max(logits: &[f32]) -> u32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    for part in logits.as_chunks::<16>().0 {
        for (lane, &x) in lanes.iter_mut().zip(part) {
            *lane = if x > *lane { x } else { *lane };
        }
    }
    let best = lanes.iter().chain(logits.as_chunks::<16>().1).copied().fold(f32::NEG_INFINITY, f32::max);
    logits.iter().position(|&x| x == best).unwrap_or(0) as u32
}

/// New tokens a second: each worker takes its share of the batch in groups of as many rows as the decoder advises.
fn decode(case: &Case, workers: usize) -> f64 {
    let shape = &case.shape;
    let weights = PackedWeights::new(shape, &noise(shape.n_params(), 0.05));
    let max_time = 16 + case.new_tokens;
    let share = case.decode_rows / workers;
    let rows = Decoder::advised_rows(shape, max_time).min(share);
    let mut decoders: Vec<Decoder> = (0..workers).map(|_| Decoder::new(shape, rows, max_time)).collect();
    let prompts: Vec<Vec<u32>> =
        (0..share).map(|row| (0..16).map(|t| ((row * 31 + t * 7) % shape.vocab) as u32).collect()).collect();
    let seconds = best(8, || {
        std::thread::scope(|scope| {
            for decoder in &mut decoders {
                let (weights, prompts) = (&weights, &prompts);
                scope.spawn(move || {
                    let mut logits = vec![0.0; rows * shape.vocab];
                    for prompts in prompts.chunks(rows) {
                        let slots: Vec<usize> = (0..prompts.len()).collect();
                        slots.iter().for_each(|&slot| decoder.reset(slot));
                        let starts: Vec<(usize, &[u32])> = prompts.iter().map(|prompt| &prompt[..15]).enumerate().collect();
                        decoder.prefill_batch(weights, &starts);
                        let mut tokens: Vec<u32> = prompts.iter().map(|prompt| prompt[15]).collect();
                        let logits = &mut logits[..prompts.len() * shape.vocab];
                        for _ in 0..case.new_tokens {
                            decoder.step(weights, &slots, &tokens, logits);
                            for (token, logits) in tokens.iter_mut().zip(logits.chunks_exact(shape.vocab)) {
                                *token = arg_max(logits);
                            }
                        }
                    }
                });
            }
        });
    });
    (workers * share * case.new_tokens) as f64 / seconds
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let chosen = |all: &[&str], what: &str| {
        !words.iter().any(|word| all.contains(&word.as_str())) || words.iter().any(|word| word == what)
    };
    for workers in [1, 2].into_iter().filter(|workers| chosen(&["1", "2"], &workers.to_string())) {
        let top = ceiling(workers);
        println!("{workers} worker(s): ceiling {top:.0} GFLOP/s");
        for case in cases().iter().filter(|case| chosen(&["nano", "micro", "s15"], case.name)) {
            let (vocab, m) = (case.shape.vocab, case.rows * case.time);
            let n = case.shape.n_params() as f64;
            let line = |what: &str, tokens_per_s: f64, flops: f64| {
                let gflops = tokens_per_s * flops * n / 1e9;
                println!(
                    "  {:6} {what:14} {tokens_per_s:>9.0} tokens/s  {gflops:>6.1} GFLOP/s  {:>4.0} % of the ceiling",
                    case.name,
                    100.0 * gflops / top
                );
            };
            let asked = |what: &str| chosen(&["ce", "kl", "score", "decode"], what);
            let targets = Loss::CrossEntropy((0..m).map(|at| (at * 31 % vocab) as u32).collect());
            if asked("ce") {
                line("train CE", train(case, &targets, workers), 6.0);
            }
            if asked("kl") {
                let mut teacher = noise(m * vocab, 3.0);
                teacher.chunks_exact_mut(vocab).for_each(|row| {
                    vecmath::log_softmax_in_place(row);
                });
                line("train full KL", train(case, &Loss::Kl { teacher, vocab }, workers), 6.0);
            }
            if asked("score") {
                line("score", score(case, workers), 2.0);
            }
            if asked("decode") {
                line("decode", decode(case, workers), 2.0);
            }
        }
    }
}
