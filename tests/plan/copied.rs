//! The copy of a world that a plan runs in, held beside the original.

use super::common;
use super::common::world::{self, Dump};
use std::process::Command;
use std::time::Duration;

/// The argument by which the program knows that it is to make a copy of the world that it is in.
pub const COPY: &str = "__copy";

/// More of a world than every test has: two names of one namespace, a link whose lower device is
/// elsewhere, ends that nobody sees, nsids, kinds that are not made again, changed defaults, a process in a namespace.
pub const MORE: &str = r#"
ip netns add empty
touch /run/netns/alias
mount --bind /run/netns/w2 /run/netns/alias
ip netns set empty 4711
ip -n w2 netns set empty 12
ip -n w1 link add mv0 link v1 type macvlan mode bridge
ip -n w1 link set mv0 netns w2 name mv0 index 77
ip -n w2 link set mv0 up
ip -n w2 addr add 10.33.0.1/24 dev mv0
ip -n w1 link add vx0 type vxlan id 42 dstport 4789 local 10.0.0.1 dev v1
ip -n w1 link set vx0 up
ip netns add hidden
ip link add seen index 55 type veth peer name unseen netns hidden
ip -n hidden link set unseen up
ip link set seen up
ip addr add 10.34.0.1/24 dev seen
ip route add 10.35.0.0/16 via 10.34.0.9
sleep 1000 > /dev/null 2>&1 &
ip netns exec hidden sleep 1001 > /dev/null 2>&1 &
pid=$!
until [ "$(ip netns identify $pid)" = hidden ]; do :; done
umount /run/netns/hidden
rm /run/netns/hidden
sysctl -qw net.ipv4.ip_forward=1
ip netns exec w2 sysctl -qw net.ipv6.conf.all.forwarding=1
ip netns exec w2 sysctl -qw net.ipv4.conf.default.rp_filter=2
ip netns exec w2 sysctl -qw net.ipv6.conf.v2.accept_ra=2
ip link set lo up
"#;

/// The copy of this world, dumped: the program starts itself again for it, since only a process of one thread can make the
/// sandbox that the copy is in.
fn copy() -> Result<Dump, String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let ended = common::run(Command::new(own).arg(COPY), common::LONG)?;
    if ended.code() != 0 {
        return Err(format!("no copy: {}{}", ended.stdout, ended.stderr));
    }
    let all = serde_json::from_str(&ended.stdout).map_err(|e| format!("{e}: {}", ended.stdout))?;
    Ok(Dump(all))
}

/// The other side of [`copy`].
pub fn copied() -> Result<(), String> {
    use nsscript::kernel::linux::Linux;
    use nsscript::kernel::linux::rehearsal::Rehearsal;
    use nsscript::kernel::linux::world::{self as copies, World};
    use nsscript::kernel::sandbox::{self, Wish};
    let world = World::capture(&[]).map_err(|e| e.to_string())?;
    copies::wait_single();
    sandbox::enter(Wish::Always).map_err(|e| e.to_string())?;
    let linux = Linux::new().map_err(|e| e.to_string())?;
    linux.rehearse(Rehearsal::default());
    let rebuilt = copies::rebuild(&linux, &world).map_err(|e| e.to_string())?;
    if !rebuilt.missing.is_empty() || !rebuilt.stand_ins.is_empty() {
        return Err(format!("missing: {:#?}\nstand-ins: {:#?}", rebuilt.missing, rebuilt.stand_ins));
    }
    let dump = Dump::settled()?;
    println!("{}", serde_json::to_string(&dump.0).map_err(|e| e.to_string())?);
    Ok(())
}

/// The original and its copy are the same, but for what no copy can have: cookies, mounts, processes.
pub fn same_world(lines: &str) -> Result<(), String> {
    world::shell(world::WORLD)?;
    world::shell(lines)?;
    let before = Dump::settled()?;
    let copy = copy()?;
    let networks = |dump: &Dump| {
        let mut dump = dump.clone();
        dump.0.retain(|heading, _| heading.contains(": ") && !heading.ends_with(": cookie"));
        // Ids of groups, which are others in another user namespace.
        dump.0.values_mut().for_each(|lines| lines.retain(|line| !line.contains("ping_group_range")));
        // Of two names of one namespace `ip` shows the one that it finds first.
        dump.0.values_mut().flatten().for_each(|line| *line = line.replace("\"alias\"", "\"w2\""));
        dump
    };
    let differences = networks(&before).differences(&networks(&copy));
    if !differences.is_empty() {
        return Err(format!("original (-) and copy (+):\n{}", differences.join("\n")));
    }
    let lines: usize = networks(&copy).0.values().map(Vec::len).sum();
    println!("{lines} lines alike");
    let differences = before.compare(Duration::from_secs(3))?;
    if differences.is_empty() { Ok(()) } else { Err(format!("the original changed:\n{}", differences.join("\n"))) }
}
