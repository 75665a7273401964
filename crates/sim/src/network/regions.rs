//! Where validators stand: the table of measured round trips, and the layouts made of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The project's table: round trips between cloud regions as published by cloudping.co.
const TABLE: &str = include_str!("../../../../data/region-rtt.csv");
/// The ten regions of the table, in its order.
pub const TEN_REGIONS: [&str; 10] = [
    "us-west-1",
    "us-east-1",
    "eu-west-1",
    "ap-northeast-1",
    "eu-north-1",
    "ap-south-1",
    "sa-east-1",
    "eu-central-1",
    "ap-northeast-2",
    "ap-southeast-2",
];

/// Where the validators stand: a named layout, or regions that they take in turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Layout {
    /// `uniform`, `ten-regions`, `one-region`, `us-europe` or `four-continents`.
    Named(String),
    /// Regions of the table; validator i stands in the i-th, counted round.
    Regions(Vec<String>),
}

impl Layout {
    /// Every pair of validators has the same uniform delay.
    pub fn uniform() -> Self {
        Self::Named("uniform".to_owned())
    }

    /// The ten regions of the table, validators taking them in turn.
    pub fn ten_regions() -> Self {
        Self::Named("ten-regions".to_owned())
    }

    /// The regions, empty for the uniform layout.
    pub(crate) fn regions(&self) -> Result<Vec<String>, String> {
        let named: &[&str] = match self {
            Self::Regions(list) if list.is_empty() => return Err("layout: the list of regions is empty".to_owned()),
            Self::Regions(list) => return Ok(list.clone()),
            Self::Named(name) => match name.as_str() {
                "uniform" => &[],
                "ten-regions" => &TEN_REGIONS,
                "one-region" => &["us-east-1"],
                "us-europe" => &["us-east-1", "eu-west-1", "us-west-1", "eu-central-1"],
                "four-continents" => &["us-east-1", "eu-central-1", "ap-northeast-1", "sa-east-1"],
                other => {
                    return Err(format!(
                        "layout {other:?} is not known: uniform, ten-regions, one-region, us-europe, four-continents, or a list of regions"
                    ));
                }
            },
        };
        Ok(named.iter().map(|name| (*name).to_owned()).collect())
    }
}

/// The one-way delay of a pair: Normal(p50/2, (p90 − p50)/2) of the round trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneWay {
    /// Mean, in microseconds.
    pub mean_us: u64,
    /// Standard deviation, in microseconds.
    pub deviation_us: u64,
}

/// One-way delays from and to each region of `regions`, by their places in the list.
pub fn one_way_delays(regions: &[String]) -> Result<Vec<Vec<OneWay>>, String> {
    let table = table()?;
    let delay = |from: &String, to: &String| {
        table.get(&(from.clone(), to.clone())).copied().ok_or_else(|| {
            format!("data/region-rtt.csv has no round trip from {from} to {to}; regions: {TEN_REGIONS:?}")
        })
    };
    regions.iter().map(|from| regions.iter().map(|to| delay(from, to)).collect()).collect()
}

fn table() -> Result<BTreeMap<(String, String), OneWay>, String> {
    let rows = TABLE.lines().filter(|line| !line.starts_with('#')).skip(1);
    let parsed = rows.map(|line| {
        let fields: Vec<&str> = line.split(',').collect();
        let [from, to, median, high] = fields.as_slice() else { return None };
        let (median, high) = (tenths(median)?, tenths(high)?);
        // A tenth of a millisecond of round trip is 50 µs one way.
        let delay = OneWay { mean_us: median * 50, deviation_us: high.saturating_sub(median) * 50 };
        Some((((*from).to_owned(), (*to).to_owned()), delay))
    });
    parsed.collect::<Option<_>>().ok_or_else(|| "data/region-rtt.csv is not readable".to_owned())
}

/// Milliseconds with one decimal, in tenths.
fn tenths(text: &str) -> Option<u64> {
    let (whole, part) = text.trim().split_once('.').unwrap_or((text.trim(), "0"));
    (part.len() == 1).then_some(())?;
    Some(whole.parse::<u64>().ok()? * 10 + part.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_pair_of_the_ten_regions() {
        let regions = Layout::ten_regions().regions().unwrap();
        let delays = one_way_delays(&regions).unwrap();
        assert_eq!(delays.len(), 10);
        // us-west-1 to us-east-1: 63.9 ms at the median, 74.3 ms at the 90th percentile, both of the round trip.
        assert_eq!(delays[0][1], OneWay { mean_us: 31_950, deviation_us: 5_200 });
    }

    #[test]
    fn unknown_layouts_and_regions_are_refused() {
        assert!(Layout::Named("mars".to_owned()).regions().is_err());
        assert!(one_way_delays(&["moon-1".to_owned()]).is_err());
    }
}
