//! Owns the count of instructions per command and part: decode, lookup, place, handler, encode.
//! Never here: a socket, a thread, or a clock; the path is the server's own, from bytes to reply.
//! Source: callgrind's --toggle-collect and --dump-after around one function; parts by differences.

mod callgrind;
mod commands_asked;
mod server_counted;
mod shapes_asked;
#[path = "../../src/table.rs"]
#[allow(dead_code, reason = "the generator uses more of it")]
mod table;
mod types_asked;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use commands::gather::{self, Place};
use commands::{Call, Core, Facts, Run, ShardId, Table as Rows, execute};
use commands_asked::{Asked, COUNT, KEYS, fill, grow};
use resp::{Args, Decoded, Decoder, Limits, Proto, Span, Writer};
use store::Millis;

#[global_allocator]
static ALLOCATOR: memory::heap::CountingAlloc = memory::heap::CountingAlloc;

/// How far a command is taken; each level does what the ones before it do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// Walks over the commands.
    Nothing,
    /// Finds the arguments.
    Decode,
    /// Finds the row, checks the arity.
    Lookup,
    /// Hashes the key, chooses the shard.
    Place,
    /// Runs the handler, which writes the reply.
    Run,
    /// Only writes the replies, as `Run` has written them.
    Encode,
}

/// All levels, in the order in which they are measured.
pub const LEVELS: [Level; 6] = [
    Level::Nothing,
    Level::Decode,
    Level::Lookup,
    Level::Place,
    Level::Run,
    Level::Encode,
];

/// What can be measured in one run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    /// The common commands of every type, part by part.
    Commands,
    /// The common commands on keys of every shape, as a whole.
    Shapes,
}

impl Subject {
    /// As it is named to this program.
    pub fn name(self) -> &'static str {
        match self {
            Subject::Commands => "commands",
            Subject::Shapes => "shapes",
        }
    }

    /// The kinds of commands that are counted.
    pub fn kinds(self) -> Vec<Asked> {
        match self {
            // In an order in which none spoils what the next needs.
            Subject::Commands => [commands_asked::strings(), types_asked::kinds()]
                .into_iter()
                .flatten()
                .collect(),
            Subject::Shapes => shapes_asked::kinds(),
        }
    }

    /// The levels at which each kind is counted.
    pub fn levels(self) -> &'static [Level] {
        match self {
            Subject::Commands => &LEVELS,
            Subject::Shapes => &[Level::Nothing, Level::Run],
        }
    }
}

/// One core and the buffers of a connection.
struct Engine {
    core: Core,
    rows: &'static Rows,
    decoder: Decoder,
    limits: Limits,
    spans: Vec<Span>,
    out: Vec<u8>,
    /// Keeps the work of the lower levels from being optimised away.
    seen: u64,
}

impl Engine {
    fn new(config: commands::config::Config) -> std::io::Result<Engine> {
        // Any moment will do; it never changes, so nothing expires.
        let now = Millis(1_700_000_000_000);
        let mut facts = Facts::of_this_process(1, 0, String::new(), now);
        // Equal in every run, so that the same keys meet in the same buckets.
        facts.hash_seeds = [1, 2, 3, 4];
        let facts = Arc::new(facts);
        Ok(Engine {
            core: Core::new(ShardId(0), config, facts)?,
            rows: Rows::instance(),
            decoder: Decoder::new(),
            limits: Limits::default(),
            spans: Vec::with_capacity(64),
            out: Vec::with_capacity(64 << 20),
            seen: 0,
        })
    }

    /// Takes one command as far as `level` says; answers its length.
    #[inline(always)]
    fn take(&mut self, bytes: &[u8], at: usize, level: Level) -> usize {
        self.spans.clear();
        let decoded = self
            .decoder
            .decode(bytes, at, &self.limits, &mut self.spans);
        let Ok(Decoded::Command { consumed }) = decoded else {
            panic!("not a command: {decoded:?}")
        };
        let args = Args::new(bytes, &self.spans);
        self.seen += args.len() as u64;
        if level < Level::Lookup {
            return consumed;
        }
        let id = self
            .rows
            .resolve(&args)
            .unwrap_or_else(|error| panic!("{error:?}"));
        self.seen += u64::from(id.0);
        if level < Level::Place {
            return consumed;
        }
        let row = self.rows.row(id);
        let hash = match row.run {
            Run::Owner(_) => self.core.locate(args.at(row.keys.first as usize)).0,
            _ => match gather::place(&self.core, row, &args) {
                Ok(Place::Owner(_, hash)) => hash,
                _ => panic!("{} does not run whole on one shard", row.name),
            },
        };
        self.seen ^= hash;
        if level < Level::Run {
            return consumed;
        }
        assert!(
            !gather::must_wait(&self.core, row, &args, hash),
            "nothing is locked"
        );
        let mut call = Call {
            core: &mut self.core,
            args,
            db: 0,
            proto: Proto::Resp2,
            hash,
            client: None,
            no_touch: false,
        };
        let ran = execute::run(&mut call, id, &mut Writer::new(&mut self.out, Proto::Resp2));
        assert!(ran == execute::Ran::Yes, "there is room for everything");
        consumed
    }

    /// The function after which callgrind writes a dump. One function can have
    /// only one of its options, so what is counted is a function inside.
    #[inline(never)]
    fn dumped_section(&mut self, asked: &Asked, level: Level) {
        self.counted_section(asked, level);
        self.out.reserve(1);
    }

    /// The function whose instructions callgrind counts.
    #[inline(never)]
    fn counted_section(&mut self, asked: &Asked, level: Level) {
        match level {
            Level::Nothing => {
                for &at in &asked.starts {
                    self.seen += u64::from(asked.bytes[at]);
                }
            }
            Level::Encode => {
                for reply in &asked.replies {
                    reply.write(&mut Writer::new(&mut self.out, Proto::Resp2));
                }
            }
            Level::Decode => self.all(asked, Level::Decode),
            Level::Lookup => self.all(asked, Level::Lookup),
            Level::Place => self.all(asked, Level::Place),
            Level::Run => self.all(asked, Level::Run),
        }
    }

    #[inline(always)]
    fn all(&mut self, asked: &Asked, level: Level) {
        for &at in &asked.starts {
            self.take(&asked.bytes, at, level);
        }
    }
}

/// Measures every kind of command at every level and says what the dumps are, in order.
fn measure(subject: Subject, options: &[String]) -> std::io::Result<()> {
    let mut config = commands::config::Config::default();
    for option in options.chunks_exact(2) {
        let set = config.set(&option[0], &option[1]);
        set.unwrap_or_else(|error| panic!("{}: {error}", option[0]));
    }
    let mut engine = Engine::new(config)?;
    let mut bytes = Vec::new();
    fill(&mut bytes);
    if subject == Subject::Shapes {
        grow(&mut bytes, 2 * COUNT as u64);
    }
    let mut at = 0;
    for nth in 0.. {
        if at == bytes.len() {
            break;
        }
        // As often as the server does at a hundred thousand commands a second.
        if nth % 10_000 == 0 {
            engine.core.tick_curve();
        }
        at += engine.take(&bytes, at, Level::Run);
    }
    assert_eq!(engine.core.shard.len(0) as u64, KEYS, "every key was set");
    for kind in subject.kinds() {
        for &level in subject.levels() {
            engine.out.clear();
            engine.core.tick_curve();
            engine.dumped_section(&kind, level);
            if matches!(level, Level::Run | Level::Encode) {
                let expected = kind.expected();
                assert!(
                    engine.out == expected,
                    "{} at {level:?}: wrong replies",
                    kind.name
                );
            }
        }
    }
    assert!(engine.seen != 0);
    Ok(())
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [out_dir, what, server, options @ ..] = &words[..]
        && what == "server"
    {
        return told(server_counted::prefixes(
            Path::new(out_dir),
            Path::new(server),
            options,
        ));
    }
    let subject = match words.get(1).map(String::as_str) {
        Some("shapes") => Subject::Shapes,
        _ => Subject::Commands,
    };
    let options = words.get(2..).unwrap_or_default();
    let outcome = match (words.first().map(String::as_str), subject) {
        (Some("measured"), _) => measure(subject, options),
        (Some(out_dir), Subject::Commands) => callgrind::commands(Path::new(out_dir), options),
        (Some(out_dir), Subject::Shapes) => callgrind::shapes(Path::new(out_dir), options),
        (None, _) => {
            eprintln!(
                "usage: pinyon-engine <directory for results> commands|shapes [option value]...\n\
                 or: pinyon-engine <directory for results> server <program> [option value]..."
            );
            return ExitCode::from(2);
        }
    };
    told(outcome)
}

fn told(outcome: std::io::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("instructions failed: {error}");
            ExitCode::FAILURE
        }
    }
}
