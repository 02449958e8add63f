//! The control plane: resources, reconcilers, authorisation, audit. Owns the store; never dials a worker.
//!
//! A request becomes a commit ([`change`]); the commit shows in the [`view`]; reconcilers follow the view: [`placement`]
//! gives VMs a worker, [`links`] tells workers what to run and writes down what they report, [`recovery`] keeps the two
//! in step after a restore, [`runs`] carries out operations with fleet directories, [`timers`] ends what has lived its
//! time, [`retention`] trims records.

mod caller;
mod change;
mod codec;
mod controller;
mod kind;
mod links;
mod placement;
mod recovery;
mod resources;
mod retention;
mod runs;
mod seal;
mod timers;
mod view;

pub use caller::{Caller, Idempotency, Principal, Sees, authorize, no_project};
pub use controller::{Controller, Options};
pub use kind::{KINDS, Kind};
pub use links::Links;
pub use resources::*;
pub use runs::{LogReader, Told};
pub use view::{Any, Change, Follower, View};
