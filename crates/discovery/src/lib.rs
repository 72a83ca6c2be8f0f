//! From what a cluster's API server shows to its pod and service CIDRs.
