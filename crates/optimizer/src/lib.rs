//! Policies that turn a measured network into advice.
