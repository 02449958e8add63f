//! Clusters, fakes and bounded waits for tests.

pub mod busybox;
pub mod docker;
pub mod dropbear;
pub mod fake_http;
pub mod fault_proxy;
pub mod hosts;
pub mod ssh_agent;
pub mod ssh_ca;
pub mod sshd;
