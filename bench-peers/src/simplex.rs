//! One validator process of commonware's simplex: Ed25519, authenticated and encrypted links, votes synced to disk, blocks in memory.

use std::io::BufRead as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use commonware_consensus::simplex::Engine;
use commonware_consensus::simplex::config::{Config, Floor, ForwardingPolicy};
use commonware_consensus::simplex::elector::RoundRobin;
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::types::{Epoch, ViewDelta};
use commonware_cryptography::{Hasher as _, Sha256, Signer as _, ed25519};
use commonware_p2p::authenticated::lookup::{self, Network};
use commonware_p2p::{Address, AddressableManager as _, Receiver as _, Recipients, Sender as _};
use commonware_parallel::Sequential;
use commonware_runtime::buffer::paged::CacheRef;
use commonware_runtime::{Quota, Runner as _, Spawner as _, Supervisor as _, tokio};
use commonware_utils::ordered::{Map, Set};
use commonware_utils::{NZU16, NZUsize};
use serde_json::json;

use crate::chain::{BLOCK_BYTES, Chain, Filling};

/// How a validator process is told what to do.
pub struct Settings {
    pub index: u64,
    pub validators: u64,
    pub port: u16,
    pub dir: PathBuf,
    pub filling: Filling,
}

/// Runs until standard input ends. A line `value N` submits one value of N bytes and answers with the microseconds until it is final;
/// `offer N PERIOD_US SECONDS` offers values at a rate; `figures` prints what was seen.
pub fn run(settings: Settings) {
    let runtime = tokio::Config::new().with_worker_threads(2).with_storage_directory(settings.dir.clone());
    tokio::Runner::new(runtime).start(|context| async move {
        let key = ed25519::PrivateKey::from_seed(settings.index);
        let address = |index: u64| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), settings.port + index as u16);
        let keys: Vec<_> = (0..settings.validators).map(|i| ed25519::PrivateKey::from_seed(i).public_key()).collect();
        let mut network_config =
            lookup::Config::local(key.clone(), b"bench-peers", address(settings.index), BLOCK_BYTES as u32 + (1 << 16));
        let handshakes = NonZeroU32::new(1_024).unwrap_or(NonZeroU32::MIN);
        network_config.allowed_handshake_rate_per_ip = Quota::per_second(handshakes);
        network_config.allowed_handshake_rate_per_subnet = Quota::per_second(handshakes);
        let (mut network, mut oracle) = Network::new(context.child("network"), network_config);
        let peers: Map<_, Address> = Map::from_iter_dedup(
            keys.iter().enumerate().map(|(index, key)| (key.clone(), Address::from(address(index as u64)))),
        );
        let _ = oracle.track(0, peers);
        let quota = Quota::per_second(NonZeroU32::MAX);
        let votes = network.register(0, quota, 1_024);
        let certificates = network.register(1, quota, 1_024);
        let resolver = network.register(2, quota, 1_024);
        let (payload_sender, mut payload_receiver) = network.register(3, quota, 1_024);
        network.start();

        let payload_sender = Mutex::new(payload_sender);
        let send = move |bytes: Bytes| {
            let mut sender = payload_sender.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = sender.send(Recipients::All, bytes, false);
        };
        let chain = Chain::new(settings.index, settings.filling, Arc::new(send));
        let participants = Set::from_iter_dedup(keys);
        let Some(scheme) = Scheme::signer(b"bench-peers", participants, key) else { return };
        let config = Config {
            scheme,
            elector: RoundRobin::<Sha256>::default(),
            blocker: oracle,
            automaton: chain.clone(),
            relay: chain.clone(),
            reporter: chain.clone(),
            strategy: Sequential,
            partition: format!("validator_{}", settings.index),
            mailbox_size: NZUsize!(1024),
            epoch: Epoch::new(0),
            floor: Floor::Genesis(Sha256::hash(b"genesis")),
            replay_buffer: NZUsize!(1024 * 1024),
            write_buffer: NZUsize!(1024 * 1024),
            page_cache: CacheRef::from_pooler(&context, NZU16!(4096), NZUsize!(256)),
            leader_timeout: Duration::from_secs(1),
            certification_timeout: Duration::from_secs(2),
            timeout_retry: Duration::from_secs(2),
            activity_timeout: ViewDelta::new(20),
            skip_timeout: ViewDelta::new(10),
            fetch_timeout: Duration::from_secs(1),
            fetch_concurrent: NZUsize!(4),
            forwarding: ForwardingPolicy::Disabled,
        };
        let engine = Engine::new(context.child("engine"), config);
        let _engine = engine.start(votes, certificates, resolver);
        let taking = chain.clone();
        let _receiver = context.child("payloads").spawn(move |_| async move {
            while let Ok((_, message)) = payload_receiver.recv().await {
                taking.take(message.into());
            }
        });
        let (ended, end) = commonware_utils::channel::oneshot::channel();
        std::thread::spawn(move || {
            commands(&chain);
            let _ = ended.send(());
        });
        let _ = end.await;
    });
}

fn commands(chain: &Chain) {
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
        match words.first().copied() {
            Some("value") => {
                let (sender, receiver) = mpsc::channel();
                chain.submit(vec![b'x'; number(1) as usize].into(), Some(sender));
                match receiver.recv_timeout(Duration::from_secs(30)) {
                    Ok(waited) => println!("{}", waited.as_micros()),
                    Err(_) => println!("lost"),
                }
            }
            Some("offer") => {
                let (begun, period, span) = (Instant::now(), number(2), Duration::from_secs(number(3)));
                let mut due = begun;
                while begun.elapsed() < span {
                    std::thread::sleep(due.saturating_duration_since(Instant::now())); // the offered rate
                    due += Duration::from_micros(period);
                    chain.submit(vec![b'x'; number(1) as usize].into(), None);
                }
                println!("done");
            }
            Some("figures") => {
                let figures = chain.figures();
                println!(
                    "{}",
                    json!({"view": figures.view, "blocks": figures.blocks, "values": figures.values, "waits_us": figures.waits_us})
                );
            }
            _ => println!("unknown"),
        }
    }
}
