//! Laws of a model of another tokenizer, over the tokens that it shares with the owner's.

use std::collections::HashMap;

use lm::Tokenizer;
use oracle::{Codec, Exchange, Law, Oracle, OracleError, Query, TokenId};

use super::Retokeniser;

/// Tokens of one tokenizer that stand for the same text within a passage as one of another.
pub(super) struct SharedTokens {
    /// The owner's token by the model's own.
    owners: HashMap<TokenId, TokenId>,
}

impl SharedTokens {
    /// Of the owner's tokenizer and the model's.
    pub fn of(owner: &Tokenizer, own: &Tokenizer) -> Self {
        let (owner, own) = (by_text(owner), by_text(own));
        let pair = |(text, own): (String, Option<TokenId>)| Some((own?, (*owner.get(&text)?)?));
        Self { owners: own.into_iter().filter_map(pair).collect() }
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.owners.len()
    }

    /// `law` of the model over them, in the owner's ids, its probabilities made to add up to 1; empty where it has none on them.
    pub fn law(&self, law: Law<'_>) -> (Vec<TokenId>, Vec<f32>) {
        let possible = |(own, log_prob): (TokenId, f32)| {
            let owner = *self.owners.get(&own)?;
            (log_prob > f32::NEG_INFINITY).then_some((owner, log_prob))
        };
        let mut kept: Vec<(TokenId, f32)> = match law {
            Law::Whole(log_probs) => (0..).zip(log_probs.iter().copied()).filter_map(possible).collect(),
            Law::Top { ids, log_probs } => ids.iter().copied().zip(log_probs.iter().copied()).filter_map(possible).collect(),
        };
        kept.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let most = kept.first().map_or(0.0, |(_, log_prob)| f64::from(*log_prob));
        let total: f64 = kept.iter().map(|(_, log_prob)| libm::exp(f64::from(*log_prob) - most)).sum();
        let ln_total = most + libm::log(total.max(f64::MIN_POSITIVE));
        kept.into_iter().map(|(id, log_prob)| (id, (f64::from(log_prob) - ln_total) as f32)).unzip()
    }
}

/// Tokens by the text that each adds within a passage; `None` for a text that several add. Special tokens and parts of characters add none.
fn by_text(tokenizer: &Tokenizer) -> HashMap<String, Option<TokenId>> {
    // some tokenizers write no blank before a first word
    let before = tokenizer.encode("a");
    let start = tokenizer.decode(&before);
    let mut all: HashMap<String, Option<TokenId>> = HashMap::new();
    for id in 0..tokenizer.vocab_size() as TokenId {
        if tokenizer.special_ids().contains(&id) {
            continue;
        }
        let passage = tokenizer.decode(&[&before[..], &[id]].concat());
        let Some(text) = passage.strip_prefix(&start).filter(|text| !text.is_empty()) else { continue };
        if !text.contains(char::REPLACEMENT_CHARACTER) {
            all.entry(text.to_string()).and_modify(|known| *known = None).or_insert(Some(id));
        }
    }
    all
}

/// One row of the model's own tokens, with the places along it at which its law is wanted.
struct Asked {
    row: Vec<TokenId>,
    /// Of which exchange.
    exchange: usize,
    /// Tokens of the row that are read, and the position in the exchange's answer.
    places: Vec<(usize, usize)>,
}

/// Rows for the places of answer number `exchange`, `given`. The model reads the text before each place alone, encoded by itself: so
/// neither that a place is asked about nor how says anything of the token that stands there. Left out are places within a character,
/// and texts of more than `context` own tokens.
fn rows(to_own: &Retokeniser, exchange: usize, given: &Exchange, context: usize) -> Vec<Asked> {
    let mut rows: Vec<Asked> = Vec::new();
    let mut read = given.query.prompt.clone();
    let mut befores = Vec::with_capacity(given.answer.len());
    for token in &given.answer {
        befores.push(to_own.from.decode(&read));
        read.push(*token);
    }
    // longest first: most of the others are its beginnings
    for (position, before) in befores.iter().enumerate().rev() {
        let own = to_own.to.encode_document(before);
        if before.ends_with(char::REPLACEMENT_CHARACTER) || own.is_empty() || own.len() > context {
            continue;
        }
        let place = (own.len(), position);
        match rows.iter_mut().find(|asked| asked.row.starts_with(&own)) {
            Some(asked) => asked.places.push(place),
            None => rows.push(Asked { row: own, exchange, places: vec![place] }),
        }
    }
    rows
}

/// As [`Oracle::laws_of_shared_tokens`], of `inner`, which holds `context` tokens.
pub(super) fn laws(
    inner: &dyn Oracle,
    (to_own, shared): (&Retokeniser, &SharedTokens),
    context: usize,
    given: &[&Exchange],
    sink: &oracle::LawSink<'_>,
) -> Result<(), OracleError> {
    let asked: Vec<Asked> =
        given.iter().enumerate().flat_map(|(number, exchange)| rows(to_own, number, exchange, context)).collect();
    let exchange = |asked: &Asked| {
        let first = asked.places.iter().map(|(read, _)| *read).min().unwrap_or(1);
        let (prompt, answer) = asked.row.split_at(first);
        // the token after the last one that is read is none of the model's reading
        let answer = [answer, &asked.row[..1]].concat();
        let of = given[asked.exchange];
        Exchange {
            query: Query { prompt: prompt.to_vec(), max_new_tokens: answer.len(), ..of.query.clone() },
            answer,
            stop: of.stop,
        }
    };
    let exchanges: Vec<Exchange> = asked.iter().map(exchange).collect();
    inner.laws(&exchanges.iter().collect::<Vec<_>>(), &|row, at, law| {
        let read = exchanges[row].query.prompt.len() + at;
        let Some((_, position)) = asked[row].places.iter().find(|(of, _)| *of == read) else { return };
        let (ids, log_probs) = shared.law(law);
        sink(asked[row].exchange, *position, Law::Top { ids: &ids, log_probs: &log_probs });
    })
}
