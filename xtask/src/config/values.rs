//! The leaves of `dev.toml`: what one scalar may be, and what to say when it is something else.
//!
//! One hand-written serde visitor serves them all; tables and lists are walked elsewhere.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::{DeserializeSeed, Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::nearest::did_you_mean;
use super::service::{Autorestart, Condition, EnvValue};
use super::{CronLine, Signal, Size, expand, units};

/// One value that is neither a list nor a table.
pub(super) enum Scalar<'s> {
    Text(&'s str),
    Integer(i128),
    Float(f64),
    Flag(bool),
}

/// Why a scalar is refused.
pub(super) enum Refusal {
    /// It is not of the expected kind.
    Kind,
    /// It is of the kind, but wrong; says why.
    Because(String),
}

/// A type that is read from one scalar.
pub(super) trait Leaf: Sized {
    /// What is expected, as in "expected a string".
    const EXPECTED: &'static str;

    /// Reads it.
    fn read(scalar: &Scalar<'_>) -> Result<Self, Refusal>;
}

/// Reads a leaf by its own rules.
pub(super) fn deserialize<'de, T: Leaf, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    Expecting::new(T::EXPECTED).deserialize(deserializer)
}

/// Reads a leaf and says what is expected in its place.
pub(super) struct Expecting<T> {
    expected: &'static str,
    leaf: PhantomData<T>,
}

impl<T> Expecting<T> {
    /// A reader of one leaf.
    pub(super) fn new(expected: &'static str) -> Self {
        Self {
            expected,
            leaf: PhantomData,
        }
    }
}

impl<T: Leaf> Expecting<T> {
    fn read<E: Error>(&self, scalar: &Scalar<'_>) -> Result<T, E> {
        if let Scalar::Text(text) = scalar
            && text.contains('\0')
        {
            return Err(E::custom("it holds a NUL character, which no program can be given"));
        }
        T::read(scalar).map_err(|refusal| match refusal {
            Refusal::Because(reason) => E::custom(reason),
            Refusal::Kind => E::invalid_type(
                match scalar {
                    Scalar::Text(text) => Unexpected::Str(text),
                    Scalar::Integer(number) => match i64::try_from(*number) {
                        Ok(number) => Unexpected::Signed(number),
                        Err(_) => Unexpected::Other("a huge integer"),
                    },
                    Scalar::Float(number) => Unexpected::Float(*number),
                    Scalar::Flag(flag) => Unexpected::Bool(*flag),
                },
                self,
            ),
        })
    }
}

impl<'de, T: Leaf> DeserializeSeed<'de> for Expecting<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<T: Leaf> Visitor<'_> for Expecting<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        self.read(&Scalar::Text(text))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        self.read(&Scalar::Integer(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        self.read(&Scalar::Integer(number.into()))
    }

    fn visit_i128<E: Error>(self, number: i128) -> Result<T, E> {
        self.read(&Scalar::Integer(number))
    }

    fn visit_u128<E: Error>(self, number: u128) -> Result<T, E> {
        self.read(&Scalar::Integer(i128::try_from(number).unwrap_or(i128::MAX)))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        self.read(&Scalar::Float(number))
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<T, E> {
        self.read(&Scalar::Flag(flag))
    }
}

impl Leaf for String {
    const EXPECTED: &'static str = "a string";

    fn read(scalar: &Scalar<'_>) -> Result<Self, Refusal> {
        match scalar {
            Scalar::Text(text) => Ok((*text).to_owned()),
            Scalar::Integer(_) | Scalar::Float(_) | Scalar::Flag(_) => Err(Refusal::Kind),
        }
    }
}

impl Leaf for bool {
    const EXPECTED: &'static str = "true or false";

    fn read(scalar: &Scalar<'_>) -> Result<Self, Refusal> {
        match scalar {
            Scalar::Flag(flag) => Ok(*flag),
            Scalar::Text(_) | Scalar::Integer(_) | Scalar::Float(_) => Err(Refusal::Kind),
        }
    }
}

impl Leaf for i128 {
    const EXPECTED: &'static str = "a whole number";

    fn read(scalar: &Scalar<'_>) -> Result<Self, Refusal> {
        match scalar {
            Scalar::Integer(number) => Ok(*number),
            Scalar::Text(_) | Scalar::Float(_) | Scalar::Flag(_) => Err(Refusal::Kind),
        }
    }
}

impl Leaf for Duration {
    const EXPECTED: &'static str = "a duration like \"10s\", or milliseconds";

    fn read(scalar: &Scalar<'_>) -> Result<Self, Refusal> {
        match scalar {
            Scalar::Text(text) => units::parse_duration(text).map_err(Refusal::Because),
            Scalar::Integer(number) => {
                let millis = u128::try_from(*number).map_err(|_| Refusal::Because("it is negative".to_owned()))?;
                units::duration_from_millis(millis).map_err(Refusal::Because)
            }
            Scalar::Float(_) | Scalar::Flag(_) => Err(Refusal::Kind),
        }
    }
}

impl Leaf for Size {
    const EXPECTED: &'static str = "a size like \"512M\", or bytes";

    fn read(scalar: &Scalar<'_>) -> Result<Self, Refusal> {
        match scalar {
            Scalar::Text(text) => units::parse_size(text).map_err(Refusal::Because),
            Scalar::Integer(number) if *number < 0 => Err(Refusal::Because("it is negative".to_owned())),
            Scalar::Integer(number) => u64::try_from(*number)
                .map(Self)
                .map_err(|_| Refusal::Because("it is too large".to_owned())),
            Scalar::Float(_) | Scalar::Flag(_) => Err(Refusal::Kind),
        }
    }
}

impl Leaf for Signal {
    const EXPECTED: &'static str = "a signal's name like \"SIGTERM\"";

    fn read(scalar: &Scalar<'_>) -> Result<Self, Refusal> {
        match scalar {
            Scalar::Text(text) => Self::parse(text).map_err(Refusal::Because),
            Scalar::Integer(_) | Scalar::Float(_) | Scalar::Flag(_) => Err(Refusal::Kind),
        }
    }
}

impl Leaf for CronLine {
    const EXPECTED: &'static str = "a cron line like \"0 4 * * *\"";

    fn read(scalar: &Scalar<'_>) -> Result<Self, Refusal> {
        match scalar {
            Scalar::Text(text) => Self::parse(text).map_err(Refusal::Because),
            Scalar::Integer(_) | Scalar::Float(_) | Scalar::Flag(_) => Err(Refusal::Kind),
        }
    }
}

impl Leaf for Autorestart {
    const EXPECTED: &'static str = "true, false or \"on-failure\"";

    fn read(scalar: &Scalar<'_>) -> Result<Self, Refusal> {
        match scalar {
            Scalar::Flag(true) => Ok(Self::Always),
            Scalar::Flag(false) => Ok(Self::Never),
            Scalar::Text("on-failure") => Ok(Self::OnFailure),
            Scalar::Text(_) | Scalar::Integer(_) | Scalar::Float(_) => Err(Refusal::Kind),
        }
    }
}

impl Leaf for Condition {
    const EXPECTED: &'static str = "\"started\", \"ready\" or \"completed\"";

    fn read(scalar: &Scalar<'_>) -> Result<Self, Refusal> {
        match scalar {
            Scalar::Text("started") => Ok(Self::Started),
            Scalar::Text("ready") => Ok(Self::Ready),
            Scalar::Text("completed") => Ok(Self::Completed),
            Scalar::Text(other) => Err(Refusal::Because(format!(
                "`{other}` is not a condition; write {}{}",
                Self::EXPECTED,
                did_you_mean(other, ["started", "ready", "completed"])
            ))),
            Scalar::Integer(_) | Scalar::Float(_) | Scalar::Flag(_) => Err(Refusal::Kind),
        }
    }
}

impl Leaf for EnvValue {
    const EXPECTED: &'static str = "a string, a number, or false to remove the variable";

    fn read(scalar: &Scalar<'_>) -> Result<Self, Refusal> {
        match scalar {
            Scalar::Text(text) => match expand::expand(text, &|_| None) {
                Ok(_) => Ok(Self::Set((*text).to_owned())),
                Err(reason) => Err(Refusal::Because(reason)),
            },
            Scalar::Integer(number) => Ok(Self::Set(number.to_string())),
            Scalar::Float(number) => Ok(Self::Set(number.to_string())),
            Scalar::Flag(false) => Ok(Self::Remove),
            Scalar::Flag(true) => Err(Refusal::Because(
                "`true` needs quotes: write \"true\" (a bare false removes the variable)".to_owned(),
            )),
        }
    }
}

impl Serialize for Autorestart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Always => serializer.serialize_bool(true),
            Self::Never => serializer.serialize_bool(false),
            Self::OnFailure => serializer.serialize_str("on-failure"),
        }
    }
}

impl<'de> Deserialize<'de> for Autorestart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize(deserializer)
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Started => "started",
            Self::Ready => "ready",
            Self::Completed => "completed",
        })
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Debug;

    fn round_trip<T: Serialize + for<'de> Deserialize<'de> + PartialEq + Debug>(value: &T, json: &str) {
        assert_eq!(serde_json::to_string(value).unwrap(), json);
        assert_eq!(serde_json::from_str::<T>(json).unwrap(), *value);
    }

    #[test]
    fn leaves_that_travel_as_json_come_back() {
        round_trip(&Size(u64::MAX), "18446744073709551615");
        round_trip(&Autorestart::OnFailure, "\"on-failure\"");
        round_trip(&Autorestart::Always, "true");
        round_trip(&Autorestart::Never, "false");
        for (condition, json) in [
            (Condition::Started, "\"started\""),
            (Condition::Ready, "\"ready\""),
            (Condition::Completed, "\"completed\""),
        ] {
            round_trip(&condition, json);
        }
    }

    #[test]
    fn a_wrong_kind_is_told_with_the_expected_one() {
        let error = serde_json::from_str::<Autorestart>("\"always\"")
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("invalid type: string \"always\", expected true, false or \"on-failure\""),
            "{error}"
        );
    }
}
