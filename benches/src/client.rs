//! Owns a plain blocking connection, one command at a time, for questions.
//! Never here: load, or anything that is measured in bulk.
//! Source: RESP2, as the Redis protocol specification describes it; memcached's protocol.txt for two of its questions.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A question takes at most this long; filling happens elsewhere.
const REPLY_LIMIT: Duration = Duration::from_secs(120);

/// A reply.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// A status or a bulk string.
    Text(String),
    /// An error, as a value: some questions are optional.
    Error(String),
    /// An integer.
    Integer(i64),
    /// An array, or a map as a flat array.
    Array(Vec<Reply>),
    /// Nothing.
    Nil,
}

impl Reply {
    /// The number in it, of whatever form.
    pub fn number(&self) -> Option<f64> {
        match self {
            Reply::Integer(number) => Some(*number as f64),
            Reply::Text(text) => text.trim_end_matches('%').parse().ok(),
            _ => None,
        }
    }

    /// The value of a field of a flat map.
    pub fn field(&self, name: &str) -> Option<&Reply> {
        let Reply::Array(items) = self else {
            return None;
        };
        let pair = items
            .chunks(2)
            .find(|pair| pair[0] == Reply::Text(name.into()))?;
        pair.get(1)
    }
}

/// A connection for questions.
pub struct Client {
    stream: BufReader<TcpStream>,
    request: Vec<u8>,
}

impl Client {
    /// Connects.
    pub fn connect(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(REPLY_LIMIT))?;
        Ok(Client {
            stream: BufReader::new(stream),
            request: Vec::new(),
        })
    }

    /// Sends one command, waits for its reply.
    pub fn ask(&mut self, words: &[&str]) -> io::Result<Reply> {
        self.request.clear();
        write!(self.request, "*{}\r\n", words.len())?;
        for word in words {
            write!(self.request, "${}\r\n{word}\r\n", word.len())?;
        }
        self.stream.get_mut().write_all(&self.request)?;
        self.read()
    }

    /// Sends one command whose error would make the measurement meaningless.
    pub fn demand(&mut self, words: &[&str]) -> io::Result<Reply> {
        match self.ask(words)? {
            Reply::Error(text) => Err(io::Error::other(format!("{}: {text}", words.join(" ")))),
            reply => Ok(reply),
        }
    }

    /// Sends commands a thousand at a time; none may be answered with an error.
    pub fn pour(&mut self, commands: impl Iterator<Item = Vec<String>>) -> io::Result<()> {
        const BATCH: usize = 1000;
        let mut commands = commands.peekable();
        while commands.peek().is_some() {
            self.request.clear();
            let mut sent = 0;
            for words in commands.by_ref().take(BATCH) {
                write!(self.request, "*{}\r\n", words.len())?;
                for word in words {
                    write!(self.request, "${}\r\n{word}\r\n", word.len())?;
                }
                sent += 1;
            }
            self.stream.get_mut().write_all(&self.request)?;
            for _ in 0..sent {
                if let Reply::Error(text) = self.read()? {
                    return Err(io::Error::other(text));
                }
            }
        }
        Ok(())
    }

    /// A field of INFO.
    pub fn info(&mut self, section: &str, field: &str) -> io::Result<Option<String>> {
        let Reply::Text(text) = self.demand(&["INFO", section])? else {
            return Ok(None);
        };
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        Ok(value.map(|value| value.trim().to_string()))
    }

    /// Sends one line to a memcached, waits for one.
    pub fn ask_line(&mut self, line: &str) -> io::Result<String> {
        self.stream
            .get_mut()
            .write_all(format!("{line}\r\n").as_bytes())?;
        self.read_line()
    }

    /// A figure of memcached's `stats`.
    pub fn statistic(&mut self, name: &str) -> io::Result<Option<u64>> {
        let mut found = None;
        let mut line = self.ask_line("stats")?;
        while let Some(row) = line.strip_prefix("STAT ") {
            if let Some((_, value)) = row.split_once(' ').filter(|(named, _)| *named == name) {
                found = value.parse().ok();
            }
            line = self.read_line()?;
        }
        Ok(found)
    }

    fn read_line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the server closed",
            ));
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }

    fn read(&mut self) -> io::Result<Reply> {
        let line = self.read_line()?;
        let broken = || io::Error::other(format!("not a reply: {line:?}"));
        let (kind, rest) = line.split_at_checked(1).ok_or_else(broken)?;
        let number = || rest.parse::<i64>().map_err(|_| broken());
        match kind {
            "+" => Ok(Reply::Text(rest.into())),
            "-" => Ok(Reply::Error(rest.into())),
            ":" => Ok(Reply::Integer(number()?)),
            "$" => match usize::try_from(number()?) {
                Err(_) => Ok(Reply::Nil),
                Ok(length) => {
                    let mut bytes = vec![0; length + 2];
                    self.stream.read_exact(&mut bytes)?;
                    bytes.truncate(length);
                    Ok(Reply::Text(String::from_utf8_lossy(&bytes).into_owned()))
                }
            },
            "*" => match usize::try_from(number()?) {
                Err(_) => Ok(Reply::Nil),
                Ok(length) => (0..length)
                    .map(|_| self.read())
                    .collect::<io::Result<_>>()
                    .map(Reply::Array),
            },
            _ => Err(broken()),
        }
    }
}
