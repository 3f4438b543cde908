//! Where a call works: which state, which tmux server, which binary.

use crate::error::Result;
use crate::paths::{self, Home};
use crate::store::Store;
use crate::tmux::Tmux;
use std::path::PathBuf;

/// What every service needs to know about its surroundings.
#[derive(Debug, Clone)]
pub struct Context {
    /// The state directory.
    pub home: Home,
    /// The tmux server for what is new; a terminal has its own.
    pub tmux: Tmux,
    /// Our binary.
    pub binary: PathBuf,
}

impl Context {
    /// The surroundings of a call on `tmux`, with the state that the environment names.
    pub fn new(home: Home, tmux: Tmux) -> Result<Self> {
        Ok(Self {
            home,
            tmux,
            binary: paths::own_binary()?,
        })
    }

    /// Opens the state, making it where it is missing.
    pub fn store(&self) -> Result<Store> {
        Ok(Store::open_or_create(&self.home)?)
    }

    /// Opens existing state.
    pub fn existing_store(&self) -> Result<Store> {
        Ok(Store::open(&self.home)?)
    }
}
