use std::sync::Arc;

use marks::Key;
use marks::watermark::{Dedup, KgwConfig, MAX_CONTEXT, Watermark, WatermarkConfig};
use oracle::{Codec, LogitsProcessor, Query, Sampling, TokenId};

use super::shapes::{Shape, random_ids};
use super::{Line, Sitting, What};

/// Matrix products taken together.
const PRODUCTS: usize = 4;

/// Sampling at temperature 1, plain and, if asked for, with the watermark at every context width, in turns.
pub(super) fn generate(shape: Shape, marked: bool, sitting: &Sitting) -> anyhow::Result<Vec<Line>> {
    let (model, batches) = (shape.model()?, shape.batches());
    let query = |index: usize| Query {
        index: index as u64,
        prompt: random_ids(batches.prompt_tokens, model.vocab_size(), index as u64),
        max_new_tokens: batches.new_tokens,
        sampling: Sampling::PLAIN,
        seed: 1_000 + index as u64,
    };
    let queries: Vec<Query> = (0..batches.answers).map(query).collect();
    let run = |processors: &[Arc<dyn LogitsProcessor>]| -> anyhow::Result<()> {
        lm::generate(&model, &queries, processors, &sitting.rt, &|_| {})?;
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
    let mut widths = Vec::new();
    for context_width in 0..=MAX_CONTEXT {
        let processors = [kgw(context_width, model.vocab_size())?.processor()];
        widths.push(move || run(&processors));
    }
    let [h0, h1, h2, h3, h4] = &mut widths[..] else { anyhow::bail!("{} context widths, expected 5", widths.len()) };
    let [ceiling, seconds, marked @ ..] = sitting.medians([&mut products, &mut plain, h0, h1, h2, h3, h4])?;
    let marked = marked.into_iter().enumerate();
    let marked = marked.map(|(width, s)| Line { context_width: Some(width), ..line(What::GenerateKgw, s, ceiling) });
    Ok([line(What::Generate, seconds, ceiling)].into_iter().chain(marked).collect())
}

/// The watermark at its usual strength.
pub(super) fn kgw(context_width: usize, vocab: usize) -> anyhow::Result<Arc<dyn Watermark>> {
    let config = KgwConfig { gamma: 0.25, delta: 2.0, context_width, dedup: Dedup::Pairs };
    Ok(WatermarkConfig::Kgw(config).build(&Key::decoy(1, 0), &Ids(vocab))?)
}

/// A vocabulary without words or special tokens.
struct Ids(usize);

impl Codec for Ids {
    fn encode(&self, _text: &str) -> Vec<TokenId> {
        Vec::new()
    }

    fn decode(&self, _ids: &[TokenId]) -> String {
        String::new()
    }

    fn vocab_size(&self) -> usize {
        self.0
    }

    fn bos(&self) -> Option<TokenId> {
        None
    }

    fn eos(&self) -> Option<TokenId> {
        None
    }

    fn special_ids(&self) -> &[TokenId] {
        &[]
    }
}
