//! Records, verdicts, summaries and figures.
//!
//! Pure analysis of what was measured: nothing here runs a model, and reading and writing happens only under a
//! results directory. Everything shown (table, CSV, figures) is computed from the records alone, so a report can be
//! made again from `records.jsonl` years later.

mod again;
mod arms;
mod audit;
mod caption;
mod columns;
mod counted;
pub mod detection;
mod effective;
mod expect;
mod family;
mod figure;
mod finding;
mod gate;
mod join;
mod judge;
mod kinds;
mod level;
mod mark_cost;
mod query_budget;
mod record;
mod records_file;
mod report;
mod retention;
mod self_test;
mod separation;
mod setting;
mod sound;
mod summary;
mod table;
mod words;
mod worth;

pub use again::proven_again;
pub use audit::{AuditOutcome, audit_outcome, audit_table, negative_in_words, negatives_of, of_suspect};
pub use caption::Caption;
pub use expect::{Expectation, Number, Share, Verdicts, broken};
pub use family::{FamilyWise, family_wise};
pub use figure::{
    Figure, LossSeries, PValueSeries, Width, calibration_figure, effect_figure, heat_figure, loss_figure, survival_figure,
};
pub use finding::{Finding, SeenApart, false_positives, findings};
pub use join::{JoinError, Joined, Part, RESULT_AXIS, Together, join};
pub use judge::{JudgeError, judge};
pub use kinds::{Arm, Claim, Family, Kind, Measured, Verdict, View};
pub use mark_cost::{LOSS_ADDED, MarkCost, mark_costs};
pub use query_budget::{MIN_SEEDS_FOR_N_STAR, NStar, StarClaim, n_star};
pub use record::{RECORD_SCHEMA, Record, SuspectKey};
pub use records_file::{read_records, sort_records, write_records};
pub use report::{ReportFiles, write_report};
pub use retention::retention;
pub use self_test::{MIN_MODELS_FOR_A_RATE, SelfTest, self_tests};
pub use separation::{separation_csv, write_separation};
pub use setting::Setting;
pub use summary::{metrics_csv, summary_csv, write_metrics, write_summary};
pub use table::{TableFormat, calibration_table, detection_table, survival_table, table_as};
