//! Plain JSON at the edge ↔ the MessagePack values of `docs/protocol.md`.
//!
//! Both directions go from bytes to bytes, with no tree between: the gateway pays for a result only what its
//! bytes cost. What plain JSON cannot say is written as its nearest form and is not read back: the gateway never
//! accepts type tags.
//!
//! | value | JSON |
//! |---|---|
//! | tuple, set, frozenset, complex | array |
//! | bytes, bytearray | base64 text |
//! | int of any size | number, all its digits |
//! | NaN, infinity | null |
//! | datetime, date, time, Decimal, UUID | text |
//! | timedelta | number of seconds, exact to the microsecond |
//! | Enum member | its value |
//! | dataclass, Struct, pydantic model / NamedTuple | object of its fields / array |
//! | RootModel | its value |
//! | numpy array / scalar | nested arrays / its element; times as text, durations as seconds |
//! | pandas DataFrame / Series, Index | array of records, without the index / array of its values |
//! | a dict key that is no text | the text of its JSON form: `1` → `"1"`, `(1, 2)` → `"[1,2]"` |

mod array;
mod read;
mod table;
mod write;

pub use read::{from_json, transcode};
pub use write::to_json;

/// Values nest at most this deep: recursion stays far from the end of the stack.
const DEPTH_MAX: u32 = 128;
/// Python refuses to read longer integers, so they are refused here.
const DIGITS_MAX: usize = 4300;
/// Extension type of an integer beyond 64 bit.
const EXT_BIG_INT: i8 = 4;
// Those that stand inside of others.
const ARRAY: i8 = 18;
const INDEX: i8 = 22;
const COLUMN: i8 = 23;

#[cfg(test)]
mod tests;
