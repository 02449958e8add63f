//! The nouns, and what several of them share.

pub mod api;
pub mod apply;
pub mod audit;
pub mod completion;
pub mod context;
pub mod controller;
pub mod credential;
pub mod dev;
pub mod doctor;
pub mod event;
pub mod fleet;
pub mod image;
pub mod merge;
pub mod objects;
pub mod operation;
pub mod project;
pub mod service_account;
pub mod settings;
pub mod version;
pub mod vm;
pub mod worker;
