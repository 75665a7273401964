//! Makes metrics and registers each at once, so that none is forgotten.

use prometheus::core::Collector;
use prometheus::{
    Counter, Error, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};

/// A registry that is being filled.
#[derive(Default)]
pub(super) struct Registrar(pub(super) Registry);

/// Bounds of a histogram: `count` of them, each `factor` times the one before.
pub(super) fn buckets(from: f64, factor: f64, count: usize) -> Vec<f64> {
    std::iter::successors(Some(from), |last| Some(last * factor)).take(count).collect()
}

impl Registrar {
    fn add<T: Collector + Clone + 'static>(&self, metric: Result<T, Error>) -> Result<T, Error> {
        let metric = metric?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    pub(super) fn histogram(&self, name: &str, help: &str, buckets: Vec<f64>) -> Result<Histogram, Error> {
        self.add(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets)))
    }

    pub(super) fn histograms(
        &self,
        name: &str,
        help: &str,
        label: &str,
        buckets: Vec<f64>,
    ) -> Result<HistogramVec, Error> {
        self.add(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets), &[label]))
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> Result<IntCounter, Error> {
        self.add(IntCounter::new(name, help))
    }

    pub(super) fn decimal(&self, name: &str, help: &str) -> Result<Counter, Error> {
        self.add(Counter::new(name, help))
    }

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, Error> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> Result<Gauge, Error> {
        self.add(Gauge::new(name, help))
    }

    pub(super) fn gauges(&self, name: &str, help: &str, label: &str) -> Result<GaugeVec, Error> {
        self.add(GaugeVec::new(Opts::new(name, help), &[label]))
    }

    pub(super) fn int(&self, name: &str, help: &str) -> Result<IntGauge, Error> {
        self.add(IntGauge::new(name, help))
    }

    pub(super) fn ints(&self, name: &str, help: &str, label: &str) -> Result<IntGaugeVec, Error> {
        self.add(IntGaugeVec::new(Opts::new(name, help), &[label]))
    }
}
