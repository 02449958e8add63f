//! The parent of one hypervisor.
