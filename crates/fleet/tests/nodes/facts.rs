//! Facts of real nodes.

use crate::{Server, text};
use fleet::{
    facts::{self, NAMES},
    session::Command,
};

#[tokio::test]
async fn nodes_of_every_kind_tell_what_they_are() {
    for server in Server::each("nodes_of_every_kind_tell_what_they_are").await {
        let (name, session) = (server.name(), server.session().await);
        let known = facts::of(&session).await.unwrap().facts;
        // What is always there, also where BusyBox is all there is.
        for fact in ["os", "kernel", "architecture", "nodename", "cpus", "memory_mib"] {
            assert!(known.contains_key(fact), "{name} lacks {fact} of {known:?}");
        }
        assert!(known.keys().all(|fact| NAMES.contains(&fact.as_str())), "{name}: {known:?}");
        for (fact, asked) in [("kernel", "uname -r"), ("architecture", "uname -m"), ("nodename", "uname -n")]
        {
            let said = crate::output(&session, Command::sh(asked)).await;
            assert_eq!(known[fact], text(&said.stdout).trim(), "{name}");
        }
        if let Server::OpenSsh(server) = &server {
            // The address that was dialled, as the node sees it.
            assert_eq!(known["ip"], server.address().ip().to_string());
        }
        assert_eq!(known.contains_key("physical"), known.contains_key("virtualization"), "{name}");
    }
}
