//! Image store and cache: import, inspect, fetch, verify, collect.
