//! Batches that came home and are kept, with their buffers, for the next commands for other cores.
//! Never holds more than a part of what its shard may hold, and never counts as data: what lies here is on its way again soon.
//! The last that came is the first to go, while it is in the cache.

use super::batch::Batch;

/// Kept batches. Their bytes stay counted as being on their way, see `Core::travelling_bytes`.
pub struct Spares {
    batches: Vec<Batch>,
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
        let batch = self.batches.pop()?;
        self.bytes -= batch.counted_bytes();
        Some(batch)
    }

    /// Keeps a batch, or frees it; answers how many bytes are no longer on their way.
    #[must_use]
    pub fn keep(&mut self, mut batch: Batch) -> i64 {
        let bytes = batch.counted_bytes();
        let is_kept = self.batches.len() < Self::BATCHES_MAX
            && self.bytes + bytes <= self.bytes_max
            && !batch.grew_large();
        if !is_kept {
            return bytes;
        }
        batch.clear();
        self.bytes += bytes;
        self.batches.push(batch);
        0
    }

    /// Says how many bytes those that are kept may hold.
    pub fn allow(&mut self, bytes_max: u64) {
        self.bytes_max = i64::try_from(bytes_max).unwrap_or(i64::MAX);
    }

    /// Gives all up; answers how many bytes are no longer on their way.
    #[must_use]
    pub fn clear(&mut self) -> i64 {
        self.batches.clear();
        std::mem::take(&mut self.bytes)
    }

    /// Bytes of the list of them.
    pub fn list_bytes(&self) -> usize {
        self.batches.capacity() * size_of::<Batch>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch that came home, and how many bytes of it are counted.
    fn batch(reply_bytes: usize) -> (Batch, i64) {
        let mut batch = Batch::default();
        batch.replies.out().resize(reply_bytes, b'x');
        let bytes = batch.count();
        (batch, bytes)
    }

    #[test]
    fn what_is_kept_stays_within_what_is_allowed() {
        let mut spares = Spares::default();
        spares.allow(10_000);
        let (mut counted, mut freed) = (0, 0);
        for _ in 0..4 {
            let (batch, bytes) = batch(3_000);
            counted += bytes;
            freed += spares.keep(batch);
        }
        assert!((6_000..11_000).contains(&spares.bytes), "{}", spares.bytes);
        assert_eq!(spares.bytes + freed, counted);
        let kept = std::iter::from_fn(|| spares.take()).count();
        assert!((2..=3).contains(&kept) && spares.bytes == 0);
    }

    #[test]
    fn a_batch_that_grew_large_is_not_kept() {
        let mut spares = Spares::default();
        let (batch, bytes) = batch(100_000);
        assert_eq!(spares.keep(batch), bytes);
        assert!(spares.take().is_none());
    }

    #[test]
    fn a_kept_batch_is_empty_and_its_buffers_stay_counted() {
        let mut spares = Spares::default();
        let (batch, bytes) = batch(3_000);
        assert_eq!(spares.keep(batch), 0);
        let mut again = spares.take().expect("it was kept");
        assert_eq!((again.replies.len(), again.heap_bytes() as i64), (0, bytes));
        assert_eq!(again.count(), 0);
        assert_eq!(spares.keep(again), 0);
        assert_eq!((spares.clear(), spares.clear()), (bytes, 0));
    }
}
