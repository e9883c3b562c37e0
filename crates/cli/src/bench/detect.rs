use oracle::{Exchange, Query, Sampling, Stop};

use super::generate::kgw;
use super::shapes::random_ids;
use super::{Line, Sitting, What};

/// Answer tokens searched.
const TOKENS: usize = 100_000;
const ANSWER_TOKENS: usize = 32;
const PROMPT_TOKENS: usize = 16;
const VOCAB: usize = 1_024;
const DECOYS: usize = 999;

/// Detection in random text: of one key on one core, and beside decoy keys on all.
pub(super) fn detect(sitting: &Sitting) -> anyhow::Result<Vec<Line>> {
    let answer = |index: usize| {
        let tokens = random_ids(PROMPT_TOKENS + ANSWER_TOKENS, VOCAB, index as u64);
        let (prompt, answer) = tokens.split_at(PROMPT_TOKENS);
        let index = index as u64;
        let prompt = prompt.to_vec();
        let query = Query { index, prompt, max_new_tokens: ANSWER_TOKENS, sampling: Sampling::PLAIN, seed: index };
        Exchange { query, answer: answer.to_vec(), stop: Stop::Length }
    };
    let answers: Vec<Exchange> = (0..TOKENS / ANSWER_TOKENS).map(answer).collect();
    let mut lines = Vec::new();
    for context_width in [1, 4] {
        let mark = kgw(context_width, VOCAB)?;
        for (decoys, threads) in [(0, 1), (DECOYS, sitting.rt.threads())] {
            let mut search = || {
                mark.detect(&answers, decoys, 1, &sitting.rt.pool)?;
                Ok(())
            };
            let [seconds] = sitting.medians([&mut search])?;
            lines.push(Line {
                batch: Some(answers.len()),
                tokens_per_s: Some(TOKENS as f64 / seconds),
                context_width: Some(context_width),
                keys: Some(decoys + 1),
                ..Line::new(What::DetectKgw, threads)
            });
        }
    }
    Ok(lines)
}
