use std::collections::BTreeSet;
use std::sync::Arc;

use lm::Processing;
use oracle::{LogitsProcessor, Query, Sampling};

use super::line::{Line, What};
use super::marked::timed;
use super::shapes::{Shape, random_ids};
use super::sitting::Sitting;

/// Matrix products taken together.
const PRODUCTS: usize = 4;

/// Sampling at temperature 1, plain and, if asked for, with every mark that changes the drawn law, in turns. Marks whose authors draw from
/// the most probable tokens alone do so here, and plain sampling from as many stands beside them.
pub(super) fn generate(shape: Shape, marked: bool, kinds: &[String], sitting: &Sitting) -> anyhow::Result<Vec<Line>> {
    let (model, batches) = (shape.model()?, shape.batches());
    let query = |index: usize, top_k: usize| Query {
        index: index as u64,
        account: 0,
        prompt: random_ids(batches.prompt_tokens, model.vocab_size(), index as u64),
        max_new_tokens: batches.new_tokens,
        sampling: Sampling { top_k, ..Sampling::PLAIN },
        seed: 1_000 + index as u64,
    };
    let run = &|processors: &[Arc<dyn LogitsProcessor>], top_k: usize| -> anyhow::Result<()> {
        let queries: Vec<Query> = (0..batches.answers).map(|index| query(index, top_k)).collect();
        lm::generate(&model, &queries, Processing::of(processors), &sitting.rt, &|_| {})?;
        Ok(())
    };
    let mut products = || {
        (0..PRODUCTS).for_each(|_| sitting.ceiling.products(&sitting.rt));
        Ok(())
    };
    let line = |what, seconds: f64, ceiling: f64| {
        let tokens_per_s = (batches.answers * batches.new_tokens) as f64 / seconds;
        let gflops = 2.0 * model.n_params() as f64 * tokens_per_s / 1e9;
        let share = gflops / sitting.ceiling.gflops(ceiling / PRODUCTS as f64);
        Line::new(what, sitting.rt.threads()).of_model(shape, batches.answers, tokens_per_s, gflops, share)
    };
    let marks = if marked { timed(model.vocab_size(), kinds)? } else { Vec::new() };
    let top_ks: BTreeSet<usize> = std::iter::once(0).chain(marks.iter().map(|timed| timed.top_k)).collect();
    let mut plain: Vec<_> = top_ks.iter().map(|&top_k| move || run(&[], top_k)).collect();
    let mut draws: Vec<_> = marks.iter().map(|timed| move || run(std::slice::from_ref(&timed.law), timed.top_k)).collect();
    // what comes next finds caches and clock as the products left them: it is not counted
    let mut settle = || run(&[], 0);
    let mut runs: Vec<&mut dyn FnMut() -> anyhow::Result<()>> = vec![&mut products, &mut settle];
    runs.extend(plain.iter_mut().map(|run| run as &mut dyn FnMut() -> anyhow::Result<()>));
    runs.extend(draws.iter_mut().map(|run| run as &mut dyn FnMut() -> anyhow::Result<()>));
    let seconds = sitting.medians_of(runs)?;
    let [ceiling, _, ref drawn @ ..] = seconds[..] else { anyhow::bail!("{} times were taken", seconds.len()) };
    let (plain, marked) = drawn.split_at(top_ks.len());
    let plain = top_ks.iter().zip(plain).map(|(&top_k, s)| line(What::Generate, *s, ceiling).among(top_k));
    let beside = |top_k| top_ks.iter().position(|plain| *plain == top_k).map_or(f64::NAN, |at| drawn[at]);
    let marked = marks.iter().zip(marked).map(|(timed, s)| {
        let line = line(What::GenerateMarked, *s, ceiling).of_mark(timed).among(timed.top_k);
        Line { cost: Some(1.0 - beside(timed.top_k) / s), ..line }
    });
    Ok(plain.chain(marked).collect())
}
