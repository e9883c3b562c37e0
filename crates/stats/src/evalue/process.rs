/// An e-process over scores, one for each unit.
pub trait EProcess: Send {
    /// Takes the score of one unit.
    ///
    /// # Panics
    /// When no unit of the null has such a score.
    fn push(&mut self, score: f64);

    /// log10 of the e-value after all units so far; 0 before the first.
    fn log10_e(&self) -> f64;

    /// Largest log10 e-value so far, at least 0. Not itself an e-value; its inverse is the sequential p-value.
    fn max_log10_e(&self) -> f64;

    /// Number of units after which the e-value first was at least 1 / alpha.
    ///
    /// # Panics
    /// When `alpha` is outside (0, 1).
    fn first_crossing(&self, alpha: f64) -> Option<u64>;
}
