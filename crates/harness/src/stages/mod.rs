//! The stages of an experiment, each a function from artifacts to an artifact.
//!
//! A stage names its artifact by everything that decides its bytes (its revision, its parameters, the names of the
//! artifacts it starts from) and makes it only when it is not there. So nothing here asks whether work was done: asking
//! for an artifact does the work or finds it.

mod answers;
mod attack;
mod audit;
mod audited;
mod canaries;
mod card;
mod choice;
mod context;
mod course;
mod documents;
mod examine;
mod implant;
mod imported;
mod json;
mod label_fidelity;
mod labels;
mod law_distillation;
mod lineage;
mod loss_added;
mod marked;
mod marked_share;
mod marks;
mod measure;
mod metric;
mod metrics;
mod outside;
mod place;
mod queries;
mod records;
mod rehearsal;
mod repetition;
mod student;
mod suspect;
mod taught;
mod teacher;
mod teacher_report;
mod texts;
mod tools;
mod training;
mod transcript;
mod trigram;
mod unasked;
mod unmarked;
mod usefulness;
mod vocabulary;
mod worth;

pub use audit::{Audit, Negative};
pub use choice::recipe_of;
pub use context::{Context, Timing, Timings, Trained, load_json, save_json};
pub use examine::examine;
pub use imported::{Holds, Imported, Imports};
pub use labels::check_labels;
pub use law_distillation::NAME as LAW_DISTILLATION;
pub use lineage::{Lineage, SuspectRow};
pub use marked::MarkedTexts;
pub use marks::Marks;
pub use measure::{Beside, measure};
pub use outside::Brought;
pub use records::Identity;
pub use rehearsal::{Rehearsed, rehearse};
pub use repetition::{Repetition, repeat};
pub use student::distil;
pub use suspect::{Peer, Suspect};
pub use taught::Taught;
pub use teacher::{Teachers, base, stranger, teachers};
pub use teacher_report::{TeacherReport, teacher_report};
pub use texts::Sources;
pub use training::Training;
pub use transcript::Asked;
pub use trigram::trigram_loss;
pub use unmarked::Unmarked;
pub use vocabulary::Vocabulary;

/// Every stage in the order of the flow, named as its file here is, with its revision: part of the hash of all it makes, and
/// raised whenever the same inputs give other bytes.
pub fn revisions() -> [(&'static str, u32); 15] {
    [
        ("vocabulary", vocabulary::REVISION),
        ("teacher", course::REVISION),
        ("law_distillation", law_distillation::REVISION),
        ("implant", implant::REVISION),
        ("imported", imported::REVISION),
        ("unasked", unasked::REVISION),
        ("trigram", trigram::REVISION),
        ("transcript", transcript::REVISION),
        ("attack", attack::REVISION),
        ("student", student::REVISION),
        ("choice", choice::REVISION),
        ("audit", audited::REVISION),
        ("measure", measure::REVISION),
        ("metrics", metrics::REVISION),
        ("teacher_report", teacher_report::REVISION),
    ]
}
