//! Nodes, their metadata and services, from platforms of several kinds; selectors.

pub mod ansible;
mod assign;
mod directory;
pub mod document;
mod expression;
mod fleet_file;
mod git;
mod impact;
mod load;
mod method;
mod node;
mod platform;
mod selection;
mod selector;
mod sources;
mod words;

pub use directory::find;
pub use expression::Expression;
pub use fleet_file::FleetFile;
pub use impact::{GitChange, Impact};
pub use load::{Options, load};
pub use method::Method;
pub use node::{Inventory, Metadata, Node, Passwords, Platform};
pub use platform::{PlatformEntry, PlatformType, pool::Pool};
pub use selection::Selection;
pub use selector::Selector;
pub use sources::{Answers, INVENTORY, Source};
