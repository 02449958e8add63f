//! Image store and cache: import, inspect, fetch, verify, collect.
//!
//! The controller keeps the files of images in a [`BlobStore`]; each worker keeps those that it needs in one of its own
//! and gets them with a [`Fetcher`]. A file is named by its digest alone, so it never changes and two images that share
//! one store it once.

mod blob;
mod digest;
mod fetch;
mod inspect;
mod magic;
mod reader;
mod writer;

pub use blob::{Blob, BlobStore};
pub use digest::Digest;
pub use fetch::{Fetcher, Part, Progress, Source};
pub use inspect::{Content, ImageFacts, inspect};
pub use reader::BlobReader;
pub use writer::BlobWriter;
