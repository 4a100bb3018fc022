//! Who does what of a draw: which tokens each member draws, and of which steps peers compute the modulations for this one.
//! Section 3.2 of the paper.

use std::ops::Range;

/// The parts of a draw.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Tokens of each member, this one first; none has none.
    pub tokens: Vec<Range<usize>>,
    /// Steps whose modulations each peer computes for this one's tokens, before it draws its own; empty if none does.
    pub help: Vec<Range<usize>>,
}

impl Plan {
    /// The quicker of two plans for so many tokens, steps and members; `share` is the part of a token's work that its
    /// modulations are.
    ///
    /// Either the tokens are split as evenly as can be. Or every peer gets the same number, this one draws the others too, and
    /// the peers help it: so three tokens take two members the time of one and a half.
    pub fn new(tokens: usize, steps: usize, members: usize, share: f64) -> Self {
        let even = Self { tokens: split(tokens, members).collect(), help: Vec::new() };
        let (each, peers) = (tokens / members, members - 1);
        let own = tokens - each * peers;
        if own <= each || peers == 0 {
            return even;
        }
        // In units of a token's work. Here, every step is taken, and some steps' modulations are computed; every peer draws
        // its tokens and computes its part of the others.
        let (mine, theirs, helpers) = (own as f64, each as f64, peers as f64);
        let balanced = (theirs / mine + share / helpers - (1.0 - share)) / (share + share / helpers);
        // The first modulations that come from a peer are there before they are needed.
        let in_time = share / (helpers + share);
        let first = (balanced.max(in_time).min(1.0) * steps as f64).ceil();
        let longest = even.tokens.first().map_or(0, Range::len);
        if mine * (1.0 - share + share * first / steps as f64) >= longest as f64 {
            return even;
        }
        let first = first as usize;
        let tokens = std::iter::once(0..own).chain((0..peers).map(|i| own + i * each..own + (i + 1) * each));
        Self {
            tokens: tokens.filter(|tokens| !tokens.is_empty()).collect(),
            help: split(steps - first, peers).map(|steps| first + steps.start..first + steps.end).collect(),
        }
    }
}

/// `count` in at most `parts` consecutive ranges, as even as can be and none of them empty; none is longer than the first.
pub fn split(count: usize, parts: usize) -> impl Iterator<Item = Range<usize>> {
    let parts = parts.min(count);
    (0..parts).map(move |i| (i * count).div_ceil(parts)..((i + 1) * count).div_ceil(parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_as_even_as_can_be() {
        let lengths = |count, parts| split(count, parts).map(|part| part.len()).collect::<Vec<_>>();
        assert_eq!(lengths(5, 1), [5]);
        assert_eq!(lengths(5, 2), [3, 2]);
        assert_eq!(lengths(5, 3), [2, 2, 1]);
        assert_eq!(lengths(7, 5), [2, 1, 2, 1, 1]);
        assert_eq!(lengths(2, 5), [1, 1], "nobody gets nothing");
        assert_eq!(lengths(0, 3), [0; 0]);
        for (count, parts) in [(1, 1), (13, 4), (3, 8)] {
            assert!(split(count, parts).flatten().eq(0..count), "each once, in order");
        }
    }

    #[test]
    fn where_tokens_do_not_come_out_even_peers_help() {
        let plan = |tokens, members| Plan::new(tokens, 50, members, 0.64);
        let lengths = |parts: &[Range<usize>]| parts.iter().map(Range::len).collect::<Vec<_>>();
        let found = [(4, 2), (1, 1), (1, 2), (3, 2), (5, 3)].map(|(tokens, members)| {
            let Plan { tokens, help } = plan(tokens, members);
            (lengths(&tokens), lengths(&help))
        });
        let expected = [
            (vec![2, 2], vec![]),
            (vec![1], vec![]),
            (vec![1], vec![30]),
            (vec![2, 1], vec![19]),
            (vec![3, 1, 1], vec![17, 17]),
        ];
        assert_eq!(found, expected);
        // Seven tokens one after the other would take longer here than one on each of seven.
        assert_eq!(plan(7, 8), Plan { tokens: (0..7).map(|token| token..token + 1).collect(), help: vec![] });
    }

    #[test]
    fn every_token_is_drawn_once_and_help_lasts_to_the_end() {
        for tokens in 1..30 {
            for members in 1..9 {
                for steps in [2, 5, 50] {
                    for share in [0.0, 0.3, 0.64, 0.9] {
                        let Plan { tokens: drawn, help } = Plan::new(tokens, steps, members, share);
                        assert!(drawn.iter().cloned().flatten().eq(0..tokens), "{drawn:?}");
                        assert!(drawn.len() <= members && help.len() < members);
                        let first = help.first().map_or(steps, |steps| steps.start);
                        assert!(help.into_iter().flatten().eq(first..steps));
                    }
                }
            }
        }
    }
}
