//! Reused memory on cache-line boundaries.

/// One cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
#[expect(dead_code, reason = "only ever seen as plain floats, through the casts below")]
struct Line([f32; 16]);

/// A growing `f32` buffer that starts on a cache line, so that whole-vector accesses to packed panels never straddle two.
#[derive(Default)]
pub(crate) struct Buffer {
    lines: Vec<Line>,
}

impl Buffer {
    /// The first `len` floats, grown with zeros where needed; older contents stay.
    pub(crate) fn take(&mut self, len: usize) -> &mut [f32] {
        let lines = len.div_ceil(16);
        if self.lines.len() < lines {
            self.lines.resize(lines, Line([0.0; 16]));
        }
        // SAFETY: lines are 16 contiguous floats each, without padding, and there are at least `len` floats.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), len) }
    }

    /// Everything held.
    pub(crate) fn all(&self) -> &[f32] {
        // SAFETY: as in `take`.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.lines.len() * 16) }
    }

    /// Everything held, writable.
    pub(crate) fn all_mut(&mut self) -> &mut [f32] {
        self.take(self.lines.len() * 16)
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({} floats)", self.lines.len() * 16)
    }
}
