//! The merge of several logs by stamp.
//!
//! A lane is one log that gives its lines one after another; the merge always takes from the lane whose next line is due, and keeps
//! each lane's own order even where its stamps are not sorted. Equal stamps stand in the order of the lanes. Pure: what a lane
//! reads, and when, is the lane's business.

use jiff::Timestamp;

/// A sequence of stamped items of which the next can be seen and taken.
pub trait Lane {
    /// What the lane gives.
    type Item;
    /// Why it could not.
    type Error;

    /// The stamp of the next item, or a bound that it does not pass; none at the end.
    fn next_stamp(&mut self) -> Result<Option<Timestamp>, Self::Error>;

    /// Takes the next item; none when the stamp was a bound only, and the lane now knows better.
    fn take(&mut self) -> Result<Option<Self::Item>, Self::Error>;
}

/// Which end of the lanes is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    Forward,
    /// Newest first.
    Backward,
}

/// Takes items in the order of their stamps and hands them to `sink` until it says no (`false`) or all lanes are at their end.
pub fn merge<L: Lane>(lanes: &mut [L], order: Order, sink: impl FnMut(L::Item) -> bool) -> Result<(), L::Error> {
    merge_until(lanes, order, None, sink).map(drop)
}

/// The same, as long as the item that is due is not later than `limit`: the stamp of the first that stays for that reason.
pub fn merge_until<L: Lane>(
    lanes: &mut [L],
    order: Order,
    limit: Option<Timestamp>,
    mut sink: impl FnMut(L::Item) -> bool,
) -> Result<Option<Timestamp>, L::Error> {
    let mut stamps = lanes.iter_mut().map(Lane::next_stamp).collect::<Result<Vec<_>, _>>()?;
    while let Some((stamp, due)) = due(&stamps, order) {
        if limit.is_some_and(|limit| stamp > limit) {
            return Ok(Some(stamp));
        }
        if let Some(item) = lanes[due].take()?
            && !sink(item)
        {
            return Ok(None);
        }
        stamps[due] = lanes[due].next_stamp()?;
    }
    Ok(None)
}

fn due(stamps: &[Option<Timestamp>], order: Order) -> Option<(Timestamp, usize)> {
    let waiting = stamps
        .iter()
        .enumerate()
        .filter_map(|(lane, stamp)| Some(((*stamp)?, lane)));
    match order {
        Order::Forward => waiting.min(),
        Order::Backward => waiting.max(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use std::convert::Infallible;

    struct Cards(VecDeque<(i64, usize)>, Order);

    impl Lane for Cards {
        type Item = (i64, usize);
        type Error = Infallible;

        fn next_stamp(&mut self) -> Result<Option<Timestamp>, Infallible> {
            let next = match self.1 {
                Order::Forward => self.0.front(),
                Order::Backward => self.0.back(),
            };
            Ok(next.map(|(stamp, _)| Timestamp::from_microsecond(*stamp).unwrap()))
        }

        fn take(&mut self) -> Result<Option<(i64, usize)>, Infallible> {
            Ok(match self.1 {
                Order::Forward => self.0.pop_front(),
                Order::Backward => self.0.pop_back(),
            })
        }
    }

    proptest! {
        #[test]
        fn the_merge_of_any_split_is_the_sorted_whole(items in prop::collection::vec((0_i64..20, 0_usize..5), 0..100)) {
            let mut whole = items.clone();
            whole.sort();
            for order in [Order::Forward, Order::Backward] {
                let mut lanes: Vec<Cards> = (0..5).map(|_| Cards(VecDeque::new(), order)).collect();
                for item in &whole {
                    lanes[item.1].0.push_back(*item);
                }
                let mut merged = Vec::new();
                let Ok(()) = merge(&mut lanes, order, |item| { merged.push(item); true });
                if order == Order::Backward {
                    merged.reverse();
                }
                prop_assert_eq!(&merged, &whole);
            }
        }

        #[test]
        fn a_lane_keeps_its_own_order_even_when_its_clock_went_back(stamps in prop::collection::vec(0_i64..9, 0..30)) {
            let lane: VecDeque<_> = stamps.into_iter().enumerate().map(|(at, stamp)| (stamp, at)).collect();
            let mut lanes = [Cards(lane.clone(), Order::Forward), Cards(VecDeque::from([(4, 0)]), Order::Forward)];
            let mut merged = Vec::new();
            let Ok(()) = merge(&mut lanes, Order::Forward, |item| { merged.push(item); true });
            prop_assert_eq!(merged.len(), lane.len() + 1);
            let mut rest = lane.iter().peekable();
            for item in &merged {
                rest.next_if(|next| *next == item);
            }
            prop_assert!(rest.next().is_none());
        }
    }

    #[test]
    fn what_is_later_than_the_limit_stays_and_is_told() {
        let stamp = |second| Timestamp::from_microsecond(second).unwrap();
        let cards = |stamps: &[i64], lane| Cards(stamps.iter().map(|stamp| (*stamp, lane)).collect(), Order::Forward);
        let mut lanes = [cards(&[1, 4, 9], 0), cards(&[3, 7], 1)];
        let mut merged = Vec::new();
        let mut take = |limit| {
            let Ok(stays) = merge_until(&mut lanes, Order::Forward, limit, |item| {
                merged.push(item);
                true
            });
            (std::mem::take(&mut merged), stays)
        };
        assert_eq!(take(Some(stamp(4))), (vec![(1, 0), (3, 1), (4, 0)], Some(stamp(7))));
        assert_eq!(take(Some(stamp(6))), (vec![], Some(stamp(7))));
        assert_eq!(take(None), (vec![(7, 1), (9, 0)], None));
    }

    #[test]
    fn a_sink_that_says_no_leaves_the_rest_in_the_lanes() {
        let mut lanes = [Cards(VecDeque::from([(1, 0), (3, 0)]), Order::Forward)];
        let Ok(()) = merge(&mut lanes, Order::Forward, |_| false);
        assert_eq!(lanes[0].0, [(3, 0)]);
    }
}
