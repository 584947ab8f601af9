//! Owns how a command is written and what its reply looks like, for each family of servers.
//! Never here: which keys, or how long their values are.
//! Source: RESP2; the meta commands of memcached's protocol, which it advises new clients to use.

use crate::workload::{Operation, push_key, push_value};

/// What a server understands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// Arrays of strings, as Redis and all its kin.
    Resp,
    /// memcached's meta commands.
    Memcached,
}

/// One command of a load.
#[derive(Clone, Copy)]
pub struct Order {
    /// What it does.
    pub operation: Operation,
    /// The number of its key.
    pub number: u64,
    /// How long the key's value is.
    pub value_bytes: usize,
    /// Whether what is set gets a time to live: 100,000 seconds, longer than any run.
    pub expires: bool,
}

fn push_decimal(out: &mut Vec<u8>, number: usize) {
    let mut text = [0_u8; 20];
    let mut at = text.len();
    let mut rest = number;
    loop {
        at -= 1;
        text[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[at..]);
}

fn decimal_bytes(number: usize) -> usize {
    1 + number.max(1).ilog10() as usize
}

impl Dialect {
    /// Appends a command.
    pub fn push_request(self, out: &mut Vec<u8>, order: Order) {
        match self {
            Dialect::Resp => push_resp(out, order),
            Dialect::Memcached => push_meta(out, order),
        }
    }

    /// What stands before the length of a value in the reply to a GET.
    fn value_mark(self) -> &'static [u8] {
        match self {
            Dialect::Resp => b"$",
            Dialect::Memcached => b"VA ",
        }
    }

    /// The reply to what answers no value.
    fn status(self, operation: Operation) -> &'static [u8] {
        match (self, operation) {
            (Dialect::Memcached, _) => b"HD\r\n",
            (Dialect::Resp, Operation::Del) => b":1\r\n",
            (Dialect::Resp, _) => b"+OK\r\n",
        }
    }

    /// Appends the reply that a command must get.
    pub fn push_reply(self, out: &mut Vec<u8>, order: Order) {
        if order.operation != Operation::Get {
            return out.extend_from_slice(self.status(order.operation));
        }
        out.extend_from_slice(self.value_mark());
        push_decimal(out, order.value_bytes);
        out.extend_from_slice(b"\r\n");
        push_value(out, order.number, order.value_bytes);
        out.extend_from_slice(b"\r\n");
    }

    /// Length of that reply.
    pub fn reply_bytes(self, order: Order) -> usize {
        if order.operation != Operation::Get {
            return self.status(order.operation).len();
        }
        let bytes = order.value_bytes;
        self.value_mark().len() + decimal_bytes(bytes) + 2 + bytes + 2
    }
}

fn push_resp(out: &mut Vec<u8>, order: Order) {
    out.extend_from_slice(match order.operation {
        Operation::Get => b"*2\r\n$3\r\nGET\r\n$16\r\n",
        Operation::Del => b"*2\r\n$3\r\nDEL\r\n$16\r\n",
        Operation::Set if order.expires => b"*5\r\n$3\r\nSET\r\n$16\r\n",
        Operation::Set => b"*3\r\n$3\r\nSET\r\n$16\r\n",
    });
    push_key(out, order.number);
    out.extend_from_slice(b"\r\n");
    if order.operation == Operation::Set {
        out.push(b'$');
        push_decimal(out, order.value_bytes);
        out.extend_from_slice(b"\r\n");
        push_value(out, order.number, order.value_bytes);
        out.extend_from_slice(b"\r\n");
        if order.expires {
            out.extend_from_slice(b"$2\r\nEX\r\n$6\r\n100000\r\n");
        }
    }
}

fn push_meta(out: &mut Vec<u8>, order: Order) {
    out.extend_from_slice(match order.operation {
        Operation::Get => b"mg ",
        Operation::Del => b"md ",
        Operation::Set => b"ms ",
    });
    push_key(out, order.number);
    match order.operation {
        // Asks for the value.
        Operation::Get => out.extend_from_slice(b" v\r\n"),
        Operation::Del => out.extend_from_slice(b"\r\n"),
        Operation::Set => {
            out.push(b' ');
            push_decimal(out, order.value_bytes);
            if order.expires {
                out.extend_from_slice(b" T100000");
            }
            out.extend_from_slice(b"\r\n");
            push_value(out, order.number, order.value_bytes);
            out.extend_from_slice(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(operation: Operation, value_bytes: usize) -> Order {
        Order {
            operation,
            number: 0x1234,
            value_bytes,
            expires: false,
        }
    }

    fn request(dialect: Dialect, order: Order) -> Vec<u8> {
        let mut out = Vec::new();
        dialect.push_request(&mut out, order);
        out
    }

    #[test]
    fn a_request_is_what_redis_expects() {
        let wanted = b"*3\r\n$3\r\nSET\r\n$16\r\nkey:000000004660\r\n$8\r\nv0001234\r\n";
        assert_eq!(request(Dialect::Resp, order(Operation::Set, 8)), wanted);
    }

    #[test]
    fn a_request_is_what_memcached_expects() {
        let wanted = b"ms key:000000004660 8\r\nv0001234\r\n";
        assert_eq!(
            request(Dialect::Memcached, order(Operation::Set, 8)),
            wanted
        );
        let expiring = Order {
            expires: true,
            ..order(Operation::Set, 8)
        };
        let wanted = b"ms key:000000004660 8 T100000\r\nv0001234\r\n";
        assert_eq!(request(Dialect::Memcached, expiring), wanted);
        let wanted = b"mg key:000000004660 v\r\n";
        assert_eq!(
            request(Dialect::Memcached, order(Operation::Get, 8)),
            wanted
        );
    }

    #[test]
    fn a_reply_is_as_long_as_announced() {
        for dialect in [Dialect::Resp, Dialect::Memcached] {
            for operation in [Operation::Set, Operation::Get, Operation::Del] {
                for bytes in [1, 8, 9, 10, 32, 99, 100, 256, 1000] {
                    let mut out = Vec::new();
                    dialect.push_reply(&mut out, order(operation, bytes));
                    assert_eq!(out.len(), dialect.reply_bytes(order(operation, bytes)));
                }
            }
        }
    }
}
