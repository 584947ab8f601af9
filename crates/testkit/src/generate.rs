//! Generated commands of the key, expiry, keyspace, string and counter families, with good and bad arguments.
//! Never a command whose answer depends on how fast a test runs: times are long past or at least a hundred seconds off.
//! Source: our own; the pseudo-random numbers are xorshift64* (Vigna, 2016).

/// A reproducible stream of pseudo-random numbers.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// Whether a chance of one in `n` came true.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of some things.
    pub fn pick<'t, T>(&mut self, things: &'t [T]) -> &'t T {
        &things[self.below(things.len() as u64) as usize]
    }
}

/// One command: its name and arguments.
pub type Words = Vec<Vec<u8>>;

/// A stream of commands.
#[derive(Clone, Debug)]
pub struct Commands {
    random: Random,
    /// Relative times so far; each is used once, so that no two of them differ by less than a hundred seconds.
    times: u64,
}

/// Keys that collide often, some with hash tags, one empty.
const KEYS: [&str; 14] = [
    "a",
    "b",
    "c",
    "d",
    "key:1",
    "key:2",
    "{t}1",
    "{t}2",
    "x{t}",
    "{}q",
    "longer-key-name",
    "",
    "n1",
    "n2",
];
const INTEGERS: [&str; 12] = [
    "0",
    "1",
    "-1",
    "7",
    "100",
    "-45",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "007",
    "+5",
    "abc",
];
const FLOATS: [&str; 14] = [
    "0.1", "0.2", "-1.5", "3", "1e3", "1e-5", "5.0e3", "inf", "nan", "1e5000", "0x10", "abc", " 1",
    "-0",
];
const TEXTS: [&str; 9] = [
    "v",
    "hello",
    "ohmytext",
    "mynewtext",
    "",
    "10",
    "3.5",
    "aXbXc",
    "12 ",
];

type Maker = fn(&mut Commands) -> Vec<String>;

/// Every kind of command; a kind stands as often as it should come up.
const MAKERS: &[Maker] = &[
    |c| c.words("get K"),
    |c| c.words("get K"),
    |c| c.words("set K V"),
    |c| c.words("set K V"),
    Commands::set,
    Commands::set,
    Commands::set,
    |c| c.words("setnx K V"),
    |c| c.words("setex K S V"),
    |c| c.words("psetex K P V"),
    |c| c.words("getset K V"),
    |c| c.words("getdel K"),
    Commands::getex,
    Commands::getex,
    |c| c.words("mget K K K"),
    |c| c.words("mget K"),
    |c| c.words("mset K V K V K V"),
    |c| c.words("mset K V"),
    |c| c.words("msetnx K V K V"),
    |c| c.words("msetnx K V"),
    |c| c.words("append K V"),
    |c| c.words("append K V"),
    |c| c.words("strlen K"),
    |c| c.words("getrange K R R"),
    |c| c.words("substr K R R"),
    |c| c.words("setrange K O V"),
    Commands::lcs,
    |c| c.words("incr K"),
    |c| c.words("decr K"),
    |c| c.words("incrby K I"),
    |c| c.words("decrby K I"),
    |c| c.words("incrbyfloat K F"),
    |c| c.words("del K K"),
    |c| c.words("unlink K"),
    |c| c.words("exists K K K"),
    |c| c.words("touch K K"),
    |c| c.words("type K"),
    |c| c.words("rename K K"),
    |c| c.words("rename K K"),
    |c| c.words("renamenx K K"),
    |c| c.words("copy K K"),
    Commands::copy,
    |c| c.words("move K D"),
    Commands::expire,
    Commands::expire,
    Commands::expire,
    |c| c.words("ttl K"),
    |c| c.words("pttl K"),
    |c| c.words("expiretime K"),
    |c| c.words("pexpiretime K"),
    |c| c.words("persist K"),
    |c| c.words("keys G"),
    Commands::scan,
    |c| c.words("randomkey"),
    |c| c.words("dbsize"),
    Commands::object,
    Commands::rare,
];

impl Commands {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Commands {
        Commands {
            random: Random::new(seed),
            times: 0,
        }
    }

    /// The next command.
    pub fn next_command(&mut self) -> Words {
        let maker = *self.random.pick(MAKERS);
        let mut words = maker(self);
        if self.random.one_in(40) {
            self.spoil(&mut words);
        }
        if self.random.one_in(3) {
            words[0].make_ascii_uppercase();
        }
        words.into_iter().map(String::into_bytes).collect()
    }

    /// Takes an argument away, or adds one, or puts a strange one in its place; none that is a short time or a cursor.
    fn spoil(&mut self, words: &mut Vec<String>) {
        let at = 1 + self.random.below(words.len() as u64) as usize;
        let strange = self
            .random
            .pick(&["nosuch", "", "-1", "nx", "0", "9223372036854775807"])
            .to_string();
        match self.random.below(3) {
            0 if at < words.len() => _ = words.remove(at),
            1 if at < words.len() => words[at] = strange,
            _ => words.insert(at, strange),
        }
    }

    /// The words of a template, each capital letter replaced by a word of its kind.
    fn words(&mut self, template: &str) -> Vec<String> {
        template.split(' ').map(|word| self.word(word)).collect()
    }

    fn word(&mut self, word: &str) -> String {
        match word {
            "K" => self.random.pick(&KEYS).to_string(),
            "V" => self.value(),
            "I" => self.random.pick(&INTEGERS).to_string(),
            "F" => self.float(),
            "R" => self
                .random
                .pick(&["0", "-1", "2", "-3", "5", "100", "-100", "x"])
                .to_string(),
            "O" => {
                let offsets = [
                    "0",
                    "1",
                    "3",
                    "10",
                    "50",
                    "-1",
                    "536870912",
                    "9223372036854775807",
                    "x",
                    "300",
                ];
                self.random.pick(&offsets).to_string()
            }
            "D" => self
                .random
                .pick(&["0", "1", "2", "1", "15", "16", "-1", "x", "99999999999"])
                .to_string(),
            "G" => self.pattern(),
            "S" => self.relative(1),
            "P" => self.relative(1000),
            word => word.to_owned(),
        }
    }

    fn value(&mut self) -> String {
        match self.random.below(5) {
            0 => self.random.pick(&INTEGERS).to_string(),
            1 => self.float(),
            2 => "x".repeat([43, 44, 45, 200, 5000, 9000][self.random.below(6) as usize]),
            _ => self.random.pick(&TEXTS).to_string(),
        }
    }

    fn float(&mut self) -> String {
        if self.random.one_in(2) {
            return self.random.pick(&FLOATS).to_string();
        }
        format!("{}.{}", self.random.below(1000), self.random.below(100_000))
    }

    fn pattern(&mut self) -> String {
        let patterns = [
            "*", "a", "key:*", "?", "[a-c]", "[^a]*", "*{t}*", "\\a", "n[12]", "**", "", "[",
            "nosuch*", "*e*y*",
        ];
        self.random.pick(&patterns).to_string()
    }

    /// A time from now in units of which `per_second` make a second, or a bad one.
    fn relative(&mut self, per_second: u64) -> String {
        const BAD: [&str; 6] = [
            "0",
            "-1",
            "x",
            "9223372036854775807",
            "-9223372036854775808",
            "",
        ];
        if self.random.one_in(8) {
            return self.random.pick(&BAD).to_string();
        }
        self.times = self.times % 5000 + 1;
        // Times go up and down, so that GT and LT have something to tell apart.
        let hundreds = if self.times.is_multiple_of(2) {
            self.times
        } else {
            10_000 - self.times
        };
        (hundreds * 100 * per_second).to_string()
    }

    /// A time since 1970 in units of which `per_second` make a second: past, far away, or bad.
    fn absolute(&mut self, per_second: u64) -> String {
        const BAD: [&str; 5] = [
            "0",
            "-1",
            "x",
            "9223372036854775807",
            "-9223372036854775808",
        ];
        match self.random.below(8) {
            0 => self.random.pick(&BAD).to_string(),
            1 => per_second.to_string(),
            far => ((4_000_000_000 + far % 4 * 100_000_000) * per_second).to_string(),
        }
    }

    /// Options that give a key a time, where `name` is `set` or `getex`.
    fn lifetime(&mut self, words: &mut Vec<String>) {
        let (option, time) = match self.random.below(4) {
            0 => ("ex", self.relative(1)),
            1 => ("px", self.relative(1000)),
            2 => ("exat", self.absolute(1)),
            _ => ("pxat", self.absolute(1000)),
        };
        words.push(self.in_some_case(option));
        words.push(time);
    }

    fn in_some_case(&mut self, word: &str) -> String {
        if self.random.one_in(2) {
            word.to_ascii_uppercase()
        } else {
            word.to_owned()
        }
    }

    fn set(&mut self) -> Vec<String> {
        let mut words = self.words("set K V");
        for _ in 0..self.random.below(4) {
            match self.random.below(3) {
                0 => self.lifetime(&mut words),
                _ => {
                    let option = *self
                        .random
                        .pick(&["nx", "xx", "get", "keepttl", "get", "nx"]);
                    words.push(self.in_some_case(option));
                }
            }
        }
        words
    }

    fn getex(&mut self) -> Vec<String> {
        let mut words = self.words("getex K");
        match self.random.below(5) {
            0 => {}
            1 => words.push(self.in_some_case("persist")),
            2 => {
                words.push(self.in_some_case("persist"));
                self.lifetime(&mut words);
            }
            _ => self.lifetime(&mut words),
        }
        words
    }

    fn expire(&mut self) -> Vec<String> {
        let (name, time) = match self.random.below(4) {
            0 => ("expire", self.relative(1)),
            1 => ("pexpire", self.relative(1000)),
            2 => ("expireat", self.absolute(1)),
            _ => ("pexpireat", self.absolute(1000)),
        };
        let key = self.word("K");
        let mut words = vec![name.to_owned(), key, time];
        for _ in 0..self.random.below(3) {
            let option = *self
                .random
                .pick(&["nx", "xx", "gt", "lt", "xx", "gt", "lt", "zz"]);
            words.push(self.in_some_case(option));
        }
        words
    }

    fn copy(&mut self) -> Vec<String> {
        let mut words = self.words("copy K K");
        for _ in 0..self.random.below(3) {
            match self.random.below(3) {
                0 => words.push(self.in_some_case("replace")),
                _ => words.extend(self.words("db D")),
            }
        }
        words
    }

    fn lcs(&mut self) -> Vec<String> {
        let mut words = self.words("lcs K K");
        for _ in 0..self.random.below(4) {
            match self.random.below(4) {
                0 => words.push(self.in_some_case("len")),
                1 => words.push(self.in_some_case("withmatchlen")),
                2 => words.extend(self.words("minmatchlen R")),
                _ => words.push(self.in_some_case("idx")),
            }
        }
        words
    }

    fn scan(&mut self) -> Vec<String> {
        let cursor = *self.random.pick(&[
            "0",
            "0",
            "0",
            "0",
            "0",
            "x",
            "1.0",
            "99999999999999999999999",
        ]);
        let mut words = vec!["scan".to_owned(), cursor.to_owned()];
        for _ in 0..self.random.below(4) {
            match self.random.below(4) {
                0 => words.extend(self.words("match G")),
                1 => words.extend([
                    "type".to_owned(),
                    self.random
                        .pick(&["string", "STRING", "list", "zz"])
                        .to_string(),
                ]),
                2 => words.extend([
                    "count".to_owned(),
                    self.random
                        .pick(&["1", "3", "1000", "0", "-1", "x"])
                        .to_string(),
                ]),
                _ => words.push(self.random.pick(&["match", "nosuch"]).to_string()),
            }
        }
        words
    }

    fn object(&mut self) -> Vec<String> {
        let subcommand = *self.random.pick(&[
            "encoding", "encoding", "encoding", "refcount", "idletime", "freq", "nosuch", "help",
        ]);
        let mut words = vec!["object".to_owned(), self.in_some_case(subcommand)];
        if subcommand != "help" {
            words.push(self.word("K"));
        }
        words
    }

    fn rare(&mut self) -> Vec<String> {
        match self.random.below(8) {
            0 => self.words("flushall"),
            1 => self.words("flushdb async"),
            2 => self.words("flushdb sync"),
            3 => self.words("flushall nosuch"),
            4 => self.words("swapdb 0 1"),
            _ => self.words("swapdb D D"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_makes_the_same_commands() {
        let stream = |seed| {
            let mut commands = Commands::new(seed);
            (0..100)
                .map(|_| commands.next_command())
                .collect::<Vec<_>>()
        };
        assert_eq!(stream(1), stream(1));
        assert_ne!(stream(1), stream(2));
    }

    #[test]
    fn every_command_of_the_families_comes_up() {
        let mut commands = Commands::new(3);
        let names: std::collections::BTreeSet<_> = (0..5000)
            .map(|_| commands.next_command()[0].to_ascii_lowercase())
            .collect();
        let expected = "append copy dbsize decr decrby del exists expire expireat expiretime flushall flushdb get getdel \
                        getex getrange getset incr incrby incrbyfloat keys lcs mget move mset msetnx object persist pexpire \
                        pexpireat pexpiretime psetex pttl randomkey rename renamenx scan set setex setnx setrange strlen \
                        substr swapdb touch ttl type unlink";
        for name in expected.split_whitespace() {
            assert!(names.contains(name.as_bytes()), "{name} never comes up");
        }
    }
}
