//! Strongly connected components of a view, after Pearce's one-array form of Tarjan's algorithm (2016), without recursion.
//!
//! Two ids are in one component exactly if a cycle goes through both. This is why an enormous tangle needs no enumeration of
//! cycles: that there is one is known in linear time, and any walk within the component shows it.

use super::graph::{Graph, Id, View};

pub(super) struct Components {
    /// Of each id, its component. Edges between components lead from lower numbers to higher ones.
    of: Vec<u32>,
    /// Those of more than one id, one after the other, in the order of their numbers from the highest.
    members: Vec<Id>,
    ends: Vec<u32>,
}

impl Components {
    pub(super) fn find(graph: &Graph, view: &View) -> Components {
        let count = graph.id_count(view);
        // 0: not seen. Below `component`: the order in which it was seen, or the lowest that it reaches. Else: done.
        let mut of = vec![0u32; count];
        let (mut order, mut component) = (1u32, u32::MAX);
        let mut stack: Vec<Id> = Vec::new();
        // An id, where its next successor is found, and whether it reaches no id that was seen before it.
        let mut visits: Vec<(Id, u32, bool)> = Vec::new();
        let (mut members, mut ends) = (Vec::new(), Vec::new());
        for start in 0..count as u32 {
            if of[start as usize] != 0 {
                continue;
            }
            of[start as usize] = order;
            order += 1;
            visits.push((start, 0, true));
            while let Some((id, cursor, is_root)) = visits.last_mut() {
                let at = *id as usize;
                if let Some(next) = graph.successor(view, *id, cursor) {
                    let seen = of[next as usize];
                    if seen == 0 {
                        of[next as usize] = order;
                        order += 1;
                        visits.push((next, 0, true));
                    } else if seen < of[at] {
                        of[at] = seen;
                        *is_root = false;
                    }
                    continue;
                }
                let (id, is_root) = (*id, *is_root);
                visits.pop();
                if is_root {
                    let first = members.len();
                    while let Some(member) = stack.pop_if(|member| of[at] <= of[*member as usize]) {
                        of[member as usize] = component;
                        order -= 1;
                        members.push(member);
                    }
                    if members.len() > first {
                        members.push(id);
                        ends.push(members.len() as u32);
                    }
                    of[at] = component;
                    order -= 1;
                    component -= 1;
                } else {
                    stack.push(id);
                }
                if let Some((parent, _, is_root)) = visits.last_mut() {
                    let parent = *parent as usize;
                    if of[at] < of[parent] {
                        of[parent] = of[at];
                        *is_root = false;
                    }
                }
            }
        }
        Components { of, members, ends }
    }

    pub(super) fn of(&self, id: Id) -> u32 {
        self.of[id as usize]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The components of more than one id, smallest first.
    pub(super) fn by_size(&self) -> Vec<&[Id]> {
        let mut first = 0;
        let mut components: Vec<&[Id]> = Vec::new();
        for end in &self.ends {
            components.push(&self.members[first..*end as usize]);
            first = *end as usize;
        }
        components.sort_by_key(|component| component.len());
        components
    }
}
