//! Runs commands on nodes, checks and deploys their services.

pub mod connector;
pub mod deploy;
pub mod engine;
pub mod facts;
pub mod junit;
pub mod log;
pub mod nodetest;
pub mod plan;
pub mod resource;
pub mod ruby;
pub mod run;
pub mod service;
pub mod session;
pub mod shell;
pub mod sources;
pub mod watch;
