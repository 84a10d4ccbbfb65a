//! Verbs, their checks and their inverses: pure data and pure functions, no I/O.

pub mod addr;
pub mod attribute;
pub mod bridge;
pub mod drift;
pub mod encap;
pub mod error;
pub mod ip;
pub mod ipwords;
pub mod link;
pub mod name;
pub mod nearest;
pub mod nexthop;
pub mod nft;
pub mod nla;
pub mod offload;
pub mod record;
pub mod restore;
pub mod rule;
pub mod state;
pub mod tc;
pub mod unit;
pub mod verb;
pub mod wireguard;

pub use error::{Error, Kind, Result};
pub use link::{KindOption, LinkChange, LinkInfo, LinkSpec, LinkState};
pub use nearest::nearest;
pub use record::{Rec, What};
pub use state::State;
pub use verb::{AddMode, LinkRef, Ns, Outcome, Verb};
