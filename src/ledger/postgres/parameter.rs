//! The parameters of a statement.

use std::fmt;

use tokio_postgres::types::{ToSql, Type};

/// A parameter with its type. The server is told the type, so it need not be asked for it, which would take a statement with a
/// name.
pub struct Parameter {
    value: Box<dyn ToSql + Send + Sync>,
    kind: Type,
}

impl Parameter {
    fn new(value: impl ToSql + Send + Sync + 'static, kind: Type) -> Self {
        Self { value: Box::new(value), kind }
    }

    /// As the client takes it.
    pub(super) fn typed(&self) -> (&(dyn ToSql + Sync), Type) {
        (&*self.value, self.kind.clone())
    }
}

/// Shows the type alone, as values are no one's business but the user's.
impl fmt::Debug for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parameter({})", self.kind)
    }
}

macro_rules! parameters {
    ($($rust:ty => $kind:ident, $array:ident;)+) => {$(
        impl From<$rust> for Parameter {
            fn from(value: $rust) -> Self {
                Self::new(value, Type::$kind)
            }
        }
        impl From<Option<$rust>> for Parameter {
            fn from(value: Option<$rust>) -> Self {
                Self::new(value, Type::$kind)
            }
        }
        impl From<Vec<$rust>> for Parameter {
            fn from(values: Vec<$rust>) -> Self {
                Self::new(values, Type::$array)
            }
        }
        impl From<Vec<Option<$rust>>> for Parameter {
            fn from(values: Vec<Option<$rust>>) -> Self {
                Self::new(values, Type::$array)
            }
        }
    )+};
}

parameters! {
    i64 => INT8, INT8_ARRAY;
    String => TEXT, TEXT_ARRAY;
    Vec<u8> => BYTEA, BYTEA_ARRAY;
    bool => BOOL, BOOL_ARRAY;
}

impl From<&str> for Parameter {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_not_shown() {
        assert_eq!(format!("{:?}", Parameter::from("hunter2")), "Parameter(text)");
        assert_eq!(format!("{:?}", Parameter::from(vec![7_i64])), "Parameter(_int8)");
    }
}
