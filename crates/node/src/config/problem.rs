//! What is wrong, or remarkable, in a configuration.

use std::collections::BTreeSet;
use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key's full path, or the environment variable.
    pub path: String,
    /// What is wrong, and what is legal.
    pub what: String,
}

/// Something to tell the operator; the configuration is usable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The key's full path, or the environment variable.
    pub path: String,
    /// What to know.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The file is not one JSON object, or has a key twice.
    Json(String),
    /// The file is too long to be a configuration.
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Keys or environment variables are wrong; all that were found, at least one.
    Problems(Vec<Problem>),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(what) => write!(f, "the configuration is not one JSON object with each key once: {what}"),
            Self::TooLong { bytes } => {
                write!(f, "the configuration has {bytes} bytes, at most {} are read", super::MAX_FILE_BYTES)
            }
            Self::Problems(problems) => {
                let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
                f.write_str(&lines.join("\n"))
            }
        }
    }
}

impl std::error::Error for ConfigError {}

/// What reading a configuration has found so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub explicit: BTreeSet<String>,
    problems: Vec<Problem>,
    warnings: Vec<Warning>,
}

impl Findings {
    pub(super) fn problem(&mut self, path: &str, what: impl Into<String>) {
        self.problems.push(Problem { path: path.to_owned(), what: what.into() });
    }

    pub(super) fn warn(&mut self, path: &str, what: impl Into<String>) {
        self.warnings.push(Warning { path: path.to_owned(), what: what.into() });
    }

    /// A key that there is not, in the section `path` (empty for the top) that has these keys.
    pub(super) fn unknown(&mut self, path: &str, key: &str, known: &[&str]) {
        let what = if let Some(near) = nearest(key, known) {
            format!("unknown key; did you mean {near}?")
        } else if let Some(there) = super::Config::keys().into_iter().find(|k| k.path.rsplit('.').next() == Some(key)) {
            format!("unknown key here; did you mean {}?", there.path)
        } else {
            format!("unknown key; known are {}", known.join(", "))
        };
        self.problem(&join(path, key), what);
    }

    /// The warnings, if there is no problem.
    pub(super) fn finish(self) -> Result<Vec<Warning>, ConfigError> {
        if self.problems.is_empty() { Ok(self.warnings) } else { Err(ConfigError::Problems(self.problems)) }
    }
}

/// The path of a key in a section.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The known name that this one is probably meant to be.
pub(super) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |other: &str| strsim::damerau_levenshtein(&name.to_lowercase(), other);
    let near = known.iter().copied().min_by_key(|other| distance(other))?;
    (distance(near) <= (near.len() / 3).max(1)).then_some(near)
}
