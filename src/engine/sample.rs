//! An engine with a few functions as nsscript's own are, for the tests of this room.

use crate::plan;
use rhai::plugin::*;
use rhai::{Array, Engine, EvalAltResult, FnPtr, Map};

#[derive(Clone)]
pub(super) struct Link {
    pub name: String,
}

#[export_module]
mod functions {
    /// A veth pair.
    pub fn veth(a: &str, _b: &str) -> Link {
        Link { name: a.to_owned() }
    }
    pub fn addr(_dev: Dynamic, _cidr: &str) {}
    #[rhai_fn(name = "addr")]
    pub fn addr_options(_dev: Dynamic, _cidr: &str, _options: Map) {}
    #[rhai_fn(name = "addr")]
    pub fn addr_ns(_ns: Dynamic, _dev: Dynamic, _cidr: &str) {}
    #[rhai_fn(name = "addr")]
    pub fn addr_ns_options(_ns: Dynamic, _dev: Dynamic, _cidr: &str, _options: Map) {}
    pub fn netns_add(name: &str) -> String {
        name.to_owned()
    }
    pub fn link_up(_dev: Dynamic) {}
    #[rhai_fn(get = "name", pure)]
    pub fn name(link: &mut Link) -> String {
        link.name.clone()
    }
    /// Fails as every function of nsscript does: with a map.
    #[rhai_fn(return_raw)]
    pub fn netns_del(name: &str) -> Result<(), Box<EvalAltResult>> {
        let mut map = Map::new();
        map.insert("kind".into(), "busy".into());
        map.insert("message".into(), format!("namespace `{name}` is in use").into());
        map.insert("hint".into(), "end what runs in it".into());
        map.insert("op".into(), "netns_del".into());
        map.insert("ns".into(), name.into());
        map.insert("target".into(), name.into());
        map.insert("errno".into(), 16_i64.into());
        map.insert("kernel".into(), "device or resource busy".into());
        Err(EvalAltResult::ErrorRuntime(map.into(), rhai::Position::NONE).into())
    }
    #[rhai_fn(return_raw)]
    pub fn system(name: &str) -> Result<(), Box<EvalAltResult>> {
        let error = plan::Error::from_errno(2, format!("open `{name}`"));
        Err(EvalAltResult::ErrorSystem(String::new(), error.into()).into())
    }
    #[rhai_fn(return_raw)]
    pub fn within(ctx: NativeCallContext, _ns: &mut Map, body: FnPtr) -> Result<Dynamic, Box<EvalAltResult>> {
        body.call_within_context(&ctx, ())
    }
}

#[export_module]
mod topo {
    pub fn star(_hub: &str, _names: Array) {}
    pub fn chain(_names: Array) {}
}

#[export_module]
mod constants {
    pub const LIMIT: i64 = 15;
}

/// Limits as in a debug build of the program, no strict variables.
pub(super) fn engine() -> Engine {
    let mut engine = Engine::new();
    engine.set_max_expr_depths(64, 64).set_max_call_levels(32).set_fail_on_invalid_map_property(true);
    engine.register_type_with_name::<Link>("Link");
    engine.register_global_module(rhai::exported_module!(functions).into());
    engine.register_global_module(rhai::exported_module!(constants).into());
    engine.register_static_module("topo", rhai::exported_module!(topo).into());
    engine.register_static_module("limits", rhai::exported_module!(constants).into());
    engine
}
