use std::sync::Arc;

use lm::Processing;
use oracle::{LogitsProcessor, Query, Sampling};

use super::line::{Line, What};
use super::marked::timed;
use super::shapes::{Shape, random_ids};
use super::sitting::Sitting;

/// Matrix products taken together.
const PRODUCTS: usize = 4;

/// Sampling at temperature 1, plain and, if asked for, with every mark that changes the drawn law, in turns.
pub(super) fn generate(shape: Shape, marked: bool, sitting: &Sitting) -> anyhow::Result<Vec<Line>> {
    let (model, batches) = (shape.model()?, shape.batches());
    let query = |index: usize| Query {
        index: index as u64,
        account: 0,
        prompt: random_ids(batches.prompt_tokens, model.vocab_size(), index as u64),
        max_new_tokens: batches.new_tokens,
        sampling: Sampling::PLAIN,
        seed: 1_000 + index as u64,
    };
    let queries: Vec<Query> = (0..batches.answers).map(query).collect();
    let run = &|processors: &[Arc<dyn LogitsProcessor>]| -> anyhow::Result<()> {
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
    let mut plain = || run(&[]);
    if !marked {
        let [ceiling, seconds] = sitting.medians([&mut products, &mut plain])?;
        return Ok(vec![line(What::Generate, seconds, ceiling)]);
    }
    let marks = timed(model.vocab_size())?;
    let mut draws: Vec<_> = marks.iter().map(|timed| move || run(std::slice::from_ref(&timed.law))).collect();
    let mut runs: Vec<&mut dyn FnMut() -> anyhow::Result<()>> = vec![&mut products, &mut plain];
    runs.extend(draws.iter_mut().map(|draw| draw as &mut dyn FnMut() -> anyhow::Result<()>));
    let seconds = sitting.medians_of(runs)?;
    let [ceiling, plain, ref marked @ ..] = seconds[..] else { anyhow::bail!("{} times were taken", seconds.len()) };
    let marked = marks.iter().zip(marked).map(|(timed, s)| line(What::GenerateMarked, *s, ceiling).of_mark(timed));
    Ok([line(What::Generate, plain, ceiling)].into_iter().chain(marked).collect())
}
