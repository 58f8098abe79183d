//! inetd and xinetd.
