//! Who may talk to whom: the first words on a connection, and how strangers become a cluster.
//!
//! Both sides say [`Hello`], then each says its [`Verdict`]; the connection is used only if both accept. Nothing here does I/O.
//!
//! ```text
//!   mine \ theirs    no cluster                          a cluster
//!   no cluster       Wait (the lowest node collects      Wait (their verdict decides)
//!                    all, draws the id, then invites)
//!   a cluster        incarnation known: Invite           same cluster and incarnation: Accept
//!                    other:  Lost                        other: Stranger, or Lost
//! ```
//!
//! *Story: 1. e100 is on n1 and n2. 2. n2's folder is deleted and the same command run. 3. An empty n2 votes for n3: e100 is
//! gone.* So members keep the incarnations that they know, and a folder made anew gets `Lost`.

use std::collections::BTreeMap;

use tenet_types::{ClusterId, CodecError, Incarnation, NodeId, Reader, Writer};

use crate::identity::{Identity, Membership};

/// Version of the peer protocol. Others are refused.
pub const PROTOCOL: u32 = 1;

const MAGIC: &[u8] = b"tenet-peer";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    pub protocol: u32,
    pub node: NodeId,
    pub incarnation: Incarnation,
    pub cluster: Option<ClusterId>,
    /// The nodes that the operator listed, sorted.
    pub listed: Vec<NodeId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on, if you accept me too.
    Accept,
    /// Not yet; come back.
    Wait,
    /// You are a founding member: take this, come back.
    Invite(Membership),
    /// The cluster knows this node under another incarnation: its data folder was lost.
    Lost,
    /// Another protocol, cluster, list or node than expected; the text says which.
    Stranger(String),
}

/// What I think of a peer. `expected` is whom I dialled.
pub fn judge(me: &Identity, listed: &[NodeId], expected: Option<NodeId>, theirs: &Hello) -> Verdict {
    if theirs.protocol != PROTOCOL {
        return Verdict::Stranger(format!("speaks peer protocol {}, this node speaks {PROTOCOL}", theirs.protocol));
    }
    if expected.is_some_and(|expected| expected != theirs.node) {
        let expected = expected.expect("just seen").0;
        return Verdict::Stranger(format!("is node {}, where node {expected} was expected", theirs.node.0));
    }
    if theirs.node == me.node || !listed.contains(&theirs.node) {
        return Verdict::Stranger(format!("is node {}, which is not another one of --peers", theirs.node.0));
    }
    if theirs.listed != listed {
        return Verdict::Stranger(format!("was started with another list of peers: {}", list(&theirs.listed)));
    }
    match (&me.membership, theirs.cluster) {
        (None, _) => Verdict::Wait,
        (Some(mine), None) if mine.members.get(&theirs.node) == Some(&theirs.incarnation) => {
            Verdict::Invite(mine.clone())
        }
        (Some(_), None) => Verdict::Lost,
        (Some(mine), Some(cluster)) if mine.cluster != cluster => {
            Verdict::Stranger(format!("belongs to cluster {cluster}, this node to {}", mine.cluster))
        }
        (Some(mine), Some(_)) if mine.members.get(&theirs.node) == Some(&theirs.incarnation) => Verdict::Accept,
        (Some(_), Some(_)) => Verdict::Lost,
    }
}

/// The founding node's memory: who has shown up, until all have.
#[derive(Default)]
pub struct Founding {
    seen: BTreeMap<NodeId, Incarnation>,
}

impl Founding {
    /// Notes a peer without a cluster; the members once everybody listed is known. Only the lowest node founds.
    pub fn meet(&mut self, me: &Identity, listed: &[NodeId], theirs: &Hello) -> Option<BTreeMap<NodeId, Incarnation>> {
        if me.membership.is_some() || theirs.cluster.is_some() || listed.first() != Some(&me.node) {
            return None;
        }
        self.seen.insert(theirs.node, theirs.incarnation);
        self.seen.insert(me.node, me.incarnation);
        listed.iter().all(|node| self.seen.contains_key(node)).then(|| self.seen.clone())
    }
}

fn list(nodes: &[NodeId]) -> String {
    nodes.iter().map(|node| node.0.to_string()).collect::<Vec<_>>().join(", ")
}

impl Hello {
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(16);
        w.raw(MAGIC);
        w.u32(self.protocol);
        w.varint(self.node.0);
        w.u128(self.incarnation.0);
        w.u8(u8::from(self.cluster.is_some()));
        w.u128(self.cluster.map_or(0, |cluster| cluster.0));
        w.varint(self.listed.len() as u64);
        for node in &self.listed {
            w.varint(node.0);
        }
        w.into_vec()
    }

    /// Reads the head of any protocol's hello, so that another version can be told from noise.
    pub fn decode(bytes: &[u8]) -> Result<Hello, CodecError> {
        let mut r = Reader::new(bytes);
        if r.u8("hello kind")? != 16 || r.raw(MAGIC.len(), "hello magic")? != MAGIC {
            return Err(CodecError { what: "hello", offset: 0 });
        }
        let protocol = r.u32("protocol")?;
        if protocol != PROTOCOL {
            let (node, incarnation) = (NodeId(0), Incarnation(0));
            return Ok(Hello { protocol, node, incarnation, cluster: None, listed: Vec::new() });
        }
        let node = NodeId(r.varint("node")?);
        let incarnation = Incarnation(r.u128("incarnation")?);
        let formed = r.u8("formed")? == 1;
        let cluster = ClusterId(r.u128("cluster")?);
        let listed =
            (0..r.count(1, "peer count")?).map(|_| Ok(NodeId(r.varint("peer")?))).collect::<Result<_, CodecError>>()?;
        r.finish("hello")?;
        Ok(Hello { protocol, node, incarnation, cluster: formed.then_some(cluster), listed })
    }
}

impl Verdict {
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(17);
        match self {
            Verdict::Accept => w.u8(1),
            Verdict::Wait => w.u8(2),
            Verdict::Invite(membership) => {
                w.u8(3);
                w.u128(membership.cluster.0);
                w.varint(membership.members.len() as u64);
                for (node, incarnation) in &membership.members {
                    w.varint(node.0);
                    w.u128(incarnation.0);
                }
            }
            Verdict::Lost => w.u8(4),
            Verdict::Stranger(why) => {
                w.u8(5);
                w.str(why);
            }
        }
        w.into_vec()
    }

    pub fn decode(bytes: &[u8]) -> Result<Verdict, CodecError> {
        let mut r = Reader::new(bytes);
        if r.u8("verdict kind")? != 17 {
            return Err(CodecError { what: "verdict", offset: 0 });
        }
        let verdict = match r.u8("verdict")? {
            1 => Verdict::Accept,
            2 => Verdict::Wait,
            3 => {
                let cluster = ClusterId(r.u128("cluster")?);
                let members = (0..r.count(17, "member count")?)
                    .map(|_| Ok((NodeId(r.varint("member")?), Incarnation(r.u128("incarnation")?))))
                    .collect::<Result<_, CodecError>>()?;
                Verdict::Invite(Membership { cluster, members })
            }
            4 => Verdict::Lost,
            5 => Verdict::Stranger(r.str("reason")?.to_owned()),
            _ => return Err(r.error("verdict")),
        };
        r.finish("verdict")?;
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

    fn node(n: u64, incarnation: u128, membership: Option<Membership>) -> Identity {
        Identity { node: NodeId(n), incarnation: Incarnation(incarnation), membership }
    }

    fn hello(identity: &Identity) -> Hello {
        Hello {
            protocol: PROTOCOL,
            node: identity.node,
            incarnation: identity.incarnation,
            cluster: identity.membership.as_ref().map(|m| m.cluster),
            listed: LISTED.to_vec(),
        }
    }

    fn cluster() -> Membership {
        let members = LISTED.iter().map(|n| (*n, Incarnation(u128::from(n.0) * 11))).collect();
        Membership { cluster: ClusterId(5), members }
    }

    #[test]
    fn the_lowest_node_founds_once_it_has_met_all_and_nobody_else_does() {
        let (one, two, three) = (node(1, 11, None), node(2, 22, None), node(3, 33, None));
        let mut founding = Founding::default();
        assert_eq!(founding.meet(&one, &LISTED, &hello(&two)), None);
        assert_eq!(founding.meet(&one, &LISTED, &hello(&two)), None);
        assert_eq!(founding.meet(&one, &LISTED, &hello(&three)), Some(cluster().members));
        let mut second = Founding::default();
        assert_eq!(second.meet(&two, &LISTED, &hello(&one)), None);
        assert_eq!(second.meet(&two, &LISTED, &hello(&three)), None);
    }

    #[test]
    fn a_wiped_member_is_lost_and_a_late_founder_is_invited() {
        let one = node(1, 11, Some(cluster()));
        assert_eq!(judge(&one, &LISTED, None, &hello(&node(2, 22, None))), Verdict::Invite(cluster()));
        assert_eq!(judge(&one, &LISTED, None, &hello(&node(2, 99, None))), Verdict::Lost);
        assert_eq!(judge(&one, &LISTED, None, &hello(&node(2, 22, Some(cluster())))), Verdict::Accept);
        assert_eq!(judge(&one, &LISTED, None, &hello(&node(2, 99, Some(cluster())))), Verdict::Lost);
        assert_eq!(judge(&node(2, 99, None), &LISTED, None, &hello(&one)), Verdict::Wait);
    }

    #[test]
    fn strangers_are_told_what_is_wrong() {
        let one = node(1, 11, Some(cluster()));
        let other = Membership { cluster: ClusterId(6), ..cluster() };
        let why = |verdict| match verdict {
            Verdict::Stranger(why) => why,
            verdict => panic!("{verdict:?}"),
        };
        assert!(why(judge(&one, &LISTED, None, &hello(&node(2, 22, Some(other))))).contains("belongs to cluster"));
        assert!(why(judge(&one, &LISTED, Some(NodeId(3)), &hello(&node(2, 22, None)))).contains("node 3 was expected"));
        let fewer = Hello { listed: vec![NodeId(1), NodeId(2)], ..hello(&node(2, 22, None)) };
        assert!(why(judge(&one, &LISTED, None, &fewer)).contains("another list of peers: 1, 2"));
        let later = Hello { protocol: 2, ..fewer };
        assert!(why(judge(&one, &LISTED, None, &later)).contains("peer protocol 2"));
    }

    #[test]
    fn words_return() {
        let two = node(2, 22, Some(cluster()));
        assert_eq!(Hello::decode(&hello(&two).encode()), Ok(hello(&two)));
        for verdict in
            [Verdict::Accept, Verdict::Wait, Verdict::Invite(cluster()), Verdict::Lost, Verdict::Stranger("x".into())]
        {
            assert_eq!(Verdict::decode(&verdict.encode()), Ok(verdict));
        }
    }
}
