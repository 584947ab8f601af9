//! How long one connection may keep the others of its core waiting within a turn.
//! Never looks at a clock: the driver does, where more came than is little.
//! A connection that had its share goes on in the next turn.

/// What a connection has in a turn while others wait, in microseconds.
const SHARE_US: u64 = 1000;

/// How much of the present turn a connection has had.
#[derive(Debug, Default)]
pub struct Share {
    /// When that turn began: which one is meant.
    turn_us: u64,
    spent_us: u64,
}

impl Share {
    /// Whether it is of the turn that began at `turn_us`.
    pub fn is_of(&self, turn_us: u64) -> bool {
        self.turn_us == turn_us
    }

    /// Adds time spent in the turn that began at `turn_us`; whether the share is used up.
    pub fn spend(&mut self, turn_us: u64, us: u64) -> bool {
        if self.turn_us != turn_us {
            *self = Share {
                turn_us,
                spent_us: 0,
            };
        }
        self.spent_us += us;
        self.spent_us > SHARE_US
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_used_up_in_one_turn_and_whole_again_in_the_next() {
        let mut share = Share::default();
        assert!(!share.spend(5, SHARE_US));
        assert!(share.spend(5, 1));
        assert!(!share.spend(6, SHARE_US));
    }
}
