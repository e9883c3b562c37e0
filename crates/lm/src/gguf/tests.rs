use std::path::Path;

use safetensors::SafeTensors;

use super::blocks::even;
use super::*;

/// Blocks of every type stand for the values that llama.cpp's own package decodes (`tests/fixtures/gguf/make.py`).
#[test]
fn blocks_of_every_type_are_decoded_as_llama_cpp_does() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/gguf");
    let expected = std::fs::read(root.join("blocks.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&expected).unwrap();
    let mut gguf = Gguf::open(&root.join("blocks.gguf")).unwrap();
    assert_eq!(gguf.header.tensors.len(), blocks::READ.len());
    for (name, info) in &gguf.header.tensors {
        assert_eq!(info.kind.name(), name);
        let view = expected.tensor(name).unwrap();
        assert_eq!(info.shape, [3, 512]);
        let mut ours = vec![f32::NAN; 3 * 512];
        tensors::read(&mut gguf.file, &gguf.header, info, &mut ours, &gguf.path).unwrap();
        let theirs = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        let deviation = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let size = ours.iter().fold(0.0, |most: f32, x| most.max(x.abs()));
        assert!(deviation <= 1e-6 * size && size > 0.05, "{name}: {deviation} of {size}");
    }
}

#[test]
fn bytes_lie_at_even_addresses() {
    let mut buffer = [7; 19];
    for cut in 0..2 {
        let part = even(&mut buffer[cut..], 17);
        assert!((part.as_ptr() as usize).is_multiple_of(2) && part.len() == 17);
    }
}

#[test]
fn llama_3s_frequencies_are_found_again_from_their_factors() {
    use crate::arch::decoder::{Rope, RopeScaling};
    let metadata = Metadata::default();
    let keys = keys::Keys::new(&metadata, "llama");
    let scaled = |factor, low, high, context, theta, width| {
        let scaling = RopeScaling::Llama3 {
            factor,
            low_freq_factor: low,
            high_freq_factor: high,
            original_max_position_embeddings: context,
        };
        let plain = Rope { theta, width, scaling: None };
        let changed = Rope { scaling: Some(scaling), ..plain.clone() };
        (plain.frequencies(), changed.frequencies())
    };
    for (factor, low, high, context, theta, width) in [
        (8.0, 1.0, 4.0, 8192, 500_000.0, 128),
        (32.0, 1.0, 4.0, 8192, 500_000.0, 64),
        (4.0, 1.0, 2.0, 4096, 10_000.0, 128),
        (8.0, 2.0, 8.0, 16_384, 1e6, 256),
    ] {
        let (plain, changed) = scaled(factor, low, high, context, theta, width);
        let factors: Vec<f32> = plain.iter().zip(&changed).map(|(plain, changed)| plain / changed).collect();
        let found = rope::scaling(&keys, Some(&factors), theta, width as u64).unwrap();
        let number = |key: &str| found[key].as_f64().unwrap();
        let (_, again) = scaled(
            number("factor"),
            number("low_freq_factor"),
            number("high_freq_factor"),
            number("original_max_position_embeddings") as usize,
            theta,
            width,
        );
        let worst = again.iter().zip(&changed).map(|(a, b)| (a / b - 1.0).abs()).fold(0.0, f32::max);
        assert!(worst < 2e-5, "{factor} {low} {high} {context}: {worst}");
        if (low, high) == (1.0, 4.0) {
            assert_eq!((number("high_freq_factor"), number("original_max_position_embeddings")), (4.0, 8192.0));
        }
        for wrong in [factors[1..].to_vec(), factors.iter().rev().copied().collect(), vec![f32::NAN; factors.len()]] {
            let error = rope::scaling(&keys, Some(&wrong), theta, width as u64).unwrap_err().to_string();
            assert!(error.contains("rope_freqs.weight"), "{error}");
        }
    }
    assert!(rope::scaling(&keys, Some(&[1.0; 64]), 10_000.0, 128).unwrap().is_null());
}
