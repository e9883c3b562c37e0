//! Where tensors live. No other file knows candle's devices by name: whatever makes a tensor is given one.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::guard::guarded;

/// What a device is called: `cpu`, `cuda`, `cuda:N` or `metal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceName {
    /// The processor.
    #[default]
    Cpu,
    /// A GPU under CUDA, by its ordinal if one was given, else the first.
    Cuda(Option<usize>),
    /// The GPU of an Apple machine.
    Metal,
}

impl DeviceName {
    /// `cpu`, `cuda` or `metal`: what decides the last bits of a sum, as far as a name can say.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda(_) => "cuda",
            Self::Metal => "metal",
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cuda(Some(ordinal)) => write!(f, "cuda:{ordinal}"),
            name => f.write_str(name.kind()),
        }
    }
}

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ordinal = |text: &str| text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        match (text, text.strip_prefix("cuda:").map(ordinal)) {
            ("cpu", _) => Ok(Self::Cpu),
            ("cuda", _) => Ok(Self::Cuda(None)),
            ("metal", _) => Ok(Self::Metal),
            (_, Some(Some(ordinal))) => Ok(Self::Cuda(Some(ordinal))),
            _ => Err("no such device; write cpu, cuda, cuda:N (the GPU number N, from 0) or metal".into()),
        }
    }
}

/// Why a device cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// This program was built for others.
    #[error("this birthmark was built without {library}; build with `cargo build --release --features {feature}`")]
    NotBuilt {
        /// What drives the device.
        library: &'static str,
        /// The feature that builds it in.
        feature: &'static str,
    },
    /// It was built for it, but there is none, or its driver does not answer.
    #[error("cannot be opened: {why}; check that the machine has it and that its driver runs, or use --device cpu")]
    NotOpened {
        /// What the driver says.
        why: String,
    },
}

/// An open device. Cheap to clone; clones are the same device.
#[derive(Debug, Clone)]
pub struct Device {
    name: DeviceName,
    tensors: candle_core::Device,
    turn: Arc<Mutex<()>>,
}

impl Device {
    /// The processor.
    pub fn cpu() -> Self {
        Self::of(DeviceName::Cpu, candle_core::Device::Cpu)
    }

    /// Opens a device.
    ///
    /// # Errors
    /// When this build does not know it, or it cannot be opened.
    pub fn open(name: DeviceName) -> Result<Self, DeviceError> {
        let opened = match name {
            DeviceName::Cpu => return Ok(Self::cpu()),
            DeviceName::Cuda(_) if !cfg!(feature = "cuda") => {
                return Err(DeviceError::NotBuilt { library: "CUDA", feature: "cuda" });
            }
            DeviceName::Metal if !cfg!(feature = "metal") => {
                return Err(DeviceError::NotBuilt { library: "Metal", feature: "metal" });
            }
            DeviceName::Cuda(ordinal) => {
                // products of f32 in f32: TF32 keeps ten bits of a factor's mantissa, and gradients and laws would be others
                candle_core::cuda::set_gemm_reduced_precision_f32(false);
                // One stream for all workers. candle's default is a stream for each thread, between which nothing waits: a tensor
                // uploaded by one worker could be read by another before it has arrived.
                guarded(|| candle_core::Device::new_cuda_with_stream(ordinal.unwrap_or(0)))
            }
            DeviceName::Metal => guarded(|| candle_core::Device::new_metal(0)),
        };
        // drivers that are not there can be a panic below
        let opened = opened.map_err(|why| DeviceError::NotOpened { why })?;
        // with RUST_BACKTRACE candle adds lines to its errors
        let first_line = |error: candle_core::Error| error.to_string().lines().next().unwrap_or_default().to_string();
        let opened = opened.map_err(|error| DeviceError::NotOpened { why: first_line(error) })?;
        Ok(Self::of(name, opened))
    }

    fn of(name: DeviceName, tensors: candle_core::Device) -> Self {
        Self { name, tensors, turn: Arc::default() }
    }

    /// What it was opened as.
    pub fn name(&self) -> DeviceName {
        self.name
    }

    /// Whether it is the processor, for which the fused kernels are made.
    pub fn is_cpu(&self) -> bool {
        self.name == DeviceName::Cpu
    }

    /// As candle knows it.
    pub fn candle(&self) -> &candle_core::Device {
        &self.tensors
    }

    /// The right to compute, until it is dropped. On the CPU all workers have it: each has a core of its own. Any other device
    /// takes one piece of work at a time: its stream runs one operation after the other, whoever asks, so that more workers would
    /// only multiply the memory that their weights, caches and activations take there.
    pub(crate) fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        // a poisoned lock only means that another piece of work panicked; nothing is kept behind it
        (!self.is_cpu()).then(|| self.turn.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let names = [
            ("cpu", DeviceName::Cpu),
            ("cuda", DeviceName::Cuda(None)),
            ("cuda:0", DeviceName::Cuda(Some(0))),
            ("cuda:12", DeviceName::Cuda(Some(12))),
            ("metal", DeviceName::Metal),
        ];
        for (text, name) in names {
            assert_eq!(text.parse(), Ok(name));
            assert_eq!(name.to_string(), text);
            assert_eq!(Some(name.kind()), text.split(':').next());
        }
        for text in ["", "gpu", "CPU", "cuda:", "cuda:x", "cuda:-1", "cuda:+1", "cuda: 1", "cuda0", "metal:0", "cpu:0"] {
            let error = text.parse::<DeviceName>().unwrap_err();
            assert!(error.contains("cpu, cuda, cuda:N") && error.contains("metal"), "{text}: {error}");
        }
    }

    #[test]
    fn the_cpu_is_always_there_and_shared() {
        let device = Device::open(DeviceName::Cpu).unwrap();
        assert!(device.is_cpu() && device.candle().is_cpu());
        assert!(device.turn().is_none(), "no worker waits for another");
    }

    #[test]
    fn what_was_not_built_in_is_refused_with_the_build_that_has_it() {
        let cases = [
            (cfg!(feature = "cuda"), DeviceName::Cuda(Some(1)), "built without CUDA", "--features cuda`"),
            (cfg!(feature = "metal"), DeviceName::Metal, "built without Metal", "--features metal`"),
        ];
        for (built, name, what, remedy) in cases.into_iter().filter(|(built, ..)| !built) {
            let error = Device::open(name).unwrap_err().to_string();
            assert!(!built && error.contains(what) && error.ends_with(remedy), "{error}");
        }
    }

    #[test]
    fn other_devices_take_one_piece_of_work_at_a_time() {
        let device = Device::of(DeviceName::Cuda(None), candle_core::Device::Cpu);
        let turn = device.turn();
        assert!(turn.is_some() && device.clone().turn.try_lock().is_err(), "clones wait for each other");
        drop(turn);
        assert!(device.turn.try_lock().is_ok());
    }
}
