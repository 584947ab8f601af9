//! HyperLogLog: how many distinct elements a key was shown, from 12 KiB at most.
//! Never writes a string that redis-server would write otherwise: a value moves between the two as it is.
//! Source: redis-server 7, asked for texts, order of checks, and the bytes of its values.

mod dense;
mod element;
mod estimate;
mod self_test;
mod sketch;
mod sparse;

use crate::row::{Doc, Joint, Keys, Target};
use crate::{Call, Command, Error, Flags, Reply, Run, lookup};
use resp::{Args, Writer};
use sketch::{Form, Sketch, SketchBuf};
use std::borrow::Cow;
use store::{Expiry, Key, Value};

/// Bits of the hash that choose a register.
const INDEX_BITS: u32 = 14;
const REGISTERS: usize = 1 << INDEX_BITS;
/// The bits of a register's value.
const VALUE_MASK: u8 = 0x3f;

/// The registers of a sketch, one a byte.
type Registers = [u8; REGISTERS];

const NO_KEY: &str = "ERR The specified key does not exist";
const NOT_SPARSE: &str = "ERR HLL encoding is not sparse";
const SELF_TEST_FAILED: &str = "ERR PFSELFTEST failed: ";

/// Looks at the sketch that a look-up found, if it found anything.
///
/// # Errors
/// The key holds another type, or a string that is no HyperLogLog; or what `look` says.
fn with_sketch<T>(
    found: Result<Option<Value<'_>>, Error>,
    look: impl FnOnce(Sketch<'_>) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    let Some(value) = found? else {
        return Ok(None);
    };
    lookup::with_text(value, |text| Sketch::of(text).and_then(look)).map(Some)
}

fn store(call: &mut Call<'_>, key: Key<'_>, sketch: &SketchBuf) {
    let value = Value::Bytes {
        bytes: sketch.text(),
        raw: true,
    };
    let (db, now) = (call.db, call.now());
    call.core.shard.set(db, key, value, Expiry::Keep, now);
}

/// What PFADD has to do.
enum Addition {
    /// Every register has its value already.
    Nothing,
    /// Raise registers where they lie, from this element on.
    InPlace(usize),
    /// Raise registers of this copy, from this element on.
    Copy(SketchBuf, usize),
}

impl Addition {
    fn to(sketch: Sketch<'_>, elements: Args<'_>) -> Result<Addition, Error> {
        for (nth, element) in elements.iter().enumerate() {
            if sketch.is_below(element::place(element))? {
                return match sketch.form {
                    Form::Dense => Ok(Addition::InPlace(nth)),
                    Form::Sparse => Ok(Addition::Copy(sketch.to_owned()?, nth)),
                };
            }
        }
        Ok(Addition::Nothing)
    }
}

/// PFADD: says whether anything changed, making the key included.
fn pfadd(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let (key, elements) = (call.key(1), call.args.from(2));
    let sparse_bytes_max = call.core.config.hll_sparse_max_bytes;
    let found = with_sketch(lookup::string_before_write(call, key), |sketch| {
        Addition::to(sketch, elements)
    })?;
    let addition = found.unwrap_or_else(|| {
        let mut sketch = SketchBuf::new();
        sketch.expire_cache();
        Addition::Copy(sketch, 0)
    });
    let changed = match addition {
        Addition::Nothing => false,
        Addition::InPlace(from) => {
            let (db, now) = (call.db, call.now());
            call.core.shard.edit(db, key, 0, now, |text| {
                for element in elements.iter().skip(from) {
                    sketch::raise_dense(text, element::place(element));
                }
            });
            true
        }
        Addition::Copy(mut sketch, from) => {
            for element in elements.iter().skip(from) {
                sketch.raise(element::place(element), sparse_bytes_max)?;
            }
            store(call, key, &sketch);
            true
        }
    };
    out.int(i64::from(changed));
    Ok(())
}

/// PFCOUNT: of one key, keeping the answer in it; of several, as if they were one, changing none.
fn pfcount(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let cardinality = if call.args.len() == 2 {
        count_one(call)?
    } else {
        let mut values = [0; REGISTERS];
        merge_all(call, &mut values)?;
        sketch::cardinality_of(&values)
    };
    // A corrupt sketch may claim more than the protocol can say; Redis then answers a negative number.
    out.int(cardinality as i64);
    Ok(())
}

fn count_one(call: &mut Call<'_>) -> Result<u64, Error> {
    let key = call.key(1);
    let found = with_sketch(lookup::read_string(call, key), |sketch| {
        match sketch.cached() {
            Some(cardinality) => Ok((cardinality, true)),
            None => Ok((sketch.cardinality()?, false)),
        }
    })?;
    let Some((cardinality, is_cached)) = found else {
        return Ok(0);
    };
    if !is_cached {
        let (db, now) = (call.db, call.now());
        call.core.shard.edit(db, key, 0, now, |text| {
            sketch::cache(text, cardinality);
        });
    }
    Ok(cardinality)
}

/// Merges the sketches of all keys of a call; says whether one of them is in the dense form.
fn merge_all(call: &mut Call<'_>, values: &mut Registers) -> Result<bool, Error> {
    let mut any_dense = false;
    for index in 1..call.args.len() {
        let key = call.other_key(index);
        with_sketch(lookup::read_string(call, key), |sketch| {
            any_dense |= sketch.form == Form::Dense;
            sketch.merge(values)
        })?;
    }
    Ok(any_dense)
}

/// PFMERGE: the destination is one of the sources, if it is there.
fn pfmerge(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let mut values = [0; REGISTERS];
    let any_dense = merge_all(call, &mut values)?;
    let destination = call.other_key(1);
    let sparse_bytes_max = call.core.config.hll_sparse_max_bytes;
    let there = with_sketch(lookup::string_before_write(call, destination), |sketch| {
        sketch.to_owned()
    })?;
    let mut sketch = there.unwrap_or_else(SketchBuf::new);
    if any_dense {
        sketch.set_dense(&values);
    } else {
        // One by one, as if they were added: the bytes are those that Redis would come to.
        for (index, &value) in values.iter().enumerate().filter(|(_, value)| **value > 0) {
            sketch.raise((index, value), sparse_bytes_max)?;
        }
    }
    sketch.expire_cache();
    store(call, destination, &sketch);
    out.ok();
    Ok(())
}

/// PFDEBUG: what a sketch looks like inside.
fn pfdebug(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let key = call.key(2);
    let subcommand = call.args.at(1).to_ascii_lowercase();
    let found = lookup::string_before_write(call, key);
    match &subcommand[..] {
        b"getreg" => {
            with_sketch(found, |_| Ok(()))?.ok_or(NO_KEY)?;
            make_dense(call, key)?;
            out.array(REGISTERS);
            let found = lookup::string_before_write(call, key)?;
            if let Some(value) = found {
                lookup::with_text(value, |text| {
                    sketch::dense_values(text).for_each(|value| out.int(value.into()));
                });
            }
        }
        b"decode" => {
            let decoded = with_sketch(found, |sketch| sketch.decoded())?.ok_or(NO_KEY)?;
            out.bulk(decoded.ok_or(NOT_SPARSE)?.as_bytes());
        }
        b"encoding" => {
            let form = with_sketch(found, |sketch| Ok(sketch.form))?.ok_or(NO_KEY)?;
            out.simple(match form {
                Form::Dense => "dense",
                Form::Sparse => "sparse",
            });
        }
        b"todense" => {
            with_sketch(found, |_| Ok(()))?.ok_or(NO_KEY)?;
            let changed = make_dense(call, key)?;
            out.int(i64::from(changed));
        }
        _ => {
            with_sketch(found, |_| Ok(()))?.ok_or(NO_KEY)?;
            let text = [b"ERR Unknown PFDEBUG subcommand '", call.args.at(1), b"'"].concat();
            return Err(Error(Cow::Owned(text)));
        }
    }
    Ok(())
}

/// Turns the sketch of a key to the dense form; says whether it was not.
fn make_dense(call: &mut Call<'_>, key: Key<'_>) -> Result<bool, Error> {
    let sparse = with_sketch(
        lookup::string_before_write(call, key),
        |sketch| match sketch.form {
            Form::Dense => Ok(None),
            Form::Sparse => sketch.to_owned().map(Some),
        },
    )?;
    let Some(mut sketch) = sparse.flatten() else {
        return Ok(false);
    };
    sketch.make_dense()?;
    store(call, key, &sketch);
    Ok(true)
}

/// PFSELFTEST: whether registers and estimates are right on this machine.
fn pfselftest(_: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    self_test::run().map_err(|what| Error::from(format!("{SELF_TEST_FAILED}{what}")))?;
    out.ok();
    Ok(())
}

const fn row(
    name: &'static str,
    arity: i32,
    flags: Flags,
    keys: Keys,
    key_flags: &'static [&'static str],
    run: Run,
    doc: Doc,
) -> Command {
    Command {
        name,
        arity,
        flags,
        keys,
        key_flags,
        categories: &["hyperloglog"],
        tips: &[],
        run,
        doc,
        subcommands: &[],
    }
}

const fn doc(complexity: &'static str, summary: &'static str, syntax: &'static str) -> Doc {
    Doc {
        summary,
        since: "2.8.9",
        group: "hyperloglog",
        complexity,
        syntax,
    }
}

const GROWS: Flags = Flags::WRITE.and(Flags::DENYOOM);

/// The commands of this family.
pub const ROWS: &[Command] = &[
    row(
        "pfadd",
        -2,
        GROWS.and(Flags::FAST),
        Keys::FIRST,
        &["RW", "insert"],
        Run::Owner(pfadd),
        doc(
            "O(1) for each element",
            "Shows elements to a HyperLogLog, which need not be there yet",
            "key [element [element ...]]",
        ),
    ),
    row(
        "pfcount",
        -2,
        Flags::READONLY,
        Keys::ALL,
        &["RW", "access"],
        Run::Joint(Joint {
            handler: pfcount,
            target: |_| None,
        }),
        doc(
            "O(1), or O(N) for N keys",
            "About how many distinct elements the HyperLogLogs were shown, with an error of 0.81 % as a rule",
            "key [key ...]",
        ),
    ),
    row(
        "pfmerge",
        -2,
        GROWS,
        Keys::ALL,
        &["RW", "access", "insert", "/", "RO", "access"],
        Run::Joint(Joint {
            handler: pfmerge,
            target: |_| {
                Some(Target {
                    index: 1,
                    reads: true,
                })
            },
        }),
        doc(
            "O(N) for N keys",
            "Makes a HyperLogLog one that was shown what it and the others were shown",
            "destkey [sourcekey [sourcekey ...]]",
        ),
    ),
    row(
        "pfdebug",
        3,
        GROWS.and(Flags::ADMIN),
        Keys::SECOND,
        &["RW", "access"],
        Run::Owner(pfdebug),
        doc(
            "O(1)",
            "A HyperLogLog's registers, its runs, or its form; or turns it to the dense form",
            "<GETREG | DECODE | ENCODING | TODENSE> key",
        ),
    ),
    row(
        "pfselftest",
        1,
        Flags::ADMIN,
        Keys::NONE,
        &[],
        Run::Here(pfselftest),
        doc(
            "O(1)",
            "Tests the registers and the estimates of HyperLogLogs on this machine",
            "",
        ),
    ),
];
