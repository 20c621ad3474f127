//! What the machine is and how busy it was: without it a figure says nothing.

use std::{fs, io, path::Path, time::Duration};

use serde::Serialize;

use crate::Outcome;

/// Linux shows process times in hundredths of a second, whatever its own tick is.
const TICK: Duration = Duration::from_millis(10);

/// The machine, as far as a figure depends on it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    /// The processor's own name.
    pub(crate) cpu: String,
    /// How many cores the system shows.
    pub(crate) cores: usize,
    /// Main memory, in GiB.
    pub(crate) memory_gib: u64,
    /// The kernel's version.
    pub(crate) kernel: String,
    /// The file system that the data lies on.
    pub(crate) file_system: String,
}

impl Machine {
    /// Reads it from `/proc`; refuses a scratch folder that lies in memory, where fdatasync costs nothing.
    pub(crate) fn read(scratch: &Path) -> Outcome<Self> {
        let file_system = file_system_of(scratch)?;
        if matches!(file_system.as_str(), "tmpfs" | "ramfs") {
            return Err(format!("{} lies in memory: durability has no cost there", scratch.display()).into());
        }
        let cpu = first_value("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned());
        let kib = first_value("/proc/meminfo", "MemTotal").and_then(|text| leading_number(&text)).unwrap_or(0);
        Ok(Self {
            cpu,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: (kib + (1 << 19)) >> 20,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            file_system,
        })
    }
}

/// The load average of the last minute, which counts what else ran.
pub(crate) fn load_average() -> f64 {
    fs::read_to_string("/proc/loadavg")
        .ok()
        .and_then(|text| text.split(' ').next().and_then(|first| first.parse().ok()))
        .unwrap_or(f64::NAN)
}

/// Processor time that all processes of the machine used, and that its host took away, since it started.
pub(crate) fn machine_time() -> Outcome<(Duration, Duration)> {
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<u32> = line.split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal
    let [user, nice, system, _, _, irq, softirq, steal, ..] = ticks[..] else {
        return Err("/proc/stat has no processor line".into());
    };
    Ok((TICK * (user + nice + system + irq + softirq), TICK * steal))
}

/// Processor time of a process and its ended threads, in steps of 10 ms.
pub(crate) fn processor_time(pid: u32) -> Outcome<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name may hold spaces; the fields are counted from behind it.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u32>().ok());
    let (user, system) = ticks(11).zip(ticks(12)).ok_or("/proc/<pid>/stat is not as documented")?;
    Ok(TICK * (user + system))
}

/// What a process holds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Footprint {
    /// Resident memory that belongs to it alone or to files, in bytes.
    pub(crate) resident: u64,
    /// Of that, what is not backed by files, in bytes.
    pub(crate) anonymous: u64,
    /// Its threads.
    pub(crate) threads: u64,
    /// How often its threads have gone to sleep by themselves so far: each timer that fires adds one.
    pub(crate) sleeps: u64,
}

/// Reads a process's footprint from `/proc`.
pub(crate) fn footprint(pid: u32) -> Outcome<Footprint> {
    let status = format!("/proc/{pid}/status");
    let number = |name: &str| first_value(&status, name).and_then(|text| leading_number(&text));
    let mut sleeps = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = task?.path().join("status");
        sleeps += first_value(&path.to_string_lossy(), "voluntary_ctxt_switches")
            .and_then(|text| leading_number(&text))
            .unwrap_or(0);
    }
    Ok(Footprint {
        resident: number("VmRSS").ok_or("the process is gone")? << 10,
        anonymous: number("RssAnon").unwrap_or(0) << 10,
        threads: number("Threads").unwrap_or(0),
        sleeps,
    })
}

fn first_value(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

fn leading_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

fn file_system_of(folder: &Path) -> io::Result<String> {
    let folder = folder.canonicalize()?;
    let mounts = fs::read_to_string("/proc/mounts")?;
    let best = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            Some((fields.next()?, fields.next()?))
        })
        .filter(|(mount, _)| folder.starts_with(mount))
        .max_by_key(|(mount, _)| mount.len());
    Ok(best.map_or_else(|| "unknown".to_owned(), |(_, kind)| kind.to_owned()))
}
