//! Records, verdicts, summaries and figures.
//!
//! Pure analysis of what was measured: nothing here runs a model, and reading and writing happens only under a
//! results directory. Everything shown (table, CSV, figures) is computed from the records alone, so a report can be
//! made again from `records.jsonl` years later.

mod arms;
mod caption;
mod false_positive;
mod figure;
mod finding;
mod judge;
mod kinds;
mod query_budget;
mod record;
mod records_file;
mod report;
mod retention;
mod setting;
mod summary;
mod table;
mod words;

pub use caption::Caption;
pub use false_positive::{FalsePositiveRate, MIN_MODELS_FOR_A_RATE, false_positive_rates};
pub use figure::{Figure, LossSeries, effect_figure, loss_figure, survival_figure};
pub use finding::{Finding, false_positives, findings};
pub use judge::{JudgeError, judge};
pub use kinds::{Arm, Claim, Family, Kind, Measured, Verdict, View};
pub use query_budget::{NStar, n_star};
pub use record::{RECORD_SCHEMA, Record, SuspectKey};
pub use records_file::{read_records, sort_records, write_records};
pub use report::{ReportFiles, write_report};
pub use retention::retention;
pub use setting::Setting;
pub use summary::{summary_csv, write_summary};
pub use table::survival_table;
