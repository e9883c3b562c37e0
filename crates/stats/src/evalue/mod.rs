//! E-processes: evidence that may be looked at after every unit (methods 0.5).
//!
//! Under the null an e-process starts at 1 and is a martingale, so by Ville's inequality it ever reaches 1 / alpha with
//! probability at most alpha. The number of units until it does is what an audit needs to ask of one suspect. Students trained at different budgets are
//! different models, not one sequence: never read N* off an e-process.

mod binomial;
mod bits;
mod bounded;
mod exponential;
mod process;
mod trajectory;
mod two_gamma;

pub use binomial::BinomialEProcess;
pub use bits::BitsEProcess;
pub use bounded::BoundedEProcess;
pub use exponential::ExponentialEProcess;
pub use process::EProcess;
pub use two_gamma::TwoGammaEProcess;
