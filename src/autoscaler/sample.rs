//! What the kernel knows: CPU and memory of the instances, and how much of the machine is left.
//!
//! Only processes that are asked for are read, never all there are. CPU is a difference between two samples, so the
//! first one of an instance, or of the machine, has none.

use std::collections::HashMap;
use std::fs;
use std::time::Instant;

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// An instance with more processes than this is measured by the first ones.
const PROCESSES_MAX: usize = 256;

/// Keeps what the next sample is compared with.
pub struct Sampler {
    system: System,
    /// By process: when, and the CPU it had used until then.
    earlier: HashMap<u32, Used>,
    machine_seen: bool,
}

#[derive(Clone, Copy)]
struct Used {
    at: Instant,
    cpu_ms: u64,
}

/// One reading.
#[derive(Debug)]
pub struct Sample {
    /// By the pid that was asked for; one that is gone is missing.
    pub instances: HashMap<u32, Usage>,
    /// Share of the machine's cores that was busy since the last sample, 0 to 1.
    pub machine_busy: Option<f64>,
    /// Bytes that can be used without swapping, within the limit of this container if there is one.
    pub memory_free: u64,
}

/// One instance: the process and its descendants.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// 1.0 is one core.
    pub cores: Option<f64>,
    /// Resident bytes.
    pub memory_bytes: u64,
}

impl Sampler {
    pub fn new() -> Result<Self, sysinfo::Error> {
        Ok(Self { system: System::new()?, earlier: HashMap::new(), machine_seen: false })
    }

    /// `leaders` are the pids of the instances. Blocks for the time of a few reads per process.
    pub fn sample(&mut self, now: Instant, leaders: &[u32]) -> Sample {
        let groups: Vec<_> = leaders.iter().map(|leader| (*leader, with_descendants(*leader))).collect();
        self.refresh(groups.iter().flat_map(|(_, pids)| pids));
        let current: HashMap<u32, Used> = groups
            .iter()
            .flat_map(|(_, pids)| pids)
            .filter_map(|pid| Some((*pid, self.used(now, *pid)?)))
            .collect();
        let instances =
            groups.iter().filter_map(|(leader, pids)| Some((*leader, self.usage(pids, &current)?))).collect();
        self.earlier = current;
        let machine_busy = f64::from(self.system.global_cpu_usage() / 100.0).clamp(0.0, 1.0);
        let seen = std::mem::replace(&mut self.machine_seen, true);
        Sample { instances, machine_busy: seen.then_some(machine_busy), memory_free: self.memory_free() }
    }

    fn refresh<'a>(&mut self, pids: impl Iterator<Item = &'a u32>) {
        // Those of before too: sysinfo forgets only dead processes that it was asked for.
        let mut pids: Vec<Pid> = pids.map(|pid| Pid::from_u32(*pid)).collect();
        pids.extend(self.system.processes().keys());
        let kind = ProcessRefreshKind::nothing().with_cpu().with_memory().without_tasks();
        self.system.refresh_processes_specifics(ProcessesToUpdate::Some(&pids), true, kind);
        self.system.refresh_cpu_usage();
        self.system.refresh_memory();
    }

    fn used(&self, at: Instant, pid: u32) -> Option<Used> {
        let process = self.system.process(Pid::from_u32(pid))?;
        Some(Used { at, cpu_ms: process.accumulated_cpu_time() })
    }

    /// A child that is new since the last sample did all its work since then.
    fn usage(&self, pids: &[u32], current: &HashMap<u32, Used>) -> Option<Usage> {
        let leader = pids.first()?;
        current.get(leader)?;
        let since = self.earlier.get(leader);
        let cpu_ms = |pid: &u32| {
            let before = self.earlier.get(pid).map_or(0, |used| used.cpu_ms);
            current.get(pid).map_or(0, |used| used.cpu_ms.saturating_sub(before))
        };
        let cores = since.and_then(|since| {
            let elapsed_s = (current.get(leader)?.at - since.at).as_secs_f64();
            let used_s = pids.iter().map(cpu_ms).sum::<u64>() as f64 / 1e3;
            (elapsed_s > 0.0).then(|| used_s / elapsed_s)
        });
        let memory =
            |pid: &u32| self.system.process(Pid::from_u32(*pid)).map_or(0, |process| process.memory());
        Some(Usage { cores, memory_bytes: pids.iter().map(memory).sum() })
    }

    /// What a container's limit leaves is counted without its page cache, which gives way.
    fn memory_free(&self) -> u64 {
        let machine = self.system.available_memory();
        let container =
            self.system.cgroup_limits().map(|limits| limits.total_memory.saturating_sub(limits.rss));
        container.map_or(machine, |container| container.min(machine))
    }
}

/// The process first, then those below it, as far as the kernel tells (it may be built without `children`).
fn with_descendants(leader: u32) -> Vec<u32> {
    let mut pids = vec![leader];
    let mut next = 0;
    while let Some(&pid) = pids.get(next).filter(|_| pids.len() < PROCESSES_MAX) {
        pids.extend(children(pid));
        next += 1;
    }
    pids.truncate(PROCESSES_MAX);
    pids
}

/// A child belongs to the thread that started it.
fn children(pid: u32) -> Vec<u32> {
    let of_thread = |tid: &str| fs::read_to_string(format!("/proc/{pid}/task/{tid}/children"));
    if of_thread(&pid.to_string()).is_err() {
        return Vec::new();
    }
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let texts = threads.filter_map(|thread| of_thread(thread.file_name().to_str()?).ok());
    texts
        .flat_map(|text| text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    use super::*;

    /// A process that ends with the test.
    struct Ended(Child);

    impl Drop for Ended {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn shell(script: &str) -> Ended {
        Ended(Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).spawn().unwrap())
    }

    #[test]
    fn one_that_burns_is_told_from_one_that_waits() {
        let (burns, waits) = (shell("while :; do :; done"), shell("read line"));
        let (burns, waits) = (burns.0.id(), waits.0.id());
        let mut sampler = Sampler::new().unwrap();
        let first = sampler.sample(Instant::now(), &[burns, waits]);
        assert_eq!((first.instances[&burns].cores, first.machine_busy), (None, None));
        assert!(first.memory_free > 0);

        let until = Instant::now() + Duration::from_secs(20);
        loop {
            std::thread::sleep(Duration::from_millis(250));
            let sample = sampler.sample(Instant::now(), &[burns, waits]);
            let (busy, idle) = (sample.instances[&burns], sample.instances[&waits]);
            assert!(busy.memory_bytes > 0 && idle.memory_bytes > 0, "{sample:?}");
            assert!(sample.machine_busy.is_some_and(|busy| (0.0..=1.0).contains(&busy)), "{sample:?}");
            if busy.cores > Some(0.1) && idle.cores < Some(0.05) {
                return;
            }
            assert!(Instant::now() < until, "{sample:?}");
        }
    }

    #[test]
    fn one_that_is_gone_is_missing_and_forgotten() {
        let child = shell("read line");
        let pid = child.0.id();
        let mut sampler = Sampler::new().unwrap();
        assert!(sampler.sample(Instant::now(), &[pid]).instances.contains_key(&pid));
        drop(child);
        assert!(sampler.sample(Instant::now(), &[pid]).instances.is_empty());
        sampler.sample(Instant::now(), &[]);
        assert_eq!((sampler.earlier.len(), sampler.system.processes().len()), (0, 0));
    }
}
