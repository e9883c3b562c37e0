//! How much memory there is: what a file holds is refused with a message before the allocator ends the process.

use std::fs::read_to_string;

/// Memory that stays free beside what a file takes, bytes: what is read is worked on too.
const SPARE: usize = 64 << 20;

/// That `bytes` more can be had beside [`SPARE`].
///
/// # Errors
/// The bytes that cannot be had.
pub fn room(bytes: usize) -> Result<(), usize> {
    let wanted = bytes.saturating_add(SPARE);
    if available().is_some_and(|there| there < wanted as u64) {
        return Err(bytes);
    }
    let mut probe: Vec<u8> = Vec::new();
    probe.try_reserve_exact(wanted).map_err(|_| bytes)
}

/// Room for `more` further values in `held`, or the bytes that cannot be had.
pub fn hold<T>(held: &mut Vec<T>, more: usize) -> Result<(), usize> {
    held.try_reserve(more).map_err(|_| more.saturating_mul(size_of::<T>()))
}

/// Bytes that this process may still take, as far as the system tells (Linux): the least of what its limit on addresses, its control
/// group and the machine leave. `None` where it does not tell.
pub fn available() -> Option<u64> {
    let kib = |text: &str, name: &str| -> Option<u64> {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()?.saturating_mul(1024))
    };
    let machine = read_to_string("/proc/meminfo").ok().and_then(|text| kib(&text, "MemAvailable:"));
    let limits = read_to_string("/proc/self/limits").ok();
    let limit = limits.as_deref().and_then(|text| text.lines().find_map(|line| line.strip_prefix("Max address space")));
    let limit = limit.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    let taken = read_to_string("/proc/self/status").ok().and_then(|text| kib(&text, "VmSize:"));
    let addresses = limit.zip(taken).map(|(limit, taken)| limit.saturating_sub(taken));
    [machine, addresses, group()].into_iter().flatten().min()
}

/// What the control group leaves, file cache that can be given up counted as free.
fn group() -> Option<u64> {
    let place = read_to_string("/proc/self/cgroup").ok()?;
    let place = place.lines().find_map(|line| line.strip_prefix("0::"))?.trim_start_matches('/').to_string();
    let folder = std::path::Path::new("/sys/fs/cgroup").join(place);
    let number = |name: &str| read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
    let stat = read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let cache = stat.lines().find_map(|line| line.strip_prefix("inactive_file ")?.trim().parse::<u64>().ok()).unwrap_or(0);
    Some(number("memory.max")?.saturating_sub(number("memory.current")?.saturating_sub(cache)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_machine_has_is_refused() {
        assert!(room(1).is_ok());
        assert_eq!(room(usize::MAX / 4), Err(usize::MAX / 4));
        assert!(hold(&mut Vec::<u64>::new(), usize::MAX / 64).is_err());
    }
}
