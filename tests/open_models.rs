//! Open models as teachers and students: asked as they expect, whatever their tokenizer.

use std::fs;

use crate::bad_model::open_teacher;
use crate::support::{Ran, copy, manifests, run_command, smoke_file, tiny_model};

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
fn a_teacher_that_is_trained_here_has_no_chat_template() {
    let dir = tempfile::tempdir().unwrap();
    let run = run_command(&smoke_file(), dir.path(), 2).args(["--set", "queries.chat=true"]).output().unwrap();
    Ran::of(run).refused_with(&["queries.chat", "trained here has no chat template", "name a `teacher.model`"]);
}
