//! The served teacher, transcripts, implanting, losses and training.
//!
//! A thief's side and an owner's side of one story: [`Served`] is a model behind an API that shows a chosen surface, and
//! everything the thief learns passes through it. Training is one loop for every purpose (pre-training, continued training,
//! implanting, distillation); what differs is the [`BatchSource`], a pure function of the step. Gradients are summed over a
//! fixed number of logical shards in a fixed order, so a trained model does not depend on how many threads trained it.

#[macro_use]
mod registry;

mod attack;
mod choice;
mod compute;
mod cost;
mod defence;
mod distill_source;
mod error;
mod fidelity;
mod implant;
mod law_distillation;
mod lora;
pub mod loss;
mod mixture;
mod pretrain;
mod retokenise;
mod served;
mod shown;
#[cfg(test)]
mod testing;
mod tools;
mod train;
mod transcript;

pub use attack::{Attack, AttackConfig, CleanFineTuning, DropByPerplexity};
pub use choice::Choice;
pub use compute::{Choosing, Compute, Trial};
pub use cost::{Cost, Read};
pub use defence::{Defence, DefenceConfig, GaussianNoise, Rounding};
pub use distill_source::{DistillSource, VisitOrder, distinct_prompts};
pub use error::DistillError;
pub use fidelity::{Fidelity, HeldOut, RowFidelity, RowLikelihood, answers, fidelity, held_out};
pub use implant::{ImplantConfig, ImplantItem, ImplantReport, Regulariser, answered, implant};
pub use law_distillation::{Divergence, LawDistillation, LawDistillationConfig, WantedLaw};
pub use lora::{LoraConfig, SavedAs};
pub use loss::{Loss, LossConfig};
pub use mixture::Mixture;
pub use pretrain::{PackedDocuments, PretrainSource};
pub use retokenise::{Alignment, RetokenisedOracle, RetokenisedStream, Retokeniser, cut_text};
pub use served::Served;
pub use shown::{ShownLaws, TopLaws};
pub use tools::{Thief, Tools};
pub use train::{
    AdapterTraining, BatchSource, Checkpoints, Curve, CurvePoint, Decay, Part, ShardBatch, TrainPlan, TrainState, Trainable,
    Trained, first_steps, fit, train,
};
pub use transcript::{
    Counts, ExchangeStream, ExchangesInMemory, TranscriptFiles, TranscriptHeader, read_parquet, shards, write_parquet,
};
