//! The clock by which the kernel counts lifetimes down: its jiffies.

use crate::plan::record::TICKS;

/// Hundredths of a second since boot, as the kernel stamps what has a limited life (`cstamp_delta`,
/// include/net/addrconf.h). Not CLOCK_MONOTONIC, which may be a quarter of a second ahead of it: near the end of a
/// second that would make one of difference.
pub(super) fn ticks() -> u64 {
    let monotonic = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)
        .ok()
        .and_then(|t| Some(u64::try_from(t.tv_sec()).ok()? * TICKS + u64::try_from(t.tv_nsec()).ok()? / 10_000_000))
        .unwrap_or_default();
    let mut unused = libc::tms { tms_utime: 0, tms_stime: 0, tms_cutime: 0, tms_cstime: 0 };
    // SAFETY: it writes one structure, which is there.
    let times = unsafe { libc::times(&raw mut unused) };
    u64::try_from(times).ok().and_then(|t| since_boot(t, monotonic)).unwrap_or(monotonic)
}

/// What times(2) tells, without its start: jiffies begin 300 s before their lower 32 bits wrap (`INITIAL_JIFFIES`,
/// include/linux/jiffies.h). How many there are to a second follows from the other clock. `None` where the two don't fit
/// together.
fn since_boot(times: u64, monotonic: u64) -> Option<u64> {
    const BEFORE: u64 = 300 * TICKS;
    // Any difference of the clocks is far less than what one jiffy more or less to the second would make.
    let start = (times + BEFORE).checked_sub(monotonic).filter(|start| *start > 0)?;
    let wrap = (1u64 << 32) * TICKS;
    let hz = (wrap + start / 2) / start;
    let now = (times + BEFORE).checked_sub(wrap.checked_div(hz)?)?;
    (now.abs_diff(monotonic) < 60 * TICKS).then_some(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jiffies_are_found_at_any_rate() {
        for hz in [24u64, 100, 128, 250, 300, 1000, 1200] {
            for seconds in [3, 40_000, 100_000_000] {
                let jiffies = (1u64 << 32) - 300 * hz + seconds * hz;
                let times = jiffies * TICKS / hz;
                // The other clock is a little ahead.
                let found = since_boot(times, seconds * TICKS + 26).expect("clocks that fit");
                assert!(found.abs_diff(seconds * TICKS) <= 1, "{hz} Hz, {seconds} s: {found}");
            }
        }
        assert_eq!(since_boot(5, 5_000_000_000), None);
    }

    #[test]
    fn this_machine_has_such_a_clock() {
        let monotonic = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).expect("a clock");
        let seconds = u64::try_from(monotonic.tv_sec()).expect("after boot");
        assert!(ticks().abs_diff(seconds * TICKS) < 60 * TICKS);
    }
}
