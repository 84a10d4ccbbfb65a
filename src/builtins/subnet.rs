//! Subnets and the addresses in them.

use crate::engine::value::{Fallible, run};
use crate::plan::addr::{parse_cidr, parse_ip};
use crate::plan::{Error, Result};
use ipnet::IpNet;
use rhai::plugin::*;
use rhai::{Array, INT, NativeCallContext};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The most addresses or subnets that an array is made of.
const MANY: u128 = 1 << 20;

fn value(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

fn address(like: IpAddr, value: u128) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(u32::try_from(value).unwrap_or(u32::MAX))),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(value)),
    }
}

/// How many addresses the subnet has, or one less than that: 2^128 has no number here.
fn last(net: IpNet) -> u128 {
    value(net.broadcast()) - value(net.network())
}

fn pick(net: &str, n: INT) -> Result<(IpNet, IpAddr)> {
    let net = parse_cidr(net)?;
    let last = last(net);
    let at = if n >= 0 {
        u128::try_from(n).ok()
    } else {
        u128::from(n.unsigned_abs()).checked_sub(1).and_then(|b| last.checked_sub(b))
    };
    let at = at.filter(|at| *at <= last).ok_or_else(|| {
        let count = last.checked_add(1).map_or_else(|| "2^128".to_string(), |c| c.to_string());
        Error::invalid(format!("{net} has no address number {n}: it has {count}")).with_target(net.to_string())
    })?;
    Ok((net, address(net.addr(), value(net.network()) + at)))
}

fn split(net: &str, length: INT) -> Result<(IpNet, u8, u128)> {
    let net = parse_cidr(net)?;
    let length = u8::try_from(length)
        .ok()
        .filter(|l| *l >= net.prefix_len() && *l <= net.max_prefix_len())
        .ok_or_else(|| {
            Error::invalid(format!("{net} can't be divided into subnets of /{length}")).with_hint(format!(
                "the length must be {} to {}",
                net.prefix_len(),
                net.max_prefix_len()
            ))
        })?;
    let bits = u32::from(length - net.prefix_len());
    Ok((net, length, 1u128.checked_shl(bits).unwrap_or(u128::MAX)))
}

fn subnet_at(net: IpNet, length: u8, at: u128) -> String {
    let shift = u32::from(net.max_prefix_len() - length);
    let offset = at.checked_shl(shift).unwrap_or(0);
    format!("{}/{length}", address(net.addr(), value(net.network()) + offset))
}

#[export_module]
pub mod functions {
    /// The n-th address of a subnet, counted from its network address, which is number 0; negative numbers count from
    /// the end: -1 is the last.
    ///
    /// ```rhai
    /// assert_eq(nth("10.0.0.0/16", 300), "10.0.1.44");
    /// assert_eq(nth("10.0.0.0/24", -2), "10.0.0.254");
    /// assert_eq(nth("fd00::/64", 1), "fd00::1");
    /// ```
    #[rhai_fn(name = "nth", return_raw)]
    pub fn nth(ctx: NativeCallContext, subnet: &str, n: INT) -> Fallible<String> {
        run(&ctx, |_| pick(subnet, n).map(|(_, ip)| ip.to_string()))
    }

    /// The n-th address of a subnet with the subnet's prefix length: what `addr` takes.
    ///
    /// ```rhai
    /// assert_eq(nth_cidr("10.0.0.0/16", 300), "10.0.1.44/16");
    /// ```
    #[rhai_fn(name = "nth_cidr", return_raw)]
    pub fn nth_cidr(ctx: NativeCallContext, subnet: &str, n: INT) -> Fallible<String> {
        run(&ctx, |_| pick(subnet, n).map(|(net, ip)| format!("{ip}/{}", net.prefix_len())))
    }

    /// The n-th subnet of a given prefix length within a subnet, from 0.
    ///
    /// ```rhai
    /// assert_eq(nth_subnet("10.0.0.0/8", 24, 257), "10.1.1.0/24");
    /// ```
    #[rhai_fn(name = "nth_subnet", return_raw)]
    pub fn nth_subnet(ctx: NativeCallContext, subnet: &str, length: INT, n: INT) -> Fallible<String> {
        run(&ctx, |_| {
            let (net, length, count) = split(subnet, length)?;
            let at = u128::try_from(n).ok().filter(|n| *n < count).ok_or_else(|| {
                Error::invalid(format!("{net} has no subnet number {n} of /{length}: it has {count}"))
            })?;
            Ok(subnet_at(net, length, at))
        })
    }

    /// All subnets of a given prefix length within a subnet, at most a million.
    ///
    /// ```rhai
    /// assert_eq(subnets("10.0.0.0/23", 24), ["10.0.0.0/24", "10.0.1.0/24"]);
    /// ```
    #[rhai_fn(name = "subnets", return_raw)]
    pub fn subnets(ctx: NativeCallContext, subnet: &str, length: INT) -> Fallible<Array> {
        run(&ctx, |_| {
            let (net, length, count) = split(subnet, length)?;
            if count > MANY {
                return Err(Error::invalid(format!("{net} has {count} subnets of /{length}: too many for an array"))
                    .with_hint("nth_subnet(net, length, n) gives one of them"));
            }
            Ok((0..count).map(|at| subnet_at(net, length, at).into()).collect())
        })
    }

    /// The addresses of a subnet that hosts can have: without the network and broadcast address of IPv4; at most a
    /// million.
    ///
    /// ```rhai
    /// assert_eq(hosts("10.0.0.0/30"), ["10.0.0.1", "10.0.0.2"]);
    /// ```
    #[rhai_fn(name = "hosts", return_raw)]
    pub fn hosts(ctx: NativeCallContext, subnet: &str) -> Fallible<Array> {
        run(&ctx, |_| {
            let net = parse_cidr(subnet)?;
            if last(net) >= MANY {
                return Err(Error::invalid(format!("{net} has too many addresses for an array"))
                    .with_hint("nth(net, n) gives one of them"));
            }
            Ok(net.hosts().map(|ip| ip.to_string().into()).collect())
        })
    }

    /// Whether an address lies in a subnet.
    ///
    /// ```rhai
    /// assert(in_subnet("10.0.1.7", "10.0.0.0/16"), "it does");
    /// assert(!in_subnet("10.1.0.1", "10.0.0.0/16"), "it does not");
    /// ```
    #[rhai_fn(name = "in_subnet", return_raw)]
    pub fn in_subnet(ctx: NativeCallContext, ip: &str, subnet: &str) -> Fallible<bool> {
        run(&ctx, |_| Ok(parse_cidr(subnet)?.contains(&parse_ip(ip)?)))
    }

    /// The subnet that an address with a prefix length is in.
    ///
    /// ```rhai
    /// assert_eq(network("10.0.1.7/24"), "10.0.1.0/24");
    /// ```
    #[rhai_fn(name = "network", return_raw)]
    pub fn network(ctx: NativeCallContext, cidr: &str) -> Fallible<String> {
        run(&ctx, |_| parse_cidr(cidr).map(|n| n.trunc().to_string()))
    }

    /// The address alone, without its prefix length.
    ///
    /// ```rhai
    /// assert_eq(ip_of("10.0.1.7/24"), "10.0.1.7");
    /// ```
    #[rhai_fn(name = "ip_of", return_raw)]
    pub fn ip_of(ctx: NativeCallContext, cidr: &str) -> Fallible<String> {
        run(&ctx, |_| parse_cidr(cidr).map(|n| n.addr().to_string()))
    }
}
