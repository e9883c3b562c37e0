//! Special functions in log space, for real arguments.
//!
//! Written here instead of taken from `statrs` because the tails that matter are far below the smallest `f64`, and because
//! differences of log-gammas lose nine digits at the counts met here (ln Gamma(250,000) is 2.9 million). Loader's deviance form has no
//! such cancellation.

mod beta;
mod deviance;
mod gamma;
mod logs;
mod normal;
mod two_gamma;

pub(crate) use beta::{beta_quantile, ln_beta_tails, student_quantile};
pub(crate) use deviance::ln_binomial_term;
pub(crate) use gamma::{gamma_quantile, ln_gamma_tails};
pub(crate) use logs::{LnTails, ln_1m_exp, ln_sum_exp, ln_to_log10_p};
pub(crate) use normal::normal_quantile;
pub(crate) use two_gamma::ln_two_gamma_sf;
