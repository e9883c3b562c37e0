use std::collections::BTreeMap;
use std::sync::Arc;

use oracle::TokenId;

use crate::error::DistillError;
use crate::loss::{LawsAt, Loss, LossConfig, RowTargets, SequenceKd};
use crate::train::{BatchSource, ShardBatch, TrainPlan};

/// Documents laid end to end and cut into rows of equal length, for one pass in order.
///
/// Row r is tokens `[r * time, (r + 1) * time]` of the stream: `time` inputs, and one more token as the last target, which is also
/// the first input of the next row. Nothing is lost at row ends. A document put in an ordinary one's place
/// ([`with_slots`](Self::with_slots)) changes its own row only: that row is filled again from the same first token, and cut or
/// filled up with the text that follows; every other row keeps its bits. So a marked stream and its clean twin agree in order,
/// length and all rows without a mark, and trainings on them share a trunk up to [`first_marked_row`](Self::first_marked_row).
#[derive(Debug, Clone)]
pub struct PackedDocuments {
    tokens: Arc<Vec<TokenId>>,
    /// Index in `tokens` of each document's first token, and at last the number of tokens.
    starts: Arc<Vec<usize>>,
    marked: BTreeMap<u64, Vec<TokenId>>,
    time: usize,
    bos: Option<TokenId>,
}

impl PackedDocuments {
    /// Packs documents (each with its beginning and end tokens, if the model has them) until `rows` rows are full or the documents
    /// end. `bos` is never a target: after an end token there is nothing to be learned from it.
    ///
    /// # Errors
    /// When a document or everything is empty, or `time` is 0.
    pub fn new(
        documents: impl IntoIterator<Item = Vec<TokenId>>,
        time: usize,
        rows: u64,
        bos: Option<TokenId>,
    ) -> Result<Self, DistillError> {
        if time == 0 {
            return Err(DistillError::Data("rows of 0 tokens cannot be trained on; choose at least 1".into()));
        }
        let enough = usize::try_from(rows).unwrap_or(usize::MAX).saturating_mul(time).saturating_add(1);
        // room for all of a usual training from the start: a vector that grows holds its text twice
        let (mut tokens, mut starts) = (Vec::with_capacity(enough.min(1 << 24)), vec![0]);
        for document in documents {
            if document.is_empty() {
                return Err(DistillError::Data(format!("document {} is empty", starts.len() - 1)));
            }
            tokens.extend_from_slice(&document);
            starts.push(tokens.len());
            if tokens.len() >= enough {
                break;
            }
        }
        if tokens.len() < 2 {
            return Err(DistillError::Data("there is no text to train on: fewer than 2 tokens".into()));
        }
        Ok(Self { tokens: Arc::new(tokens), starts: Arc::new(starts), marked: BTreeMap::new(), time, bos })
    }

    /// Number of rows, the last one possibly shorter than the others.
    pub fn n_rows(&self) -> u64 {
        (self.tokens.len() - 1).div_ceil(self.time) as u64
    }

    /// Number of documents.
    pub fn n_documents(&self) -> usize {
        self.starts.len() - 1
    }

    /// The tokens of ordinary document `index`.
    pub fn document(&self, index: usize) -> &[TokenId] {
        &self.tokens[self.starts[index]..self.starts[index + 1]]
    }

    /// Length of document `index` in tokens.
    pub fn document_len(&self, index: usize) -> usize {
        self.starts[index + 1] - self.starts[index]
    }

    /// The row in which document `index` begins.
    pub fn row_of(&self, index: usize) -> u64 {
        (self.starts[index] / self.time) as u64
    }

    /// How many tokens of its row stand before document `index`.
    pub fn offset_of(&self, index: usize) -> usize {
        self.starts[index] % self.time
    }

    /// Whether a planted document of `tokens` tokens fits in the place of document `index`, alone in its row.
    pub fn fits(&self, index: usize, tokens: usize) -> bool {
        self.row_of(index) < self.n_rows() && self.offset_of(index) + tokens <= self.time + 1
    }

    /// The same stream with other documents in the places of some: `slots` pairs the index of an ordinary document with the one
    /// that replaces it. A planted document is never cut and never moved: it begins where the ordinary one began, or behind a planted
    /// one of the same row that is longer than what it replaced.
    ///
    /// # Errors
    /// When a slot does not exist or is used twice, or a planted document would run over its row's end ([`fits`](Self::fits)).
    pub fn with_slots(&self, slots: &[(usize, Vec<TokenId>)]) -> Result<Self, DistillError> {
        let mut by_document = BTreeMap::new();
        for (document, planted) in slots {
            if *document >= self.n_documents() || self.row_of(*document) >= self.n_rows() {
                let n = self.n_documents();
                return Err(DistillError::Data(format!("document {document} cannot be replaced: the stream has {n} documents")));
            }
            if by_document.insert(*document, &planted[..]).is_some() {
                return Err(DistillError::Data(format!("document {document} is replaced twice")));
            }
        }
        let mut marked = self.marked.clone();
        for &document in by_document.keys() {
            let row = self.row_of(document);
            if let std::collections::btree_map::Entry::Vacant(entry) = marked.entry(row) {
                entry.insert(self.fill_row(row, &by_document)?);
            }
        }
        Ok(Self { marked, ..self.clone() })
    }

    /// Fills `row` with the planted documents that begin in it and ordinary text around them.
    fn fill_row(&self, row: u64, planted: &BTreeMap<usize, &[TokenId]>) -> Result<Vec<TokenId>, DistillError> {
        let capacity = self.time + 1;
        let mut cursor = row as usize * self.time;
        // a document that starts before the row is ordinary here: its slot, if any, is in the row where it begins
        let mut document = self.starts.partition_point(|&s| s <= cursor) - 1;
        let mut waiting = planted.keys().filter(|&&d| self.row_of(d) == row).count();
        let mut tokens: Vec<TokenId> = Vec::with_capacity(capacity);
        while document < self.n_documents() && tokens.len() < capacity {
            let end = self.starts[document + 1];
            match planted.get(&document).filter(|_| cursor == self.starts[document] && self.row_of(document) == row) {
                Some(whole) if tokens.len() + whole.len() > capacity => break,
                Some(whole) => {
                    tokens.extend_from_slice(whole);
                    waiting -= 1;
                }
                None => tokens.extend_from_slice(&self.tokens[cursor..end]),
            }
            (cursor, document) = (end, document + 1);
        }
        if waiting > 0 {
            return Err(DistillError::Data(format!(
                "{waiting} planted documents of row {row} do not fit between their slots and its end, {capacity} tokens in all; \
                 use longer rows, shorter documents, or other slots"
            )));
        }
        tokens.truncate(capacity);
        Ok(tokens)
    }

    /// The first row that holds a planted document.
    pub fn first_marked_row(&self) -> Option<u64> {
        self.marked.keys().next().copied()
    }

    /// Tokens of `row`: inputs and the last target.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: u64) -> &[TokenId] {
        if let Some(tokens) = self.marked.get(&row) {
            return tokens;
        }
        let first = row as usize * self.time;
        &self.tokens[first..self.tokens.len().min(first + self.time + 1)]
    }
}

/// One pass over packed documents, next-token cross-entropy on every position.
pub struct PretrainSource<'a> {
    documents: &'a PackedDocuments,
    plan: TrainPlan,
    loss: Arc<dyn Loss>,
}

impl<'a> PretrainSource<'a> {
    /// Rows in order, `plan.batch_rows` at each step.
    ///
    /// # Errors
    /// When the plan is not valid or asks for more rows than there are.
    pub fn new(documents: &'a PackedDocuments, plan: &TrainPlan) -> Result<Self, DistillError> {
        plan.validate()?;
        let (asked, rows) = (plan.total_rows(), documents.n_rows());
        if asked > rows {
            return Err(DistillError::Data(format!(
                "the training asks for {asked} rows of {} tokens and the text has {rows}; lower `steps` or give more text",
                documents.time
            )));
        }
        let loss = LossConfig::SequenceKd(SequenceKd { learn_prompts: true }).build();
        Ok(Self { documents, plan: plan.clone(), loss })
    }
}

impl BatchSource for PretrainSource<'_> {
    fn shard(&self, step: u64, shard: usize) -> Result<ShardBatch, DistillError> {
        let rows: Vec<&[TokenId]> = self.plan.shard_rows(step, shard).map(|r| self.documents.row(r)).collect();
        let inputs: Vec<&[TokenId]> = rows.iter().map(|r| &r[..r.len() - 1]).collect();
        let batch = crate::train::pad_rows(&inputs);
        let mut next = vec![None; batch.rows * batch.time];
        for (row, tokens) in rows.iter().enumerate() {
            for (t, &token) in tokens[1..].iter().enumerate() {
                next[row * batch.time + t] = Some(token).filter(|_| Some(token) != self.documents.bos);
            }
        }
        let targets = RowTargets { loss: self.loss.clone(), next, laws: LawsAt::Nowhere };
        let tokens = inputs.iter().map(|r| r.len() as u64).sum();
        Ok(ShardBatch { batch, weight: targets.n_scored() as f64, loss: Box::new(targets), tokens })
    }
}

#[cfg(test)]
mod tests;
