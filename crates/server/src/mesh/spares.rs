//! Batches that came home and are kept, with their buffers, for the next commands for other cores.
//! Never holds more than a part of what its shard may hold: what lies here is room for keys.
//! The last that came is the first to go, while it is in the cache.

use super::batch::Batch;

/// Kept batches.
pub struct Spares {
    batches: Vec<(Batch, i64)>,
    bytes: i64,
    bytes_max: i64,
}

impl Default for Spares {
    fn default() -> Spares {
        Spares {
            batches: Vec::new(),
            bytes: 0,
            bytes_max: i64::MAX,
        }
    }
}

impl Spares {
    /// Batches kept at most.
    const BATCHES_MAX: usize = 32;

    /// Takes one.
    pub fn take(&mut self) -> Option<Batch> {
        let (batch, bytes) = self.batches.pop()?;
        self.bytes -= bytes;
        Some(batch)
    }

    /// Keeps a batch that holds so many bytes, or frees it.
    pub fn keep(&mut self, mut batch: Batch, bytes: i64) {
        if self.batches.len() < Self::BATCHES_MAX
            && self.bytes + bytes <= self.bytes_max
            && !batch.grew_large()
        {
            batch.clear();
            self.bytes += bytes;
            self.batches.push((batch, bytes));
        }
    }

    /// Says how many bytes those that are kept may hold.
    pub fn allow(&mut self, bytes_max: u64) {
        self.bytes_max = i64::try_from(bytes_max).unwrap_or(i64::MAX);
    }

    /// Gives all up.
    pub fn clear(&mut self) {
        self.batches.clear();
        self.bytes = 0;
    }

    /// Bytes of the batches and of the list of them.
    pub fn total_bytes(&self) -> usize {
        let list_bytes = self.batches.capacity() * size_of::<(Batch, i64)>();
        self.bytes as usize + list_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(reply_bytes: usize) -> (Batch, i64) {
        let mut batch = Batch::default();
        batch.replies.write(|out| {
            out.resize(reply_bytes, b'x');
            true
        });
        let bytes = batch.heap_bytes() as i64;
        (batch, bytes)
    }

    #[test]
    fn what_is_kept_stays_within_what_is_allowed() {
        let mut spares = Spares::default();
        spares.allow(10_000);
        for _ in 0..4 {
            let (batch, bytes) = batch(3_000);
            spares.keep(batch, bytes);
        }
        assert!((6_000..11_000).contains(&spares.bytes), "{}", spares.bytes);
        let kept = std::iter::from_fn(|| spares.take()).count();
        assert!((2..=3).contains(&kept) && spares.bytes == 0);
    }

    #[test]
    fn a_batch_that_grew_large_is_not_kept() {
        let mut spares = Spares::default();
        let (batch, bytes) = batch(100_000);
        spares.keep(batch, bytes);
        assert!(spares.take().is_none());
    }

    #[test]
    fn a_kept_batch_is_empty_and_has_its_buffers() {
        let mut spares = Spares::default();
        let (batch, bytes) = batch(3_000);
        spares.keep(batch, bytes);
        let again = spares.take().expect("it was kept");
        assert_eq!((again.replies.len(), again.heap_bytes() as i64), (0, bytes));
    }
}
