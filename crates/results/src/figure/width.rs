/// How wide a figure is drawn. Text has one size in both, so each is readable at its own width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// One column of a paper of two: 84 mm.
    One,
    /// Both columns: 170 mm.
    Two,
}

impl Width {
    /// Panels side by side.
    pub(crate) fn columns(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }
}
