//! The embedded Kubernetes: three programs behind one door. The API server (store, admission, watch), and two
//! ordinary API clients that reach it only through its API: the controllers and the nodes.

pub mod api;

pub mod controllers;

pub mod nodes;
