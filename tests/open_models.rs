//! Open models as teachers and students: asked as they expect, whatever their tokenizer.

use std::fs;
use std::path::Path;

use lm::{Model, ModelCard, ModelConfig, Tokenizer};
use oracle::Codec as _;
use results::{Arm, Kind, Record, Verdict};

use crate::bad_model::open_teacher;
use crate::support::{Ran, copy, manifests, results_directory, run_command, smoke_file, text, tiny_model};

#[test]
fn an_instruct_teacher_is_asked_through_its_chat_template() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("model");
    copy(tiny_model(), &model);
    let ask = || Ran::of(open_teacher(&model, tiny_model(), dir.path()).args(["--set", "queries.chat=true"]).output().unwrap());
    ask().refused_with(&["queries.chat", "teacher.model", "has no chat template"]);
    fs::write(model.join("chat_template.jinja"), "{{ raise_exception('never') }}").unwrap();
    ask().refused_with(&["queries.chat", "refuses these messages: never"]);

    // short, as this model's context is
    let template = "{{ bos_token }}{{ messages[0].content }}{% if add_generation_prompt %}{{ eos_token }}{% endif %}";
    fs::write(model.join("chat_template.jinja"), template).unwrap();
    ask().expect_code(0);
    let artifacts = dir.path().join("artifacts");
    let shards = manifests(&artifacts).into_keys().filter(|name| name.starts_with("transcript/"));
    let mut asked = 0;
    for exchange in shards.flat_map(|shard| distill::read_parquet(&artifacts.join(shard).join("transcript.parquet")).unwrap()) {
        let [0, message @ .., 1] = &exchange.query.prompt[..] else { panic!("{:?}", exchange.query.prompt) };
        assert!(message.len() > 20 && message.iter().all(|id| *id > 1), "an opening of 24 tokens, none of them special");
        asked += 1;
    }
    assert_eq!(asked, 3 * 60, "the marked, the clean and the independent teacher");
}

#[test]
fn a_template_that_shows_the_date_is_told_one_by_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("model");
    copy(tiny_model(), &model);
    fs::write(model.join("chat_template.jinja"), "{{ strftime_now('%d') }}{{ messages[0].content }}").unwrap();
    let ask = |sets: &[&str]| {
        let mut command = open_teacher(&model, tiny_model(), dir.path());
        sets.iter().for_each(|set| _ = command.args(["--set", set]));
        Ran::of(command.output().unwrap())
    };
    ask(&["queries.chat=true"]).refused_with(&["queries.chat", "shows the date", "queries.chat_date = \"2026-01-31\""]);
    ask(&["queries.chat=true", "queries.chat_date=\"2026-02-30\""]).refused_with(&["queries.chat_date", "no day"]);
    ask(&["queries.chat_date=\"2026-01-31\""]).refused_with(&["queries.chat_date", "no question is put"]);
    ask(&["queries.chat=true", "queries.chat_date=\"2026-01-31\""]).expect_code(0);
    let tokenizer = Tokenizer::load(&model).unwrap();
    let shards = manifests(&dir.path().join("artifacts")).into_keys().filter(|name| name.starts_with("transcript/"));
    for shard in shards {
        let path = dir.path().join("artifacts").join(shard).join("transcript.parquet");
        let asked = distill::read_parquet(&path).unwrap();
        assert!(asked.iter().all(|exchange| tokenizer.decode(&exchange.query.prompt).starts_with("31")));
    }
}

#[test]
fn a_template_that_overruns_the_context_is_refused_with_the_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("model");
    copy(tiny_model(), &model);
    let refused = |words: usize| {
        // every byte of a word that the tokenizer never saw is a token
        let template = format!("{}{{{{ messages[0].content }}}}", "@".repeat(words));
        fs::write(model.join("chat_template.jinja"), template).unwrap();
        let mut command = open_teacher(&model, tiny_model(), dir.path());
        command.args(["--set", "queries.chat=true", "--set", "queries.max_new_tokens=20", "--set", "audit.max_new_tokens=20"]);
        Ran::of(command.output().unwrap())
    };
    refused(60).refused_with(&["queries.max_new_tokens", "chat template (60)", "answer (20)", "the teacher holds 96"]);
}

#[test]
fn a_teacher_that_is_trained_here_has_no_chat_template() {
    let dir = tempfile::tempdir().unwrap();
    let run = run_command(&smoke_file(), dir.path(), 2).args(["--set", "queries.chat=true"]).output().unwrap();
    Ran::of(run).refused_with(&["queries.chat", "trained here has no chat template", "name a `teacher.model`"]);
}

/// One channel, on which students of any tokenizer can learn.
const TEXT_ALONE: &str = "distill=[{ surface = \"text\", loss = { sequence_kd = {} } }]";
const OWN_TOKENIZER: &str = "student.tokenizer={ bpe = { vocab_size = 400, documents = 300 } }";

/// An open student's laws along marked texts.
const PREDICTED: &str =
    "marks.predicted.radioactivity={ of = \"kgw\", student = { open = \"mass\" }, supervised = true, texts = 60 }";

/// Smoke with a teacher's tokenizer of 300 entries, changed by `sets`.
fn smoke_with(place: &Path, threads: u32, sets: &[&str]) -> Ran {
    let mut command = run_command(&smoke_file(), place, threads);
    for set in ["tokenizer.bpe.vocab_size=300", "queries.prompt_tokens=24", "audit.prompt_tokens=8"].iter().chain(sets) {
        command.args(["--set", set]);
    }
    Ran::of(command.output().unwrap())
}

fn records_of(place: &Path) -> (Vec<u8>, Vec<Record>) {
    let path = results_directory(&place.join("results")).join("records.jsonl");
    (fs::read(&path).unwrap(), results::read_records(&path).unwrap())
}

fn metric(records: &[Record], arm: Arm, name: &str) -> Vec<f64> {
    let named = records.iter().filter(|record| record.arm == arm && record.metric.as_deref() == Some(name));
    named.map(|record| record.value.unwrap()).collect()
}

#[test]
fn a_student_of_another_tokenizer_learns_the_answers_as_text() {
    let place = tempfile::tempdir().unwrap();
    let sets = [TEXT_ALONE, OWN_TOKENIZER, PREDICTED];
    smoke_with(place.path(), 2, &sets).expect_code(0);
    let (bytes, records) = records_of(place.path());

    // its laws are read at tokens that both have
    let student = |record: &&Record| record.arm == Arm::Student && record.mark.as_deref() == Some("predicted");
    let predicted: Vec<&Record> = records.iter().filter(student).filter(|record| record.kind == Kind::Mark).collect();
    assert!(!predicted.is_empty());
    for record in predicted {
        assert!(record.log10_p.is_some_and(|p| p <= 0.0) && record.n.is_some_and(|n| n > 20), "{record:?}");
    }

    // every mark is asked of every arm, and nobody who learned from the clean teacher shows one
    for arm in [Arm::Teacher, Arm::Student, Arm::Control, Arm::Rival, Arm::Base, Arm::Stranger] {
        let marks: Vec<&Record> = records.iter().filter(|r| r.arm == arm && r.kind == Kind::Mark).collect();
        assert!(marks.len() >= 4, "{}", arm.name());
        for mark in marks {
            assert!(mark.log10_p.is_some() || mark.reason.is_some(), "{mark:?}");
            let planted = mark.planted == Some(true);
            assert!(
                !(planted && arm != Arm::Teacher && arm != Arm::Student && mark.verdict == Some(Verdict::Proven)),
                "{mark:?}"
            );
        }
        let per_byte = metric(&records, arm, "held_out_loss_per_byte");
        assert!(!per_byte.is_empty() && per_byte.iter().all(|loss| (0.5..6.0).contains(loss)), "{}: {per_byte:?}", arm.name());
    }
    // a student has read text that its base has not; tokens of two tokenizers are not counted against each other
    let best = |arm| metric(&records, arm, "held_out_loss_per_byte").into_iter().fold(f64::INFINITY, f64::min);
    assert!(best(Arm::Student) < best(Arm::Base), "{} {}", best(Arm::Student), best(Arm::Base));
    for (arm, own) in
        [(Arm::Student, true), (Arm::Control, true), (Arm::Base, true), (Arm::Teacher, false), (Arm::Stranger, false)]
    {
        let shares = metric(&records, arm, "aligned_tokens");
        assert_eq!(!shares.is_empty(), own, "{}", arm.name());
        assert!(shares.iter().all(|share| *share > 0.2 && *share < 1.0), "{shares:?}");
        assert_eq!(metric(&records, arm, "agreement").is_empty(), own, "{}", arm.name());
    }
    // what is saved is a model with its own tokenizer
    let artifacts = place.path().join("artifacts");
    for name in manifests(&artifacts).into_keys().filter(|name| name.starts_with("student/")) {
        let (model, tokenizer) = Model::load_with_tokenizer(&artifacts.join(name)).unwrap();
        assert_eq!((model.vocab_size(), tokenizer.vocab_size()), (400, 400));
    }

    // another number of threads; and half of it done already
    let again = tempfile::tempdir().unwrap();
    copy(&artifacts, &again.path().join("artifacts"));
    for kind in ["student", "measurement"] {
        let found = manifests(&artifacts).into_keys().filter(|name| name.starts_with(&format!("{kind}/")));
        for name in found.step_by(2) {
            fs::remove_dir_all(again.path().join("artifacts").join(name)).unwrap();
        }
    }
    smoke_with(again.path(), 1, &sets).expect_code(0);
    assert!(records_of(again.path()).0 == bytes, "the same records");
}

#[test]
fn laws_over_different_tokens_are_not_compared() {
    let place = tempfile::tempdir().unwrap();
    let own = smoke_with(place.path(), 2, &[OWN_TOKENIZER]);
    own.refused_with(&["distill[1].loss", "`topk_kl` compares laws token by token", "another tokenizer", "sequence_kd"]);
    let base = format!("base={{ model = \"{}\" }}", text(tiny_model()));
    // as many tokens, but others
    let parts = ["base.model", "another tokenizer", "300 ids, the teacher's 300", "`topk_kl`", "use sequence_kd"];
    smoke_with(place.path(), 2, &[&base]).refused_with(&parts);
    let parts = ["base.model", "300 token ids, the teacher 384", "`topk_kl`", "use sequence_kd"];
    smoke_with(place.path(), 2, &[&base, "tokenizer.bpe.vocab_size=384"]).refused_with(&parts);
    let both = smoke_with(place.path(), 2, &[&base, TEXT_ALONE, OWN_TOKENIZER]);
    both.refused_with(&["student.tokenizer", "`base.model` brings its own"]);
}

#[test]
fn an_open_student_brings_its_tokenizer() {
    let place = tempfile::tempdir().unwrap();
    let base = format!("base={{ model = \"{}\" }}", text(tiny_model()));
    // its tokens are little more than bytes: tasks are too long for it
    let sets =
        [&base, TEXT_ALONE, "queries.prompt_tokens=8", "measure={ held_out_documents = 8, decoys = 999, permutations = 999 }"];
    smoke_with(place.path(), 2, &sets).expect_code(0);
    let (_, records) = records_of(place.path());
    assert!(!metric(&records, Arm::Student, "aligned_tokens").is_empty());
}

#[test]
fn an_audit_too_long_for_the_students_tokens_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let bytes = "student.tokenizer={ bpe = { vocab_size = 260, documents = 30 } }";
    let sets = [TEXT_ALONE, bytes, "tokenizer.bpe.vocab_size=384", "audit.prompt_tokens=50", "audit.prompts=5"];
    let refused = smoke_with(place.path(), 2, &[&sets[..], &["queries.prompt_tokens=16"]].concat());
    refused.refused_with(&["audit.prompt_tokens", "of the student's own tokens, a model holds 96", "lower it"]);
}

/// The tiny model with four rows more than its tokenizer has tokens.
fn padded(place: &Path) {
    copy(tiny_model(), place);
    let config = fs::read_to_string(place.join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config["vocab_size"] = 304.into();
    let config = ModelConfig::parse(&config.to_string(), Path::new("config.json")).unwrap();
    let tokenizer = Tokenizer::load(place).unwrap();
    Model::init(&config, 5).save(place, Some(&tokenizer), &ModelCard::default()).unwrap();
}

#[test]
fn rows_beyond_the_tokens_are_no_matter_for_text_nor_for_laws() {
    let dir = tempfile::tempdir().unwrap();
    let student = dir.path().join("padded");
    padded(&student);
    let mut command = open_teacher(tiny_model(), tiny_model(), dir.path());
    command.args(["--set", &format!("base={{ model = \"{}\" }}", text(&student))]);
    Ran::of(command.output().unwrap()).expect_code(0);
    let (_, records) = records_of(dir.path());
    assert!(metric(&records, Arm::Student, "aligned_tokens").is_empty(), "the tokenizer is the teacher's");
    assert!(!metric(&records, Arm::Student, "kl").is_empty(), "and laws are over the same 300 tokens");
}
