//! What all marks that vLLM serves have in common: keyed words for every context and candidate (prf), where a token is drawn unmarked
//! (history), the ordinary draw (ordinary), and the authors' way to take units out of a text (detector). Served watermarks, section 1.

pub(crate) mod detector;
pub(crate) mod history;
pub(crate) mod ordinary;
pub(crate) mod prf;
pub(crate) mod race;

pub use history::Deduplicate;

#[cfg(test)]
mod tests;
