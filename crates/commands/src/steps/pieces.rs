//! An answer that is made in steps: a piece in each, which goes to the client as it is.
//! Never copies a piece into another, but for the beginning of an answer, which is the beginning of its first.
//! Source: decision 0010.

use crate::Part;
use crate::reading::{Budget, STEP_BYTES};
use resp::{Proto, Writer};

/// An answer that is made in pieces.
#[derive(Debug)]
pub struct Pieces {
    proto: Proto,
    pieces: Vec<Vec<u8>>,
}

impl Pieces {
    /// The beginning of an answer.
    pub fn new(proto: Proto, header: impl FnOnce(&mut Writer<'_>)) -> Pieces {
        let mut first = Vec::new();
        header(&mut Writer::new(&mut first, proto));
        Pieces {
            proto,
            pieces: vec![first],
        }
    }

    /// One more piece: as many elements as `write` puts into it before the budget is used up.
    pub fn write<T>(&mut self, write: impl FnOnce(&mut Writer<'_>, &mut Budget) -> T) -> T {
        // The beginning of the answer is the beginning of the first.
        let mut piece = match &mut self.pieces[..] {
            [first] if first.len() < STEP_BYTES / 2 => std::mem::take(first),
            _ => {
                self.pieces.push(Vec::new());
                Vec::new()
            }
        };
        // An element more than the piece has room for makes it grow.
        piece.reserve_exact(STEP_BYTES + STEP_BYTES / 8 - piece.len());
        let written = write(
            &mut Writer::new(&mut piece, self.proto),
            &mut Budget::default(),
        );
        piece.shrink_to_fit();
        if piece.is_empty() {
            // The step has prepared what others answer.
            self.pieces.pop();
        } else {
            *self.pieces.last_mut().expect("it was put there") = piece;
        }
        written
    }

    /// Puts something before all the others, which could not be told when they were made.
    pub fn put_first(&mut self, header: Option<Vec<u8>>) {
        self.pieces.splice(..0, header);
    }

    /// What there is.
    pub fn take(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.pieces)
    }

    /// The answer.
    pub fn finish(self) -> Part {
        Part::Reply(self.pieces)
    }
}
