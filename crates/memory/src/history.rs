//! Owns how a figure came to be what it is: marks and minima of the last two days, in constant memory, and its growth.
//! Never happens here: a clock; the minute is an argument, and two days of marks are a loop.
//! Source: round-robin archives (Oetiker's RRDtool), with minima beside the marks.
//!
//! Marks are kept as floating-point numbers of 24 bits: exact up to 16 MiB, within 64 bytes at a
//! gigabyte.

#![forbid(unsafe_code)]

/// Milliseconds between two marks.
pub const MARK_MS: u64 = 60_000;
/// Marks of single minutes that are kept: for ten minutes and the one under way.
const MINUTES: usize = 11;
/// Marks every five minutes: for an hour and the five minutes under way.
const FIVES: usize = 13;
/// Marks every hour: for a day and the hour under way.
const HOURS: usize = 25;
/// Minima of five minutes that are kept.
pub const FIVE_MINIMA: usize = 12;
/// Minima of an hour that are kept: two days.
pub const HOUR_MINIMA: usize = 48;
/// Longer ago nothing is known.
const MINUTES_KEPT: u32 = 60 * (HOUR_MINIMA as u32 + 1);

/// A time over which growth is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// One minute.
    Minute,
    /// Ten minutes.
    TenMinutes,
    /// An hour.
    Hour,
    /// 24 hours.
    Day,
}

/// How many spans there are.
pub const SPANS: usize = Span::ALL.len();

impl Span {
    /// All of them, the shortest first.
    pub const ALL: [Span; 4] = [Span::Minute, Span::TenMinutes, Span::Hour, Span::Day];

    /// Its name: `1m`, `10m`, `1h`, `24h`.
    pub fn name(self) -> &'static str {
        ["1m", "10m", "1h", "24h"][self as usize]
    }
}

/// What a figure has grown by over a span. Growths of several shards add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    /// Bytes more than then; below 0 for fewer.
    pub bytes: i64,
    /// How long ago that was, in milliseconds: a little more than the span, or less where less is known. Of several
    /// shards the shortest.
    pub covered_ms: u64,
    /// Bytes a minute.
    pub minute_bytes: i64,
}

impl Growth {
    fn over(bytes: i64, covered_ms: u64) -> Growth {
        // What is known of less than a second says nothing about a minute.
        let covered_ms_least = i128::from(covered_ms.max(1000));
        let minute_bytes = i128::from(bytes) * i128::from(MARK_MS) / covered_ms_least;
        Growth {
            bytes,
            covered_ms,
            minute_bytes: minute_bytes.clamp(i64::MIN.into(), i64::MAX.into()) as i64,
        }
    }

    /// Adds another shard's growth.
    pub fn merge(&mut self, other: &Growth) {
        let Growth {
            bytes,
            covered_ms,
            minute_bytes,
        } = other;
        self.bytes += bytes;
        self.minute_bytes += minute_bytes;
        self.covered_ms = match (self.covered_ms, *covered_ms) {
            (0, known) | (known, 0) => known,
            (one, other) => one.min(other),
        };
    }

    /// Seconds until so many bytes more are reached at this rate; `None` for what does not grow.
    pub fn seconds_until(&self, room_bytes: u64) -> Option<u64> {
        let minute_bytes = u64::try_from(self.minute_bytes).ok()?;
        let seconds = u128::from(room_bytes) * 60;
        let seconds = seconds.checked_div(u128::from(minute_bytes))?;
        Some(u64::try_from(seconds).unwrap_or(u64::MAX))
    }
}

/// Growth over every span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trend([Growth; SPANS]);

impl Trend {
    /// That over one span.
    pub fn over(&self, span: Span) -> Growth {
        self.0[span as usize]
    }

    /// Adds another shard's.
    pub fn merge(&mut self, other: &Trend) {
        for (own, theirs) in self.0.iter_mut().zip(&other.0) {
            own.merge(theirs);
        }
    }
}

/// The history of one figure. Minutes are counted from any moment; of figures that are to be merged, from the same.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// The first and the latest minute that were marked.
    begun: u32,
    marked: u32,
    /// The figure in the first of them.
    first: f32,
    minutes: [f32; MINUTES],
    fives: [f32; FIVES],
    hours: [f32; HOURS],
    five_minima: [f32; FIVE_MINIMA],
    hour_minima: [f32; HOUR_MINIMA],
    /// The minima of the five minutes and of the hour under way.
    five_minimum: f32,
    hour_minimum: f32,
}

impl History {
    /// A figure of which nothing is known before a minute.
    pub fn since(minute: u32, bytes: u64) -> History {
        let first = bytes as f32;
        History {
            begun: minute,
            marked: minute,
            first,
            minutes: [first; MINUTES],
            fives: [first; FIVES],
            hours: [first; HOURS],
            five_minima: [first; FIVE_MINIMA],
            hour_minima: [first; HOUR_MINIMA],
            five_minimum: first,
            hour_minimum: first,
        }
    }

    /// A figure that is known to have been 0 from one minute to another.
    pub fn of_nothing(begun: u32, marked: u32) -> History {
        History {
            marked: marked.max(begun),
            ..History::since(begun, 0)
        }
    }

    /// Marks the figure at the beginning of a minute. Minutes that were left out, as by a process that stood still, get
    /// the same; one that was marked already stays as it is.
    pub fn mark(&mut self, minute: u32, bytes: u64) {
        let figure = bytes as f32;
        let left_out = self.marked.saturating_add(1);
        for minute in left_out.max(minute.saturating_sub(MINUTES_KEPT))..=minute {
            self.step(minute, figure);
        }
        self.marked = self.marked.max(minute);
    }

    fn step(&mut self, minute: u32, figure: f32) {
        self.minutes[minute as usize % MINUTES] = figure;
        self.five_minimum = self.five_minimum.min(figure);
        self.hour_minimum = self.hour_minimum.min(figure);
        if minute.is_multiple_of(5) {
            let five = minute as usize / 5;
            self.fives[five % FIVES] = figure;
            self.five_minima[five % FIVE_MINIMA] = self.five_minimum;
            self.five_minimum = figure;
        }
        if minute.is_multiple_of(60) {
            let hour = minute as usize / 60;
            self.hours[hour % HOURS] = figure;
            self.hour_minima[hour % HOUR_MINIMA] = self.hour_minimum;
            self.hour_minimum = figure;
        }
    }

    /// The minute at least a span ago that is marked, or the first one, and the figure then.
    fn ago(&self, span: Span) -> (u32, f32) {
        let (step, steps, ring): (u32, u32, &[f32]) = match span {
            Span::Minute => (1, 1, &self.minutes),
            Span::TenMinutes => (1, 10, &self.minutes),
            Span::Hour => (5, 12, &self.fives),
            Span::Day => (60, 24, &self.hours),
        };
        let Some(wanted) = (self.marked / step).checked_sub(steps) else {
            return (self.begun, self.first);
        };
        if wanted * step <= self.begun {
            return (self.begun, self.first);
        }
        (wanted * step, ring[wanted as usize % ring.len()])
    }

    /// Growth until now over every span; `elapsed_ms` are from the beginning of the first minute of all.
    pub fn trend(&self, bytes: u64, elapsed_ms: u64) -> Trend {
        Trend(Span::ALL.map(|span| {
            let (minute, figure) = self.ago(span);
            let covered_ms = elapsed_ms.saturating_sub(u64::from(minute) * MARK_MS);
            Growth::over(bytes as i64 - figure as i64, covered_ms)
        }))
    }

    /// The minima of the last twelve times five minutes that are over, oldest first; `None` before there are so many.
    pub fn five_minima(&self) -> Option<[f64; FIVE_MINIMA]> {
        let latest = self.marked / 5;
        let oldest = latest.checked_sub(FIVE_MINIMA as u32)?;
        (oldest * 5 >= self.begun).then(|| {
            std::array::from_fn(|nth| {
                let five = oldest as usize + 1 + nth;
                f64::from(self.five_minima[five % FIVE_MINIMA])
            })
        })
    }

    /// The minimum of a whole hour, that of the latest one that is over for 0; `None` for hours before the first mark.
    pub fn hour_minimum(&self, hours_ago: u32) -> Option<f64> {
        let hour = (self.marked / 60).checked_sub(hours_ago)?;
        let start = hour.checked_sub(1)? * 60;
        let is_kept = (hours_ago as usize) < HOUR_MINIMA && start >= self.begun;
        is_kept.then(|| f64::from(self.hour_minima[hour as usize % HOUR_MINIMA]))
    }

    /// Whether the figure was 0 at every mark that is kept.
    pub fn is_of_nothing(&self) -> bool {
        let marks = self.minutes.iter().chain(&self.fives).chain(&self.hours);
        marks.chain([&self.first]).all(|figure| *figure == 0.0)
    }

    /// Adds the history of the same figure of another shard, or of another part. Known is what is known of both; sums of
    /// minima are at most the minimum of the sum.
    pub fn merge(&mut self, other: &History) {
        let mut other = other.clone();
        self.catch_up(other.marked);
        other.catch_up(self.marked);
        self.begun = self.begun.max(other.begun);
        self.first += other.first;
        self.five_minimum += other.five_minimum;
        self.hour_minimum += other.hour_minimum;
        add(&mut self.minutes, &other.minutes);
        add(&mut self.fives, &other.fives);
        add(&mut self.hours, &other.hours);
        add(&mut self.five_minima, &other.five_minima);
        add(&mut self.hour_minima, &other.hour_minima);
    }

    /// Shards mark a minute one after the other: the one that is behind goes on as it was.
    fn catch_up(&mut self, minute: u32) {
        let latest = self.minutes[self.marked as usize % MINUTES];
        self.mark(minute, latest as u64);
    }
}

fn add(own: &mut [f32], theirs: &[f32]) {
    for (own, theirs) in own.iter_mut().zip(theirs) {
        *own += theirs;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u32 = 24 * 60;

    /// A figure marked every minute.
    fn marked(minutes: u32, bytes: impl Fn(u32) -> u64) -> History {
        let mut history = History::since(0, bytes(0));
        (1..=minutes).for_each(|minute| history.mark(minute, bytes(minute)));
        history
    }

    fn bytes(trend: &Trend) -> [i64; SPANS] {
        Span::ALL.map(|span| trend.over(span).bytes)
    }

    #[test]
    fn growth_is_the_difference_to_the_figure_so_long_ago() {
        let history = marked(3 * DAY, |minute| 1000 + u64::from(minute) * 7);
        let now_ms = u64::from(3 * DAY) * MARK_MS;
        let trend = history.trend(1000 + u64::from(3 * DAY) * 7, now_ms);
        assert_eq!(bytes(&trend), [7, 70, 420, 7 * i64::from(DAY)]);
        for span in Span::ALL {
            assert_eq!(trend.over(span).minute_bytes, 7, "{span:?}");
        }
        assert_eq!(trend.over(Span::Hour).covered_ms, 3_600_000);
    }

    #[test]
    fn between_marks_a_span_is_a_little_longer_and_says_so() {
        let history = marked(2 * DAY + 64, |minute| u64::from(minute) * 60);
        let now_ms = u64::from(2 * DAY + 64) * MARK_MS + 30_000;
        let trend = history.trend(u64::from(2 * DAY + 64) * 60 + 30, now_ms);
        let covered = Span::ALL.map(|span| trend.over(span).covered_ms);
        let minute = |minutes: f64| (minutes * 60_000.0) as u64;
        assert_eq!(
            covered,
            [
                minute(1.5),
                minute(10.5),
                minute(64.5),
                minute(24.0 * 60.0 + 4.5)
            ]
        );
        for span in Span::ALL {
            assert_eq!(trend.over(span).minute_bytes, 60, "{span:?}");
        }
    }

    #[test]
    fn a_short_history_tells_what_it_covers() {
        let history = marked(3, |minute| 500 + u64::from(minute) * 10);
        let trend = history.trend(540, 4 * MARK_MS - 1);
        assert_eq!(bytes(&trend), [20, 40, 40, 40]);
        assert_eq!(trend.over(Span::Day).covered_ms, 4 * MARK_MS - 1);
        let late = History::since(1000, 80).trend(90, 1000 * MARK_MS + 30_000);
        assert_eq!(bytes(&late), [10; SPANS]);
        assert_eq!(late.over(Span::Day).minute_bytes, 20);
        // A moment after the beginning a rate is not a thousand times what has come.
        assert_eq!(
            History::since(0, 0)
                .trend(10, 0)
                .over(Span::Minute)
                .minute_bytes,
            600
        );
    }

    #[test]
    fn what_came_from_nothing_has_grown_by_all_it_is() {
        let mut history = History::of_nothing(0, 3 * DAY);
        assert_eq!(
            bytes(&history.trend(5, u64::from(3 * DAY) * MARK_MS)),
            [5; SPANS]
        );
        history.mark(3 * DAY + 1, 5);
        let trend = history.trend(9, u64::from(3 * DAY + 2) * MARK_MS - 1);
        assert_eq!(bytes(&trend), [9; SPANS]);
        assert_eq!(trend.over(Span::Day).covered_ms / 3_600_000, 24);
    }

    #[test]
    fn a_process_that_stood_still_has_grown_before_or_after() {
        for pause in [5, 70, 3 * DAY, 100 * DAY] {
            let mut history = marked(DAY, |_| 1000);
            history.mark(DAY + pause, 3000);
            let end_ms = u64::from(DAY + pause) * MARK_MS;
            let trend = history.trend(3000, end_ms);
            assert_eq!(trend.over(Span::Minute).bytes, 0, "{pause}");
            assert!(history.hour_minimum(0).is_some());
            let expected = if pause > DAY + 60 { 0 } else { 2000 };
            assert_eq!(trend.over(Span::Day).bytes, expected, "{pause}");
        }
        // The same minute again changes nothing.
        let mut history = marked(7, |_| 1);
        history.mark(7, 99);
        history.mark(3, 99);
        assert_eq!(history, marked(7, |_| 1));
    }

    #[test]
    fn minima_are_of_whole_buckets_and_known_when_all_are() {
        // Sinks in the third minute of every five, deeper in every hour.
        let figure = |minute: u32| {
            let low = u64::from(minute % 5 != 3);
            10_000 * low + u64::from(minute / 60)
        };
        let history = marked(3 * DAY, figure);
        let fives = history.five_minima().unwrap();
        assert_eq!(fives, [71.0; FIVE_MINIMA]);
        for hours in 0..HOUR_MINIMA as u32 {
            assert_eq!(history.hour_minimum(hours), Some(f64::from(71 - hours)));
        }
        assert_eq!(history.hour_minimum(HOUR_MINIMA as u32), None);
        assert_eq!(marked(59, figure).five_minima(), None);
        assert!(marked(60, figure).five_minima().is_some());
        let late = History::since(30, 9);
        assert_eq!((late.hour_minimum(0), late.hour_minimum(1)), (None, None));
    }

    #[test]
    fn histories_of_shards_add_up_also_when_one_is_behind() {
        let one = marked(2 * DAY, |minute| u64::from(minute) * 3);
        let other = marked(2 * DAY - 1, |minute| u64::from(minute) * 5);
        let mut merged = one.clone();
        merged.merge(&other);
        let now_ms = u64::from(2 * DAY) * MARK_MS;
        let now = u64::from(2 * DAY);
        let mut sum = one.trend(now * 3, now_ms);
        sum.merge(&marked(2 * DAY, |minute| u64::from(minute) * 5).trend(now * 5, now_ms));
        let trend = merged.trend(now * 8, now_ms);
        assert_eq!(
            [Span::TenMinutes.name(), Span::Hour.name(), Span::Day.name()],
            ["10m", "1h", "24h"]
        );
        for span in [Span::TenMinutes, Span::Hour, Span::Day] {
            assert_eq!(trend.over(span), sum.over(span), "{span:?}");
        }
    }

    #[test]
    fn the_time_until_a_limit_is_only_known_of_what_grows() {
        let growth = |minute_bytes| Growth {
            bytes: 0,
            covered_ms: 60_000,
            minute_bytes,
        };
        assert_eq!(growth(100).seconds_until(1000), Some(600));
        assert_eq!(growth(100).seconds_until(0), Some(0));
        assert_eq!(growth(0).seconds_until(1000), None);
        assert_eq!(growth(-5).seconds_until(1000), None);
        assert!(growth(1).seconds_until(u64::MAX).is_some());
    }

    #[test]
    fn a_history_is_less_than_half_a_kilobyte() {
        assert!(size_of::<History>() <= 464);
    }
}
