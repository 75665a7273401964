//! A proxy in user space for every link between two validators: it delays, stalls, cuts and breaks what goes through, in each direction.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes read at once.
const PIECE: usize = 32 * 1024;
/// Pieces on their way in one direction; then the sender waits, as with a full pipe.
const UNDER_WAY: usize = 128;
/// Between two looks at whether the link is still meant to be.
const POLL: Duration = Duration::from_millis(20);
/// What a lost segment costs at least: TCP sends it again.
const RETRANSMIT: Duration = Duration::from_millis(200);

/// What is done to one direction of a link. All zero: nothing.
#[derive(Debug, Default)]
pub(super) struct Weather {
    /// Added to every piece, in microseconds.
    pub(super) delay_us: AtomicU64,
    /// Up to so much more.
    pub(super) jitter_us: AtomicU64,
    /// Pieces that are "lost" and come again after a while, in thousandths.
    pub(super) loss_per_mille: AtomicU64,
    /// Nothing gets through.
    pub(super) cut: AtomicBool,
}

impl Weather {
    /// Fine again.
    pub(super) fn clear(&self) {
        for value in [&self.delay_us, &self.jitter_us, &self.loss_per_mille] {
            value.store(0, Ordering::Relaxed);
        }
        self.cut.store(false, Ordering::Relaxed);
    }
}

/// One link: `from` dials, `to` listens.
pub(super) struct Link {
    pub(super) from: usize,
    pub(super) to: usize,
    /// What the dialling side sends.
    pub(super) forth: Weather,
    /// What comes back.
    pub(super) back: Weather,
    address: SocketAddr,
    /// Connections of an earlier generation are closed.
    generation: AtomicU64,
    stop: AtomicBool,
    seed: Mutex<fastrand::Rng>,
}

impl Link {
    /// A proxy from a port of its own to where `to` listens.
    pub(super) fn start(from: usize, to: usize, target: SocketAddr, seed: u64) -> std::io::Result<Arc<Self>> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let link = Arc::new(Self {
            from,
            to,
            forth: Weather::default(),
            back: Weather::default(),
            address: listener.local_addr()?,
            generation: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            seed: Mutex::new(fastrand::Rng::with_seed(seed)),
        });
        listener.set_nonblocking(true)?;
        let it = Arc::clone(&link);
        std::thread::Builder::new().name(format!("link {from}-{to}")).spawn(move || it.accept(&listener, target))?;
        Ok(link)
    }

    /// Where the dialling side finds the other.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the connections of now, as a reset does; new ones may come.
    pub(super) fn reset(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    /// No connections any more.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.reset();
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener, target: SocketAddr) {
        while !self.stop.load(Ordering::Relaxed) {
            match listener.accept() {
                Ok((near, _)) => {
                    if let Err(error) = self.carry(near, target) {
                        tracing::debug!(%error, from = self.from, to = self.to, "a link was not carried");
                    }
                }
                Err(_) => std::thread::sleep(POLL),
            }
        }
    }

    fn carry(self: &Arc<Self>, near: TcpStream, target: SocketAddr) -> std::io::Result<()> {
        let far = TcpStream::connect_timeout(&target, Duration::from_secs(2))?;
        for stream in [&near, &far] {
            stream.set_nonblocking(false)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(POLL))?;
            stream.set_write_timeout(Some(Duration::from_secs(10)))?;
        }
        let generation = self.generation.load(Ordering::Relaxed);
        for (source, sink, forth) in [(near.try_clone()?, far.try_clone()?, true), (far, near, false)] {
            let (pieces, queue) = sync_channel(UNDER_WAY);
            let (reader, writer) = (Arc::clone(self), Arc::clone(self));
            std::thread::spawn(move || reader.read(source, &pieces, generation, forth));
            std::thread::spawn(move || writer.write(sink, &queue, generation, forth));
        }
        Ok(())
    }

    const fn weather(&self, forth: bool) -> &Weather {
        if forth { &self.forth } else { &self.back }
    }

    fn over(&self, generation: u64) -> bool {
        self.generation.load(Ordering::Relaxed) != generation
    }

    fn read(&self, mut source: TcpStream, pieces: &SyncSender<(Instant, Vec<u8>)>, generation: u64, forth: bool) {
        let mut piece = vec![0; PIECE];
        while !self.over(generation) {
            match source.read(&mut piece) {
                Ok(0) => break,
                Ok(len) => {
                    let due = Instant::now() + self.delay(forth);
                    if pieces.send((due, piece[..len].to_vec())).is_err() {
                        break;
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => break,
            }
        }
        let _ = source.shutdown(Shutdown::Read);
    }

    fn write(&self, mut sink: TcpStream, queue: &Receiver<(Instant, Vec<u8>)>, generation: u64, forth: bool) {
        while let Ok((due, piece)) = queue.recv() {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            while self.weather(forth).cut.load(Ordering::Relaxed) && !self.over(generation) {
                std::thread::sleep(POLL);
            }
            if self.over(generation) || sink.write_all(&piece).is_err() {
                break;
            }
        }
        let _ = sink.shutdown(Shutdown::Both);
    }

    fn delay(&self, forth: bool) -> Duration {
        let weather = self.weather(forth);
        let (delay, jitter) = (weather.delay_us.load(Ordering::Relaxed), weather.jitter_us.load(Ordering::Relaxed));
        let loss = weather.loss_per_mille.load(Ordering::Relaxed);
        if delay + jitter + loss == 0 {
            return Duration::ZERO;
        }
        let mut rng = self.seed.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = if rng.u64(0..1_000) < loss { RETRANSMIT } else { Duration::ZERO };
        Duration::from_micros(delay + rng.u64(0..=jitter)) + lost
    }
}
