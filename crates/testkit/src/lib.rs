//! Clusters, fakes and bounded waits for tests.

pub mod dropbear;
pub mod fake_http;
pub mod fault_proxy;

pub mod hosts;
pub mod sshd;
