//! In which order slices of paths follow each other.

use crate::statistics::Random;

/// One slice to be measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Turn {
    /// The round, from 0.
    pub round: u32,
    /// Which path, by its place in the list.
    pub path: usize,
}

/// Every path once in each round, in an order that is random in each round and follows from `seed`.
pub fn schedule(rounds: u32, paths: usize, seed: u64) -> Vec<Turn> {
    let mut random = Random::new(seed);
    let mut order: Vec<usize> = (0..paths).collect();
    let mut turns = Vec::new();
    for round in 0..rounds {
        random.shuffle(&mut order);
        turns.extend(order.iter().map(|path| Turn { round, path: *path }));
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_has_every_path_once_and_rounds_differ() {
        let turns = schedule(40, 9, 5);
        let rounds: Vec<Vec<usize>> = turns.chunks(9).map(|c| c.iter().map(|t| t.path).collect()).collect();
        assert_eq!(rounds.len(), 40);
        for (number, round) in rounds.iter().enumerate() {
            assert!(turns[number * 9..][..9].iter().all(|turn| turn.round as usize == number));
            let mut sorted = round.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..9).collect::<Vec<_>>());
        }
        assert!(rounds.windows(2).filter(|pair| pair[0] != pair[1]).count() > 35);
    }

    #[test]
    fn the_order_follows_from_the_seed() {
        assert_eq!(schedule(5, 6, 1), schedule(5, 6, 1));
        assert_ne!(schedule(5, 6, 1), schedule(5, 6, 2));
    }

    #[test]
    fn no_path_has_a_place_of_its_own_in_the_rounds() {
        let mut places = [[0u32; 4]; 4];
        for (number, turn) in schedule(400, 4, 3).iter().enumerate() {
            places[turn.path][number % 4] += 1;
        }
        assert!(places.iter().flatten().all(|count| (60..140).contains(count)), "{places:?}");
    }
}
