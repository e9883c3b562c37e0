//! The machine, the moment and the command that results were made with; for the manifest alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use lm::ComputePath;

use crate::document::Step;
use crate::resolve::Grid;
use crate::set;

/// What stands in the place of a secret.
const NOT_KEPT: &str = "(not kept)";

/// Parts of AArch64's `/proc/cpuinfo` that say which core it is, where it has no name for it.
const CORE: [&str; 4] = ["CPU implementer", "CPU part", "CPU variant", "CPU revision"];

/// The moment `elapsed` ago: UTC, RFC 3339, whole seconds.
pub(super) fn date_before(elapsed: Duration) -> String {
    (Utc::now() - elapsed).to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The model of the processor, as the system names it; `None` where it does not.
pub(super) fn cpu() -> Option<String> {
    if cfg!(target_os = "macos") {
        let said = std::process::Command::new("/usr/sbin/sysctl").args(["-n", "machdep.cpu.brand_string"]).output().ok()?;
        return Some(String::from_utf8_lossy(&said.stdout).trim().to_string()).filter(|name| !name.is_empty());
    }
    model_in(&std::fs::read_to_string("/proc/cpuinfo").ok()?)
}

/// The model of the processor in the text of Linux' `/proc/cpuinfo`. x86-64 has a name. AArch64 has the numbers of each sort of core, and of
/// some boards the name.
fn model_in(cpuinfo: &str) -> Option<String> {
    let value = |line: &str, key: &str| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key && !value.trim().is_empty()).then(|| value.trim().to_string())
    };
    let all = |key: &str| cpuinfo.lines().filter_map(|line| value(line, key)).collect::<BTreeSet<_>>();
    let joined = |names: BTreeSet<String>| {
        let names: Vec<String> = names.into_iter().collect();
        Some(names.join(" and ")).filter(|names| !names.is_empty())
    };
    if let Some(names) = joined(all("model name")) {
        return Some(names);
    }
    let core = |block: &str| {
        let said = |key: &&str| block.lines().find_map(|line| value(line, key)).map(|value| format!("{key} {value}"));
        let parts: Vec<String> = CORE.iter().filter_map(said).collect();
        Some(parts.join(", ")).filter(|parts| !parts.is_empty())
    };
    let cores = joined(cpuinfo.split("\n\n").filter_map(core).collect());
    let board = joined(["Model", "Hardware", "cpu model"].iter().flat_map(|key| all(key)).collect());
    match (board, cores) {
        (Some(board), Some(cores)) => Some(format!("{board} ({cores})")),
        (board, cores) => board.or(cores),
    }
}

/// What computes each model: `fused` or `generic`, or both where the points of a grid differ.
pub(super) fn paths(grid: &Grid) -> BTreeMap<String, String> {
    let mut found: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for point in &grid.points {
        let world = &point.resolved.world;
        // one that cannot be read has been refused before
        let named = world.models.iter().filter_map(|(name, model)| Some((name.clone(), model.found().config().ok()?)));
        let own = [("teacher", &point.shapes.teacher), ("stranger", &point.shapes.stranger), ("student", &point.shapes.student)];
        for (name, config) in own.map(|(name, config)| (name.to_string(), config.clone())).into_iter().chain(named) {
            found.entry(name).or_default().insert(ComputePath::at(&config, &point.resolved.device).name());
        }
    }
    found.into_iter().map(|(name, paths)| (name, paths.into_iter().collect::<Vec<_>>().join(", "))).collect()
}

/// A word of the command line without the owner's secret, if it gives one.
pub(super) fn without_secret(word: &str, grid: &Grid) -> String {
    let secrets = grid.points.iter().map(|point| &point.resolved.secret);
    without_value(word).unwrap_or_else(|| secrets.fold(word.to_string(), |word, secret| secret.hidden_in(&word, NOT_KEPT)))
}

/// The same word without its value, if that is the secret by its key.
fn without_value(word: &str) -> Option<String> {
    let (flag, argument) = match word.strip_prefix("--set=") {
        Some(argument) => ("--set=", argument),
        None => ("", word),
    };
    let gives_secret = match &set::key_of(argument)?[..] {
        [Step::Key(owner)] => owner == "owner",
        [Step::Key(owner), Step::Key(secret), ..] => owner == "owner" && secret == "secret",
        _ => false,
    };
    let (key, _) = argument.split_once('=').filter(|_| gives_secret)?;
    Some(format!("{flag}{key}={NOT_KEPT}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_utc_in_rfc_3339() {
        let date = date_before(Duration::from_secs(3600));
        let read = chrono::DateTime::parse_from_rfc3339(&date).unwrap();
        assert!(date.ends_with('Z') && date.len() == "2026-01-01T00:00:00Z".len(), "{date}");
        assert!((3600..3610).contains(&(Utc::now() - read.to_utc()).num_seconds()), "{date}");
    }

    #[test]
    fn a_secret_on_the_command_line_is_not_kept() {
        for (word, kept) in [
            ("owner.secret=hush", "owner.secret=(not kept)"),
            ("--set=owner.secret=a=b", "--set=owner.secret=(not kept)"),
            ("owner={ secret = 'hush' }", "owner=(not kept)"),
        ] {
            assert_eq!(without_value(word).unwrap(), kept);
        }
        for word in ["owner.secret_file=hush.txt", "seeds=[1]", "run", "a=owner.secret", "--set"] {
            assert_eq!(without_value(word), None, "{word}");
        }
        let secret = crate::secret::OwnerSecret::public("hush hush", None);
        assert_eq!(secret.hidden_in("x='hush hush'", NOT_KEPT), "x='(not kept)'");
    }

    #[test]
    fn processors_have_the_name_that_the_system_gives() {
        let x86 = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel\t\t: 17\nmodel name\t: AMD EPYC 9B14\n\nprocessor\t: 1\nmodel name\t: AMD EPYC 9B14\n";
        assert_eq!(model_in(x86).unwrap(), "AMD EPYC 9B14");
        let core = |part: &str| {
            format!(
                "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x3\n\
                 CPU part\t: {part}\nCPU revision\t: 1\n"
            )
        };
        let one = "CPU implementer 0x41, CPU part 0xd0c, CPU variant 0x3, CPU revision 1";
        assert_eq!(model_in(&[core("0xd0c"), core("0xd0c")].join("\n")).unwrap(), one);
        let board = [core("0xd0c"), core("0xd05"), "Hardware\t: BCM2835\nModel\t\t: Raspberry Pi 4\n".into()].join("\n");
        let named = model_in(&board).unwrap();
        assert!(
            named.starts_with("BCM2835 and Raspberry Pi 4 (") && named.contains("0xd05") && named.contains(" and CPU"),
            "{named}"
        );
        assert_eq!(model_in("processor\t: 0\nmodel name\t:\n"), None);
    }
}
