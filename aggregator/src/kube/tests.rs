//! What is kept of the cluster, and the names that it gives.
