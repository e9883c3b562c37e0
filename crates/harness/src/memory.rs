//! What the process needed.

/// Largest resident memory of this process so far, bytes, where the system tells.
pub fn peak_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?.parse::<f64>().ok()?;
    Some(kib * 1024.0)
}
