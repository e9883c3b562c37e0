//! Scoring: the laws of given rows.

use std::collections::BTreeMap;
use std::ops::Range;

use candle_core::Tensor;
use kernels::llama::{self, Workspace};
use oracle::TokenId;
use rayon::prelude::*;

use crate::arch::{Arch, Weights};
use crate::model::Model;
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
const GENERIC_TOKENS: usize = 256;

/// Positions whose logits the generic path computes at once; filled up for the same reason.
const POSITIONS: usize = 64;

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
    // Law i needs the i tokens before it and no more.
    let mut by_length: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate() {
        if check(model, at, row)? {
            by_length.entry(row.laws.end - 1).or_default().push(at);
        }
    }
    let arch = model.config().arch();
    let fused = rt.fused(arch);
    let tokens = if fused.is_some() { FUSED_TOKENS } else { GENERIC_TOKENS };
    let blocks: Vec<Block<'_>> = by_length
        .iter()
        .flat_map(|(time, list)| {
            let count = tokens.div_ceil(*time);
            list.chunks(count).map(move |members| Block { rows, members, time: *time, count })
        })
        .collect();
    match fused {
        Some(shape) => rt.pool.install(|| {
            blocks.par_iter().try_for_each_init(Workspace::new, |workspace, block| {
                rt.check_cancelled()?;
                let count = block.members.len();
                llama::for_each_logits(
                    &shape,
                    model.weights(),
                    &block.ids(count),
                    count,
                    block.time,
                    &|position| block.wanted(position),
                    &mut |position, logits| sink(block.members[position / block.time], position % block.time + 1, logits),
                    workspace,
                );
                Ok(())
            })
        }),
        None => {
            let weights = Weights::constant(model.layout(), model.weights(), &rt.device)?;
            rt.pool.install(|| {
                blocks.par_iter().try_for_each(|block| {
                    let _turn = rt.device.turn();
                    rt.check_cancelled()?;
                    generic(arch, &weights, block, sink)
                })
            })
        }
    }
}

/// Whether any law of the row is wanted.
fn check(model: &Model, at: usize, row: &Row<'_>) -> Result<bool, RunError> {
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
            "row {at}: {} tokens do not fit the model's context of {context}",
            row.laws.end - 1
        )));
    }
    match row.ids.iter().find(|id| **id as usize >= vocab) {
        Some(id) => Err(RunError::Input(format!("row {at}: token id {id} is not below the model's vocab_size {vocab}"))),
        None => Ok(true),
    }
}

/// Rows of one length that are computed together.
struct Block<'a> {
    rows: &'a [Row<'a>],
    /// Indices into `rows`.
    members: &'a [usize],
    time: usize,
    /// Most members of a block of this length.
    count: usize,
}

impl Block<'_> {
    /// Token ids (count, time); a block with fewer members repeats its first.
    fn ids(&self, count: usize) -> Vec<TokenId> {
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
    sink: &(dyn Fn(usize, usize, &mut [f32]) + Sync),
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
            let position = *position as usize;
            sink(block.members[position / block.time], position % block.time + 1, row);
        }
    }
    Ok(())
}
