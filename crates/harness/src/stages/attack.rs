//! What the thief does against marks: to what he bought, and to the finished student.

use std::sync::Arc;
use std::time::Instant;

use distill::{Attack, Cost, Counts, ExchangeStream, Thief, TranscriptFiles, TranscriptHeader, write_parquet};
use oracle::{Codec, Exchange, ServedLaw, Surface};
use results::Arm;
use serde_json::{Value, json};
use store::Key;

use crate::exit::UsageError;
use crate::stages::answers::Transcript;
use crate::stages::card::card;
use crate::stages::context::{Trained, load_json, save_json};
use crate::stages::tools::{Purpose, with_tools};
use crate::stages::{Context, Vocabulary};

/// Raised when the same inputs would give another stream or student.
pub(super) const REVISION: u32 = 2;
/// File of an artifact of what was bought: exchanges in all, and what they hold.
const KEPT: &str = "kept.json";

/// What a student is trained on.
pub struct Bought {
    /// The exchanges.
    pub files: TranscriptFiles,
    /// Names them.
    pub name: Value,
    /// What was paid for, dropped exchanges included.
    pub paid: Counts,
}

/// The first `budget` exchanges of `transcript`, after every attack that changes what was bought.
///
/// # Errors
/// When an attack fails or leaves nothing, or a file cannot be read or written.
pub fn bought(ctx: &Context<'_>, transcript: &Transcript, budget: u64, base: &Trained) -> anyhow::Result<Bought> {
    let paid = transcript.counts(budget)?;
    let name = json!({ "transcript": transcript.hash, "budget": budget });
    let attacks = attacks(ctx, |attack| attack.changes_bought());
    if attacks.is_empty() {
        return Ok(Bought { files: transcript.files.prefix(budget), name, paid });
    }
    let mut inputs = json!({ "bought": name, "attacks": attacks.configs, "base": base.hash, "vocabulary": ctx.vocabulary.hash });
    attacks.name_models_in(ctx, &mut inputs)?;
    let shard_len = transcript.files.shard_len();
    let artifact = ctx.artifact("bought", &Key::new(REVISION, &inputs)?, |directory| {
        let started = Instant::now();
        let (tokenizer, teacher) = (ctx.vocabulary.hash.hex(), transcript.teacher.hex());
        let header = TranscriptHeader {
            vocab_size: ctx.vocabulary.tokenizer.vocab_size(),
            tokenizer: &tokenizer,
            teacher: &teacher,
            codec: Some(&*ctx.vocabulary.tokenizer),
        };
        let stream = transcript.files.prefix(budget);
        let (mut kept, mut waiting, mut files) = (0, Vec::<Exchange>::new(), 0);
        let mut write = |shard: &[Exchange]| -> anyhow::Result<()> {
            write_parquet(&directory.join(shard_name(files)), shard, &header)?;
            files += 1;
            Ok(())
        };
        let purpose = attacks.purpose(ctx.vocabulary);
        with_tools(ctx, &purpose, |tools| {
            let surface = Surface::Logits { law: ServedLaw::PreWatermark };
            let base = distill::Served::new(base.model.clone(), Vec::new(), surface, ctx.rt.clone());
            let thief = Thief { base: &*ctx.asked(ctx.own_vocabulary(Arm::Base), base), tools };
            for (index, range) in distill::shards(budget, shard_len).enumerate() {
                ctx.rt.check_cancelled()?;
                let shard = stream.shard(index as u64)?;
                let mut shard: Vec<Exchange> = shard[..usize::try_from(range.end - range.start)?].to_vec();
                for attack in &attacks.list {
                    shard = attack.bought(shard, &thief)?;
                }
                kept += shard.len() as u64;
                waiting.extend(shard);
                while waiting.len() as u64 >= shard_len {
                    let rest = waiting.split_off(usize::try_from(shard_len)?);
                    write(&waiting)?;
                    waiting = rest;
                }
            }
            if !waiting.is_empty() {
                write(&waiting)?;
            }
            Ok(())
        })?;
        ctx.timings.push("attacks on what was bought", ctx.seed, started, 0);
        save_json(&directory.join(KEPT), &kept)
    })?;
    let kept: u64 = load_json(&artifact.file(KEPT))?;
    if kept == 0 {
        let problem = format!("attacks: {} leaves none of {budget} answers", attacks.labels.join(" + "));
        return Err(UsageError(format!("{problem}; drop less, or raise queries.budgets")).into());
    }
    let files = (0..kept.div_ceil(shard_len)).map(|shard| artifact.file(&shard_name(shard))).collect();
    Ok(Bought { files: TranscriptFiles::with_gaps(files, shard_len, kept), name: json!({ "attacked": artifact.hash() }), paid })
}

fn shard_name(shard: u64) -> String {
    format!("{shard:06}.parquet")
}

/// The finished student of `arm` after every attack that changes it, and what that adds to its cost.
///
/// # Errors
/// When an attack fails, or a file cannot be written.
pub fn attacked(ctx: &Context<'_>, arm: Arm, student: Trained, cost: &mut Cost) -> anyhow::Result<Trained> {
    let attacks = attacks(ctx, |attack| attack.changes_student());
    if attacks.is_empty() {
        return Ok(student);
    }
    for attack in &attacks.list {
        cost.training_tokens += attack.training_tokens();
        cost.training_flop += attack.training_tokens() as f64 * student.model.flops_per_token_train();
    }
    let own = ctx.own_vocabulary(arm).unwrap_or(ctx.vocabulary);
    let mut inputs = json!({
        "student": student.hash,
        "attacks": attacks.configs,
        "optimizer": ctx.resolved.world.optimizer,
        "corpus": ctx.sources.identity(),
        "vocabulary": own.hash,
        "seed": ctx.seed_for("attack"),
    });
    attacks.name_models_in(ctx, &mut inputs)?;
    let artifact = ctx.artifact("attacked", &Key::new(REVISION, &inputs)?, |directory| {
        let started = Instant::now();
        let mut model = student.model.clone();
        with_tools(ctx, &attacks.purpose(own), |tools| {
            for attack in &attacks.list {
                model = attack.student(model.clone(), &tools)?;
            }
            Ok(())
        })?;
        ctx.timings.push(&format!("attacks on the {}", arm.name()), ctx.seed, started, 0);
        let card = card(ctx, "attacked student", format!("a student after {}", attacks.labels.join(" and ")));
        ctx.save_model(directory, &model, own, &student.curve, &card)
    })?;
    ctx.load_model(&artifact)
}

struct Attacks {
    list: Vec<Arc<dyn Attack>>,
    labels: Vec<String>,
    configs: Vec<distill::AttackConfig>,
    /// Models of `[models]` that they ask.
    models: Vec<String>,
}

impl Attacks {
    fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// What they are given: `vocabulary` has the tokens of what they act on.
    fn purpose<'a>(&'a self, vocabulary: &'a Vocabulary) -> Purpose<'a> {
        Purpose { seed: "attack", documents: "attack documents", models: &self.models, vocabulary }
    }

    /// What an attack makes depends on the models that it asks.
    fn name_models_in(&self, ctx: &Context<'_>, inputs: &mut Value) -> anyhow::Result<()> {
        if !self.models.is_empty() {
            inputs["models"] = json!(ctx.resolved.world.model_hashes(&self.models)?);
        }
        Ok(())
    }
}

fn attacks(ctx: &Context<'_>, wanted: impl Fn(&dyn Attack) -> bool) -> Attacks {
    let configs: Vec<_> = ctx.resolved.world.attacks.iter().filter(|config| wanted(&*config.build())).cloned().collect();
    let list: Vec<Arc<dyn Attack>> = configs.iter().map(distill::AttackConfig::build).collect();
    let models = list.iter().flat_map(|attack| attack.models()).collect();
    Attacks { labels: list.iter().map(|attack| attack.label()).collect(), list, configs, models }
}
