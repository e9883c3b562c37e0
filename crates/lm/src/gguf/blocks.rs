//! Types of tensors: their names, their numbers in the file, and the values that their blocks stand for.
//!
//! The layouts are those of ggml; candle has them all, and decodes them.

use std::borrow::Cow;

use candle_core::quantized::GgmlDType;
use candle_core::{CpuStorage, bail};

use crate::checkpoint::{convert, f16_to_f32};

/// Types that are read: number in the file, name.
pub(super) const READ: [(u32, &str, GgmlDType); 13] = [
    (0, "F32", GgmlDType::F32),
    (1, "F16", GgmlDType::F16),
    (2, "Q4_0", GgmlDType::Q4_0),
    (3, "Q4_1", GgmlDType::Q4_1),
    (6, "Q5_0", GgmlDType::Q5_0),
    (7, "Q5_1", GgmlDType::Q5_1),
    (8, "Q8_0", GgmlDType::Q8_0),
    (10, "Q2_K", GgmlDType::Q2K),
    (11, "Q3_K", GgmlDType::Q3K),
    (12, "Q4_K", GgmlDType::Q4K),
    (13, "Q5_K", GgmlDType::Q5K),
    (14, "Q6_K", GgmlDType::Q6K),
    (30, "BF16", GgmlDType::BF16),
];

/// Types that exist and are not read, by their numbers.
const NOT_READ: [(u32, &str); 20] = [
    (9, "Q8_1"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
    (40, "NVFP4"),
];

/// The type of a tensor's blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockType(GgmlDType);

impl BlockType {
    /// The type with this number in a file, or what it is called and that it is not read.
    pub(super) fn of(number: u32) -> Result<Self, String> {
        if let Some((.., kind)) = READ.iter().find(|(known, ..)| *known == number) {
            return Ok(Self(*kind));
        }
        let named = NOT_READ.iter().find(|(known, _)| *known == number);
        let name = named.map_or_else(|| format!("of number {number}"), |(_, name)| (*name).to_string());
        Err(format!("the type {name}, which is not read; types that are: {}", READ.map(|(_, name, _)| name).join(", ")))
    }

    /// Its name, as llama.cpp writes it (`Q4_K`).
    pub fn name(self) -> &'static str {
        READ.iter().find(|(.., kind)| *kind == self.0).map_or("", |(_, name, _)| name)
    }

    /// Values in a block; 1 where there are no blocks.
    pub fn block_values(self) -> u64 {
        self.0.block_size() as u64
    }

    /// Bytes of a block.
    pub fn block_bytes(self) -> u64 {
        self.0.type_size() as u64
    }

    /// Whether values share a scale.
    pub fn is_quantised(self) -> bool {
        self.block_values() > 1
    }

    /// The values of whole blocks, in `f32`. `bytes` lie at an even address, as [`even`] gives them.
    pub(super) fn decode(self, bytes: &[u8], into: &mut [f32]) -> candle_core::Result<()> {
        match self.0 {
            GgmlDType::F32 => convert(bytes, into, f32::from_le_bytes),
            GgmlDType::F16 => convert(bytes, into, |b: [u8; 2]| f16_to_f32(u16::from_le_bytes(b))),
            GgmlDType::BF16 => convert(bytes, into, |b: [u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16)),
            kind => {
                let CpuStorage::F32(values) = kind.from_data(Cow::Borrowed(bytes)).dequantize(into.len())? else {
                    bail!("blocks of {} did not become f32", self.name())
                };
                into.copy_from_slice(&values);
            }
        }
        Ok(())
    }
}

/// `length` bytes of a buffer that has one more, from an even address on: candle looks at blocks in place, and theirs begin
/// with 16-bit numbers.
pub(super) fn even(buffer: &mut [u8], length: usize) -> &mut [u8] {
    let start = buffer.as_ptr().align_offset(2).min(1);
    &mut buffer[start..start + length]
}
