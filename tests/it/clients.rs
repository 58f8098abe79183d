//! Real mail clients.
