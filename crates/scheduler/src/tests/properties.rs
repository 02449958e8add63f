//! What holds after any sequence of changes.

