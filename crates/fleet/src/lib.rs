//! Runs commands on nodes, checks and deploys their services.

pub mod connector;
pub mod engine;
pub mod junit;
pub mod nodetest;
pub mod ruby;
pub mod session;
pub mod watch;
