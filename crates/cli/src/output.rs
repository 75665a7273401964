//! Standard output for results, files for what is to be kept.

use std::fmt;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::path::Path;

use serde::Serialize;

use crate::failure::{Failure, Outcome};

/// In which form results are printed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// JSON instead of words.
    pub(crate) json: bool,
}

impl Output {
    /// Whether the reader wants the complete data: they asked for JSON, or a program reads.
    pub(crate) fn complete(self) -> bool {
        self.json || !std::io::stdout().is_terminal()
    }
}

/// Prints a line. A reader that has gone away, as with `| head`, ends the command without a word.
pub(crate) fn print(text: impl fmt::Display) -> Outcome {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::silent(0)),
        Err(error) => Err(Failure::failed(format!("cannot write to standard output: {error}"))),
    }
}

/// Prints a value as one line of JSON.
pub(crate) fn print_json<T: Serialize>(value: &T) -> Outcome {
    print(serde_json::to_string(value)?)
}

/// Prints a value as JSON on several lines, for a single document.
pub(crate) fn print_document<T: Serialize>(value: &T) -> Outcome {
    print(serde_json::to_string_pretty(value)?)
}

/// Writes a new file, or standard output for `-`.
pub(crate) fn write_new(path: &Path, text: &str) -> Outcome {
    if path == Path::new("-") {
        return print(text.trim_end());
    }
    Ok(node::setup::write_new(path, text)?)
}

/// What is happening, for the person at the terminal.
pub(crate) fn note(text: impl fmt::Display) {
    // Nobody is there to be told that standard error is closed.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
