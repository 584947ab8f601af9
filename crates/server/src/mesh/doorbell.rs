//! Who sleeps: one flag a core, so that a message to a core that is awake costs no system call.
//! A message put in before the sleeper looked again is seen by it; one put in later finds the flag: none is lost.
//! The store-fence-load pattern of Dekker on both sides; the model checker tests it below.

use super::sync::{AtomicBool, Ordering, fence};

/// Whether one core sleeps.
pub struct Doorbell {
    asleep: AtomicBool,
}

impl Doorbell {
    /// A core that is awake.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Doorbell {
        Doorbell {
            asleep: AtomicBool::new(false),
        }
    }

    /// The core is about to sleep: it must look at its queues once more after this.
    pub fn lie_down(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The core is awake.
    pub fn rise(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Whether the bell must be rung, asked after the message was put in and a fence; at most one asker is told to.
    pub fn must_ring(&self) -> bool {
        self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed)
    }
}

/// Orders everything put into queues before this with the look at doorbells after it.
pub fn after_messages() {
    fence(Ordering::SeqCst);
}

#[cfg(all(test, feature = "loom"))]
mod tests {
    use super::{super::queue::queue, *};
    use loom::sync::Arc;

    #[test]
    fn no_core_sleeps_with_a_message_waiting_and_no_bell_rung() {
        loom::model(|| {
            let bell = Arc::new(Doorbell::new());
            let rung = Arc::new(loom::sync::atomic::AtomicBool::new(false));
            let (mut sender, receiver) = queue::<u8>(2);
            let writer = {
                let (bell, rung) = (bell.clone(), rung.clone());
                loom::thread::spawn(move || {
                    sender.push(1).unwrap();
                    after_messages();
                    if bell.must_ring() {
                        rung.store(true, Ordering::SeqCst);
                    }
                })
            };
            bell.lie_down();
            let sleeps = receiver.is_empty();
            writer.join().unwrap();
            assert!(
                !sleeps || rung.load(Ordering::SeqCst),
                "the message would be waited for forever"
            );
        });
    }
}
