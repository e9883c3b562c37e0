//! Marks that programs outside of this one define, by the protocol of `PROTOCOL.md`.

mod law;
mod likelihood;
mod says;

pub use law::Outside;
pub use likelihood::Places;
pub use says::{Absent, Kind, Law, Says, Unit};
