//! A validator process: clock, sockets, store and tasks around the engine; HTTP API and metrics.
