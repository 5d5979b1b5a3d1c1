//! The engine in a world answers as it does in a process: the same statements, the same answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use tenet_seam::{Address, Seam, Stream};

use super::answers::{Answer, Conversation, check};
use super::{ms, play, seam_of};
use crate::node::cast;
use crate::plan::{Plan, Wishes};
use crate::world::NodeSettings;

/// Asks the first of so many nodes, each as the plan of the seed has it.
fn answers(seed: u64, nodes: u64) -> Vec<Answer> {
    let limits = Plan::draw(seed, &Wishes::default()).unwrap().limits;
    play(seed, move |sim| async move {
        let address = |number: u64, port: u16| Address(format!("n{number}:{port}"));
        let peers: BTreeMap<u64, Address> = (1..=nodes).map(|number| (number, address(number, 7_433))).collect();
        for number in 1..=nodes {
            let settings = NodeSettings {
                number,
                sql: address(number, 5_433),
                peers: peers.clone(),
                limits: limits.clone(),
                witness: Arc::default(),
            };
            sim.machine(&format!("n{number}")).start(move |seam| async move {
                (cast().program)(seam, settings).await.expect("a node starts");
            });
        }
        let client = seam_of(&sim, "client").await;
        let mut conversation = open(&client, &address(1, 5_433)).await;
        conversation.ask().await.expect("the node serves")
    })
}

/// Patient while the node starts and makes its first database.
async fn open(client: &Seam, address: &Address) -> Conversation<Stream> {
    loop {
        if let Ok(stream) = client.net.connect(address).await
            && let Ok(conversation) = Conversation::open(stream, "postgres").await
        {
            return conversation;
        }
        client.sleep(ms(100)).await;
    }
}

#[test]
fn a_world_of_one_node_answers_as_postgres_does() {
    check(&answers(1, 1));
}

#[test]
fn a_world_of_three_nodes_answers_as_postgres_does() {
    check(&answers(2, 3));
}
