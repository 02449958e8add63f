//! Runs commands on nodes, checks and deploys their services.

pub mod connector;
pub mod engine;
pub mod ruby;
pub mod session;
pub mod watch;
