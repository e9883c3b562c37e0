//! Teacher and student with different tokenizers: what one says in the tokens of the other.
//!
//! All goes through text. The text of an exchange is encoded as a whole, as the other model would meet it, and then cut where the
//! answer's bytes begin: a token that straddles the place counts as prompt. So nothing is learned or scored that the prompt has a
//! part in, and no token stands there that the model would never see at that place.

mod alignment;
mod asked;
mod retokeniser;
mod shared;
mod stream;

pub use alignment::Alignment;
pub use asked::RetokenisedOracle;
pub use retokeniser::{Retokeniser, cut_text};
pub use stream::RetokenisedStream;

#[cfg(test)]
mod tests;
