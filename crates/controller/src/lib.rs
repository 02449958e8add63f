//! The control plane: resources, reconcilers, authorisation, audit.
