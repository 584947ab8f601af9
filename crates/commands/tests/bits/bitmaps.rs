//! Bitmaps: what a user sees, and generated commands.

use crate::{Pair, script, words};
use testkit::Cluster;
use testkit::generate::{Random, Words};

#[test]
fn a_bit_that_was_set_is_read_counted_and_found() {
    script(
        &mut Cluster::new(2),
        r#"
        setbit k 7 1 => 0
        setbit k 7 1 => 1
        getbit k 7 => 1
        getbit k 6 => 0
        getbit k 4294967295 => 0
        getbit nok 0 => 0
        get k => "\x01"
        object encoding k => "raw"
        setbit k 16 0 => 0
        strlen k => 3
        bitcount k => 1
        bitpos k 1 => 7
        bitpos k 8 => (ERR The bit argument must be 1 or 0.)
        bitpos k 0 => 0
        set k 12 => OK
        setbit k 7 0 => 1
        get k => "02"
        "#,
    );
}

#[test]
fn offsets_end_at_the_longest_value() {
    script(
        &mut Cluster::new(1),
        r#"
        setbit k 4294967296 1 => (ERR bit offset is not an integer or out of range)
        setbit k -1 1 => (ERR bit offset is not an integer or out of range)
        setbit k #1 1 => (ERR bit offset is not an integer or out of range)
        getbit k x => (ERR bit offset is not an integer or out of range)
        setbit k 0 2 => (ERR bit is not an integer or out of range)
        setbit k 0 x => (ERR bit is not an integer or out of range)
        bitfield k set i64 #576460752303423488 1 => (ERR bit offset is not an integer or out of range)
        bitfield k get i64 #9223372036854775807 => (ERR bit offset is not an integer or out of range)
        bitfield k get u8 #536870912 => (ERR bit offset is not an integer or out of range)
        bitfield k get u8 #536870911 => [0]
        exists k => 0
        "#,
    );
}

#[test]
fn the_end_of_a_string_is_followed_by_zeroes_unless_an_end_is_given() {
    script(
        &mut Cluster::new(1),
        r#"
        bitfield k set u24 0 16777215 => [0]
        bitpos k 0 => 24
        bitpos k 0 1 => 24
        bitpos k 0 0 -1 => -1
        bitpos k 0 3 => -1
        bitpos nok 0 => 0
        bitpos nok 1 => -1
        bitcount k 1 1 => 8
        bitcount k 1 9 bit => 9
        bitcount k 0 => (ERR syntax error)
        bitcount nok x y => 0
        "#,
    );
}

#[test]
fn fields_are_changed_in_order_and_overflow_as_asked() {
    script(
        &mut Cluster::new(2),
        r#"
        bitfield k set i8 0 -1 get u8 0 incrby u8 0 10 get u8 0 => [0, 255, 9, 9]
        bitfield k overflow sat incrby u8 0 300 overflow fail incrby u8 0 1 overflow wrap incrby u8 0 1 => [255, nil, 0]
        bitfield k set u4 #3 15 get u16 0 => [0, 15]
        bitfield k get i64 0 => [4222124650659840]
        bitfield nok get u8 0 get i5 100 => [0, 0]
        bitfield nok => []
        exists nok => 0
        bitfield_ro nok get u8 0 => [0]
        bitfield_ro nok set u8 0 1 => (ERR BITFIELD_RO only supports the GET subcommand)
        bitfield k get u64 0 => (ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.)
        bitfield k overflow bad => (ERR Invalid OVERFLOW type specified)
        bitfield k set u8 0 => (ERR syntax error)
        "#,
    );
}

#[test]
fn a_combination_takes_the_place_of_whatever_was_there() {
    script(
        &mut Cluster::new(4),
        r#"
        mset a abcdef b abz => OK
        set d old ex 100 => OK
        bitop and d a b => 6
        get d => "abb\x00\x00\x00"
        ttl d => -1
        bitop or d a b nok => 6
        bitop xor d d a => 6
        bitop not d b => 3
        get d => "\x9e\x9d\x85"
        bitop and d nok nok2 => 0
        exists d => 0
        bitop not d a b => (ERR BITOP NOT must be called with a single source key.)
        bitop nand d a b => (ERR syntax error)
        "#,
    );
}

#[test]
fn growth_beyond_the_memory_limit_is_refused() {
    let mut cluster = Cluster::new(1);
    script(
        &mut cluster,
        r#"
        config set maxmemory 20mb => OK
        setbit k 4294967295 1 => (OOM command not allowed when used memory > 'maxmemory'.)
        bitfield k set u8 4294967295 1 => (OOM command not allowed when used memory > 'maxmemory'.)
        exists k => 0
        setbit k 800000 1 => 0
        "#,
    );
}

/// Commands, as often as they should come up; capital letters stand for words of a kind.
const TEMPLATES: &[&str] = &[
    "setbit K O B",
    "setbit K O B",
    "setbit K O B",
    "getbit K O",
    "getbit K O",
    "bitcount K",
    "bitcount K R R",
    "bitcount K R R U",
    "bitcount K R",
    "bitpos K B",
    "bitpos K B R",
    "bitpos K B R R",
    "bitpos K B R R U",
    "bitpos K B R R U U",
    "bitop and K K K",
    "bitop or K K K",
    "bitop xor K K K K",
    "bitop not K K",
    "bitop W K K",
    "bitop W K K K",
    "bitfield K F F",
    "bitfield K F F F F",
    "bitfield K F",
    "bitfield K overflow X F overflow X F F",
    "bitfield K overflow X F F F",
    "bitfield_ro K G G",
    "bitfield_ro K F G",
    "bitfield K G G G",
    "get K",
    "get K",
    "strlen K",
    "object encoding K",
    "set K V",
    "set K V",
    "append K V",
    "setrange K 40 V",
    "del K",
    "exists K",
    "pexpire K 100000000",
    "ttl K",
];

struct Generator {
    random: Random,
}

impl Generator {
    fn next_command(&mut self) -> Words {
        let template = *self.random.pick(TEMPLATES);
        let line: Vec<String> = template.split(' ').map(|word| self.word(word)).collect();
        let mut command = words(&line.join(" "));
        if self.random.one_in(30) {
            let at = 1 + self.random.below(command.len() as u64) as usize;
            if at < command.len() && self.random.one_in(2) {
                command.remove(at);
            } else {
                let strange = ["", "-1", "nosuch", "0", "u8", "9223372036854775808"];
                command.insert(at, self.random.pick(&strange).as_bytes().to_vec());
            }
        }
        command
    }

    fn one(&mut self, words: &[&str]) -> String {
        self.random.pick(words).to_string()
    }

    fn word(&mut self, word: &str) -> String {
        match word {
            "K" => self.one(&["a", "b", "c", "d", "e", "{a}longer", "n"]),
            "B" => self.one(&["0", "1", "0", "1", "0", "1", "0", "1", "2", "-1", "x"]),
            "O" => self.offset(),
            "R" => match self.random.below(4) {
                0 => self.one(&[
                    "0",
                    "-1",
                    "x",
                    "9223372036854775807",
                    "-9223372036854775808",
                ]),
                _ => (self.random.below(400) as i64 - 200).to_string(),
            },
            "U" => self.one(&["bit", "BYTE", "Bit", "byte", "bits"]),
            "W" => self.one(&["AND", "Or", "xOR", "not", "nand"]),
            "X" => self.one(&["wrap", "SAT", "Fail", "sat", "fail", "bad"]),
            "V" => self.one(&[
                "12",
                "foobar",
                "''",
                "-7",
                "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklm",
            ]),
            "G" => format!("get {} {}", self.encoding(), self.field_offset()),
            "F" => match self.random.below(3) {
                0 => self.word("G"),
                1 => {
                    let (encoding, offset) = (self.encoding(), self.field_offset());
                    // Redis saturates what is far too small to the largest number; see `field`.
                    let numbers = [
                        "0",
                        "1",
                        "-1",
                        "127",
                        "128",
                        "-129",
                        "255",
                        "4294967296",
                        "-70000000000",
                        "9223372036854775807",
                        "4611686018427387904",
                        "x",
                    ];
                    format!("SET {encoding} {offset} {}", self.one(&numbers))
                }
                _ => {
                    let (encoding, offset) = (self.encoding(), self.field_offset());
                    let numbers = [
                        "0",
                        "1",
                        "-1",
                        "100",
                        "-100",
                        "255",
                        "-9223372036854775808",
                        "9223372036854775807",
                        "4611686018427387904",
                        "-4611686018427387904",
                        "1.5",
                    ];
                    format!("incrby {encoding} {offset} {}", self.one(&numbers))
                }
            },
            word => word.to_owned(),
        }
    }

    fn offset(&mut self) -> String {
        const STRANGE: [&str; 8] = [
            "-1",
            "8388607",
            "8388608",
            "x",
            "#1",
            "''",
            "9223372036854775807",
            "1.0",
        ];
        match self.random.below(30) {
            0 => self.one(&STRANGE),
            1 => self.random.below(80_000).to_string(),
            _ => self.random.below(500).to_string(),
        }
    }

    fn field_offset(&mut self) -> String {
        match self.random.below(12) {
            0 => format!("#{}", self.one(&["-1", "x", "0", "", "200000", "131071"])),
            1..4 => format!("#{}", self.random.below(20)),
            _ => self.offset(),
        }
    }

    fn encoding(&mut self) -> String {
        match self.random.below(20) {
            0 => self.one(&["u64", "i0", "i65", "U8", "u", "i08", "8"]),
            1..4 => self.one(&["i64", "u63", "i1", "u1", "i63"]),
            _ => format!("{}{}", self.one(&["i", "u"]), 1 + self.random.below(63)),
        }
    }
}

#[test]
fn every_generated_bitmap_command_is_answered_as_redis_answers_it() {
    const COMMANDS: usize = 20_000;
    for shards in [1, 2, 4] {
        let test = "every_generated_bitmap_command_is_answered_as_redis_answers_it";
        let Some(mut pair) = Pair::start(test, shards) else {
            return;
        };
        pair.ask(&words("config set proto-max-bulk-len 1mb"));
        let mut generator = Generator {
            random: Random::new(u64::from(shards)),
        };
        for _ in 0..COMMANDS {
            pair.cluster
                .connect_to(generator.random.below(u64::from(shards)) as usize);
            pair.ask(&generator.next_command());
        }
        pair.finish();
    }
}
