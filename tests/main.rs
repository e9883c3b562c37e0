//! The one integration-test binary: what only shows when the crates stand together.

mod floors;
mod support;
mod tidy;
