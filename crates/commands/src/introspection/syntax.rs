//! The syntax of a command's arguments, parsed into the tree that COMMAND DOCS shows.
//! Nothing here reads a client's words; a row's syntax is ours, and a test parses them all.
//! Notation: the Redis manual's. `[x]` may be left out, `<a | b>` is a choice, `[x ...]` repeats, capitals are literal.

use crate::Command;

/// One argument, or a group of arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Argument {
    /// Its name; a literal's is the literal in small letters.
    pub name: String,
    /// Type, in the words of COMMAND DOCS.
    pub kind: &'static str,
    /// The literal that stands before it, or that it is.
    pub token: Option<String>,
    /// Whether it may be left out.
    pub optional: bool,
    /// Whether it may be given several times.
    pub multiple: bool,
    /// Whether each time with its literal.
    pub multiple_token: bool,
    /// Which of the row's key specifications it belongs to.
    pub key_spec: Option<usize>,
    /// Members of a choice or a block.
    pub members: Vec<Argument>,
}

/// The arguments that a row's syntax says.
///
/// # Panics
/// Where a row's syntax does not follow the notation.
pub fn arguments(row: &Command) -> Vec<Argument> {
    let words = words(row.doc.syntax);
    let mut parser = Parser {
        words: &words,
        at: 0,
        row,
        keys: 0,
    };
    let Sequence { items, repeats } = parser.sequence();
    assert!(
        parser.at == words.len() && !repeats,
        "{}: syntax ends early: {}",
        row.name,
        row.doc.syntax
    );
    items
}

fn words(syntax: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for spaced in syntax.split_ascii_whitespace() {
        let mut rest = spaced;
        while let Some(cut) = rest.find(['[', ']', '<', '>', '|']) {
            if cut > 0 {
                words.push(&rest[..cut]);
            }
            words.push(&rest[cut..=cut]);
            rest = &rest[cut + 1..];
        }
        if !rest.is_empty() {
            words.push(rest);
        }
    }
    words
}

struct Parser<'w> {
    words: &'w [&'w str],
    at: usize,
    row: &'w Command,
    /// Keys seen so far.
    keys: usize,
}

/// Arguments one after the other, and whether `...` stood at their end.
struct Sequence {
    items: Vec<Argument>,
    repeats: bool,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&str> {
        self.words.get(self.at).copied()
    }

    fn sequence(&mut self) -> Sequence {
        let mut items: Vec<Argument> = Vec::new();
        while let Some(word) = self.peek() {
            match word {
                "]" | ">" | "|" => break,
                "..." => {
                    self.at += 1;
                    return Sequence {
                        items,
                        repeats: true,
                    };
                }
                "[" => self.bracket(&mut items),
                _ => {
                    let item = self.item();
                    items.push(item);
                }
            }
        }
        Sequence {
            items,
            repeats: false,
        }
    }

    /// A literal with what it introduces, a name, or a choice.
    fn item(&mut self) -> Argument {
        let word = self.words[self.at];
        self.at += 1;
        if word == "<" {
            return group(self.alternatives(">"));
        }
        if !is_literal(word) {
            return self.named(word);
        }
        let introduces = self
            .peek()
            .is_some_and(|next| next == "<" || (is_name(next) && !is_literal(next)));
        if introduces {
            return Argument {
                token: Some(word.to_owned()),
                ..self.item()
            };
        }
        Argument {
            name: word.to_ascii_lowercase(),
            kind: "pure-token",
            token: Some(word.to_owned()),
            ..Argument::default()
        }
    }

    /// What may be left out; or, where it repeats what stands before it, the mark that that may come several times.
    fn bracket(&mut self, before: &mut Vec<Argument>) {
        self.at += 1;
        let keys_before = self.keys;
        let mut alternatives = self.alternatives("]");
        if let [
            Sequence {
                items,
                repeats: true,
            },
        ] = &alternatives[..]
        {
            let start = before.len().saturating_sub(items.len());
            let repeated = &mut before[start..];
            if repeated.len() == items.len()
                && repeated
                    .iter()
                    .zip(items)
                    .all(|(one, other)| one.name == other.name)
            {
                self.keys = keys_before;
                let with_token = items[0].token.is_some();
                let mut one = group(vec![Sequence {
                    items: before.split_off(start),
                    repeats: false,
                }]);
                one.multiple = true;
                one.multiple_token = with_token;
                before.push(one);
                return;
            }
        }
        let repeats = alternatives
            .iter_mut()
            .any(|sequence| std::mem::take(&mut sequence.repeats));
        let inner = group(alternatives);
        before.push(Argument {
            optional: true,
            multiple: inner.multiple || repeats,
            ..inner
        });
    }

    fn alternatives(&mut self, close: &str) -> Vec<Sequence> {
        let mut alternatives = vec![self.sequence()];
        while self.peek() == Some("|") {
            self.at += 1;
            alternatives.push(self.sequence());
        }
        assert!(
            self.peek() == Some(close),
            "{}: '{close}' is missing in: {}",
            self.row.name,
            self.row.doc.syntax
        );
        self.at += 1;
        alternatives
    }

    fn named(&mut self, name: &str) -> Argument {
        let mut argument = Argument {
            name: name.to_owned(),
            kind: self.kind(name),
            ..Argument::default()
        };
        if argument.kind == "key" {
            let ways = super::key_specs(self.row).len();
            argument.key_spec = Some(self.keys.min(ways - 1));
            self.keys += 1;
        }
        argument
    }

    fn kind(&self, name: &str) -> &'static str {
        match name {
            "key" | "source" | "destination" | "newkey" | "key1" | "key2" | "destkey"
            | "sourcekey"
                if self.row.keys.any() =>
            {
                "key"
            }
            "increment" if self.row.name.ends_with("float") => "double",
            "pattern" => "pattern",
            "unix-time-seconds" | "unix-time-milliseconds" => "unix-time",
            "seconds" | "milliseconds" | "count" | "index" | "index1" | "index2" | "db"
            | "destination-db" | "offset" | "start" | "end" | "increment" | "decrement"
            | "cursor" | "protover" | "version" | "client-id" | "maxage" | "min-match-len" => {
                "integer"
            }
            _ => "string",
        }
    }
}

/// One argument of one or several alternatives.
fn group(alternatives: Vec<Sequence>) -> Argument {
    let mut members: Vec<Argument> = alternatives.into_iter().map(block).collect();
    if members.len() == 1 {
        return members.remove(0);
    }
    Argument {
        name: "choice".into(),
        kind: "oneof",
        members,
        ..Argument::default()
    }
}

fn block(Sequence { mut items, repeats }: Sequence) -> Argument {
    let mut one = match items.len() {
        1 => items.remove(0),
        _ => Argument {
            name: "block".into(),
            kind: "block",
            members: items,
            ..Argument::default()
        },
    };
    one.multiple |= repeats;
    one
}

fn is_name(word: &str) -> bool {
    !matches!(word, "[" | "]" | "<" | ">" | "|" | "...")
}

fn is_literal(word: &str) -> bool {
    is_name(word)
        && word.bytes().any(|byte| byte.is_ascii_uppercase())
        && word == word.to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Table;
    use crate::row::Doc;

    /// A tree in one line, in the notation it came from.
    fn shown(arguments: &[Argument]) -> String {
        arguments.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    fn one(argument: &Argument) -> String {
        let inner = match argument.kind {
            "oneof" => {
                let members: Vec<String> = argument.members.iter().map(one).collect();
                format!("<{}>", members.join("|"))
            }
            "block" => format!("({})", shown(&argument.members)),
            "pure-token" => String::new(),
            kind => format!("{}:{kind}", argument.name),
        };
        let mut text = match &argument.token {
            Some(token) => format!("{token} {inner}").trim_end().to_owned(),
            None => inner,
        };
        if argument.multiple {
            text += if argument.multiple_token { "++" } else { "+" };
        }
        if argument.optional {
            format!("[{text}]")
        } else {
            text
        }
    }

    fn parsed(syntax: &'static str) -> String {
        let get = Table::instance().row(Table::instance().by_name(b"get").unwrap());
        let row = Command {
            doc: Doc { syntax, ..get.doc },
            ..*get
        };
        shown(&arguments(&row))
    }

    #[test]
    fn plain_names_have_types() {
        assert_eq!(
            parsed("key seconds value pattern"),
            "key:key seconds:integer value:string pattern:pattern"
        );
    }

    #[test]
    fn choices_that_may_be_left_out() {
        assert_eq!(
            parsed("key value [NX | XX] [GET] [EX seconds | KEEPTTL]"),
            "key:key value:string [<NX|XX>] [GET] [<EX seconds:integer|KEEPTTL>]"
        );
    }

    #[test]
    fn repetition_marks_what_stands_before_it() {
        assert_eq!(parsed("key [key ...]"), "key:key+");
        assert_eq!(
            parsed("key value [key value ...]"),
            "(key:key value:string)+"
        );
        assert_eq!(parsed("[pattern [pattern ...]]"), "[pattern:pattern+]");
        assert_eq!(
            parsed("GET pattern [GET pattern ...]"),
            "GET pattern:pattern++"
        );
        assert_eq!(parsed("[section ...]"), "[section:string+]");
    }

    #[test]
    fn a_literal_stands_before_what_it_introduces() {
        assert_eq!(
            parsed("[LIMIT offset count]"),
            "[(LIMIT offset:integer count:integer)]"
        );
        assert_eq!(
            parsed("[TYPE <A | B>] [ID client-id [client-id ...]]"),
            "[TYPE <A|B>] [ID client-id:integer+]"
        );
        assert_eq!(parsed("<a:b | <[X] [Y]>>"), "<a:b:string|([X] [Y])>");
    }

    #[test]
    fn every_row_follows_the_notation() {
        for (_, row) in Table::instance().rows() {
            arguments(row);
        }
    }

    #[test]
    fn every_row_with_keys_names_its_key_argument() {
        fn has_key(arguments: &[Argument]) -> bool {
            arguments
                .iter()
                .any(|argument| argument.kind == "key" || has_key(&argument.members))
        }
        for (_, row) in Table::instance().rows() {
            assert_eq!(
                has_key(&arguments(row)),
                row.keys.any(),
                "{}: {}",
                row.name,
                row.doc.syntax
            );
        }
    }
}
