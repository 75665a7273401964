//! Benchmarks that print medians and ratios.
fn main() {}
