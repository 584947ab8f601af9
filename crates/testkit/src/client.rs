//! A blocking client: commands out, replies back, and the raw bytes where a test wants them.
//! Never reconnects, retries or hides an error; a reply that does not come is a failed test.
//! Source: the RESP2 and RESP3 specifications.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use resp::Reply;

/// How long a client waits for bytes before it takes the server for hung. It
/// guards against a test that never ends; no result depends on it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes asked of the socket at a time.
const READ_BYTES: usize = 64 * 1024;

/// One connection to a server on this machine.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    /// Bytes received and not yet understood start at `start`.
    received: Vec<u8>,
    start: usize,
}

/// The wire form of one command.
pub fn encode<A: AsRef<[u8]>>(parts: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", parts.len()).into_bytes();
    for part in parts {
        let part = part.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
        bytes.extend_from_slice(part);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

impl Client {
    /// Connects to a port of 127.0.0.1. Panics where nothing listens.
    pub fn connect(port: u16) -> Client {
        Client::try_connect(port)
            .unwrap_or_else(|why| panic!("no connection to port {port}: {why}"))
    }

    /// Connects to a port of 127.0.0.1.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn try_connect(port: u16) -> io::Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Client {
            stream,
            received: Vec::new(),
            start: 0,
        })
    }

    /// A connection that speaks RESP3.
    pub fn connect_resp3(port: u16) -> Client {
        let mut client = Client::connect(port);
        let hello = client.command(&["HELLO", "3"]);
        assert!(matches!(hello, Reply::Map(_)), "HELLO 3 answered {hello:?}");
        client
    }

    /// Sends one command and returns its reply.
    pub fn command<A: AsRef<[u8]>>(&mut self, parts: &[A]) -> Reply {
        self.send(&encode(parts));
        self.reply()
    }

    /// As `command`, with the words of a line that holds no quotes.
    pub fn ask(&mut self, line: &str) -> Reply {
        self.command(&line.split_ascii_whitespace().collect::<Vec<_>>())
    }

    /// The text of a reply that is a string or a status. Panics on any other.
    pub fn text(&mut self, line: &str) -> String {
        match self.ask(line) {
            Reply::Bulk(text) | Reply::Simple(text) | Reply::Verbatim(_, text) => {
                String::from_utf8(text).expect("the reply is text")
            }
            other => panic!("{line} answered {other:?}"),
        }
    }

    /// The number of a reply that is an integer. Panics on any other.
    pub fn int(&mut self, line: &str) -> i64 {
        match self.ask(line) {
            Reply::Int(number) => number,
            other => panic!("{line} answered {other:?}"),
        }
    }

    /// The text of a reply that is an error. Panics on any other.
    pub fn error(&mut self, line: &str) -> String {
        match self.ask(line) {
            Reply::Error(text) => String::from_utf8(text).expect("an error is text"),
            other => panic!("{line} answered {other:?}"),
        }
    }

    /// The value of a `field:value` line of INFO. Panics where there is none.
    pub fn info(&mut self, field: &str) -> String {
        let [line] = self.infos([field]);
        line
    }

    /// Fields of one answer to INFO, as text.
    pub fn infos<const N: usize>(&mut self, fields: [&str; N]) -> [String; N] {
        let text = self.text("INFO everything");
        fields.map(|field| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
            line.unwrap_or_else(|| panic!("INFO has no {field}:\n{text}"))
                .to_string()
        })
    }

    /// Sends all commands in one write and returns their replies in order.
    pub fn pipeline<A: AsRef<[u8]>>(&mut self, commands: &[Vec<A>]) -> Vec<Reply> {
        let bytes: Vec<u8> = commands
            .iter()
            .flat_map(|command| encode(command))
            .collect();
        self.pipeline_bytes(&bytes, commands.len())
    }

    /// Sends bytes that hold `commands` commands and returns as many replies.
    /// Writes and reads side by side, so that neither end waits for the other.
    pub fn pipeline_bytes(&mut self, bytes: &[u8], commands: usize) -> Vec<Reply> {
        let mut writer = self.stream.try_clone().expect("a socket can be cloned");
        std::thread::scope(|scope| {
            scope.spawn(move || {
                writer
                    .write_all(bytes)
                    .expect("the server takes the pipeline")
            });
            (0..commands).map(|_| self.reply()).collect()
        })
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream
            .write_all(bytes)
            .expect("the server takes what is sent");
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// Those of the socket: the server may have closed it.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next reply. Panics when the connection ends or nothing comes.
    pub fn reply(&mut self) -> Reply {
        self.try_reply()
            .unwrap_or_else(|why| panic!("no reply: {why}"))
    }

    /// The next reply.
    ///
    /// # Errors
    /// `UnexpectedEof` when the server closed, others of the socket.
    pub fn try_reply(&mut self) -> io::Result<Reply> {
        loop {
            let parsed = Reply::parse(&self.received[self.start..]);
            if let Some((reply, used)) =
                parsed.map_err(|why| io::Error::new(ErrorKind::InvalidData, why))?
            {
                self.start += used;
                if self.start == self.received.len() {
                    self.received.clear();
                    self.start = 0;
                }
                return Ok(reply);
            }
            self.fill()?;
        }
    }

    /// Everything the server sends until it closes the connection. A reset
    /// counts as a close.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        loop {
            match self.fill() {
                Ok(()) => {}
                Err(why)
                    if matches!(
                        why.kind(),
                        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
                    ) =>
                {
                    break;
                }
                Err(why) => panic!("the server did not close: {why}"),
            }
        }
        self.received.split_off(self.start)
    }

    /// Whether the server has closed the connection; waits until it does or something comes.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.fill(), Err(why) if matches!(why.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset))
    }

    /// Says that nothing more will be sent; replies can still come.
    pub fn finish_sending(&mut self) {
        self.stream
            .shutdown(Shutdown::Write)
            .expect("an open socket can be shut down");
    }

    /// Sends as much as the server takes until it takes no more; returns how
    /// many bytes, or None when the server closed the connection first. For
    /// clients that never read.
    pub fn send_until_refused(&mut self, bytes: &[u8]) -> Option<usize> {
        // Long enough that a busy server is not mistaken for one that stopped reading.
        const STILLNESS: Duration = Duration::from_millis(1500);
        self.stream
            .set_write_timeout(Some(STILLNESS))
            .expect("a timeout can be set");
        let mut sent = 0;
        let ended = loop {
            match self.stream.write(&bytes[sent..]) {
                Ok(0) => break Some(sent),
                Ok(count) => sent += count,
                Err(why) if why.kind() == ErrorKind::Interrupted => {}
                Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    break Some(sent);
                }
                Err(_) => break None,
            }
        };
        self.stream
            .set_write_timeout(Some(PATIENCE))
            .expect("a timeout can be set");
        ended
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.start > 0 {
            self.received.drain(..self.start);
            self.start = 0;
        }
        let filled = self.received.len();
        self.received.resize(filled + READ_BYTES, 0);
        let count = loop {
            match self.stream.read(&mut self.received[filled..]) {
                Err(why) if why.kind() == ErrorKind::Interrupted => {}
                count => break count,
            }
        };
        self.received
            .truncate(filled + *count.as_ref().unwrap_or(&0));
        match count? {
            0 => Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                "the server closed the connection",
            )),
            _ => Ok(()),
        }
    }
}
