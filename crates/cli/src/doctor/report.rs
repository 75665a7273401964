//! Findings: each with its evidence and the next step.

use std::collections::BTreeSet;
use std::fmt::Display;

use serde::Serialize;
use serde_json::{Value, json};

use crate::failure::Outcome;
use crate::output::print;

/// How bad it is. The worst comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// It does not work, or safety is at stake.
    Critical,
    /// It works, but not for long or not well.
    Warning,
    /// Good to know.
    Info,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// How bad it is.
    pub(crate) severity: Severity,
    /// A fixed word, described in docs/operations.md.
    pub(crate) check: &'static str,
    /// The node, file or network that it is about.
    pub(crate) subject: String,
    /// What was seen.
    pub(crate) evidence: String,
    /// What to do.
    pub(crate) next: String,
}

/// All that an examination has found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Findings, after [`Report::settle`] the worst first.
    pub(crate) findings: Vec<Finding>,
    passed: BTreeSet<&'static str>,
}

impl Report {
    fn add(
        &mut self,
        severity: Severity,
        check: &'static str,
        subject: impl Display,
        evidence: impl Display,
        next: impl Display,
    ) {
        let (subject, evidence, next) = (subject.to_string(), evidence.to_string(), next.to_string());
        self.findings.push(Finding { severity, check, subject, evidence, next });
    }

    pub(crate) fn critical(
        &mut self,
        check: &'static str,
        subject: impl Display,
        evidence: impl Display,
        next: impl Display,
    ) {
        self.add(Severity::Critical, check, subject, evidence, next);
    }

    pub(crate) fn warning(
        &mut self,
        check: &'static str,
        subject: impl Display,
        evidence: impl Display,
        next: impl Display,
    ) {
        self.add(Severity::Warning, check, subject, evidence, next);
    }

    pub(crate) fn info(
        &mut self,
        check: &'static str,
        subject: impl Display,
        evidence: impl Display,
        next: impl Display,
    ) {
        self.add(Severity::Info, check, subject, evidence, next);
    }

    /// Notes that something was looked at and is well.
    pub(crate) fn passed(&mut self, check: &'static str) {
        self.passed.insert(check);
    }

    /// The worst first, otherwise in the order of examination.
    pub(crate) fn settle(&mut self) {
        self.findings.sort_by_key(|finding| finding.severity);
    }

    /// Whether nothing is worse than good to know.
    pub(crate) fn is_well(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity == Severity::Info)
    }

    fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({"healthy": self.is_well(), "findings": self.findings, "passed": self.passed})
    }

    pub(crate) fn print(&self) -> Outcome {
        for finding in &self.findings {
            let word = match finding.severity {
                Severity::Critical => "CRITICAL",
                Severity::Warning => "WARNING",
                Severity::Info => "info",
            };
            print(format!("{word:<8}  {}  {}", finding.check, finding.subject))?;
            print(format!("          seen: {}", finding.evidence))?;
            print(format!("          next: {}", finding.next))?;
        }
        let passed: Vec<&str> = self.passed.iter().copied().collect();
        if !passed.is_empty() {
            print(format!("well: {}", passed.join(", ")))?;
        }
        print(format!(
            "{} critical, {} warnings, {} to know",
            self.count(Severity::Critical),
            self.count(Severity::Warning),
            self.count(Severity::Info)
        ))
    }
}
