//! Resource, request and response types, routes, problems and validation. No I/O.
