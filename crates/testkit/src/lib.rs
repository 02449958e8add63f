//! Clusters, fakes and bounded waits for tests.
