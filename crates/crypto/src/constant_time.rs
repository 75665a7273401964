//! Comparison whose duration does not depend on where two secrets differ.

/// Whether `a` and `b` are the same bytes. The time taken tells the lengths, nothing else.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}
