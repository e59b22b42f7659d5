//! Finds cycles in a graph of names.
//!
//! Knows nothing of what the names stand for: services that depend, profiles that extend.

use std::collections::{BTreeMap, BTreeSet};

/// What each name points to. Names that are pointed to but have no entry point nowhere.
pub type Graph<'n> = BTreeMap<&'n str, Vec<&'n str>>;

/// Cycles of the graph, each once and beginning with its smallest name: at least one for every knot of names that
/// reach each other. Empty when there is an order.
pub fn cycles<'n>(graph: &Graph<'n>) -> BTreeSet<Vec<&'n str>> {
    let mut found = BTreeSet::new();
    let mut done = BTreeSet::new();
    for start in graph.keys().copied() {
        // The names on the way from `start`, each with how many of its arrows were followed. No recursion: the
        // length of a chain is the user's to choose.
        let mut path: Vec<(&str, usize)> = vec![(start, 0)];
        while let Some((name, followed)) = path.last_mut() {
            let name = *name;
            let next = graph.get(name).and_then(|arrows| arrows.get(*followed)).copied();
            *followed += 1;
            let Some(next) = next.filter(|_| !done.contains(name)) else {
                done.insert(name);
                path.pop();
                continue;
            };
            match path.iter().position(|(on_path, _)| *on_path == next) {
                Some(begin) => {
                    found.insert(smallest_first(path[begin..].iter().map(|(name, _)| *name).collect()));
                }
                None => path.push((next, 0)),
            }
        }
    }
    found
}

/// `a → b → a`.
pub fn show(cycle: &[&str]) -> String {
    let back = cycle.first().copied();
    cycle.iter().copied().chain(back).collect::<Vec<_>>().join(" → ")
}

fn smallest_first(mut cycle: Vec<&str>) -> Vec<&str> {
    let smallest = cycle
        .iter()
        .enumerate()
        .min_by_key(|(_, name)| **name)
        .map_or(0, |(index, _)| index);
    cycle.rotate_left(smallest);
    cycle
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(arrows: &[(&'static str, &[&'static str])]) -> Vec<String> {
        let graph = arrows.iter().map(|(name, to)| (*name, to.to_vec())).collect();
        cycles(&graph).iter().map(|cycle| show(cycle)).collect()
    }

    #[test]
    fn every_knot_is_named_once() {
        assert_eq!(
            found(&[("b", &["c"]), ("c", &["b"]), ("a", &["b", "x"])]),
            ["b → c → b"]
        );
        assert_eq!(
            found(&[("a", &["a"]), ("b", &["c"]), ("c", &["d"]), ("d", &["b"])]),
            ["a → a", "b → c → d → b"]
        );
        assert_eq!(
            found(&[("a", &["b", "c"]), ("b", &["d"]), ("c", &["d"]), ("d", &[])]),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_long_chain_is_no_trouble() {
        let names: Vec<String> = (0..3000).map(|number| format!("{number:05}")).collect();
        let graph = names
            .windows(2)
            .map(|pair| (pair[0].as_str(), vec![pair[1].as_str()]))
            .collect();
        assert_eq!(cycles(&graph).len(), 0);
    }

    proptest! {
        #[test]
        fn a_cycle_is_found_exactly_when_no_order_exists(arrows in prop::collection::vec((0..8usize, 0..8usize), 0..16)) {
            const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
            let mut graph = Graph::new();
            for (from, to) in arrows {
                graph.entry(NAMES[from]).or_default().push(NAMES[to]);
            }
            let found = cycles(&graph);
            for cycle in &found {
                for (index, name) in cycle.iter().enumerate() {
                    prop_assert!(graph[name].contains(&cycle[(index + 1) % cycle.len()]));
                }
            }
            let mut left: BTreeSet<&str> = NAMES.into();
            while let Some(free) = left.iter().copied().find(|name| graph.get(name).is_none_or(|to| to.iter().all(|to| !left.contains(to)))) {
                left.remove(free);
            }
            prop_assert_eq!(found.is_empty(), left.is_empty());
        }
    }
}
