/// Most decoy keys of a test that no verdict rests on (methods m2).
pub(crate) const SELF_TEST: usize = 99;

/// What decoy keys are for in the test of a mark, which says how many of them are worth trying.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decoys {
    /// Nothing: secrets that were never planted, or other models, stand for chance.
    #[default]
    None,
    /// A self-test of the keyed function: p is exact by construction, no verdict asks for a rank among them (DESIGN 6), and 99 are enough.
    SelfTest,
    /// The verdict asks for the key's rank among them (methods 0.6): as many as the experiment says.
    Rank,
}

impl Decoys {
    /// How many are tried where an experiment asks for `asked`.
    pub fn worth(self, asked: usize) -> usize {
        match self {
            Self::None => 0,
            Self::SelfTest => asked.min(SELF_TEST),
            Self::Rank => asked,
        }
    }
}
