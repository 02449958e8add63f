//! Clusters, fakes and bounded waits for tests.

pub mod fault_proxy;

pub mod sshd;
