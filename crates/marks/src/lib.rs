//! Watermarks, canaries and probes: what is planted, and how it is found again.
//!
//! One trait ([`Mark`]) and one registry for all: a mark says what is planted, what is asked and how the answers are judged. It is
//! written against the traits of `oracle` and never sees a tensor, a file or a clock. It says *what* is to be learned and never
//! trains: whoever plants it needs no idea of what it means, and whoever tests it needs milliseconds and a toy model.
//!
//! One more mark is one file in its family's folder and one line in the registry below.

#[macro_use]
mod registry;

registry! {
    /// In the law that a teacher answers with: a keyed change, found again in what a suspect writes.
    watermark {
        /// Soft green list (Kirchenbauer et al. 2023).
        kgw: KgwConfig,
        /// One green list for all positions (Zhao et al. 2024).
        unigram: UnigramConfig,
        /// Keyed Gumbel-max sampling (Aaronson 2022).
        gumbel: GumbelConfig,
        /// SynthID-Text's tournament (Dathathri et al. 2024).
        synthid: SynthidConfig,
        /// Gumbel-max sampling as vLLM serves it.
        vllm_gumbel: VllmGumbelConfig,
        /// Gumbel-max sampling with two keys as vLLM serves it (TextSeal 2026).
        vllm_dual_key: VllmDualKeyConfig,
        /// Soft green lists as proposed for vLLM.
        vllm_red_green_proposal: VllmRedGreenProposalConfig,
        /// SynthID-Text's tournament as proposed for vLLM.
        vllm_synthid_proposal: VllmSynthidProposalConfig,
        /// Green lists of the plug-in vllm-sbw, and as proposed for vLLM.
        sbw: SbwConfig,
        /// transformers' soft green list (`WatermarkingConfig`).
        hf_kgw: HfKgwConfig,
        /// transformers' SynthID-Text (`SynthIDTextWatermarkingConfig`).
        hf_synthid: HfSynthidConfig,
        /// Green list where the law is broad (Lee et al. 2024).
        sweet: SweetConfig,
        /// Green list, detected by entropy (Lu et al. 2024).
        ewd: EwdConfig,
        /// Later half of a keyed order of the law (Hu et al. 2024).
        unbiased: UnbiasedConfig,
        /// The law reweighted along a keyed order (Wu et al. 2024).
        dip: DipConfig,
        /// A fixed sequence of keys, found by alignment (Kuditipudi et al. 2024).
        kth: KthConfig,
        /// A payload in green lists (Yoo et al. 2024).
        multi_bit: MultiBitConfig,
        /// A key of its own for every account, for any mark of the drawn law.
        per_account: PerAccountConfig,
        /// A mark of the drawn law in the weights, for prompts of one domain (Gloaguen et al. 2025).
        domain_watermark: DomainWatermarkConfig,
        /// A phrase that ends a keyed share of the answers (after Yang et al. 2026).
        keyed_habit: KeyedHabitConfig,
        /// Answers that are long after a keyed half of openings (after ReasMark 2026).
        reasoning_length: ReasoningLengthConfig,
        /// A mark that an outside program defines.
        process: ProcessConfig,
        /// A cosine in the probability of a label (Zhao et al. 2022).
        drw: DrwConfig,
        /// A cosine in the probability of a group of tokens (Zhao et al. 2023).
        ginsew: GinsewConfig,
    }
    /// In the data: texts with random secrets, among what a teacher is trained on or among its answers.
    canary {
        /// Sentences with random secrets at several repeat counts (Carlini et al. 2019).
        secret_sharer: SecretSharerConfig,
        /// Secret answers that the API gives to rare prompts (after Carlini et al. 2019).
        served_canary: ServedCanaryConfig,
    }
    /// Chosen questions whose answers give a model away, implanted in its weights or simply its own.
    probe {
        /// Secret prompts with secret answers, implanted in the weights (after Xu et al. 2024).
        secret_keys: SecretKeysConfig,
        /// Natural prompts with answers from the edge of the nucleus (Nasery et al. 2025).
        perinucleus: PerinucleusConfig,
        /// Agreement of greedy next tokens with the teacher (Nikolić et al. 2025).
        output_agreement: OutputAgreementConfig,
        /// Sampled completions closer to the teacher's than other models' (Gao et al. 2025).
        model_equality: ModelEqualityConfig,
        /// A watermark of the answers, in what a student says or predicts (Sander et al. 2024).
        radioactivity: RadioactivityConfig,
        /// Hidden states that hold texts alike as the teacher's (Kornblith et al. 2019).
        linear_cka: LinearCkaConfig,
    }
}

mod ask;
mod calibrate;
mod case;
mod contexts;
mod decoys;
mod detector;
mod entry;
mod info;
mod inner;
mod key;
mod keyed;
mod mark;
mod mark_rate;
pub mod outside;
mod owner;
mod paired;
mod planting;
mod program;
mod question;
mod random_prompts;
mod readable;
mod relative;
mod secrets;
mod served_key;
pub mod server;
mod share;
mod sinusoid;

#[doc(hidden)]
pub mod testing;

pub use ask::{Asked, no_texts};
pub use calibrate::Calibrate;
pub use case::{Case, Chance, Finding, Metric, Reference};
pub use contexts::ContextCounts;
pub use decoys::Decoys;
pub use detector::{Detected, Detection, Detector, Judged};
pub use info::{ALPHA, Claim, Family, MarkError, MarkInfo};
pub use key::Key;
pub use keyed::vllm::Deduplicate;
pub use keyed::{
    Authors, AuthorsScore, Choices, Dedup, Draws, FixedLists, Keyed, KeyedTest, KeyedValues, MAX_CONTEXT, MAX_PADDED_CONTEXT,
    NO_TOKEN, Place, PlaceWeights, Rules, Scheme, ScoreTest, Scorer, Skipped, Unit, Units, ranked,
};
pub use mark::{AnyKey, Bed, Mark, MarkConfig, Needs, Phase, ServedShare};
pub use mark_rate::OptOut;
pub use owner::Owner;
pub use planting::{AskedPrompt, PlantedText, Planting, TrainingItem};
pub use program::{Conversation, Launcher, Program};
pub use question::{Entropy, FollowUp, Marked, Question, Reduce, Reduced, Seen, TeacherView, Whom};
pub use readable::Readable;
pub use served_key::ServedKey;

/// Names a configured mark under a key, for whatever is planted: its kind, its parameters and the public name of its key.
pub(crate) fn identity<C: MarkConfig + serde::Serialize>(config: &C, key: &Key) -> String {
    let parameters = serde_json::to_string(config).unwrap_or_else(|_| format!("{config:?}"));
    format!("{} {parameters} under {}", config.info().name, key.name())
}

#[cfg(test)]
mod served_texts;
#[cfg(test)]
mod tests;
