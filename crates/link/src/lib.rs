//! The transport between worker and controller: CA, mutual TLS, reversed HTTP/2, tunnels.
