//! How long a model takes to load, and how fast it answers:
//! `cargo run --release -p lm --example speed -- DIR [ROWS [PROMPT_TOKENS [NEW_TOKENS]]]`.
//!
//! Prompts are random ids, answers are drawn at temperature 1. Set RAYON_NUM_THREADS=1 so that only our own workers compute.

#![allow(clippy::print_stdout, reason = "an example prints")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use lm::{ComputePath, Model, Processing, Runtime, generate};
use oracle::{Query, Sampling};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Seconds that `run` takes, and what it gives.
fn timed<T>(run: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let value = run();
    (start.elapsed().as_secs_f64(), value)
}

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let dir = args.first().ok_or_else(|| anyhow::anyhow!("give a model directory"))?;
    let number = |at: usize, default: usize| args.get(at).map_or(Ok(default), |text| text.parse());
    let (rows, prompt, new) = (number(1, 32)?, number(2, 16)?, number(3, 32)?);
    let (seconds, model) = timed(|| Model::load(Path::new(dir)));
    let model = model?;
    println!("load       {seconds:.2} s, {} parameters", model.n_params());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    for path in [ComputePath::Fused, ComputePath::Generic] {
        let rt = Runtime::new(threads, path, Arc::new(AtomicBool::new(false)))?;
        let query = |index: usize, new: usize| {
            let mut rng = ChaCha8Rng::seed_from_u64(index as u64);
            let prompt = (0..prompt).map(|_| rng.next_u32() % model.vocab_size() as u32).collect();
            Query { sampling: Sampling::PLAIN, seed: index as u64, ..Query::greedy(index as u64, prompt, new) }
        };
        let ask = |new: usize| -> anyhow::Result<(f64, usize)> {
            let queries: Vec<Query> = (0..rows).map(|index| query(index, new)).collect();
            let (seconds, answers) = timed(|| generate(&model, &queries, Processing::none(), &rt, &|_| {}));
            Ok((seconds, answers?.iter().map(|exchange| exchange.answer.len()).sum()))
        };
        let (first, _) = ask(1)?;
        for _ in 0..2 {
            let (seconds, tokens) = ask(new)?;
            let rate = tokens as f64 / seconds;
            println!("{path:?}: {rows} rows of {prompt} + {new}: {rate:.1} tokens/s (first token {first:.2} s)");
        }
    }
    Ok(())
}
