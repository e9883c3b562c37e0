//! What the published detector of a scheme says, beside what we say: so that a number which a server's own tool prints can be met to the
//! last digit, and its faults be seen.

use oracle::TokenId;

use crate::{Key, MarkError};

/// What one published detector, in one version, says of some texts.
#[derive(Debug, Clone, PartialEq)]
pub struct AuthorsScore {
    /// Whose detector, which version, which test: `vLLM 0.33.0 gumbel`.
    pub detector: &'static str,
    /// Units after its own de-duplication.
    pub units: u64,
    /// Its statistic.
    pub statistic: f64,
    /// What the statistic is called there: `score`, `hits`, `bits`, `mean`.
    pub statistic_name: &'static str,
    /// Its z, where it has one.
    pub z: Option<f64>,
    /// log10 of its p by its own formula, computed in log space, so that it goes on where theirs underflows; none where it has no p.
    pub log10_p: Option<f64>,
    /// Whether it calls the texts marked at its own default threshold; none where it has no threshold.
    pub found: Option<bool>,
    /// What is known to be wrong with it, one line; none where nothing is.
    pub caution: Option<&'static str>,
}

/// A scheme whose authors published a detector.
pub trait Authors: Send + Sync {
    /// What their detectors say of `texts` under `key`, one result for each detector or version that differs; at least one.
    ///
    /// A text is the token ids that the detector would be given: an answer, or prompt and answer where theirs expects both. One text is
    /// judged as theirs judges it. Of several, units are put together, and its own rule for repeats runs over all of them, first kept.
    /// Nothing is left out that theirs would not leave out: no special token, nothing after an end.
    ///
    /// # Errors
    /// [`MarkError::Unmeasurable`] where their detector is known to find nothing, or cannot be computed here: the reason says why and
    /// what to use instead.
    fn judge(&self, key: &Key, texts: &[&[TokenId]]) -> Result<Vec<AuthorsScore>, MarkError>;
}
