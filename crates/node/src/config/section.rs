//! The macros that make sections of the configuration from a list of keys.

use super::keys::Key;
use super::problem::Findings;
use serde_json::{Map, Value};

/// A part of the configuration with keys of its own.
pub(super) trait Section {
    /// Takes over the keys of an object; `path` is where it stands.
    fn read(&mut self, path: &str, object: Map<String, Value>, findings: &mut Findings);
    /// All keys as JSON.
    fn write(&self) -> Map<String, Value>;
    /// Describes all keys; the values held are given as defaults.
    fn keys(&self, path: &str, keys: &mut Vec<Key>);
}

/// Makes a section: a struct with its defaults, and [`Section`] for it. Each key is
/// `/// meaning` `name: Type = default, range, "unit";`, sections inside it follow behind `sections`.
macro_rules! section {
    (
        $(#[doc = $about:literal])*
        pub struct $name:ident {
            $($(#[doc = $meaning:literal])+ $key:ident: $type:ty = $default:expr, $range:expr, $unit:literal;)*
            $(sections { $($(#[doc = $part_about:literal])+ $part:ident: $part_type:ty;)+ })?
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $(
                $(#[doc = $meaning])+
                #[doc = concat!("\n\nDefault `", stringify!($default), "`, range `", stringify!($range), "`, unit: ", $unit, ".")]
                pub $key: $type,
            )*
            $($($(#[doc = $part_about])+ pub $part: $part_type,)+)?
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)* $($($part: <$part_type>::default(),)+)? }
            }
        }

        impl $crate::config::section::Section for $name {
            fn read(
                &mut self,
                path: &str,
                mut object: serde_json::Map<String, serde_json::Value>,
                findings: &mut $crate::config::problem::Findings,
            ) {
                use $crate::config::{problem::join, setting::Setting};
                $(
                    if let Some(value) = object.remove(stringify!($key))
                        && !(value.is_null() && <$type as Setting>::OPTIONAL)
                    {
                        let path = join(path, stringify!($key));
                        match <$type as Setting>::read(&value, &$range) {
                            Ok(read) => {
                                self.$key = read;
                                findings.explicit.insert(path);
                            }
                            Err(what) => findings.problem(&path, what),
                        }
                    }
                )*
                $($(
                    if let Some(value) = object.remove(stringify!($part)) {
                        let path = join(path, stringify!($part));
                        match value {
                            serde_json::Value::Object(object) => self.$part.read(&path, object, findings),
                            other => {
                                let found = $crate::config::setting::found(&other);
                                findings.problem(&path, format!("must be an object, found {found}"));
                            }
                        }
                    }
                )+)?
                for unknown in object.keys() {
                    findings.unknown(path, unknown, &[$(stringify!($key),)* $($(stringify!($part),)+)?]);
                }
            }

            fn write(&self) -> serde_json::Map<String, serde_json::Value> {
                use $crate::config::setting::Setting;
                let mut object = serde_json::Map::new();
                $(object.insert(stringify!($key).to_owned(), Setting::write(&self.$key));)*
                $($(object.insert(stringify!($part).to_owned(), serde_json::Value::Object(self.$part.write()));)+)?
                object
            }

            fn keys(&self, path: &str, keys: &mut Vec<$crate::config::keys::Key>) {
                use $crate::config::{problem::join, setting::Setting};
                $(
                    keys.push($crate::config::keys::Key {
                        path: join(path, stringify!($key)),
                        kind: <$type as Setting>::KIND,
                        unit: $unit,
                        default: Setting::write(&self.$key).to_string(),
                        range: <$type as Setting>::describe(&$range),
                        meaning: concat!($($meaning),+).trim().to_owned(),
                    });
                )*
                $($(self.$part.keys(&join(path, stringify!($part)), keys);)+)?
            }
        }
    };
}

/// Makes an enum whose variants have names in the file.
macro_rules! choice {
    (
        $(#[doc = $about:literal])*
        pub enum $name:ident { $($(#[doc = $meaning:literal])+ $variant:ident = $text:literal,)+ }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[doc = $meaning])+ $variant,)+ }

        impl $name {
            /// The name in the file.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl $crate::config::setting::Setting for $name {
            type Range = ();
            const KIND: &'static str = "choice";

            fn read(value: &serde_json::Value, (): &()) -> Result<Self, String> {
                let from = |text: &str| match text { $($text => Some(Self::$variant),)+ _ => None };
                $crate::config::setting::choose(value, &[$($text),+], from)
            }

            fn write(&self) -> serde_json::Value {
                serde_json::Value::String(self.name().to_owned())
            }

            fn describe((): &()) -> String {
                $crate::config::setting::alternatives(&[$($text),+])
            }
        }
    };
}
