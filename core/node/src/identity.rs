//! Who this node is: a small text file in its data folder, written before anything is promised under that name.
//!
//! ```text
//! tenet data folder, format 1
//! node 2
//! incarnation 6f1c…            drawn with the folder: a lost folder is another incarnation
//! cluster 09ab…                absent until the cluster has formed
//! member 1 77aa…               the incarnations this node will ever talk to, one line per node
//! member 2 6f1c…
//! checksum 1c291ca3            crc32c of the lines above
//! ```
//!
//! Invariants
//!  I1  A node that has no identity votes for nothing and joins nothing: its log is made first, then its membership is written.
//!  I2  The file is replaced by rename, so that it is always one whole version.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tenet_seam::{Disk, Open};
use tenet_types::{ClusterId, Incarnation, NodeId};

use crate::NodeError;

const PATH: &str = "identity";
const NEW_PATH: &str = "identity.new";
const FIRST_LINE: &str = "tenet data folder, format 1";

/// Larger files are not ours, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub node: NodeId,
    pub incarnation: Incarnation,
    pub membership: Option<Membership>,
}

/// The cluster that the node belongs to, for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    pub cluster: ClusterId,
    /// All members, this node among them.
    pub members: BTreeMap<NodeId, Incarnation>,
}

/// Reads the identity; `None` in a folder that has none.
pub fn load(disk: &dyn Disk) -> Result<Option<Identity>, NodeError> {
    let io = |source| NodeError::Io { what: "read", path: PATH.into(), source };
    if !disk.exists(PATH).map_err(io)? {
        return Ok(None);
    }
    let file = disk.open(PATH, Open::Existing).map_err(io)?;
    let len = file.len().map_err(io)?;
    if len > FILE_BYTES_MAX {
        return Err(damaged("it is too long"));
    }
    let mut bytes = vec![0; len as usize];
    file.read_at(0, &mut bytes).map_err(io)?;
    let text = String::from_utf8(bytes).map_err(|_| damaged("it is not text"))?;
    parse(&text).map(Some)
}

/// Writes the identity, durably.
pub fn store(disk: &dyn Disk, identity: &Identity) -> Result<(), NodeError> {
    let io = |source| NodeError::Io { what: "write", path: PATH.into(), source };
    if disk.exists(NEW_PATH).map_err(io)? {
        disk.remove(NEW_PATH).map_err(io)?;
    }
    let file = disk.open(NEW_PATH, Open::New).map_err(io)?;
    file.write_at(0, format(identity).as_bytes()).map_err(io)?;
    file.sync().map_err(io)?;
    disk.rename(NEW_PATH, PATH).map_err(io)?;
    disk.sync_dir("").map_err(io)
}

fn format(identity: &Identity) -> String {
    let mut text = format!("{FIRST_LINE}\nnode {}\nincarnation {}\n", identity.node.0, identity.incarnation);
    if let Some(membership) = &identity.membership {
        writeln!(text, "cluster {}", membership.cluster).expect("a string takes everything");
        for (node, incarnation) in &membership.members {
            writeln!(text, "member {} {incarnation}", node.0).expect("a string takes everything");
        }
    }
    let checksum = crc32c::crc32c(text.as_bytes());
    writeln!(text, "checksum {checksum:08x}").expect("a string takes everything");
    text
}

fn parse(text: &str) -> Result<Identity, NodeError> {
    let Some((first, _)) = text.split_once('\n') else { return Err(damaged("it has no lines")) };
    if first != FIRST_LINE {
        if let Some(version) = first.strip_prefix("tenet data folder, format ") {
            return Err(NodeError::Version { found: version.into() });
        }
        return Err(damaged("it does not begin as one"));
    }
    let end = text.rfind("checksum ").ok_or_else(|| damaged("its checksum is missing"))?;
    let (body, checksum) = text.split_at(end);
    let checksum = checksum["checksum ".len()..].trim_end();
    if u32::from_str_radix(checksum, 16) != Ok(crc32c::crc32c(body.as_bytes())) {
        return Err(damaged("its checksum is wrong"));
    }
    let (mut node, mut incarnation, mut cluster, mut members) = (None, None, None, BTreeMap::new());
    for line in body.lines().skip(1) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["node", n] => node = n.parse().ok().map(NodeId),
            ["incarnation", i] => incarnation = hex(i).map(Incarnation),
            ["cluster", c] => cluster = hex(c).map(ClusterId),
            ["member", n, i] => {
                let (Ok(n), Some(i)) = (n.parse(), hex(i)) else { return Err(damaged("a member cannot be read")) };
                members.insert(NodeId(n), Incarnation(i));
            }
            _ => return Err(damaged("a line cannot be read")),
        }
    }
    let (Some(node), Some(incarnation)) = (node, incarnation) else {
        return Err(damaged("node or incarnation is missing"));
    };
    Ok(Identity { node, incarnation, membership: cluster.map(|cluster| Membership { cluster, members }) })
}

fn hex(text: &str) -> Option<u128> {
    u128::from_str_radix(text, 16).ok()
}

fn damaged(what: &str) -> NodeError {
    NodeError::Damaged {
        what: format!("file \"{PATH}\" in the data folder: {what}"),
        remedy: "restore the file from a copy, or replace this node",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Identity {
        let members = BTreeMap::from([(NodeId(1), Incarnation(7)), (NodeId(2), Incarnation(u128::MAX))]);
        Identity {
            node: NodeId(2),
            incarnation: Incarnation(u128::MAX),
            membership: Some(Membership { cluster: ClusterId(9), members }),
        }
    }

    #[test]
    fn an_identity_returns_and_no_changed_byte_passes() {
        let lone = Identity { membership: None, ..sample() };
        for identity in [sample(), lone] {
            let text = format(&identity);
            assert_eq!(parse(&text).unwrap(), identity);
            for at in 0..text.len() - 1 {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1;
                if let Ok(changed) = String::from_utf8(bytes) {
                    assert!(parse(&changed).is_err(), "byte {at}");
                }
            }
        }
    }

    #[test]
    fn a_later_format_is_named() {
        let error = parse("tenet data folder, format 2\nwhatever\n").unwrap_err();
        assert!(error.to_string().contains("format 2"), "{error}");
    }
}
