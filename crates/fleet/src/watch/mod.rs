//! Ways to watch a run: what people see of it, what is kept of it.

mod keeper;
mod logs;
mod ordered;
mod prefixed;
mod screen;
mod tally;
#[cfg(test)]
mod tests;

pub use keeper::{Keeper, Kept};
pub use logs::Logs;
pub use ordered::Ordered;
pub use prefixed::Prefixed;
pub use screen::Screen;
pub use tally::{Counts, Tally};
