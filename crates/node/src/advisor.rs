//! The optimizer of a running node: shared by the core, the links and operators; its state survives a restart.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use consensus::config::EpochConfig;
use consensus::replica::{Advice, Observation};
use consensus::types::{Timestamp, ValidatorIndex, View};
use optimizer::{
    LinkSample, Metrics, Mode, NetworkView, Optimizer, ParameterError, ParameterUpdate, Parameters, PolicyChoice,
    Recommendation, Setup, State, Weights,
};

use crate::clock::system_now;
use crate::config::{AiMode, AiPolicy, Config, Fraction};
use crate::core::{CoreInput, CoreSender};
use crate::handle::NodeHandle;

/// How often links are sampled.
const SAMPLE_PERIOD: Duration = Duration::from_secs(1);
/// How often what was learned is written down, in samples.
const SAVE_EVERY: u64 = 60;
/// The file in the home directory.
pub(crate) const STATE_FILE: &str = "optimizer.json";
/// A state above this many bytes is not read: a thousand validators need far less.
const MAX_STATE_BYTES: u64 = 4 * 1024 * 1024;
/// Bytes of a vote beside its signature: one statement, signer, chain and epoch, frame.
const VOTE_HEAD_BYTES: u64 = 128;

/// The optimizer of a running node. Cheap to clone.
#[derive(Clone)]
pub struct OptimizerHandle(Arc<Shared>);

struct Shared {
    optimizer: Mutex<Optimizer>,
    core: CoreSender,
    file: PathBuf,
}

fn ratio(fraction: Fraction) -> f64 {
    fraction.as_f64()
}

/// The parameters that the configuration names. Its ranges are at least as narrow as the optimizer's, but for sizes below ten.
fn parameters(config: &Config) -> Parameters {
    let (ai, learning, network) = (&config.ai_optimization, &config.optimizer, &config.network_analysis);
    let weights = &ai.performance_weights;
    Parameters {
        learning_rate: ratio(ai.learning_rate),
        adaptation_threshold: ratio(ai.adaptation_threshold),
        performance_weights: Weights {
            latency: ratio(weights.latency),
            throughput: ratio(weights.throughput),
            energy_efficiency: ratio(weights.energy_efficiency),
            network_stability: ratio(weights.network_stability),
        },
        learning_history_size: learning.learning_history_size as usize,
        adaptation_frequency: learning.adaptation_frequency.into(),
        performance_window: learning.performance_window as usize,
        convergence_threshold: ratio(learning.convergence_threshold),
        latency_threshold_ms: network.latency_threshold_ms.into(),
        bandwidth_threshold_mbps: network.bandwidth_threshold_mbps.into(),
        packet_loss_threshold: ratio(network.packet_loss_threshold),
        stability_window_seconds: network.stability_window_seconds.into(),
    }
}

fn setup(config: &Config, epoch: &EpochConfig, me: ValidatorIndex, seed: u64) -> Setup {
    let quorum = &epoch.quorum;
    Setup {
        n: epoch.n(),
        me: me.as_usize(),
        q_min: quorum.q_min(),
        q_max: quorum.q_max(),
        q_fast: if epoch.fast_path { quorum.q_fast() } else { u32::MAX },
        base_ten_thousandths: epoch.ratios.base.ten_thousandths(),
        settings: config.settings(),
        vote_bytes: epoch.level.signature_algorithm().signature_len() as u64 + VOTE_HEAD_BYTES,
        seed,
    }
}

impl OptimizerHandle {
    /// The optimizer as configured, with what an earlier life has learned.
    pub(crate) fn new(config: &Config, epoch: &EpochConfig, me: ValidatorIndex, home: &Path, core: CoreSender) -> Self {
        let mode = match config.ai_optimization.mode {
            AiMode::Off => Mode::Off,
            AiMode::Shadow => Mode::Shadow,
            AiMode::On => Mode::On,
        };
        let choice = match config.ai_optimization.policy {
            AiPolicy::Rule => PolicyChoice::Rule,
            AiPolicy::Learned => PolicyChoice::Learned,
        };
        // Without randomness the draws can be foreseen, which costs a little time at worst.
        let seed = crypto::random::u64().unwrap_or(0);
        let checked = parameters(config).checked().unwrap_or_else(|error| {
            tracing::warn!(%error, "the optimizer starts with its default parameters");
            Parameters::default()
        });
        let mut optimizer = Optimizer::new(setup(config, epoch, me, seed), checked, mode, choice);
        let file = home.join(STATE_FILE);
        match read_state(&file) {
            Ok(Some(state)) => match optimizer.restore(&state) {
                Ok(()) => tracing::info!("the optimizer goes on from what it had learned"),
                Err(error) => tracing::warn!(%error, "the optimizer starts anew"),
            },
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, file = %file.display(), "the optimizer's state cannot be read; it starts anew");
            }
        }
        Self(Arc::new(Shared { optimizer: Mutex::new(optimizer), core, file }))
    }

    fn lock(&self) -> MutexGuard<'_, Optimizer> {
        self.0.optimizer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the replica saw; advice that must be its next input.
    pub(crate) fn observe(&self, now: Timestamp, observation: &Observation) -> Option<Advice> {
        self.lock().observe(now, observation)
    }

    /// A vote for views that are final, which nobody verifies; the link vouches for the sender.
    pub(crate) fn late(&self, from: ValidatorIndex, views: impl Iterator<Item = View>) {
        let (now, mut optimizer) = (system_now(), self.lock());
        for view in views {
            // Nothing is decided on a late vote.
            let _ = optimizer.observe(now, &Observation::Late { view, from });
        }
    }

    /// Bytes of votes, and of requests for votes, handed to links.
    pub(crate) fn count_sent(&self, bytes: u64) {
        self.lock().count_sent(bytes);
    }

    /// The advice to begin with.
    pub(crate) fn advice(&self) -> Advice {
        self.lock().advice()
    }

    fn tell(&self, advice: Advice) {
        self.0.core.urgent(CoreInput::Advice(advice));
    }

    /// What it would do, or have you do, now: each with its expected effect and the reason.
    pub fn get_recommendations(&self) -> Vec<Recommendation> {
        self.lock().recommendations()
    }

    /// Changes parameters, all or none. What is outside the safe bounds is refused.
    pub fn update_parameters(&self, update: &ParameterUpdate) -> Result<Parameters, ParameterError> {
        self.lock().update_parameters(update)
    }

    /// How well it predicts and decides.
    pub fn get_performance_metrics(&self) -> Metrics {
        self.lock().metrics()
    }

    /// The parameters in effect.
    pub fn parameters(&self) -> Parameters {
        *self.lock().parameters()
    }

    /// The analysis of the validator links.
    pub fn network(&self) -> NetworkView {
        self.lock().network()
    }

    /// The mode and the configured policy.
    pub fn mode(&self) -> (Mode, PolicyChoice) {
        let optimizer = self.lock();
        (optimizer.mode(), optimizer.policy())
    }

    /// Switches mode and policy, until the next start.
    pub fn set_mode(&self, mode: Option<Mode>, policy: Option<PolicyChoice>) {
        let mut optimizer = self.lock();
        if let Some(policy) = policy {
            optimizer.set_policy(policy);
        }
        if let Some(mode) = mode {
            optimizer.set_mode(mode);
        }
        let advice = optimizer.advice();
        drop(optimizer);
        self.tell(advice);
    }

    /// Writes down what was learned: whole or not at all.
    pub(crate) fn save(&self) {
        let state = self.lock().state();
        if let Err(error) = write_state(&self.0.file, &state) {
            tracing::warn!(%error, file = %self.0.file.display(), "what the optimizer has learned is not written down");
        }
    }
}

fn read_state(file: &Path) -> std::io::Result<Option<State>> {
    let length = match std::fs::metadata(file) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if length > MAX_STATE_BYTES {
        return Err(std::io::Error::other(format!("{length} bytes are too many")));
    }
    Ok(Some(serde_json::from_slice(&std::fs::read(file)?)?))
}

fn write_state(file: &Path, state: &State) -> std::io::Result<()> {
    let temporary = file.with_extension("json.new");
    std::fs::write(&temporary, serde_json::to_vec(state)?)?;
    std::fs::rename(temporary, file)
}

/// Samples the links every second and writes down what was learned every minute.
pub(crate) async fn run(handle: NodeHandle) {
    let inner = &handle.0;
    let advisor = &inner.optimizer;
    advisor.tell(advisor.advice());
    let mut ticks = tokio::time::interval(SAMPLE_PERIOD);
    let mut count: u64 = 0;
    loop {
        ticks.tick().await;
        count += 1;
        let samples: Vec<LinkSample> = inner
            .links
            .status()
            .iter()
            .map(|link| LinkSample {
                peer: link.peer,
                connected: link.connected,
                rtt_us: link.rtt_us,
                bytes_sent: link.bytes_sent,
                queued_bytes: link.queued_bytes as u64,
            })
            .collect();
        let advice = advisor.lock().sample_links(system_now(), &samples);
        if let Some(advice) = advice {
            advisor.tell(advice);
        }
        if count.is_multiple_of(SAVE_EVERY) {
            let advisor = advisor.clone();
            let _ = tokio::task::spawn_blocking(move || advisor.save()).await;
        }
    }
}
