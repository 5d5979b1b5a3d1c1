//! Two groups of machines that do not reach each other; some may reach both. Clients may be on one side, or reach every node: a
//! deposed leader is dangerous when somebody still asks it.

use async_trait::async_trait;
use tenet_seam::Random;

use super::{Fault, Field, log_between};

pub(super) struct Partition;

#[async_trait]
impl Fault for Partition {
    fn name(&self) -> &'static str {
        "partition"
    }

    async fn strike(&self, field: &Field, luck: &mut Random) {
        let bridges_percent = [0, 20][luck.below(2) as usize];
        let mut groups: [Vec<String>; 2] = Default::default();
        let clients_too = luck.chance(50);
        let clients = field.clients.iter().filter(|_| clients_too);
        for machine in field.nodes.iter().chain(clients) {
            if !luck.chance(bridges_percent) {
                groups[luck.below(2) as usize].push(machine.name.clone());
            }
        }
        let pairs = || groups[0].iter().flat_map(|one| groups[1].iter().map(move |two| (one, two)));
        if pairs().next().is_none() {
            return;
        }
        let detail = groups.clone().map(|group| group.join(" ")).join(" | ");
        for (one, two) in pairs() {
            field.sim.net().cut(one, two);
            field.sim.net().cut(two, one);
        }
        field.count(self.name(), 1);
        field.begins(self.name(), &detail);
        let least = log_between(luck, 50, 2_000);
        field.pause_ms(luck, least, least * 2).await;
        for (one, two) in pairs() {
            field.sim.net().heal(one, two);
            field.sim.net().heal(two, one);
        }
        field.ends(self.name(), &detail);
    }
}
