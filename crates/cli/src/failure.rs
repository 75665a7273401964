//! How a command fails: a message for the person, an exit code for the script.

use std::fmt;

/// The command ran, and the answer is no.
pub(crate) const FAILED: u8 = 1;
/// The command line is wrong.
pub(crate) const USAGE: u8 = 2;
/// No node answers.
pub(crate) const UNREACHABLE: u8 = 3;
/// The proposal expired.
pub(crate) const EXPIRED: u8 = 4;
/// The node takes no more proposals now.
pub(crate) const BUSY: u8 = 5;

/// Why a command does not succeed. Any error converts into one with exit code 1.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The process' exit code.
    pub(crate) code: u8,
    /// What to tell, if anything.
    pub(crate) message: String,
}

/// What a command returns.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(code: u8, message: impl fmt::Display) -> Self {
        Self { code, message: message.to_string() }
    }

    /// Failed or invalid.
    pub(crate) fn failed(message: impl fmt::Display) -> Self {
        Self::new(FAILED, message)
    }

    /// The command line cannot be meant so.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(USAGE, message)
    }

    /// Nothing more to say.
    pub(crate) fn silent(code: u8) -> Self {
        Self::new(code, "")
    }

    /// Puts what was being done in front.
    pub(crate) fn at(self, what: impl fmt::Display) -> Self {
        Self { code: self.code, message: format!("{what}: {}", self.message) }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::failed(error)
    }
}
