//! The table of all keys, for people.

/// One key of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its full path: `consensus.base_threshold`.
    pub path: String,
    /// The kind of value: `integer`, `decimal`, `text` …
    pub kind: &'static str,
    /// The unit of the value: `ms`, `s`, `bytes` …; `-` for none.
    pub unit: &'static str,
    /// The default, as JSON.
    pub default: String,
    /// The legal values.
    pub range: String,
    /// What it does.
    pub meaning: String,
}

impl Key {
    /// The keys as a Markdown table.
    pub fn markdown(keys: &[Self]) -> String {
        let head = "| Key | Type | Unit | Default | Range | Meaning |\n|---|---|---|---|---|---|\n".to_owned();
        let row = |Self { path, kind, unit, default, range, meaning }: &Self| {
            let cells = [&format!("`{path}`"), *kind, *unit, &format!("`{default}`"), range, meaning];
            format!("| {} |\n", cells.map(|text| text.replace('|', "\\|")).join(" | "))
        };
        head + &keys.iter().map(row).collect::<String>()
    }

    /// The keys as plain lines for a terminal.
    pub fn plain(keys: &[Self]) -> String {
        let entry = |Self { path, kind, unit, default, range, meaning }: &Self| {
            let unit = if *unit == "-" { String::new() } else { format!(", {unit}") };
            format!("{path} = {default}\n    {kind}, {range}{unit}\n    {meaning}\n")
        };
        keys.iter().map(entry).collect()
    }
}
