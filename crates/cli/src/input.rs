//! Files and standard input.

use std::io::Read as _;
use std::path::Path;

use consensus::genesis::Genesis;
use node::setup::ConfigSource;

use crate::failure::{Failure, Outcome};
use crate::output::note;

/// The process' environment as the configuration reads it.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The bytes of a file, or of standard input for `-`.
pub(crate) fn read_bytes(path: &Path) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes))
    };
    read.map_err(|error| Failure::failed(format!("cannot read {}: {error}; check the path", path.display())))?;
    Ok(bytes)
}

/// The text of a file, or of standard input for `-`.
pub(crate) fn read_text(path: &Path) -> Outcome<String> {
    let text = String::from_utf8(read_bytes(path)?);
    text.map_err(|_| Failure::failed(format!("{} is not UTF-8 text", path.display())))
}

/// A genesis file.
pub(crate) fn read_genesis(path: &Path) -> Outcome<Genesis> {
    Genesis::from_json(&read_text(path)?).map_err(|error| Failure::failed(error).at(path.display()))
}

/// A configuration file with the environment, or the defaults with it. Warnings are told.
pub(crate) fn read_config(path: Option<&Path>) -> Outcome<ConfigSource> {
    let Some(path) = path else {
        let source = ConfigSource::new("{}", &environment)?;
        tell_warnings(&source);
        return Ok(source);
    };
    let source = ConfigSource::new(&read_text(path)?, &environment);
    let source = source.map_err(|error| Failure::failed(error).at(path.display()))?;
    tell_warnings(&source);
    Ok(source)
}

fn tell_warnings(source: &ConfigSource) {
    for warning in &source.warnings {
        note(format!("WARNING {warning}"));
    }
}
