//! What goes wrong and when: drawn from the seed, one fault of a process and one of the network at a time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::nodes::Nodes;
use super::proxy::{Link, Weather};
use crate::failure::{Failure, Outcome};
use crate::output::note;

/// Longest time in which a validator whose disk is full must have noticed.
const DISK_PATIENCE: Duration = Duration::from_secs(10);

/// What is wrong with a process now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Down {
    /// Killed; started again at the end.
    Killed(usize),
    /// Stopped; goes on at the end.
    Stopped(usize),
    /// Its files may not grow; when that ended it, it is started again at the end.
    DiskFull(usize),
}

/// How often each fault happened.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub(super) struct Counts {
    pub(super) killed: u32,
    pub(super) stopped: u32,
    pub(super) isolated: u32,
    pub(super) one_way: u32,
    pub(super) partitions: u32,
    pub(super) slow_links: u32,
    pub(super) broken_links: u32,
    pub(super) disk_full: u32,
    /// Of these, validators that ended because of it, as they must when a write fails.
    pub(super) disk_full_stopped: u32,
    pub(super) wrong_keys_refused: u32,
    pub(super) emptied: u32,
}

/// The faults of a run.
pub(super) struct Faults {
    rng: fastrand::Rng,
    links: Vec<Arc<Link>>,
    down: Option<(Instant, Down)>,
    next_process: Instant,
    weather_until: Option<Instant>,
    next_weather: Instant,
    /// When one validator loses its store, and whether it has.
    empty_at: Instant,
    /// Who lost its store: it only follows from then on.
    pub(super) emptied: Option<usize>,
    pub(super) counts: Counts,
    pub(super) violations: Vec<String>,
    hold: (u64, u64),
}

impl Faults {
    pub(super) fn new(links: Vec<Arc<Link>>, seed: u64, length: Duration) -> Self {
        let now = Instant::now();
        // Faults of a second in a short run, of up to eight in a long one.
        let most_ms = (length.as_millis() as u64 / 10).clamp(1_500, 8_000);
        Self {
            rng: fastrand::Rng::with_seed(seed),
            links,
            down: None,
            next_process: now + Duration::from_millis(500),
            weather_until: None,
            next_weather: now + Duration::from_millis(1_500),
            empty_at: now + length.mul_f64(0.6),
            emptied: None,
            counts: Counts::default(),
            violations: Vec::new(),
            hold: (700, most_ms),
        }
    }

    fn time(&mut self) -> Duration {
        Duration::from_millis(self.rng.u64(self.hold.0..=self.hold.1))
    }

    /// Ends what is due and begins what is next.
    pub(super) fn step(&mut self, nodes: &mut Nodes) -> Outcome {
        let now = Instant::now();
        if self.down.is_some_and(|(until, _)| now >= until) {
            self.mend_process(nodes)?;
        }
        if self.down.is_none() && now >= self.next_process {
            self.break_process(nodes)?;
        }
        if self.weather_until.is_some_and(|until| now >= until) {
            self.mend_weather();
        }
        if self.weather_until.is_none() && now >= self.next_weather {
            self.break_network(nodes.len());
        }
        // Nobody else may end.
        for index in 0..nodes.len() {
            let meant = matches!(self.down, Some((_, Down::Killed(at) | Down::DiskFull(at))) if at == index);
            if let Some(status) = nodes.ended(index)?.filter(|_| !meant) {
                self.violations.push(format!("validator {index} ended by itself ({status}); see its node.log"));
                nodes.kill(index);
                nodes.start(index, None)?;
            }
        }
        Ok(())
    }

    fn break_process(&mut self, nodes: &mut Nodes) -> Outcome {
        let mut victim = self.rng.usize(0..nodes.len());
        let until = Instant::now() + self.time();
        if self.emptied.is_none() && Instant::now() >= self.empty_at {
            nodes.kill(victim);
            nodes.empty(victim)?;
            self.emptied = Some(victim);
            self.counts.emptied += 1;
            self.down = Some((until, Down::Killed(victim)));
            note(format!("validator {victim} loses its store"));
            return Ok(());
        }
        match self.rng.u8(0..10) {
            0..4 => {
                nodes.kill(victim);
                self.counts.killed += 1;
                self.down = Some((until, Down::Killed(victim)));
            }
            4..7 => {
                nodes.signal(victim, "STOP")?;
                self.counts.stopped += 1;
                self.down = Some((until, Down::Stopped(victim)));
            }
            7 => {
                nodes.kill(victim);
                let other = (victim + 1) % nodes.len();
                if nodes.must_refuse_wrong_keys(victim, other)? {
                    self.counts.wrong_keys_refused += 1;
                } else {
                    self.violations.push(format!("validator {victim} ran with the link key of validator {other}"));
                }
                self.down = Some((until, Down::Killed(victim)));
            }
            _ => {
                if self.emptied == Some(victim) {
                    victim = (victim + 1) % nodes.len();
                }
                nodes.kill(victim);
                let room = self.rng.u64(128..2_048);
                nodes.start(victim, Some(room))?;
                self.counts.disk_full += 1;
                self.down = Some((until.max(Instant::now() + DISK_PATIENCE), Down::DiskFull(victim)));
            }
        }
        Ok(())
    }

    fn mend_process(&mut self, nodes: &mut Nodes) -> Outcome {
        match self.down.take() {
            Some((_, Down::Killed(index))) => nodes.start(index, None)?,
            Some((_, Down::Stopped(index))) => nodes.signal(index, "CONT")?,
            Some((_, Down::DiskFull(index))) => {
                if nodes.ended(index)?.is_some() {
                    self.counts.disk_full_stopped += 1;
                }
                nodes.kill(index);
                nodes.start(index, None)?;
            }
            None => {}
        }
        self.next_process = Instant::now() + self.time() / 2;
        Ok(())
    }

    fn mend_weather(&mut self) {
        for link in &self.links {
            link.forth.clear();
            link.back.clear();
        }
        self.weather_until = None;
        self.next_weather = Instant::now() + self.time() / 2;
    }

    fn break_network(&mut self, n: usize) {
        let victim = self.rng.usize(0..n);
        self.weather_until = Some(Instant::now() + self.time());
        let at = |link: &Link, index: usize| link.from == index || link.to == index;
        match self.rng.u8(0..6) {
            0 => {
                self.links.iter().filter(|link| at(link, victim)).for_each(|link| {
                    cut(&link.forth);
                    cut(&link.back);
                });
                self.counts.isolated += 1;
            }
            1 => {
                // The victim hears nothing and is heard.
                for link in &self.links {
                    if link.to == victim {
                        cut(&link.forth);
                    } else if link.from == victim {
                        cut(&link.back);
                    }
                }
                self.counts.one_way += 1;
            }
            2 => {
                let side = self.rng.u64(1..(1 << n) - 1);
                let apart = |link: &Link| (side >> link.from & 1) != (side >> link.to & 1);
                self.links.iter().filter(|link| apart(link)).for_each(|link| {
                    cut(&link.forth);
                    cut(&link.back);
                });
                self.counts.partitions += 1;
            }
            3 | 4 => {
                let (delay, loss) = (self.rng.u64(1_000..80_000), self.rng.u64(0..50));
                for weather in self.links.iter().flat_map(|link| [&link.forth, &link.back]) {
                    weather.delay_us.store(delay, Ordering::Relaxed);
                    weather.jitter_us.store(delay / 2, Ordering::Relaxed);
                    weather.loss_per_mille.store(loss, Ordering::Relaxed);
                }
                self.counts.slow_links += 1;
            }
            _ => {
                self.links.iter().filter(|link| at(link, victim)).for_each(|link| link.reset());
                self.counts.broken_links += 1;
            }
        }
    }

    /// Everything is whole again: all links, all validators.
    pub(super) fn end(&mut self, nodes: &mut Nodes) -> Outcome {
        self.mend_weather();
        self.mend_process(nodes)?;
        for index in 0..nodes.len() {
            nodes.wait_ready(index).map_err(|failure| Failure::failed(failure.message).at("after the faults"))?;
        }
        Ok(())
    }
}

fn cut(weather: &Weather) {
    weather.cut.store(true, Ordering::Relaxed);
}
