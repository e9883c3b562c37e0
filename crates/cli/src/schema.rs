//! `birthmark schema`.

use crate::output::Output;

/// Prints the JSON Schema of the experiment file.
pub fn schema(out: &mut Output) -> anyhow::Result<()> {
    out.line(&harness::schema::schema())
}
