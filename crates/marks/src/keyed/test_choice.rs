use serde::{Deserialize, Serialize};

use crate::{Decoys, Whom};

/// Which test of a keyed scheme decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyedTest {
    /// The keyed score test (methods m): all tokens, centred on the raw teacher's law; the count stands beside it.
    #[default]
    Score,
    /// The count of distinct units, as published: it needs no teacher.
    Count,
}

impl KeyedTest {
    /// Whom it asks in a second round.
    pub(crate) fn second_round(self) -> Vec<Whom> {
        match self {
            Self::Score => vec![Whom::Teacher],
            Self::Count => Vec::new(),
        }
    }

    /// What decoy keys are for: the score is exact by construction.
    pub(crate) fn decoys(self) -> Decoys {
        match self {
            Self::Score => Decoys::SelfTest,
            Self::Count => Decoys::Rank,
        }
    }

    /// Whether a file need not say it.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
