//! What a program does to laws and how it scores. It is one program and one conversation: threads wait for each other, and each
//! context is asked once while it fits in memory, so that generation costs about one answer of the program for each new context.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use oracle::{LogitsProcessor, Row, Stage, Step, TokenId};
use serde_json::{Value, json};

use super::says::{Absent, Kind, Law, Says, VERSION};
use crate::key::Purpose;
use crate::keyed::rows::add_to_green;
use crate::keyed::{Dedup, Rules};
use crate::program::{Conversation, Program, shown};
use crate::{Key, MarkError, Owner};

/// Bytes of laws kept by context; beyond it all are forgotten and asked again.
const CACHE_BYTES: usize = 64 << 20;

/// Most units or texts in one message.
const BATCH: usize = 4096;

/// 16 bytes derived from `key`, those of KGW's green lists, in hexadecimal.
fn hex(key: &Key) -> String {
    key.sip_key(Purpose::GreenList).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Contexts in one message about another key: a law may name a quarter of a large vocabulary.
const LAWS: usize = 64;

/// What is added to the logits after a context.
pub(super) enum Change {
    /// `delta`, to the ids whose bits are set.
    Set(Box<[u64]>),
    /// A value for each id.
    Each(Vec<(TokenId, f32)>),
}

impl Change {
    /// What is added to the logit of `id`, where members of a set get `delta`.
    pub(super) fn raises(&self, id: TokenId, delta: f64) -> f64 {
        match self {
            Self::Set(row) => row.get(id as usize / 64).map_or(0.0, |word| if word >> (id % 64) & 1 == 1 { delta } else { 0.0 }),
            Self::Each(values) => values.iter().find(|(of, _)| *of == id).map_or(0.0, |(_, value)| f64::from(*value)),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Set(row) => 8 * row.len(),
            Self::Each(values) => 8 * values.len(),
        }
    }
}

/// Changes by context, and their bytes.
#[derive(Default)]
struct Laws(HashMap<Vec<TokenId>, Arc<Change>>, usize);

/// A program that defines a mark, and what it has said.
pub struct Outside {
    name: String,
    vocab: usize,
    says: Says,
    rules: Rules,
    talk: Conversation,
    laws: RwLock<Laws>,
    /// The first thing that went wrong; nothing is asked after it.
    failed: Mutex<Option<MarkError>>,
    /// Held while a law is asked, so that no context is asked twice.
    asking: Mutex<()>,
}

impl Outside {
    /// Says `hello` to `program`, with `parameters` for it. `name` tells its parameters and key.
    ///
    /// # Errors
    /// When it does not answer as it must.
    pub fn open(program: Arc<dyn Program>, owner: &Owner<'_>, name: &str, parameters: &Value) -> Result<Self, MarkError> {
        let talk = Conversation::new(program);
        let vocab = owner.codec.vocab_size();
        let hello = json!({
            "version": VERSION,
            "vocab_size": vocab,
            "special_ids": Rules::new(0, Dedup::Pairs, &**owner.codec).special,
            "key": hex(owner.key),
            "parameters": parameters,
        });
        let says = Says::read(&talk, talk.ask("hello", hello)?)?;
        let name = format!("{}: {name}, of {}", says.name, talk.identity());
        let rules = Rules::new(says.context_width, says.dedup(), &**owner.codec);
        Ok(Self { name, vocab, says, rules, talk, laws: RwLock::default(), failed: Mutex::default(), asking: Mutex::default() })
    }

    /// What it says of itself.
    pub fn says(&self) -> &Says {
        &self.says
    }

    /// Which units it scores.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Fills in the scores of units (units, context and token) under `key`; zeros once something went wrong.
    pub fn score(&self, key: &Key, windows: &[TokenId], scores: &mut [f64]) {
        let (key, width) = (hex(key), self.rules.context_width + 1);
        scores.fill(0.0);
        for (windows, scores) in windows.chunks(BATCH * width).zip(scores.chunks_mut(BATCH)) {
            let windows: Vec<&[TokenId]> = windows.chunks(width).collect();
            let asked = json!({ "key": key, "windows": windows });
            match self.noting(|| self.numbers("scores", asked, windows.len())) {
                Some(said) => scores.copy_from_slice(&said),
                None => return,
            }
        }
    }

    /// The total score under `key` of whole texts, each prompt and answer; 0 once something went wrong.
    pub fn score_texts(&self, key: &Key, texts: &[(&[TokenId], &[TokenId])]) -> f64 {
        let total = |texts: &[(&[TokenId], &[TokenId])]| {
            let list: Vec<Value> = texts.iter().map(|(prompt, answer)| json!({ "prompt": prompt, "answer": answer })).collect();
            let asked = json!({ "key": hex(key), "texts": list });
            self.noting(|| self.numbers("texts", asked, texts.len())).map_or(0.0, |scores| scores.iter().sum::<f64>())
        };
        texts.chunks(BATCH).map(total).sum()
    }

    /// The first thing that went wrong, if something did.
    pub fn take_failure(&self) -> Option<MarkError> {
        self.failed().take()
    }

    fn failed(&self) -> MutexGuard<'_, Option<MarkError>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `asked` gave, unless it or something before it went wrong.
    fn noting<T>(&self, asked: impl FnOnce() -> Result<T, MarkError>) -> Option<T> {
        if self.failed().is_some() {
            return None;
        }
        match asked() {
            Ok(got) => Some(got),
            Err(error) => {
                self.failed().get_or_insert(error);
                None
            }
        }
    }

    /// The list called `field` of what is said to `ask`, one entry for each of `count` things asked about.
    fn list(&self, ask: &str, fields: Value, field: &str, count: usize) -> Result<Vec<Value>, MarkError> {
        let mut answer = self.talk.ask(ask, fields)?;
        let Some(Value::Array(list)) = answer.get_mut(field).map(Value::take) else {
            let instead = format!("give a list called \"{field}\", an entry for each thing asked about");
            return Err(self.talk.refusal(&format!("answered `{ask}` with {}", shown(&answer)), &instead));
        };
        if list.len() == count {
            return Ok(list);
        }
        let what = format!("answered `{ask}` with {} entries in \"{field}\" for {count} asked about", list.len());
        Err(self.talk.refusal(&what, "give one for each, in their order"))
    }

    /// A number for each of `count` units or texts of `fields`. A known null says which numbers can be.
    fn numbers(&self, ask: &str, fields: Value, count: usize) -> Result<Vec<f64>, MarkError> {
        let fits = |score: &f64| match self.says.null {
            Absent::Known(Law::Binomial { .. }) => *score == 0.0 || *score == 1.0,
            Absent::Known(Law::Exponential) => *score >= 0.0,
            Absent::Unknown(_) => true,
        };
        let scores = self.list(ask, fields, "scores", count)?;
        let number = |score: &Value| {
            score.as_f64().filter(fits).ok_or_else(|| {
                let instead = "give finite numbers: 0 or 1 under a binomial null, at least 0 under an exponential one";
                self.talk.refusal(&format!("answered `{ask}` with the score {}", shown(score)), instead)
            })
        };
        scores.iter().map(number).collect()
    }

    /// What is added after `context`.
    fn change(&self, context: &[TokenId]) -> Option<Arc<Change>> {
        let known = || self.laws.read().unwrap_or_else(PoisonError::into_inner).0.get(context).cloned();
        if let Some(change) = known() {
            return Some(change);
        }
        let _one_asks = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(change) = known() {
            return Some(change);
        }
        let change = Arc::new(self.noting(|| self.ask_change(context))?);
        let mut laws = self.laws.write().unwrap_or_else(PoisonError::into_inner);
        let bytes = change.bytes() + 128;
        if laws.1 + bytes > CACHE_BYTES {
            *laws = Laws::default();
        }
        laws.1 += bytes;
        laws.0.insert(context.to_vec(), change.clone());
        Some(change)
    }

    /// What members of a keyed set get, nats.
    pub(super) fn delta(&self) -> f64 {
        self.says.delta.unwrap_or(0.0)
    }

    /// Shows `each` what is added after each of `contexts` under `key`, with its number; nothing more once something went wrong.
    pub(super) fn each_change(&self, key: &Key, contexts: &[&[TokenId]], each: &mut dyn FnMut(usize, &Change)) {
        let key = hex(key);
        for (batch, contexts) in contexts.chunks(LAWS).enumerate() {
            let asked = || {
                let laws = self.list("laws", json!({ "contexts": contexts, "key": key }), "laws", contexts.len())?;
                contexts.iter().zip(&laws).map(|(context, law)| self.changed(context, law)).collect::<Result<Vec<_>, _>>()
            };
            let Some(changes) = self.noting(asked) else { return };
            for (at, change) in changes.iter().enumerate() {
                each(LAWS * batch + at, change);
            }
        }
    }

    fn ask_change(&self, context: &[TokenId]) -> Result<Change, MarkError> {
        let mut list = self.list("laws", json!({ "contexts": [context] }), "laws", 1)?;
        self.changed(context, &list.pop().unwrap_or_default())
    }

    /// The change that `law` says, which was given for `context`.
    fn changed(&self, context: &[TokenId], law: &Value) -> Result<Change, MarkError> {
        self.read_change(law).ok_or_else(|| {
            let form = match self.says.kind {
                Kind::Bias => "a list of [id, value] for each context",
                Kind::KeyedSet => "a list of ids for each context, or a bitmap of the vocabulary in hexadecimal",
            };
            let what = format!("answered `laws` with {} for the context {context:?}", shown(law));
            self.talk.refusal(&what, &format!("give {form}, with ids below {} and finite values", self.vocab))
        })
    }

    /// `None` where it is not of its form. Special tokens are left out.
    fn read_change(&self, law: &Value) -> Option<Change> {
        let id = |value: &Value| value.as_u64().filter(|id| *id < self.vocab as u64).map(|id| id as TokenId);
        let mut row = vec![0_u64; self.vocab.div_ceil(64)].into_boxed_slice();
        match (self.says.kind, law) {
            (Kind::Bias, Value::Array(entries)) => {
                let entry = |entry: &Value| {
                    let [token, value] = &entry.as_array()?[..] else { return None };
                    Some((id(token)?, value.as_f64().map(|value| value as f32).filter(|value| value.is_finite())?))
                };
                let entries = entries.iter().map(entry).collect::<Option<Vec<_>>>()?;
                let text = entries.into_iter().filter(|(id, _)| !self.rules.is_special(*id));
                return Some(Change::Each(text.collect()));
            }
            (Kind::KeyedSet, Value::Array(ids)) => {
                for token in ids {
                    let token = id(token)? as usize;
                    row[token / 64] |= 1 << (token % 64);
                }
            }
            (Kind::KeyedSet, Value::String(hex)) => {
                if hex.len() != 2 * self.vocab.div_ceil(8) || !hex.is_ascii() {
                    return None;
                }
                for byte in 0..hex.len() / 2 {
                    let bits = u64::from(u8::from_str_radix(&hex[2 * byte..2 * byte + 2], 16).ok()?);
                    row[byte / 8] |= bits << (8 * (byte % 8));
                }
                if !self.vocab.is_multiple_of(64) && row.last()? >> (self.vocab % 64) != 0 {
                    return None;
                }
            }
            _ => return None,
        }
        for &token in self.rules.special.iter().filter(|&&token| (token as usize) < self.vocab) {
            row[token as usize / 64] &= !(1 << (token % 64));
        }
        Some(Change::Set(row))
    }
}

impl LogitsProcessor for Outside {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn stage(&self) -> Stage {
        Stage::BeforeTemperature
    }

    fn process(&self, step: &Step<'_>, row: Row<'_>) {
        let Some(change) = step.context(self.says.context_width).and_then(|context| self.change(context)) else { return };
        match &*change {
            Change::Set(set) => add_to_green(set, self.says.delta.unwrap_or(0.0) as f32, row.logits),
            Change::Each(values) => values.iter().for_each(|(id, value)| row.logits[*id as usize] += value),
        }
    }

    fn failure(&self) -> Option<String> {
        self.failed().as_ref().map(ToString::to_string)
    }
}
