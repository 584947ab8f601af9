//! How bytes come in and go out: one io_uring per core and plain non-blocking sends.
//! Only this folder knows the kernel's interface; commands and connections are known elsewhere.
//! Decision 0002 has the measurements that chose it.

pub mod buffers;
pub mod ring;
pub mod socket;
