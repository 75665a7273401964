//! The process itself: version, start, memory, CPU, open files. Figures of the system come from /proc where there is one.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{Counter, Error, IntGauge};

use super::registrar::Registrar;

/// Clock ticks of a second in /proc/self/stat: fixed at 100 for programs on Linux, whatever the kernel's own tick is.
const TICKS_PER_SECOND: f64 = 100.0;

pub(super) struct ProcessMetrics {
    resident_bytes: IntGauge,
    cpu_seconds: Counter,
    open_files: IntGauge,
}

impl ProcessMetrics {
    pub(super) fn new(r: &Registrar) -> Result<Self, Error> {
        let info = r.ints("agent_mesh_build_info", "Always 1; the version is in the label.", "version")?;
        info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let start = r.gauge("process_start_time_seconds", "When the node started, seconds since the Unix epoch.")?;
        start.set(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()));
        let metrics = Self {
            resident_bytes: r.int("process_resident_memory_bytes", "Memory of the process in use.")?,
            cpu_seconds: r.decimal("process_cpu_seconds_total", "CPU time of the process, user and system.")?,
            open_files: r.int("process_open_fds", "Open file descriptors of the process.")?,
        };
        metrics.refresh();
        Ok(metrics)
    }

    pub(super) fn refresh(&self) {
        if let Some(bytes) = std::fs::read_to_string("/proc/self/status").ok().as_deref().and_then(resident) {
            self.resident_bytes.set(bytes);
        }
        if let Some(seconds) = std::fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(cpu_seconds) {
            self.cpu_seconds.inc_by((seconds - self.cpu_seconds.get()).max(0.0));
        }
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            self.open_files.set(files.count() as i64);
        }
    }
}

fn resident(status: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<i64>().ok()?.checked_mul(1_024)
}

/// Fields 14 and 15, counted behind the name, which may itself hold blanks and parentheses.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_read() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t    1044 kB\nThreads:\t3\n"), Some(1_044 * 1_024));
        assert_eq!(resident("Name:\tx\n"), None);
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194304 99 0 0 0 250 50 0 0 20 0 3 0 4 5 6";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds("7 (a) S 1"), None);
    }
}
