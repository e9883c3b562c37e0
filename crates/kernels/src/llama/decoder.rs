//! Batched decoding with a key/value cache.

use super::cache::{Cache, append_and_attend};
use super::packed::PackedWeights;
use super::shape::LlamaShape;
use crate::buffer::Buffer;
use crate::matmul::{Into, times_packed};
use crate::ops::{RotaryTable, rms_norm, rotary, swiglu};

/// Tokens of prompts that go through the blocks together: enough to amortise reading the weights, few enough to stay in cache.
const PREFILL_ROWS: usize = 256;

/// Key/value caches of a fixed number of independent slots, advanced in any order and grouping.
///
/// The logits of a slot are a function of the weights and of the tokens it was fed, to the bit: not of the other slots in the call,
/// of how its tokens were split over `prefill` and `step`, or of `max_time`; and they are the bits `for_each_logits` gives for the same tokens.
/// No padding to row blocks is needed for that, since the products here have no row-dependent order of summation.
#[derive(Debug)]
pub struct Decoder {
    shape: LlamaShape,
    max_time: usize,
    lengths: Vec<usize>,
    caches: Vec<Cache>,
    rotary: RotaryTable,
    slots: Vec<usize>,
    positions: Vec<usize>,
    tokens: Vec<u32>,
    buffers: Buffers,
}

#[derive(Debug, Default)]
struct Buffers {
    x: Buffer,
    normed: Buffer,
    inverse_rms: Buffer,
    qkv: Buffer,
    attended: Buffer,
    gate_up: Buffer,
    activated: Buffer,
    scores: Buffer,
}

impl Decoder {
    /// `rows` empty slots of at most `max_time` tokens each.
    ///
    /// # Panics
    /// If the shape is no Llama.
    pub fn new(shape: &LlamaShape, rows: usize, max_time: usize) -> Self {
        shape.check();
        let mut rotary = RotaryTable::default();
        rotary.prepare(max_time, shape.head_dim, shape.rope_theta);
        Self {
            shape: shape.clone(),
            max_time,
            lengths: vec![0; rows],
            caches: (0..shape.layers).map(|_| Cache::new(shape.head_layout(), rows, max_time)).collect(),
            rotary,
            slots: Vec::new(),
            positions: Vec::new(),
            tokens: Vec::new(),
            buffers: Buffers::default(),
        }
    }

    /// Slots that one worker should advance together, where the caller has a choice: a multiple of 8 from 16 to 64.
    ///
    /// Products run near their peak from 8 rows on, as long as the weights stay in the last-level cache; what slows a step then is keys and values
    /// that do not. So: as many slots as keep theirs within `CACHE_SHARE`. Weights that do not fit are read from memory at each step, which takes more rows to pay.
    pub fn advised_rows(shape: &LlamaShape, max_time: usize) -> usize {
        /// Bytes of keys and values, and of weights, that a worker may expect to find in a last-level cache shared by a few.
        const CACHE_SHARE: usize = 4 << 20;
        let fewest = if shape.n_params() * size_of::<f32>() > 4 * CACHE_SHARE { 32 } else { 16 };
        let per_slot = shape.layers * Cache::slot_floats(shape.head_layout(), max_time) * size_of::<f32>();
        (CACHE_SHARE / per_slot.max(1) / 8 * 8).clamp(fewest, 64)
    }

    /// Appends `tokens` to a slot without computing logits: the prompt but for its last token, which goes to `step`.
    ///
    /// # Panics
    /// As `step`.
    pub fn prefill(&mut self, weights: &PackedWeights, slot: usize, tokens: &[u32]) {
        self.prefill_batch(weights, &[(slot, tokens)]);
    }

    /// `prefill` of several slots at once (slot, tokens): larger products, same bits.
    ///
    /// # Panics
    /// As `step`.
    pub fn prefill_batch(&mut self, weights: &PackedWeights, prompts: &[(usize, &[u32])]) {
        self.begin();
        for &(slot, tokens) in prompts {
            for &token in tokens {
                self.push(slot, token);
                if self.tokens.len() == PREFILL_ROWS {
                    self.blocks(weights, true);
                    self.begin();
                }
            }
        }
        self.blocks(weights, true);
    }

    /// Appends `tokens[i]` to `slots[i]`, each slot named once; `logits` (slots, vocab) then hold the raw logits of the token after it.
    ///
    /// # Panics
    /// If `weights` are of another shape, lengths differ, a slot is named twice or is full, or an id is not below `vocab`.
    pub fn step(&mut self, weights: &PackedWeights, slots: &[usize], tokens: &[u32], logits: &mut [f32]) {
        let (m, h, vocab) = (slots.len(), self.shape.hidden, self.shape.vocab);
        assert!(tokens.len() == m && logits.len() == m * vocab, "decoder: lengths of slots, tokens and logits");
        self.begin();
        for (&slot, &token) in slots.iter().zip(tokens) {
            self.push(slot, token);
        }
        self.slots.sort_unstable();
        assert!(self.slots.windows(2).all(|pair| pair[0] != pair[1]), "decoder: a slot is named twice in one step");
        self.slots.clear();
        self.slots.extend_from_slice(slots);
        self.blocks(weights, false);
        let Buffers { x, normed, inverse_rms, .. } = &mut self.buffers;
        let normed = normed.take(m * h);
        rms_norm(x.take(m * h), &weights.final_norm, self.shape.norm_eps, normed, inverse_rms.take(m));
        times_packed(m, vocab, h, normed, weights.head.all(), logits, Into::Set);
    }

    /// Forgets a slot's tokens.
    pub fn reset(&mut self, slot: usize) {
        self.lengths[slot] = 0;
    }

    /// Tokens a slot holds.
    pub fn len(&self, slot: usize) -> usize {
        self.lengths[slot]
    }

    /// Whether a slot holds no tokens.
    pub fn is_empty(&self, slot: usize) -> bool {
        self.lengths[slot] == 0
    }

    /// Number of slots.
    pub fn rows(&self) -> usize {
        self.lengths.len()
    }

    /// Tokens a slot can hold.
    pub fn max_time(&self) -> usize {
        self.max_time
    }

    fn begin(&mut self) {
        self.slots.clear();
        self.positions.clear();
        self.tokens.clear();
    }

    fn push(&mut self, slot: usize, token: u32) {
        assert!(self.lengths[slot] < self.max_time, "decoder: slot {slot} is full ({} tokens)", self.max_time);
        assert!(
            (token as usize) < self.shape.vocab,
            "decoder: token {token} is not below the vocabulary size {}",
            self.shape.vocab
        );
        self.slots.push(slot);
        self.positions.push(self.lengths[slot]);
        self.tokens.push(token);
        self.lengths[slot] += 1;
    }

    /// Runs the pushed tokens through all blocks; with `cache_only` the last block stops at its keys and values.
    fn blocks(&mut self, weights: &PackedWeights, cache_only: bool) {
        assert!(weights.shape.as_ref() == Some(&self.shape), "decoder: weights of another shape");
        if self.tokens.is_empty() {
            return;
        }
        let Self { shape, caches, rotary: table, slots, positions, tokens, buffers, .. } = self;
        let (m, h, f, layout) = (tokens.len(), shape.hidden, shape.ffn, shape.head_layout());
        let (width, attention_width) = (layout.width(), shape.attention_width());
        let x = buffers.x.take(m * h);
        for (&token, x) in tokens.iter().zip(x.chunks_exact_mut(h)) {
            x.copy_from_slice(&weights.embedding[token as usize * h..][..h]);
        }
        let (normed, inverse_rms, qkv) = (buffers.normed.take(m * h), buffers.inverse_rms.take(m), buffers.qkv.take(m * width));
        let (attended, gate_up, activated) =
            (buffers.attended.take(m * attention_width), buffers.gate_up.take(m * 2 * f), buffers.activated.take(m * f));
        for (index, (layer, cache)) in weights.layers.iter().zip(caches).enumerate() {
            rms_norm(x, &layer.norm1, shape.norm_eps, normed, inverse_rms);
            times_packed(m, width, h, normed, layer.qkv.all(), qkv, Into::Set);
            rotary(qkv, layout, positions, table, false);
            if cache_only && index + 1 == shape.layers {
                append_and_attend(cache, slots, positions, qkv, None, &mut buffers.scores);
                return;
            }
            append_and_attend(cache, slots, positions, qkv, Some(attended), &mut buffers.scores);
            times_packed(m, h, attention_width, attended, layer.output.all(), x, Into::Add);
            rms_norm(x, &layer.norm2, shape.norm_eps, normed, inverse_rms);
            times_packed(m, 2 * f, h, normed, layer.gate_up.all(), gate_up, Into::Set);
            swiglu(gate_up, f, activated);
            times_packed(m, h, f, activated, layer.down.all(), x, Into::Add);
        }
    }
}
