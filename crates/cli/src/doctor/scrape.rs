//! What /metrics says, as numbers.

use std::collections::BTreeMap;

/// One sample.
#[derive(Clone, Debug, PartialEq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// All samples of a page in the text format 0.0.4.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scrape(Vec<Sample>);

impl Scrape {
    /// Reads a page; lines that are not samples are passed over.
    pub(crate) fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(sample).collect())
    }

    /// The sum over all labels; `None` if there is no such metric, or it is not a number.
    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        let values: Vec<f64> = self.0.iter().filter(|sample| sample.name == name).map(|sample| sample.value).collect();
        Some(values.iter().sum()).filter(|sum: &f64| !values.is_empty() && sum.is_finite())
    }

    /// Values by one label.
    pub(crate) fn by(&self, name: &str, label: &str) -> Vec<(String, f64)> {
        let samples = self.0.iter().filter(|sample| sample.name == name);
        samples.filter_map(|sample| Some((sample.labels.get(label)?.clone(), sample.value))).collect()
    }

    /// At least how long it took for all but this share of a histogram's observations (the lower bound of their bucket), and how many
    /// there are; `None` without any.
    pub(crate) fn at_least(&self, name: &str, share: f64) -> Option<(f64, f64)> {
        let mut buckets: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
        for (bound, count) in self.by(&format!("{name}_bucket"), "le") {
            let bound: f64 = bound.parse().ok()?;
            // Bounds are positive, so their bits are in their order.
            let entry = buckets.entry(bound.to_bits()).or_insert((bound, 0.0));
            entry.1 += count;
        }
        let total = buckets.values().map(|bucket| bucket.1).fold(0.0, f64::max);
        if total <= 0.0 {
            return None;
        }
        let mut lower = 0.0;
        for (bound, count) in buckets.values() {
            if *count >= share * total {
                break;
            }
            lower = *bound;
        }
        Some((lower, total))
    }
}

fn sample(line: &str) -> Option<Sample> {
    if line.starts_with('#') {
        return None;
    }
    let (name, labels, rest) = if let Some((name, rest)) = line.split_once('{') {
        let (labels, rest) = rest.rsplit_once('}')?;
        (name, labels, rest)
    } else {
        let (name, rest) = line.split_once(' ')?;
        (name, "", rest)
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    let labels = labels.split("\",").filter_map(|pair| {
        let (label, text) = pair.split_once("=\"")?;
        Some((label.trim().to_owned(), text.trim_end_matches('"').to_owned()))
    });
    Some(Sample { name: name.to_owned(), labels: labels.collect(), value })
}
