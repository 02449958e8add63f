//! The revisioned key-value store: its contract, its SQLite provider, its conformance suite.
