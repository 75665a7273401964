//! The command line `agent-mesh`.

fn main() {}
