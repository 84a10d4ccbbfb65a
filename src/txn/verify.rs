//! The look at the result of an undo: what it touched is read again, and compared with what it was.

use super::files::same_file;
use super::rollback::{DAD_BOUND, Expected, Report};
use super::{Txn, read, same_link};
use crate::kernel::{By, Cancel, Kernel};
use crate::plan::Kind;

impl Expected {
    /// A link got its old index back: the other end of a veth knows it by that, wherever it is.
    pub(super) fn renumber(&mut self, kernel: &dyn Kernel, from: u32, to: u32) {
        for (ns, before, ..) in self.states.values_mut() {
            for link in before.links.values_mut().filter(|l| l.kind == "veth" && l.lower == from && from != to) {
                let now = kernel.link(ns, By::Index(link.index));
                if now.is_ok_and(|now| now.is_some_and(|now| now.state.kind == "veth" && now.state.lower == to)) {
                    link.lower = to;
                }
            }
        }
    }
}

impl Txn {
    /// Reads again what the undo touched, and says what differs.
    pub(super) fn verify(&mut self, expected: &Expected, report: &mut Report) {
        let Ok(never) = Cancel::never() else { return };
        for ns in &expected.dad {
            match self.kernel.wait_dad(ns, None, DAD_BOUND, &never) {
                Ok(dad) => {
                    for (index, ip) in dad.failed {
                        report
                            .differences
                            .push(format!("address {ip} of link {index} in {} is a duplicate now", ns.label()));
                    }
                }
                Err(error) if error.kind == Kind::NotFound => {}
                Err(error) => report.errors.push(error.to_string()),
            }
        }
        for (key, (ns, before, touched, sysctls)) in &expected.states {
            match read(&*self.kernel, ns, key.1, sysctls) {
                Ok(now) => {
                    for difference in before.differences(&now, touched) {
                        report.differences.push(format!("{}: {difference}", ns.label()));
                    }
                }
                // One of the run's own, which went with all that was in it.
                Err(error) if error.kind == Kind::NotFound && expected.names.iter().any(|n| n.is(ns)) => {}
                Err(error) => report.errors.push(error.to_string()),
            }
        }
        for (ns, link, kind) in &expected.links {
            // Deleted, and then made again as it was before: a step before had deleted that.
            let belongs = expected
                .states
                .values()
                .any(|(n, before, ..)| n.is(ns) && before.links.get(&link.index).is_some_and(|l| l.name == link.name));
            if belongs {
                continue;
            }
            if let Ok(Some(info)) = self.kernel.link(ns, By::Index(link.index))
                && same_link(&info.state, kind)
                && info.state.name == link.name
            {
                report.differences.push(format!("link `{}` in {} is still there", link.name, ns.label()));
            }
        }
        for ns in &expected.names {
            if self.kernel.find_ns(&ns.name).is_ok_and(|found| found.cookie == ns.cookie) {
                report.differences.push(format!("namespace `{}` is still there", ns.name));
            }
        }
        for ns in &expected.bound {
            match self.kernel.find_ns(&ns.name) {
                Ok(found) if found.cookie == ns.cookie => {}
                Ok(_) => report.differences.push(format!("namespace `{}` is another one now", ns.name)),
                Err(error) => report.differences.push(error.to_string()),
            }
        }
        self.verify_nft(&expected.nft, report);
        for (path, content) in &expected.files {
            match self.kernel.read_file(path) {
                Ok(now) if same_file(now.as_ref(), content.as_ref()) => {}
                Ok(_) => report.differences.push(format!("file `{path}` is not as it was")),
                Err(error) => report.errors.push(error.to_string()),
            }
        }
    }
}
