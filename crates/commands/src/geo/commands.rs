//! The GEO commands: positions in and out of sorted sets.
//! Never computes a position or reads an option of a search itself; that is the modules' beside it.
//! Source: redis-server 7 for what each looks at first.

use std::ops::{Bound, ControlFlow};

use resp::{Args, Writer};
use store::{AddRule, IntBuffer, Presence, Strings, ZsetView};

use super::search::{Found, write_found};
use super::steps;
use super::text::{parse_geodist_unit, write_geodist, write_geohash, write_geopos};
use super::{Addition, Form, SearchOptions, parse_search, search};
use crate::row::{Doc, Joint, Keys, Target};
use crate::{Call, Command, Flags, Reply, Run, error, zsets};

fn geoadd(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let addition = Addition::parse(call.args)?;
    if addition.members.is_empty() {
        return Err(error::SYNTAX.into());
    }
    let rule = AddRule {
        presence: match (addition.only_new, addition.only_existing) {
            (true, _) => Presence::Missing,
            (_, true) => Presence::Existing,
            _ => Presence::Any,
        },
        ..AddRule::default()
    };
    let members = addition.members.iter();
    let members = members.map(|&(index, score)| (index, score as f64));
    let counted = zsets::add_scored(call, rule, addition.counts_changed, members)?;
    out.int(counted);
    Ok(())
}

fn geodist(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let args = call.args;
    let unit = parse_geodist_unit(args)?;
    let scores = zsets::read(call)?
        .and_then(|zset| Some((zset.score(args.at(2))?, zset.score(args.at(3))?)));
    write_geodist(out, scores, unit);
    Ok(())
}

fn geohash(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    each_member(call, out, write_geohash)
}

fn geopos(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    each_member(call, out, write_geopos)
}

fn each_member(
    call: &mut Call<'_>,
    out: &mut Writer<'_>,
    write: fn(&mut Writer<'_>, Option<f64>),
) -> Reply {
    let args = call.args;
    let zset = zsets::read(call)?;
    out.array(args.len() - 2);
    for index in 2..args.len() {
        write(out, zset.and_then(|zset| zset.score(args.at(index))));
    }
    Ok(())
}

fn geosearch(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    run_search(call, out, Form::Search)
}

fn geosearchstore(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    run_search(call, out, Form::SearchStore)
}

fn georadius(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    run_search(call, out, Form::Radius { stores: true })
}

fn georadius_ro(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    run_search(call, out, Form::Radius { stores: false })
}

fn georadiusbymember(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    run_search(call, out, Form::RadiusByMember { stores: true })
}

fn georadiusbymember_ro(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    run_search(call, out, Form::RadiusByMember { stores: false })
}

fn run_search(call: &mut Call<'_>, out: &mut Writer<'_>, form: Form) -> Reply {
    let args = call.args;
    let key = call.other_key(form.source_index());
    let (options, found) = match zsets::read_key(call, key)? {
        Some(zset) => {
            let options = parse_search(args, form, Some(&|member| zset.score(member)))?;
            if let Some(searching) = steps::if_long(zset, &options) {
                return Err(steps::begin(call, key, searching));
            }
            let found = find(zset, &options);
            (options, found)
        }
        None => (parse_search(args, form, None)?, Vec::new()),
    };
    let Some(store) = options.store else {
        write_found(out, &options, &found);
        return Ok(());
    };
    let members: Strings = found.iter().map(|one| &one.member[..]).collect();
    let score = |one: &Found| {
        if store.distances {
            one.distance
        } else {
            one.score
        }
    };
    let scores = found.iter().map(score).collect();
    out.int(zsets::store(call, store.key_index, members, scores));
    Ok(())
}

fn find(zset: ZsetView<'_>, options: &SearchOptions) -> Vec<Found> {
    let mut buffer = IntBuffer::new();
    search(options, |start, end, visit| {
        // Positions are numbers of 52 bits: each is a double.
        let (start, end) = (Bound::Included(start as f64), Bound::Excluded(end as f64));
        for (member, score) in zset.range(zset.ranks_by_score(start, end, usize::MAX, false)) {
            if visit(member.text(&mut buffer), score) == ControlFlow::Break(()) {
                break;
            }
        }
    })
}

/// The key that a call stores to, if it stores.
fn stored(keys: Keys, args: &Args<'_>) -> Option<Target> {
    let index = keys.moved(args).next()?;
    Some(Target {
        index,
        reads: false,
    })
}

const fn row(
    name: &'static str,
    arity: i32,
    flags: Flags,
    (keys, key_flags): (Keys, &'static [&'static str]),
    run: Run,
    doc: Doc,
) -> Command {
    Command {
        name,
        arity,
        flags,
        keys,
        key_flags,
        categories: &["geo"],
        tips: &[],
        run,
        doc,
        subcommands: &[],
    }
}

const fn doc(
    since: &'static str,
    complexity: &'static str,
    summary: &'static str,
    syntax: &'static str,
) -> Doc {
    Doc {
        summary,
        since,
        group: "geo",
        complexity,
        syntax,
    }
}

const READ: Flags = Flags::READONLY;
const GROWS: Flags = Flags::WRITE.and(Flags::DENYOOM);
const ACCESS: &[&str] = &["RO", "access"];
const PER_MEMBER: &str = "O(N) where N is the number of members asked for";
const FOUND: &str = "O(log(N)+M) where N is the number of members and M that of members in the cells around the shape";

/// The commands of this family.
pub const ROWS: &[Command] = &[
    row(
        "geoadd",
        -5,
        GROWS,
        (Keys::FIRST, &["RW", "update"]),
        Run::Owner(geoadd),
        doc(
            "3.2.0",
            "O(log(N)) for each position, where N is the number of members",
            "Gives members positions",
            "key [NX | XX] [CH] longitude latitude member [longitude latitude member ...]",
        ),
    ),
    row(
        "geodist",
        -4,
        READ,
        (Keys::FIRST, ACCESS),
        Run::Owner(geodist),
        doc(
            "3.2.0",
            "O(1)",
            "How far two members lie apart",
            "key member1 member2 [M | KM | FT | MI]",
        ),
    ),
    row(
        "geohash",
        -2,
        READ,
        (Keys::FIRST, ACCESS),
        Run::Owner(geohash),
        doc(
            "3.2.0",
            PER_MEMBER,
            "The positions of members as geohashes",
            "key [member [member ...]]",
        ),
    ),
    row(
        "geopos",
        -2,
        READ,
        (Keys::FIRST, ACCESS),
        Run::Owner(geopos),
        doc(
            "3.2.0",
            PER_MEMBER,
            "The positions of members",
            "key [member [member ...]]",
        ),
    ),
    row(
        "geosearch",
        -7,
        READ,
        (Keys::FIRST, ACCESS),
        Run::Owner(geosearch),
        doc(
            "6.2.0",
            FOUND,
            "The members within a circle or a box",
            "key <FROMMEMBER member | FROMLONLAT longitude latitude> <BYRADIUS radius <M | KM | FT | MI> | BYBOX width height <M | KM | FT | MI>> [ASC | DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]",
        ),
    ),
    row(
        "geosearchstore",
        -8,
        GROWS,
        (Keys::PAIR, &["OW", "update", "/", "RO", "access"]),
        Run::Joint(Joint {
            handler: geosearchstore,
            target: |_| {
                Some(Target {
                    index: 1,
                    reads: false,
                })
            },
        }),
        doc(
            "6.2.0",
            FOUND,
            "Stores the members within a circle or a box under another key",
            "destination source <FROMMEMBER member | FROMLONLAT longitude latitude> <BYRADIUS radius <M | KM | FT | MI> | BYBOX width height <M | KM | FT | MI>> [ASC | DESC] [COUNT count [ANY]] [STOREDIST]",
        ),
    ),
    row(
        "georadius",
        -6,
        GROWS,
        (Keys::GEORADIUS, &["RO", "access", "/", "OW", "update"]),
        Run::Joint(Joint {
            handler: georadius,
            target: |args| stored(Keys::GEORADIUS, args),
        }),
        doc(
            "3.2.0",
            FOUND,
            "The members within a circle around a position, or how many were stored",
            "key longitude latitude radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC] [STORE key | STOREDIST key]",
        ),
    ),
    row(
        "georadius_ro",
        -6,
        READ,
        (Keys::FIRST, ACCESS),
        Run::Owner(georadius_ro),
        doc(
            "3.2.10",
            FOUND,
            "The members within a circle around a position",
            "key longitude latitude radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC]",
        ),
    ),
    row(
        "georadiusbymember",
        -5,
        GROWS,
        (
            Keys::GEORADIUSBYMEMBER,
            &["RO", "access", "/", "OW", "update"],
        ),
        Run::Joint(Joint {
            handler: georadiusbymember,
            target: |args| stored(Keys::GEORADIUSBYMEMBER, args),
        }),
        doc(
            "3.2.0",
            FOUND,
            "The members within a circle around one of them, or how many were stored",
            "key member radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC] [STORE key | STOREDIST key]",
        ),
    ),
    row(
        "georadiusbymember_ro",
        -5,
        READ,
        (Keys::FIRST, ACCESS),
        Run::Owner(georadiusbymember_ro),
        doc(
            "3.2.10",
            FOUND,
            "The members within a circle around one of them",
            "key member radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC]",
        ),
    ),
];
