//! The script functions, one family a file. A function checks its arguments and lowers to verbs; it never performs
//! anything itself.

pub mod addr;
pub mod bridge;
pub mod etc;
pub mod exec;
pub mod file;
pub mod flow;
pub mod ip;
pub mod link;
pub mod monitor;
pub mod neigh;
pub mod netns;
pub mod nexthop;
pub mod nft;
pub mod ping;
pub mod route;
pub mod rule;
mod show;
pub mod subnet;
pub mod sysctl;
pub mod tc;

use rhai::plugin::*;
use rhai::{Engine, Module};

/// A family's functions, under the name of its room.
macro_rules! family {
    ($room:ident $($path:tt)*) => {{
        let mut module = exported_module!($room $($path)*);
        module.set_id(stringify!($room));
        module
    }};
}

/// Every family, in alphabetical order.
#[must_use]
pub fn modules() -> Vec<Module> {
    vec![
        family!(addr::functions),
        family!(bridge::fdb::functions),
        family!(bridge::mdb::functions),
        family!(bridge::stp::functions),
        family!(bridge::vlan::functions),
        family!(etc::functions),
        family!(exec::functions),
        family!(file::functions),
        family!(flow::functions),
        family!(ip::functions),
        family!(link::functions),
        family!(link::bareudp::functions),
        family!(link::bond::functions),
        family!(link::bridge::functions),
        family!(link::dummy::functions),
        family!(link::geneve::functions),
        family!(link::gre::functions),
        family!(link::ifb::functions),
        family!(link::ip6gre::functions),
        family!(link::ip6tnl::functions),
        family!(link::ipip::functions),
        family!(link::ipvlan::functions),
        family!(link::macsec::functions),
        family!(link::macvlan::functions),
        family!(link::netkit::functions),
        family!(link::nlmon::functions),
        family!(link::offload::functions),
        family!(link::sit::functions),
        family!(link::team::functions),
        family!(link::tun::functions),
        family!(link::veth::functions),
        family!(link::vlan::functions),
        family!(link::vrf::functions),
        family!(link::vti::functions),
        family!(link::vxlan::functions),
        family!(link::wireguard::functions),
        family!(link::xfrm::functions),
        family!(monitor::functions),
        family!(neigh::functions),
        family!(netns::functions),
        family!(nexthop::functions),
        family!(nft::functions),
        family!(ping::functions),
        family!(route::functions),
        family!(rule::functions),
        family!(subnet::functions),
        family!(sysctl::functions),
        family!(tc::class::functions),
        family!(tc::filter::functions),
        family!(tc::qdisc::functions),
        family!(tc::shape::functions),
        family!(tc::throughput::functions),
    ]
}

/// Registers every family.
pub fn register(engine: &mut Engine) {
    for module in modules() {
        engine.register_global_module(module.into());
    }
}
