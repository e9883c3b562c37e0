use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::floats::{add_rows, given, with_floats};
use crate::arch::summed::{Place, Summed};

/// Rows of a table, for each token its own, times a factor, plus those of its place: (n, hidden). It reads nothing of its argument, which
/// is the leaf of the tape.
pub(crate) struct LookupPass {
    pub(crate) summed: Arc<Summed>,
    pub(crate) table: Place,
    /// (n).
    pub(crate) ids: Vec<u32>,
    pub(crate) scale: f32,
    /// A table of positions, and the first of its rows that counts.
    pub(crate) positions: Option<(Place, usize)>,
    /// Tokens of a text.
    pub(crate) time: usize,
    pub(crate) hidden: usize,
}

impl CustomOp1 for LookupPass {
    fn name(&self) -> &'static str {
        "lookup in one pass"
    }

    fn cpu_fwd(&self, _storage: &CpuStorage, _layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let hidden = self.hidden;
        let table = self.summed.values(&self.table);
        let mut x = Vec::with_capacity(self.ids.len() * hidden);
        for id in &self.ids {
            x.extend(table[*id as usize * hidden..][..hidden].iter().map(|value| value * self.scale));
        }
        if let Some((positions, first)) = &self.positions {
            let rows = &self.summed.values(positions)[first * hidden..][..self.time * hidden];
            for text in x.chunks_exact_mut(rows.len()) {
                text.iter_mut().zip(rows).for_each(|(x, row)| *x += row);
            }
        }
        Ok(given(x, (self.ids.len(), hidden)))
    }

    fn bwd(&self, _leaf: &Tensor, _x: &Tensor, dx: &Tensor) -> Result<Option<Tensor>> {
        let hidden = self.hidden;
        with_floats(dx, |dx| {
            self.summed.add_to(&self.table, |sum| {
                for (id, dx) in self.ids.iter().zip(dx.chunks_exact(hidden)) {
                    let row = &mut sum[*id as usize * hidden..][..hidden];
                    row.iter_mut().zip(dx).for_each(|(sum, dx)| *sum += dx * self.scale);
                }
            });
            if let Some((positions, first)) = &self.positions {
                self.summed.add_to(positions, |sum| add_rows(dx, &mut sum[first * hidden..][..self.time * hidden]));
            }
        })?;
        Ok(None)
    }
}
