//! Speaking to an API server.
