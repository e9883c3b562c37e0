//! Scoring: the laws of given rows.

use std::collections::BTreeMap;
use std::ops::Range;

use candle_core::Tensor;
use kernels::llama::{self, PackedWeights, Workspace};
use oracle::TokenId;
use rayon::prelude::*;

use crate::arch::{Arch, Weights};
use crate::model::Model;
use crate::processing::hide;
use crate::runtime::{RunError, Runtime};

/// A row of tokens and which laws of it are wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct Row<'a> {
    /// The tokens.
    pub ids: &'a [TokenId],
    /// Law i is that of the token at index i given `ids[..i]`; 1 <= i <= `ids.len()`. Empty when none is wanted.
    pub laws: Range<usize>,
}

/// Tokens of a block on the fused path: few enough that its temporaries stay in the cache of one core.
const FUSED_TOKENS: usize = 512;

/// The same on the generic path, where every block is filled up to its full size: the matrix products of candle choose
/// their kernel, and with it the bits of a row, by the number of rows. Smaller blocks waste less on rows without company.
pub(crate) const GENERIC_TOKENS: usize = 256;

/// Positions whose logits the generic path computes at once; filled up for the same reason.
const POSITIONS: usize = 64;

/// Receives (row, law, raw logits, raw logits of the companions), each (vocab), from worker threads.
pub type LawsSink<'a> = dyn Fn(usize, usize, &mut [f32], &[&[f32]]) + Sync + 'a;

/// Computes the wanted laws of every row. `sink(row, i, logits)` gets raw logits (vocab), which it may change, from worker
/// threads; the laws of one row come in ascending order from one thread, rows in any order. Bits do not depend on the other
/// rows or the number of threads: only equally long rows share a block, and on the generic path all blocks of one length
/// have one size.
///
/// # Errors
/// When a row does not fit the model, on cancellation, or when a tensor operation fails.
pub fn for_each_law(
    model: &Model,
    rows: &[Row<'_>],
    rt: &Runtime,
    sink: &(dyn Fn(usize, usize, &mut [f32]) + Sync),
) -> Result<(), RunError> {
    for_each_law_beside(model, &[], rows, rt, &|row, i, logits, _| sink(row, i, logits))
}

/// [`for_each_law`] with the laws of `companions` (models of the same vocabulary) after the same tokens, in their order. Each
/// takes the path that its own architecture allows. Beside the model's own, a worker holds those of a block of about 256 tokens.
///
/// # Errors
/// As [`for_each_law`]; when a row does not fit a companion.
pub fn for_each_law_beside(
    model: &Model,
    companions: &[&Model],
    rows: &[Row<'_>],
    rt: &Runtime,
    sink: &LawsSink<'_>,
) -> Result<(), RunError> {
    if let Some(other) = companions.iter().find(|other| other.vocab_size() != model.vocab_size()) {
        let (theirs, own) = (other.vocab_size(), model.vocab_size());
        return Err(RunError::Input(format!(
            "a companion has {theirs} tokens and the model {own}; give one of the same tokenizer"
        )));
    }
    let models: Vec<(&Model, &str)> =
        std::iter::once((model, "model")).chain(companions.iter().map(|companion| (*companion, "companion"))).collect();
    let by_length = by_length(&models, rows)?;
    let own = Engine::new(model, rt)?;
    let beside: Vec<Engine<'_>> = companions.iter().map(|companion| Engine::new(companion, rt)).collect::<Result<_, _>>()?;
    let tokens = if matches!(own.kind, Kind::Fused(..)) && beside.is_empty() { FUSED_TOKENS } else { GENERIC_TOKENS };
    let blocks = blocks(rows, &by_length, tokens);
    let vocab = model.vocab_size();
    let work = |workspaces: &mut Vec<Workspace>, block: &Block<'_>| {
        let _turn = rt.device.turn();
        rt.check_cancelled()?;
        workspaces.resize_with(1 + beside.len(), Workspace::new);
        let Some((workspace, others)) = workspaces.split_first_mut() else { return Ok(()) };
        let mut laws = Vec::with_capacity(beside.len());
        for (engine, workspace) in beside.iter().zip(others) {
            let mut all = Vec::new();
            let absent = engine.absent;
            engine.laws(block, workspace, &mut |_, logits| {
                hide(absent, logits);
                all.extend_from_slice(logits);
            })?;
            laws.push(all);
        }
        // All engines go through the wanted positions in ascending order.
        let mut nth = 0;
        own.laws(block, workspace, &mut |position, logits| {
            let companions: Vec<&[f32]> = laws.iter().map(|all| &all[nth * vocab..][..vocab]).collect();
            nth += 1;
            hide(own.absent, logits);
            sink(block.members[position / block.time], position % block.time + 1, logits, &companions);
        })
    };
    rt.pool.install(|| blocks.par_iter().try_for_each_init(Vec::new, work))
}

/// A model in the form that its path computes with.
struct Engine<'a> {
    kind: Kind<'a>,
    /// Ids that stand for no token.
    absent: &'a [TokenId],
}

enum Kind<'a> {
    Fused(PackedWeights),
    Generic(&'a dyn Arch, Weights),
}

impl<'a> Engine<'a> {
    fn new(model: &'a Model, rt: &Runtime) -> Result<Self, RunError> {
        let arch = model.config().arch();
        let kind = match rt.fused(arch) {
            Some(shape) => Kind::Fused(PackedWeights::new(&shape, model.weights())),
            None => Kind::Generic(arch, Weights::constant(model.layout(), model.weights(), &rt.device)?),
        };
        Ok(Self { kind, absent: arch.absent() })
    }

    /// Calls `sink(position, logits)` for every wanted position of a block, in ascending order.
    fn laws(
        &self,
        block: &Block<'_>,
        workspace: &mut Workspace,
        sink: &mut dyn FnMut(usize, &mut [f32]),
    ) -> Result<(), RunError> {
        match &self.kind {
            Kind::Fused(weights) => {
                let count = block.members.len();
                let wanted = |position| block.wanted(position);
                llama::for_each_logits(weights, &block.ids(count), count, block.time, &wanted, sink, workspace);
                Ok(())
            }
            Kind::Generic(arch, weights) => generic(*arch, weights, block, sink),
        }
    }
}

/// The rows of which laws are wanted, by the number of tokens that these need: law i needs the i tokens before it and no more.
/// `models` have to be able to read them, and are called by their names in errors.
pub(crate) fn by_length(models: &[(&Model, &str)], rows: &[Row<'_>]) -> Result<BTreeMap<usize, Vec<usize>>, RunError> {
    let mut by_length: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate() {
        let mut wanted = false;
        for (model, whose) in models {
            wanted = check(model, at, row, whose)?;
        }
        if wanted {
            by_length.entry(row.laws.end - 1).or_default().push(at);
        }
    }
    Ok(by_length)
}

/// Blocks of equally long rows, of at least `tokens` tokens where they are full.
pub(crate) fn blocks<'a>(rows: &'a [Row<'a>], by_length: &'a BTreeMap<usize, Vec<usize>>, tokens: usize) -> Vec<Block<'a>> {
    by_length
        .iter()
        .flat_map(|(time, list)| {
            let count = tokens.div_ceil(*time);
            list.chunks(count).map(move |members| Block { rows, members, time: *time, count })
        })
        .collect()
}

/// Whether any law of the row is wanted.
fn check(model: &Model, at: usize, row: &Row<'_>, whose: &str) -> Result<bool, RunError> {
    if row.laws.is_empty() {
        return Ok(false);
    }
    let (vocab, context) = (model.vocab_size(), model.context_length());
    if row.laws.start == 0 || row.laws.end > row.ids.len() + 1 {
        let laws = &row.laws;
        return Err(RunError::Input(format!("row {at}: laws {laws:?} are not within 1..={} tokens", row.ids.len())));
    }
    if row.laws.end - 1 > context {
        return Err(RunError::Input(format!(
            "row {at}: {} tokens do not fit the {whose}'s context of {context}",
            row.laws.end - 1
        )));
    }
    match row.ids.iter().find(|id| **id as usize >= vocab) {
        Some(id) => Err(RunError::Input(format!("row {at}: token id {id} is not below the {whose}'s vocab_size {vocab}"))),
        None => Ok(true),
    }
}

/// Rows of one length that are computed together.
pub(crate) struct Block<'a> {
    rows: &'a [Row<'a>],
    /// Indices into `rows`.
    pub(crate) members: &'a [usize],
    /// Tokens of each.
    pub(crate) time: usize,
    /// Most members of a block of this length.
    pub(crate) count: usize,
}

impl Block<'_> {
    /// Token ids (count, time); a block with fewer members repeats its first.
    pub(crate) fn ids(&self, count: usize) -> Vec<TokenId> {
        let row = |i: usize| &self.rows[*self.members.get(i).unwrap_or(&self.members[0])].ids[..self.time];
        (0..count).flat_map(row).copied().collect()
    }

    /// Whether the law after `position` = row * time + t is wanted.
    fn wanted(&self, position: usize) -> bool {
        let member = self.members.get(position / self.time);
        member.is_some_and(|at| self.rows[*at].laws.contains(&(position % self.time + 1)))
    }
}

fn generic(
    arch: &dyn Arch,
    weights: &Weights,
    block: &Block<'_>,
    sink: &mut dyn FnMut(usize, &mut [f32]),
) -> Result<(), RunError> {
    let ids = block.ids(block.count);
    let positions: Vec<u32> = (0..ids.len()).filter(|position| block.wanted(*position)).map(|position| position as u32).collect();
    let ids = Tensor::from_vec(ids, (block.count, block.time), weights.device())?;
    let hidden = arch.hidden(weights, &ids, None)?.flatten_to(1)?;
    for positions in positions.chunks(POSITIONS) {
        let mut selected = positions.to_vec();
        selected.resize(POSITIONS, positions[0]);
        let hidden = hidden.index_select(&Tensor::from_vec(selected, POSITIONS, weights.device())?, 0)?;
        let mut logits = arch.logits(weights, &hidden)?.flatten_all()?.to_vec1::<f32>()?;
        for (position, row) in positions.iter().zip(logits.chunks_exact_mut(arch.vocab_size())) {
            sink(*position as usize, row);
        }
    }
    Ok(())
}
