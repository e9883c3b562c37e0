use std::cell::RefCell;

use candle_core::{Device, Result, Tensor};

use super::rope::Rope;

/// What all layers of a walk share: tables of positions and masks, each made once.
pub(super) struct Shared<'a> {
    pub(super) batch: usize,
    pub(super) time: usize,
    seen: usize,
    device: &'a Device,
    tables: Vec<(Rope, (Tensor, Tensor))>,
    masks: RefCell<Vec<(Option<usize>, Option<Tensor>)>>,
}

impl<'a> Shared<'a> {
    pub(super) fn new<'b>(
        ropes: impl Iterator<Item = &'b Rope>,
        batch: usize,
        time: usize,
        seen: usize,
        device: &'a Device,
    ) -> Result<Self> {
        let mut tables: Vec<(Rope, (Tensor, Tensor))> = Vec::new();
        for rope in ropes {
            if tables.iter().all(|(known, _)| known != rope) {
                tables.push((rope.clone(), rope.tables(seen, time, device)?));
            }
        }
        Ok(Self { batch, time, seen, device, tables, masks: RefCell::default() })
    }

    /// Cosines and sines of the positions at hand.
    pub(super) fn tables(&self, rope: &Rope) -> Option<&(Tensor, Tensor)> {
        self.tables.iter().find(|(known, _)| known == rope).map(|(_, tables)| tables)
    }

    /// The mask of a window, made when it is first asked for; none where all may be seen.
    pub(super) fn mask(&self, window: Option<usize>) -> Result<Option<Tensor>> {
        let mut masks = self.masks.borrow_mut();
        if let Some((_, mask)) = masks.iter().find(|(known, _)| *known == window) {
            return Ok(mask.clone());
        }
        let mask = mask(self.time, self.seen, window, self.device)?;
        masks.push((window, mask.clone()));
        Ok(mask)
    }
}

/// (t, s) with 0 where a query may look and minus infinity elsewhere; `seen` tokens came before. None where all may be seen.
fn mask(time: usize, seen: usize, window: Option<usize>, device: &Device) -> Result<Option<Tensor>> {
    let total = seen + time;
    let window = window.unwrap_or(total);
    if time == 1 && total <= window {
        return Ok(None);
    }
    let visible = |i: usize, j: usize| j <= seen + i && seen + i - j < window;
    let value = |i, j| if visible(i, j) { 0.0 } else { f32::NEG_INFINITY };
    let mask: Vec<f32> = (0..time).flat_map(|i| (0..total).map(move |j| value(i, j))).collect();
    Ok(Some(Tensor::from_vec(mask, (time, total), device)?))
}
