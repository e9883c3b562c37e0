//! What marks have in common that move a probability along a cosine of a keyed number (methods a7, a8): the keyed numbers, what is
//! released, and the test.
//!
//! One token of the prompt gives a number x, uniform in \[0, 1) under a random key and independent from token to token. The mark adds a
//! multiple of cos(f x) to a probability. A model that learned from the answers adds it too, after prompts with the same token. The
//! authors look for it in a periodogram, of which no law is known. The owner knows f and every x, so he can do more: with weights w that no
//! x enters, S = sum of w cos(f x) over distinct tokens is a sum of independent values of one known law, whatever the model and the prompts
//! are. That gives an exact bound on its tail, with no floor.

mod judge;
mod law;
mod phases;
mod places;

pub(crate) use judge::Waves;
pub(crate) use law::CosineLaw;
pub(crate) use phases::{Draw, Phases, Place, check_wave, released};
pub(crate) use places::{Places, Shown};
