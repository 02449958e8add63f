//! HTTP: routes, authentication, streams, OpenAPI.
