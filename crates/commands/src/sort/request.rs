//! What a SORT asks for: its options, and the keys that its patterns make of elements.
//! Never looks at a key; the same words are read again by every shard and in every round.
//! Source: redis-server 7 for the grammar, and for what of a pattern is a hash's field.

use crate::{Error, error};
use resp::Args;
use std::ops::Range;

/// What takes an element's place in the answer, or in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern<'a> {
    /// The element itself.
    Element,
    /// Nothing: a name without a place for the element is no key.
    Nothing,
    /// What a key holds.
    Key {
        prefix: &'a [u8],
        suffix: &'a [u8],
        /// A field of the hash that the key holds; otherwise it holds a string.
        field: Option<&'a [u8]>,
    },
}

impl<'a> Pattern<'a> {
    fn of(text: &'a [u8]) -> Pattern<'a> {
        const ARROW: &[u8] = b"->";
        if text == b"#" {
            return Pattern::Element;
        }
        let Some(star) = text.iter().position(|&byte| byte == b'*') else {
            return Pattern::Nothing;
        };
        let (prefix, rest) = (&text[..star], &text[star + 1..]);
        let arrow = rest
            .windows(ARROW.len())
            .position(|window| window == ARROW)
            .filter(|&at| at + ARROW.len() < rest.len());
        match arrow {
            Some(at) => Pattern::Key {
                prefix,
                suffix: &rest[..at],
                field: Some(&rest[at + ARROW.len()..]),
            },
            None => Pattern::Key {
                prefix,
                suffix: rest,
                field: None,
            },
        }
    }

    /// The key made of an element, written into `key`; false where none is.
    pub fn key_of(&self, element: &[u8], key: &mut Vec<u8>) -> bool {
        let Pattern::Key { prefix, suffix, .. } = self else {
            return false;
        };
        key.clear();
        [prefix, element, suffix]
            .into_iter()
            .for_each(|part| key.extend_from_slice(part));
        true
    }

    /// The field whose value is asked for.
    pub fn field(&self) -> Option<&'a [u8]> {
        match self {
            Pattern::Key { field, .. } => *field,
            Pattern::Element | Pattern::Nothing => None,
        }
    }

    /// Whether a key is made of each element.
    pub fn makes_key(&self) -> bool {
        matches!(self, Pattern::Key { .. })
    }
}

/// The options of a SORT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// What elements are ordered by, where it is not the elements.
    pub by: Option<Pattern<'a>>,
    /// Whether the order is that of the value: BY was given something that is the same for all elements.
    pub keeps_order: bool,
    pub is_descending: bool,
    /// Whether texts are compared, not numbers.
    pub is_alpha: bool,
    limit: (i64, i64),
    /// What the answer consists of; the elements where it is empty.
    pub gets: Vec<Pattern<'a>>,
    /// Index of the key to store the answer under.
    pub target: Option<usize>,
}

impl<'a> Request<'a> {
    /// Reads the arguments.
    ///
    /// # Errors
    /// The grammar's, or a limit's.
    pub fn read(args: &Args<'a>, stores: bool) -> Result<Request<'a>, Error> {
        const ALL: (i64, i64) = (0, -1);
        let mut request = Request {
            by: None,
            keeps_order: false,
            is_descending: false,
            is_alpha: false,
            limit: ALL,
            gets: Vec::new(),
            target: None,
        };
        let mut index = 2;
        while let Some(word) = args.get(index) {
            index += 1 + request.take(args, index, word, stores)?;
        }
        Ok(request)
    }

    /// Takes one option; answers how many arguments belong to it.
    fn take(
        &mut self,
        args: &Args<'a>,
        index: usize,
        word: &[u8],
        stores: bool,
    ) -> Result<usize, Error> {
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        let integer = |text: &[u8]| resp::number::parse_i64(text).ok_or(error::NOT_AN_INTEGER);
        match (args.get(index + 1), args.get(index + 2)) {
            _ if is("asc") => self.is_descending = false,
            _ if is("desc") => self.is_descending = true,
            _ if is("alpha") => self.is_alpha = true,
            (Some(offset), Some(count)) if is("limit") => {
                self.limit = (integer(offset)?, integer(count)?);
                return Ok(2);
            }
            (Some(_), _) if is("store") && stores => {
                self.target = Some(index + 1);
                return Ok(1);
            }
            (Some(by), _) if is("by") => {
                let by = Pattern::of(by);
                self.keeps_order |= !by.makes_key();
                self.by = Some(by);
                return Ok(1);
            }
            (Some(get), _) if is("get") => {
                self.gets.push(Pattern::of(get));
                return Ok(1);
            }
            _ => return Err(error::SYNTAX.into()),
        }
        Ok(0)
    }

    /// Whether keys other than the named ones are read.
    pub fn makes_keys(&self) -> bool {
        self.gets.iter().any(Pattern::makes_key) || (self.by.is_some() && !self.keeps_order)
    }

    /// Whether the answer needs what keys hold.
    pub fn gets_keys(&self) -> bool {
        self.gets.iter().any(Pattern::makes_key)
    }

    /// Which of so many elements are answered.
    pub fn range(&self, len: usize) -> Range<usize> {
        let (offset, count) = self.limit;
        let start = usize::try_from(offset.max(0))
            .unwrap_or(usize::MAX)
            .min(len);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        start..start.saturating_add(count).min(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use resp::OwnedArgs;

    fn key(pattern: &str, element: &str) -> Option<(String, Option<String>)> {
        let pattern = Pattern::of(pattern.as_bytes());
        let mut key = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("tests have text");
        pattern
            .key_of(element.as_bytes(), &mut key)
            .then(|| (text(&key), pattern.field().map(text)))
    }

    #[test]
    fn the_first_star_is_the_element_and_the_first_arrow_behind_it_leads_to_a_field() {
        let plain = |text: &str| Some((text.to_owned(), None));
        let field = |text: &str, field: &str| Some((text.to_owned(), Some(field.to_owned())));
        assert_eq!(key("w_*", "1"), plain("w_1"));
        assert_eq!(key("a*b*c", "1"), plain("a1b*c"));
        assert_eq!(key("h_*->f", "1"), field("h_1", "f"));
        assert_eq!(key("h->*x->f->g", "1"), field("h->1x", "f->g"));
        assert_eq!(key("h_*->", "1"), plain("h_1->"));
        assert_eq!(key("h->f", "1"), None);
        assert_eq!(key("#", "1"), None);
        assert_eq!(key("*", ""), plain(""));
    }

    #[test]
    fn limits_beyond_all_bounds_answer_what_there_is() {
        let range = |offset: i64, count: i64| {
            let mut args = OwnedArgs::new();
            let (offset, count) = (offset.to_string(), count.to_string());
            ["sort", "k", "limit", &offset, &count]
                .iter()
                .for_each(|word| args.push(word.as_bytes()));
            let request = Request::read(&args.as_args(), true).expect("it is well formed");
            request.range(10)
        };
        assert_eq!(range(2, 3), 2..5);
        assert_eq!(range(-2, 3), 0..3);
        assert_eq!(range(8, i64::MAX), 8..10);
        assert_eq!(range(i64::MAX, i64::MAX), 10..10);
        assert_eq!(range(i64::MIN, i64::MIN), 0..10);
        assert_eq!(range(3, -7), 3..10);
        assert_eq!(range(3, 0), 3..3);
    }

    #[test]
    fn a_request_is_wide_only_where_patterns_make_keys() {
        let wide = |line: &str| {
            let mut args = OwnedArgs::new();
            line.split(' ').for_each(|word| args.push(word.as_bytes()));
            super::super::is_wide::<true>(&args.as_args())
        };
        assert!(wide("sort k by w_*"));
        assert!(wide("sort k get #  get v_*->f".replace("  ", " ").as_str()));
        assert!(!wide("sort k by nosort get # get x store d"));
        assert!(!wide("sort k by w_* by nosort"));
        assert!(!wide("sort k by w_* bad"));
        assert!(!wide("sort k"));
    }
}
