//! Public texts that servers' code marked, with what their own detectors say of them: `../shared/watermarked` beside the repository. A
//! test that wants them passes with a word where they are absent.

mod vllm;

use std::path::Path;
use std::sync::Arc;

use oracle::{Codec, Exchange, Query, Stop, TokenId};
use serde_json::Value;

use crate::{Case, Chance, Finding, Key, Mark, MarkEntry, Owner, Seen};

/// A vocabulary of 512 ids, none of them special: servers' detectors know no special ids.
struct Plain;

impl Codec for Plain {
    fn encode(&self, _: &str) -> Vec<TokenId> {
        Vec::new()
    }

    fn decode(&self, _: &[TokenId]) -> String {
        String::new()
    }

    fn vocab_size(&self) -> usize {
        512
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

/// The text of a file there, or `None` after saying that it is absent.
pub(crate) fn text(file: &str) -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/watermarked").join(file);
    let text = std::fs::read_to_string(&path).ok();
    if text.is_none() {
        println!("skipped: {} is not there", path.display());
    }
    text
}

/// NAME.json.
pub(crate) fn header(name: &str) -> Option<Value> {
    Some(serde_json::from_str(&text(&format!("{name}.json"))?).unwrap())
}

/// The ids of every answer of NAME.jsonl.
pub(crate) fn answers(name: &str) -> Option<Vec<Vec<TokenId>>> {
    let of = |line: &str| ids(&serde_json::from_str::<Value>(line).unwrap()["ids"]);
    Some(text(&format!("{name}.jsonl"))?.lines().map(of).collect())
}

/// A list of ids.
pub(crate) fn ids(list: &Value) -> Vec<TokenId> {
    list.as_array().unwrap().iter().map(|id| id.as_i64().unwrap() as TokenId).collect()
}

/// A mark as a file describes it, in the hands of an owner of no special ids.
pub(crate) fn build(entry: Value, key: &Key) -> Arc<dyn Mark> {
    let codec: Arc<dyn Codec> = Arc::new(Plain);
    serde_json::from_value::<MarkEntry>(entry).unwrap().build(&Owner::new(key, &codec)).unwrap()
}

/// Answers that had no prompts.
fn without_prompts(texts: &[&[TokenId]]) -> Vec<Exchange> {
    let said = |text: &&[TokenId]| Exchange {
        query: Query::greedy(0, Vec::new(), text.len()),
        answer: text.to_vec(),
        stop: Stop::Length,
    };
    texts.iter().map(said).collect()
}

/// What our own count finds in `texts`, which had no prompts.
pub(crate) fn counted(mark: &dyn Mark, texts: &[&[TokenId]], decoys: usize) -> Finding {
    let seen = [Seen::Exchanges(Arc::new(without_prompts(texts)))];
    let chance = Chance { decoys, decoy_seed: 4, ..Chance::default() };
    mark.judge(&Case { suspect: &seen, teacher: None, references: &[], second: &[], contexts: None, chance }).unwrap().remove(0)
}

/// What its detector of texts alone finds in all `texts` together.
pub(crate) fn detected(mark: &dyn Mark, texts: &[&[TokenId]]) -> Finding {
    mark.detector().unwrap().detect(&without_prompts(texts), Chance::default()).unwrap().remove(0).pooled.finding
}
