//! GEOADD's grammar: options and positions become what ZADD is asked to do.
//! Never stores anything, and says nothing of the key.
//! Source: redis-server 7, asked for texts and order of checks.

use super::parse_point;
use crate::{Error, error};
use resp::Args;

/// What a GEOADD asks of a sorted set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addition {
    /// Members that are there stay as they are.
    pub only_new: bool,
    /// Members that are not there are not added.
    pub only_existing: bool,
    /// Moved members count in the reply, not only new ones.
    pub counts_changed: bool,
    /// Each member as the index of its argument, with its score.
    pub members: Vec<(usize, u64)>,
}

impl Addition {
    /// Reads a whole GEOADD.
    ///
    /// # Errors
    /// Those of the grammar, numbers that are none, and positions outside the map.
    pub fn parse(args: Args<'_>) -> Result<Addition, Error> {
        const MEMBER_ARGS: usize = 3;
        let mut addition = Addition::default();
        let mut first = 2;
        while let Some(word) = args.get(first) {
            match &word.to_ascii_lowercase()[..] {
                b"nx" => addition.only_new = true,
                b"xx" => addition.only_existing = true,
                b"ch" => addition.counts_changed = true,
                _ => break,
            }
            first += 1;
        }
        let whole = (args.len() - first).is_multiple_of(MEMBER_ARGS);
        if !whole || (addition.only_new && addition.only_existing) {
            return Err(error::SYNTAX.into());
        }
        for at in (first..args.len()).step_by(MEMBER_ARGS) {
            let point = parse_point(args.at(at), args.at(at + 1))?;
            addition.members.push((at + 2, point.score()));
        }
        Ok(addition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use resp::OwnedArgs;

    fn parse(line: &str) -> Result<Addition, Error> {
        let mut args = OwnedArgs::default();
        line.split(' ').for_each(|word| args.push(word.as_bytes()));
        Addition::parse(args.as_args())
    }

    #[test]
    fn options_may_come_in_any_order_before_the_first_position() {
        let addition = parse("GEOADD k CH nx 13.361389 38.115556 Palermo 15.087269 37.502669 c");
        let members = vec![(6, 3_479_099_956_230_698), (9, 3_479_447_370_796_909)];
        let expected = Addition {
            only_new: true,
            only_existing: false,
            counts_changed: true,
            members,
        };
        assert_eq!(addition, Ok(expected));
        assert_eq!(parse("GEOADD k 1 2 m nx"), Err(error::SYNTAX.into()));
    }

    #[test]
    fn a_position_outside_the_map_is_named_in_the_refusal() {
        let text = "ERR invalid longitude,latitude pair 181.000000,3.000000";
        assert_eq!(parse("GEOADD k 1 2 m 181 3 n"), Err(text.into()));
        let text = "ERR invalid longitude,latitude pair inf,-3.500000";
        assert_eq!(parse("GEOADD k inf -3.5 n"), Err(text.into()));
    }
}
