//! Runs commands on nodes, checks and deploys their services.

pub mod session;
