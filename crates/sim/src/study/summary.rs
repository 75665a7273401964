//! Means with 95 % intervals over seeds, and the files that people read.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::Row;

/// A mean and half the width of its 95 % interval (Student's t); the width is none for a single seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// The interval is mean ± this.
    pub half_width: Option<f64>,
}

/// Two-sided 95 % quantiles of Student's t for 1 to 15 degrees of freedom.
const T_95: [f64; 15] =
    [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131];

impl Mean {
    /// Of these values; zero without any.
    pub fn of(values: &[f64]) -> Self {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n.max(1) as f64;
        if n < 2 {
            return Self { mean, half_width: None };
        }
        let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1) as f64;
        let t = T_95.get(n - 2).copied().unwrap_or(1.96);
        Self { mean, half_width: Some(t * (variance / n as f64).sqrt()) }
    }
}

impl std::fmt::Display for Mean {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = if self.mean.abs() >= 1_000.0 {
            0
        } else if self.mean.abs() >= 10.0 {
            1
        } else {
            2
        };
        match self.half_width {
            Some(half) => write!(f, "{:.digits$} ± {half:.digits$}", self.mean),
            None => write!(f, "{:.digits$}", self.mean),
        }
    }
}

/// One place of the table: all seeds of a regime, size and policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// The regime.
    pub regime: &'static str,
    /// Validators.
    pub validators: u16,
    /// The policy.
    pub policy: &'static str,
    /// Seeds.
    pub seeds: usize,
    /// Means by the name of the column.
    pub means: BTreeMap<&'static str, Mean>,
}

type Column = (&'static str, fn(&Row) -> f64);

/// The columns, in the order of files.
pub const COLUMNS: [Column; 19] = [
    ("values", |r| r.values as f64),
    ("bytes_per_value", |r| r.bytes_per_value),
    ("vote_bytes_per_value", |r| r.vote_bytes_per_value),
    ("vote_bytes_saved_percent", |r| r.vote_bytes_saved_percent),
    ("mean_ms", |r| r.mean_ms),
    ("p50_ms", |r| r.p50_ms),
    ("p99_ms", |r| r.p99_ms),
    ("fast_share", |r| r.fast_share),
    ("accuracy", |r| r.accuracy),
    ("base_rate", |r| r.base_rate),
    ("skill", |r| r.skill),
    ("loss", |r| r.loss),
    ("regret", |r| r.regret),
    ("regret_to_oracle", |r| r.regret_to_oracle),
    ("decisions", |r| r.decisions),
    ("holds_used", |r| r.holds_used),
    ("worst_hold_ms", |r| r.worst_hold_ms),
    ("hold_bound_ms", |r| r.hold_bound_ms),
    ("violations", |r| r.violations as f64),
];

/// All places of the table, in the rows' order.
pub fn cells(rows: &[Row]) -> Vec<Cell> {
    let mut order: Vec<(&'static str, u16, &'static str)> = Vec::new();
    let mut groups: BTreeMap<(&'static str, u16, &'static str), Vec<&Row>> = BTreeMap::new();
    for row in rows {
        let key = (row.regime, row.validators, row.policy);
        if !order.contains(&key) {
            order.push(key);
        }
        groups.entry(key).or_default().push(row);
    }
    let cell = |key: (&'static str, u16, &'static str)| {
        let group = groups.get(&key).cloned().unwrap_or_default();
        let column = |of: fn(&Row) -> f64| group.iter().map(|row| of(row)).collect::<Vec<f64>>();
        let mut means: BTreeMap<&'static str, Mean> =
            COLUMNS.iter().map(|(name, of)| (*name, Mean::of(&column(*of)))).collect();
        let recovered: Vec<f64> = group.iter().filter_map(|row| row.recovery_ms).collect();
        if !recovered.is_empty() {
            means.insert("recovery_ms", Mean::of(&recovered));
        }
        let (regime, validators, policy) = key;
        Cell { regime, validators, policy, seeds: group.len(), means }
    };
    order.into_iter().map(cell).collect()
}

/// Every run on a line.
pub fn csv(rows: &[Row]) -> String {
    let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
    let mut text = format!("regime,validators,policy,seed,{},recovery_ms\n", names.join(","));
    for row in rows {
        let _ = write!(text, "{},{},{},{}", row.regime, row.validators, row.policy, row.seed);
        for (_, of) in COLUMNS {
            let _ = write!(text, ",{:.4}", of(row));
        }
        let _ = writeln!(text, ",{}", row.recovery_ms.map_or(String::new(), |ms| format!("{ms:.1}")));
    }
    text
}

/// A table for people: one section for each size and regime.
pub fn markdown(cells: &[Cell]) -> String {
    let shown = [
        ("vote_bytes_per_value", "vote bytes / value"),
        ("vote_bytes_saved_percent", "saved %"),
        ("bytes_per_value", "bytes / value"),
        ("mean_ms", "mean ms"),
        ("p50_ms", "p50 ms"),
        ("p99_ms", "p99 ms"),
        ("fast_share", "fast"),
        ("accuracy", "accuracy"),
        ("base_rate", "base rate"),
        ("skill", "skill"),
        ("loss", "loss"),
        ("regret", "regret"),
        ("worst_hold_ms", "worst hold ms"),
        ("recovery_ms", "recovery ms"),
    ];
    let mut text = String::new();
    let mut section = None;
    for cell in cells {
        if section != Some((cell.regime, cell.validators)) {
            section = Some((cell.regime, cell.validators));
            let titles: Vec<&str> = shown.iter().map(|(_, title)| *title).collect();
            let _ = writeln!(text, "\n### {} · {} validators · {} seeds\n", cell.regime, cell.validators, cell.seeds);
            let _ = writeln!(text, "| policy | {} |\n|---|{}", titles.join(" | "), "---|".repeat(shown.len()));
        }
        // Who always sends, or holds for a fixed time, forecasts nothing.
        let mute = matches!(cell.policy, "always_send" | "fixed_10ms");
        let values = shown.iter().map(|(name, _)| match cell.means.get(name) {
            Some(mean) if !(mute && matches!(*name, "accuracy" | "base_rate" | "skill")) => mean.to_string(),
            _ => "–".to_owned(),
        });
        let _ = writeln!(text, "| {} | {} |", cell.policy, values.collect::<Vec<_>>().join(" | "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_students() {
        let mean = Mean::of(&[1.0, 2.0, 3.0]);
        assert!((mean.mean - 2.0).abs() < 1e-12);
        // s = 1, n = 3: 4.303 / √3
        assert!(mean.half_width.is_some_and(|half| (half - 2.4843).abs() < 1e-3), "{mean:?}");
        assert_eq!(Mean::of(&[5.0]).half_width, None);
        assert_eq!(Mean::of(&[]).mean.to_bits(), 0f64.to_bits());
    }
}
