//! Models that cannot be used are refused with exit code 2 and one line that names file, value and what to do; in a run also the key
//! that named the model.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::support::{Ran, birthmark, copy, manifests, run_command, smoke_file, text, tiny_model};

/// A damaged copy of the tiny model.
fn damaged(damage: impl FnOnce(&Path)) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy(tiny_model(), &dir.path().join("model"));
    damage(&dir.path().join("model"));
    dir
}

/// `model generate` refuses the model, and so does a run that names it as teacher, naming the key too.
#[track_caller]
fn model_refused(damage: impl FnOnce(&Path), parts: &[&str]) {
    let dir = damaged(damage);
    let model = dir.path().join("model");
    birthmark(&["model", "generate", "--prompt", "The", "--model", text(&model)]).refused_with(parts);
    let run = open_teacher(&model, &model, dir.path()).output().unwrap();
    let parts: Vec<&str> = parts.iter().copied().chain(["teacher.model"]).collect();
    Ran::of(run).refused_with(&parts);
}

/// Smoke with models of ours, everything it writes below `place`: a teacher and a stranger that are brought.
pub fn open_teacher(teacher: &Path, stranger: &Path, place: &Path) -> std::process::Command {
    let mut command = run_command(&smoke_file(), place, 2);
    let continued = "tokens = 12_000, row_tokens = 64, batch_rows = 8, peak_lr = 1e-3";
    let teacher = format!("teacher={{ model = \"{}\", continued = {{ {continued} }} }}", text(teacher));
    let stranger = format!("stranger={{ model = \"{}\" }}", text(stranger));
    // this tokenizer knows little more than bytes: openings must be long to differ
    let openings = ["queries.prompt_tokens=24", "audit.prompt_tokens=24"];
    for set in ["tokenizer=of_teacher", &teacher, &stranger, "planting.canaries_after_tokens=0"].into_iter().chain(openings) {
        command.args(["--set", set]);
    }
    command
}

fn rewrite(file: &Path, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let bytes = fs::read(file).unwrap();
    fs::write(file, change(bytes)).unwrap();
}

/// Replaces part of a safetensors header by another text; the length in front is adjusted.
fn reheader(model: &Path, change: impl FnOnce(serde_json::Value) -> serde_json::Value) {
    rewrite(&model.join("model.safetensors"), |bytes| {
        let (length, rest) = bytes.split_at(8);
        let (header, data) = rest.split_at(u64::from_le_bytes(length.try_into().unwrap()) as usize);
        let header = change(serde_json::from_slice(header).unwrap()).to_string();
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
    });
}

/// The tensor that lies first in the file, or the one behind it.
fn tensor(header: &mut serde_json::Value, number: usize) -> &mut serde_json::Value {
    let mut names: Vec<(u64, String)> = header
        .as_object()
        .unwrap()
        .iter()
        .filter_map(|(name, entry)| Some((entry["data_offsets"][0].as_u64()?, name.clone())))
        .collect();
    names.sort();
    &mut header[names[number].1.as_str()]
}

#[test]
fn a_missing_model_directory() {
    let dir = tempfile::tempdir().unwrap();
    let none = dir.path().join("none");
    for command in ["info", "generate"] {
        birthmark(&["model", command, "--model", text(&none)]).refused_with(&[text(&none), "not found", "config.json"]);
    }
    let run = open_teacher(&none, tiny_model(), dir.path()).output().unwrap();
    Ran::of(run).refused_with(&["`teacher.model = ", "no directory", "name a local Hugging Face model directory"]);
    assert!(!dir.path().join("artifacts").exists(), "refused before anything was made");
}

#[test]
fn a_model_directory_that_lacks_a_file() {
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        let dir = damaged(|model| fs::remove_file(model.join(file)).unwrap());
        let model = dir.path().join("model");
        birthmark(&["model", "generate", "--model", text(&model)]).refused_with(&[file, "not found"]);
        let run = open_teacher(&model, tiny_model(), dir.path()).output().unwrap();
        Ran::of(run).refused_with(&["`teacher.model = ", &format!("has no {file}")]);
    }
}

#[test]
fn a_truncated_checkpoint() {
    for kept in [0, 5, 100, 4000] {
        model_refused(
            |model| rewrite(&model.join("model.safetensors"), |bytes| bytes[..kept].to_vec()),
            &["model.safetensors: not a valid safetensors file", "fetch or convert the checkpoint again"],
        );
    }
}

#[test]
fn a_checkpoint_that_is_something_else() {
    let page = b"<!DOCTYPE html><html><head><title>404</title></head></html>";
    model_refused(
        |model| fs::write(model.join("model.safetensors"), page).unwrap(),
        &["model.safetensors: not a valid safetensors file"],
    );
}

#[test]
fn a_header_that_claims_more_than_the_file_holds() {
    for claimed in [1_u64 << 20, 1 << 40, u64::MAX] {
        model_refused(
            |model| rewrite(&model.join("model.safetensors"), |bytes| [&claimed.to_le_bytes()[..], &bytes[8..]].concat()),
            &["model.safetensors: not a valid safetensors file", &format!("its header claims {claimed} bytes")],
        );
    }
}

#[test]
fn a_tensor_beyond_the_end_of_the_file() {
    let lie = |mut header: serde_json::Value| {
        let entry = tensor(&mut header, 0);
        entry["data_offsets"] = serde_json::json!([0, 1_u64 << 40]);
        header
    };
    model_refused(|model| reheader(model, lie), &["model.safetensors: not a valid safetensors file", "1099511627776"]);
}

#[test]
fn a_tensor_larger_than_its_bytes() {
    let lie = |mut header: serde_json::Value| {
        tensor(&mut header, 0)["shape"] = serde_json::json!([1_u64 << 40, 1_u64 << 40]);
        header
    };
    model_refused(|model| reheader(model, lie), &["not a valid safetensors file", "does not take the"]);
}

#[test]
fn tensors_that_overlap() {
    let lie = |mut header: serde_json::Value| {
        let offsets = tensor(&mut header, 0)["data_offsets"].clone();
        tensor(&mut header, 1)["data_offsets"][0] = serde_json::json!(offsets[1].as_u64().unwrap() - 4);
        header
    };
    model_refused(
        |model| reheader(model, lie),
        &["not a valid safetensors file", "data_offsets", "the tensor before it ends at"],
    );
}

#[test]
fn a_checkpoint_of_another_shape_than_config_json() {
    let wider = |model: &Path| {
        rewrite(&model.join("config.json"), |bytes| {
            let mut config: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            config["intermediate_size"] = 25.into();
            config.to_string().into_bytes()
        });
    };
    model_refused(wider, &["has shape [16, 24], but config.json asks for [16, 25]"]);
}

#[test]
fn a_pickle_checkpoint() {
    // the beginning of what torch.save writes: a zip file around a pickle
    let zip = b"PK\x03\x04\x00\x00\x08\x08archive/data.pkl";
    let dir = damaged(|model| {
        fs::remove_file(model.join("model.safetensors")).unwrap();
        fs::write(model.join("pytorch_model.bin"), zip).unwrap();
    });
    let model = dir.path().join("model");
    let refused = "a pickle checkpoint, which can run code when read and is refused";
    birthmark(&["model", "generate", "--model", text(&model)]).refused_with(&["pytorch_model.bin", refused, "convert it"]);
    let run = open_teacher(&model, tiny_model(), dir.path()).output().unwrap();
    Ran::of(run).refused_with(&["`teacher.model = ", "pytorch_model.bin", refused, "convert it"]);
}

#[test]
fn a_pickle_under_another_name() {
    for start in [&b"PK\x03\x04\x00\x00\x08\x08archive/data.pkl"[..], b"\x80\x02}q\x00X\x06\x00\x00\x00weightq\x01."] {
        model_refused(
            |model| fs::write(model.join("model.safetensors"), start).unwrap(),
            &["model.safetensors", "is a pickle checkpoint", "refused", "convert it"],
        );
    }
}

#[test]
fn an_unknown_architecture() {
    let mamba = |model: &Path| {
        rewrite(&model.join("config.json"), |bytes| String::from_utf8(bytes).unwrap().replace("llama", "mamba").into_bytes());
    };
    let parts = ["config.json", "`model_type` is \"mamba\"", "unknown architecture", "known are: llama"];
    model_refused(mamba, &parts);
    let dir = damaged(mamba);
    birthmark(&["model", "info", "--model", text(&dir.path().join("model"))]).refused_with(&parts);
}

#[test]
fn a_config_that_is_not_json() {
    model_refused(|model| fs::write(model.join("config.json"), "{").unwrap(), &["config.json: not valid JSON"]);
}

#[test]
fn a_tokenizer_with_ids_the_model_does_not_know() {
    let smaller = |model: &Path| {
        rewrite(&model.join("config.json"), |bytes| {
            let mut config: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            config["vocab_size"] = 290.into();
            config.to_string().into_bytes()
        });
        // the checkpoint agrees with config.json, so that only the tokenizer is wrong
        let rows = 290 * 16;
        rewrite(&model.join("model.safetensors"), |bytes| {
            let (length, rest) = bytes.split_at(8);
            let (header, data) = rest.split_at(u64::from_le_bytes(length.try_into().unwrap()) as usize);
            let mut header: serde_json::Value = serde_json::from_slice(header).unwrap();
            let entry = header["model.embed_tokens.weight"]["data_offsets"].clone();
            let (start, end) = (entry[0].as_u64().unwrap(), entry[1].as_u64().unwrap());
            let cut = end - start - 4 * rows;
            header["model.embed_tokens.weight"]["shape"] = serde_json::json!([290, 16]);
            for (_, entry) in header.as_object_mut().unwrap().iter_mut().filter(|(name, _)| *name != "__metadata__") {
                for offset in entry["data_offsets"].as_array_mut().unwrap() {
                    let at = offset.as_u64().unwrap();
                    *offset = (if at >= end { at - cut } else { at }).into();
                }
            }
            let header = header.to_string();
            let (kept, gone) = ((start + 4 * rows) as usize, end as usize);
            [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data[..kept], &data[gone..]].concat()
        });
    };
    model_refused(smaller, &["tokenizer.json", "ids up to 299", "`vocab_size` is 290", "do not belong together"]);
}

#[test]
fn a_bad_model_met_late_loses_nothing() {
    // the stranger is read after the teacher was trained
    let dir = damaged(|model| rewrite(&model.join("model.safetensors"), |bytes| bytes[..4000].to_vec()));
    let stranger = dir.path().join("model");
    let refused = Ran::of(open_teacher(tiny_model(), &stranger, dir.path()).output().unwrap());
    assert!(refused.stderr.contains("teacher, with canaries"), "{}", refused.stderr);
    refused.refused_with(&["`stranger.model`", "model.safetensors", "not a valid safetensors file"]);
    let before = manifests(&dir.path().join("artifacts"));
    assert!(before.keys().any(|name| name.starts_with("implanted/")), "{before:?}");

    copy(tiny_model(), &stranger);
    let repaired = Ran::of(open_teacher(tiny_model(), &stranger, dir.path()).output().unwrap()).expect_code(0);
    assert!(!repaired.stderr.contains("teacher, with canaries"), "found, not trained again:\n{}", repaired.stderr);
    let after = manifests(&dir.path().join("artifacts"));
    assert!(before.iter().all(|(name, manifest)| after.get(name) == Some(manifest)), "nothing was lost");
}
