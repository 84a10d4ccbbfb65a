//! The nsids that a namespace has given (`RTM_GETNSID`, include/uapi/linux/net_namespace.h).

use super::Linux;
use super::message::{nsid_body, rtm};
use crate::plan::{Ns, Result, nla};

const NETNSA_NSID: u16 = 1;
const NETNSA_TARGET_NSID: u16 = 4;
const NETNSA_CURRENT_NSID: u16 = 5;

/// A namespace as it is numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nsid {
    /// By the namespace that was asked about.
    pub nsid: i32,
    /// By the one that asks, where they differ; `None` where it has none.
    pub current: Option<i32>,
}

impl Linux {
    /// The nsids that `at` has given, sorted; or, with `target`, those that the namespace of that nsid has given. `only`
    /// asks for one of them.
    ///
    /// # Errors
    /// What the kernel refused: an nsid that is not there is `not_found`.
    pub fn list_nsids(&self, at: &Ns, target: Option<i32>, only: Option<i32>) -> Result<Vec<Nsid>> {
        let space = self.space(at)?;
        let mut body = nsid_body(None, only);
        if let Some(target) = target {
            nla::put(&mut body, NETNSA_TARGET_NSID, &target.to_ne_bytes());
        }
        let failed = |r: super::Refusal| {
            let number = only.or(target).map_or(String::new(), |n| format!(" {n}"));
            let error = r.error(format!("ask for nsid{number} in {}", at.label())).with_ns(&at.name);
            match (error.errno, only.or(target)) {
                (libc::ENOENT | libc::EINVAL, Some(_)) => {
                    error.with_hint("`nsscript netns list-id` shows those that there are")
                }
                _ => error,
            }
        };
        let answers = match only {
            Some(_) => space.netlink.request(rtm::GETNSID, 0, &body).map_err(failed)?.into_iter().collect(),
            None => space.netlink.dump(rtm::GETNSID, &body).map_err(failed)?,
        };
        let number = |body: &[u8], code: u16| {
            let value = nla::attr(body.get(4..)?, code).and_then(nla::u32_of)?;
            Some(value.cast_signed()).filter(|id| *id >= 0)
        };
        let mut all: Vec<Nsid> = answers
            .iter()
            .filter_map(|body| {
                Some(Nsid { nsid: number(body, NETNSA_NSID)?, current: number(body, NETNSA_CURRENT_NSID) })
            })
            .collect();
        all.sort();
        Ok(all)
    }
}
