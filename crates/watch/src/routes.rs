//! What is served where, and the commands behind it: the allow-list of everything that HTTP can run.
//! Never takes a word of a request into a command but for numbers and words that are named here.
//! Source: decision 0007.

use crate::{Request, Response, Status, host, json, metrics, page};
use resp::{OwnedArgs, Reply};

/// What the configuration says of all this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings<'a> {
    /// Prefixes with metrics of their own; 0 for none.
    pub prefixes: u32,
    /// Names that requests may be sent to besides addresses, with spaces between.
    pub hosts: &'a str,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Route {
    /// It is answered.
    Answered(Response),
    /// It is answered when these commands are.
    Asks(Ask),
}

/// Commands, and what is made of their replies.
#[derive(Debug)]
pub struct Ask {
    /// The commands in order; each may be run under RESP3 by anybody, and changes nothing.
    pub commands: Vec<OwnedArgs>,
    /// What is made of their replies.
    pub answer: Answer,
}

/// What is made of replies.
#[derive(Clone, Copy, Debug)]
pub struct Answer(Form);

#[derive(Clone, Copy, Debug)]
enum Form {
    /// The only reply, of this source.
    Single(&'static Source),
    /// An object with a field for each source.
    Overview,
    Metrics {
        openmetrics: bool,
        has_prefixes: bool,
    },
}

/// A command that may be run.
#[derive(Debug)]
struct Source {
    /// Its name below `/api/`.
    name: &'static str,
    words: &'static [&'static str],
    takes: &'static [Parameter],
    write: fn(&mut Vec<u8>, &Reply),
}

/// A word of a query that becomes two of the command.
#[derive(Debug)]
struct Parameter {
    name: &'static str,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Number { max: u32 },
    Words(&'static [&'static str]),
}

const fn number(name: &'static str, max: u32) -> Parameter {
    Parameter {
        name,
        values: Values::Number { max },
    }
}

const fn source(name: &'static str, words: &'static [&'static str]) -> Source {
    Source {
        name,
        words,
        takes: &[],
        write: json::write,
    }
}

/// The allow-list.
const SOURCES: &[Source] = &[
    Source {
        write: json::write_info,
        ..source("info", &["INFO", "everything"])
    },
    source("stats", &["MEMORY", "STATS"]),
    source("shards", &["MEMORY", "SHARDS"]),
    source("types", &["MEMORY", "TYPES"]),
    Source {
        takes: &[
            number("count", 4096),
            Parameter {
                name: "by",
                values: Values::Words(&["bytes", "keys", "growth"]),
            },
        ],
        ..source("prefixes", &["MEMORY", "PREFIXES"])
    },
    Source {
        takes: &[number("count", 128)],
        ..source("topkeys", &["MEMORY", "TOPKEYS"])
    },
    Source {
        takes: &[number("points", 100)],
        ..source("curve", &["MEMORY", "CURVE"])
    },
    source("trend", &["MEMORY", "TREND"]),
    Source {
        write: json::write_document,
        ..source("doctor", &["MEMORY", "DOCTOR", "JSON"])
    },
];

/// What the overview asks besides the words of its sources.
const OVERVIEW_WORDS: &[(&str, &[&str])] = &[
    ("prefixes", &["COUNT", "120"]),
    ("topkeys", &["COUNT", "128"]),
];

const JSON: &str = "application/json";

/// What becomes of a request.
pub fn route(request: &Request, settings: Settings<'_>) -> Route {
    let host = request.host.as_deref();
    if host.is_some_and(|host| !host::is_served(host, settings.hosts)) {
        return Route::Answered(Response::refusal(
            Status::Forbidden,
            "This name is not served: ask by address, or list the name in metrics-hosts.",
        ));
    }
    match request.path.as_str() {
        "/" => Route::Answered(page::response()),
        "/metrics" => Route::Asks(metrics_ask(settings, request.wants_openmetrics)),
        "/api/overview" => Route::Asks(Ask {
            commands: SOURCES.iter().map(overview_command).collect(),
            answer: Answer(Form::Overview),
        }),
        path => {
            let named = path
                .strip_prefix("/api/")
                .and_then(|name| SOURCES.iter().find(|source| source.name == name));
            let Some(source) = named else {
                return Route::Answered(Response::refusal(
                    Status::NotFound,
                    "Nothing is here; there are /, /metrics and /api/overview.",
                ));
            };
            match command(source, &request.query) {
                Ok(command) => Route::Asks(Ask {
                    commands: vec![command],
                    answer: Answer(Form::Single(source)),
                }),
                Err(why) => Route::Answered(Response::refusal(Status::BadRequest, &why)),
            }
        }
    }
}

/// The answer to bytes that are no request that is served.
pub fn refusal(status: Status) -> Response {
    let why = match status {
        Status::MethodNotAllowed => "Only GET and HEAD: nothing is changed here.",
        Status::HeadTooLarge => "The request is too long.",
        Status::Internal => "The answer could not be made; the server's output says why.",
        _ => "This is no HTTP request that is understood here.",
    };
    Response::refusal(status, why)
}

fn metrics_ask(settings: Settings<'_>, openmetrics: bool) -> Ask {
    let mut commands: Vec<OwnedArgs> = metrics::SOURCES
        .iter()
        .map(|name| words_of(named(name)))
        .collect();
    if settings.prefixes > 0 {
        let mut command = words_of(named("prefixes"));
        command.push(b"COUNT");
        command.push(settings.prefixes.to_string().as_bytes());
        commands.push(command);
    }
    Ask {
        commands,
        answer: Answer(Form::Metrics {
            openmetrics,
            has_prefixes: settings.prefixes > 0,
        }),
    }
}

fn named(name: &str) -> &'static Source {
    let found = SOURCES.iter().find(|source| source.name == name);
    found.expect("only sources of the list are named")
}

fn words_of(source: &Source) -> OwnedArgs {
    let mut command = OwnedArgs::default();
    source
        .words
        .iter()
        .for_each(|word| command.push(word.as_bytes()));
    command
}

fn overview_command(source: &Source) -> OwnedArgs {
    let mut command = words_of(source);
    let further = OVERVIEW_WORDS
        .iter()
        .filter(|(name, _)| *name == source.name);
    further
        .flat_map(|(_, words)| words.iter())
        .for_each(|word| command.push(word.as_bytes()));
    command
}

/// The command of a source with what the query adds.
fn command(source: &Source, query: &str) -> Result<OwnedArgs, String> {
    let mut command = words_of(source);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let parameter = source.takes.iter().find(|parameter| parameter.name == name);
        let word = match parameter.map(|parameter| &parameter.values) {
            None => return Err(format!("/api/{} takes no such parameter.", source.name)),
            Some(Values::Number { max }) => match value.parse::<u32>() {
                Ok(number) if (1..=*max).contains(&number) => number.to_string(),
                _ => return Err(format!("{name} takes a number from 1 to {max}.")),
            },
            Some(Values::Words(words)) => match words.iter().find(|word| **word == value) {
                Some(word) => (*word).to_owned(),
                None => return Err(format!("{name} takes one of {}.", words.join(", "))),
            },
        };
        command.push(name.as_bytes());
        command.push(word.as_bytes());
    }
    Ok(command)
}

impl Answer {
    /// What is made of the commands' replies, encoded as they came, in the order of the commands.
    pub fn of(self, replies: &[Vec<u8>]) -> Response {
        let parsed = |bytes: &Vec<u8>| match Reply::parse(bytes) {
            Ok(Some((reply, _))) => reply,
            _ => Reply::Error(b"ERR the reply is not understood".to_vec()),
        };
        let replies: Vec<Reply> = replies.iter().map(parsed).collect();
        let mut body = Vec::new();
        match self.0 {
            Form::Single(source) => {
                for reply in &replies {
                    (source.write)(&mut body, reply);
                }
                Response::of(JSON, body)
            }
            Form::Overview => {
                body.push(b'{');
                for (place, (source, reply)) in SOURCES.iter().zip(&replies).enumerate() {
                    json::separate(&mut body, place);
                    json::write_text(&mut body, source.name);
                    body.push(b':');
                    (source.write)(&mut body, reply);
                }
                body.push(b'}');
                Response::of(JSON, body)
            }
            Form::Metrics {
                openmetrics,
                has_prefixes,
            } => {
                let (replies, prefixes) =
                    replies.split_at(metrics::SOURCES.len().min(replies.len()));
                let prefixes = prefixes.first().filter(|_| has_prefixes);
                metrics::response(replies, prefixes, openmetrics)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(path: &str, query: &str) -> Route {
        let request = Request {
            path: path.to_owned(),
            query: query.to_owned(),
            is_head: false,
            keeps_alive: true,
            host: Some("127.0.0.1:9121".to_owned()),
            wants_openmetrics: false,
        };
        route(&request, SETTINGS)
    }

    const SETTINGS: Settings<'_> = Settings {
        prefixes: 7,
        hosts: "",
    };

    #[test]
    fn nothing_is_served_under_a_name_that_is_not_listed() {
        let to = |host: Option<&str>, path: &str, hosts| {
            let request = Request {
                path: path.to_owned(),
                query: String::new(),
                is_head: false,
                keeps_alive: true,
                host: host.map(str::to_owned),
                wants_openmetrics: false,
            };
            let route = route(&request, Settings { hosts, ..SETTINGS });
            match route {
                Route::Answered(response) => response.status,
                Route::Asks(_) => Status::Ok,
            }
        };
        for path in ["/", "/metrics", "/api/topkeys", "/nothing"] {
            let evil = Some("evil.example:9121");
            assert_eq!(to(evil, path, ""), Status::Forbidden, "{path}");
            assert_ne!(to(evil, path, "evil.example"), Status::Forbidden);
            assert_ne!(to(None, path, ""), Status::Forbidden, "{path}");
            assert_ne!(to(Some("[::1]:9121"), path, ""), Status::Forbidden);
        }
    }

    fn commands(path: &str, query: &str) -> Vec<String> {
        let Route::Asks(ask) = asked(path, query) else {
            panic!("{path} asks nothing");
        };
        let text = |args: &OwnedArgs| {
            let words: Vec<_> = args.as_args().iter().map(String::from_utf8_lossy).collect();
            words.join(" ")
        };
        ask.commands.iter().map(text).collect()
    }

    fn status(path: &str, query: &str) -> Status {
        match asked(path, query) {
            Route::Answered(response) => response.status,
            Route::Asks(_) => panic!("{path}?{query} asks"),
        }
    }

    #[test]
    fn a_path_is_a_command_of_the_list() {
        assert_eq!(commands("/api/stats", ""), ["MEMORY STATS"]);
        assert_eq!(commands("/api/doctor", ""), ["MEMORY DOCTOR JSON"]);
        assert_eq!(
            commands("/api/prefixes", "count=5&by=growth"),
            ["MEMORY PREFIXES count 5 by growth"]
        );
        assert_eq!(commands("/api/overview", "").len(), SOURCES.len());
        let metrics = commands("/metrics", "anything=1");
        assert_eq!(metrics.last().unwrap(), "MEMORY PREFIXES COUNT 7");
    }

    #[test]
    fn what_is_not_on_the_list_is_not_run() {
        for (path, query, expected) in [
            ("/api/flushall", "", Status::NotFound),
            ("/api/", "", Status::NotFound),
            ("/api/stats/", "", Status::NotFound),
            ("/api/STATS", "", Status::NotFound),
            ("/metrics/", "", Status::NotFound),
            ("/favicon.ico", "", Status::NotFound),
            ("/api/stats", "count=1", Status::BadRequest),
            ("/api/topkeys", "count=0", Status::BadRequest),
            ("/api/topkeys", "count=129", Status::BadRequest),
            ("/api/topkeys", "count=-1", Status::BadRequest),
            ("/api/topkeys", "count", Status::BadRequest),
            ("/api/prefixes", "by=FLUSHALL", Status::BadRequest),
            ("/api/prefixes", "count=1%20by", Status::BadRequest),
        ] {
            assert_eq!(status(path, query), expected, "{path}?{query}");
        }
    }

    #[test]
    fn every_command_only_reads() {
        for source in SOURCES {
            assert!(
                matches!(source.words[0], "INFO" | "MEMORY"),
                "{}",
                source.name
            );
            let changes = ["PURGE", "DEFRAG", "USAGE"];
            assert!(source.words.iter().all(|word| !changes.contains(word)));
        }
    }

    #[test]
    fn a_failed_source_leaves_the_others_alone() {
        let answer = Answer(Form::Overview);
        let replies: Vec<Vec<u8>> = SOURCES
            .iter()
            .map(|source| match source.name {
                "trend" => b"-ERR unknown subcommand\r\n".to_vec(),
                "curve" => b"broken".to_vec(),
                "doctor" => b"$15\r\n{\"findings\":[]}\r\n".to_vec(),
                _ => b"*0\r\n".to_vec(),
            })
            .collect();
        let body = String::from_utf8(answer.of(&replies).body).unwrap();
        assert_eq!(
            body,
            r#"{"info":[],"stats":[],"shards":[],"types":[],"prefixes":[],"topkeys":[],"curve":{"error":"ERR the reply is not understood"},"trend":{"error":"ERR unknown subcommand"},"doctor":{"findings":[]}}"#
        );
    }
}
