//! Which nodes are meant: plain data, evaluated against an inventory.

/// One way to name nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// Every node.
    All,
    /// The node of this name, or with slashes around it all whose names the expression matches (`/web[13].*/`).
    Node(String),
    /// The nodes that have this service.
    Service(String),
    /// The nodes of this group or list.
    List(String),
    /// The nodes of this platform.
    Platform(String),
}

/// The union of `include`, minus the union of `exclude`, and of that only what `limit` names too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// What is meant.
    pub include: Vec<Selector>,
    /// What is left out of it.
    pub exclude: Vec<Selector>,
    /// Where not empty, nothing else is taken.
    pub limit: Vec<Selector>,
    /// Whether nothing at all is an answer, instead of an error.
    pub allow_empty: bool,
}
