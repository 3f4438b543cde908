//! What the product does, one verb a file. May import the adapters ([`crate::store`], [`crate::tmux`], [`crate::providers`],
//! [`crate::profiles`]), [`crate::domain`] and the ground; front doors call it.

pub mod after;
pub mod answer;
pub mod approve;
pub mod audit;
pub mod binding;
pub mod bounce;
pub mod brakes;
pub mod canary;
pub mod close;
pub mod context;
pub mod delegate;
pub mod deliver;
pub mod doctor;
pub mod explain;
pub mod find;
pub mod identity;
pub mod inbox;
pub mod launch;
pub mod observe;
pub mod output;
pub mod plugin;
pub mod policy;
pub mod presence;
pub mod profile;
pub mod prove;
pub mod queues;
pub mod recover;
pub mod request;
pub mod send;
pub mod start;
pub mod tick;
pub mod wait;
