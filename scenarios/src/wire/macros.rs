//! One declaration per table: it yields the struct, its decoder and its JSON Schema, doc comments being descriptions.

/// Declares a table. Each key is `required` (reported where it is missing), `optional`, or has a `default`. A key that is
/// no Rust name is given in parentheses.
macro_rules! table {
    ($(#[doc = $about:literal])* $name:ident {
        $($(#[doc = $doc:literal])* $mode:ident $field:ident $(($key:literal))? : $ty:ty $(= $default:expr)?),* $(,)?
    }) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug)]
        pub(crate) struct $name {
            $($(#[doc = $doc])* pub(crate) $field: table!(@type $mode $ty),)*
        }

        impl $name {
            pub(crate) const KEYS: &'static [&'static str] = &[$(table!(@key $field $($key)?)),*];

            /// Decodes the keys of this declaration, without regard to others in the table.
            pub(crate) fn fields(table: &toml::de::DeTable<'_>, at: &str, d: &mut Decoder<'_>) -> Self {
                Self {
                    $($field: table!(@read $mode $ty, table, at, table!(@key $field $($key)?), d $(, $default)?),)*
                }
            }

            /// The schemas of the keys, and those that are required.
            pub(crate) fn properties(definitions: &mut Definitions) -> (Definitions, Vec<&'static str>) {
                let mut properties = Definitions::new();
                #[allow(unused_mut, reason = "some tables require no key")]
                let mut required = Vec::new();
                $(
                    #[allow(unused_mut, reason = "only some keys have a default")]
                    let mut schema = <$ty as Decode>::schema(definitions);
                    let description = [$($doc),*].map(str::trim).join(" ");
                    if let Some(object) = schema.as_object_mut() {
                        if !description.is_empty() {
                            object.insert("description".to_owned(), description.into());
                        }
                        $(
                            let default: $ty = $default;
                            let default = default.to_json();
                            if !default.is_null() {
                                object.insert("default".to_owned(), default);
                            }
                        )?
                    }
                    properties.insert(table!(@key $field $($key)?).to_owned(), schema);
                    table!(@required $mode required, table!(@key $field $($key)?));
                )*
                (properties, required)
            }

            pub(crate) fn about() -> String {
                [$($about),*].map(str::trim).join(" ")
            }
        }

        impl Decode for $name {
            fn decode(node: &Node<'_>, at: &str, d: &mut Decoder<'_>) -> Option<Self> {
                let toml::de::DeValue::Table(table) = node.get_ref() else {
                    d.wrong_type(node, at, "a table", None);
                    return None;
                };
                d.unknown_keys(table, at, Self::KEYS, |_| None);
                Some(Self::fields(table, at, d))
            }

            fn schema(definitions: &mut Definitions) -> serde_json::Value {
                if !definitions.contains_key(stringify!($name)) {
                    // A table may hold itself: its place is taken before its keys are looked at.
                    definitions.insert(stringify!($name).to_owned(), serde_json::Value::Null);
                    let (properties, required) = Self::properties(definitions);
                    definitions.insert(stringify!($name).to_owned(), serde_json::json!({
                        "description": Self::about(),
                        "type": "object",
                        "properties": properties,
                        "required": required,
                        "additionalProperties": false,
                    }));
                }
                serde_json::json!({ "$ref": concat!("#/$defs/", stringify!($name)) })
            }
        }
    };
    (@type default $ty:ty) => { $ty };
    (@type $mode:ident $ty:ty) => { Option<$ty> };
    (@key $field:ident $key:literal) => { $key };
    (@key $field:ident) => { stringify!($field) };
    (@read required $ty:ty, $table:ident, $at:ident, $key:expr, $d:ident) => { decode::required::<$ty>($table, $at, $key, $d) };
    (@read optional $ty:ty, $table:ident, $at:ident, $key:expr, $d:ident) => { decode::optional::<$ty>($table, $at, $key, $d) };
    (@read default $ty:ty, $table:ident, $at:ident, $key:expr, $d:ident, $default:expr) => {
        decode::optional::<$ty>($table, $at, $key, $d).unwrap_or_else(|| $default)
    };
    (@required required $list:ident, $key:expr) => { $list.push($key) };
    (@required $mode:ident $list:ident, $key:expr) => {};
}

/// Declares a table whose other keys depend on the word under one key.
macro_rules! tagged {
    ($(#[doc = $about:literal])* $name:ident: $common:ident, $tag:literal => $kind:ident {
        $($word:literal => $variant:ident),* $(,)?
    }) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug)]
        pub(crate) struct $name {
            /// The keys that every kind has.
            pub(crate) common: $common,
            /// The keys of its kind; none where the kind did not decode.
            pub(crate) kind: Option<$kind>,
        }

        #[doc = concat!("The kinds of [`", stringify!($name), "`].")]
        #[derive(Clone, Debug)]
        pub(crate) enum $kind {
            $(#[doc = concat!("`", $word, "`")] $variant($variant),)*
        }

        impl Decode for $name {
            fn decode(node: &Node<'_>, at: &str, d: &mut Decoder<'_>) -> Option<Self> {
                let toml::de::DeValue::Table(table) = node.get_ref() else {
                    d.wrong_type(node, at, "a table", None);
                    return None;
                };
                let common = $common::fields(table, at, d);
                let words: &[(&'static str, &'static str)] = &[$(($word, $word)),*];
                let elsewhere = |key: &str| {
                    let owners: Vec<&str> = [$(($word, $variant::KEYS)),*]
                        .into_iter()
                        .filter(|(_, keys)| keys.contains(&key))
                        .map(|(word, _)| word)
                        .collect();
                    (!owners.is_empty()).then(|| {
                        format!("\"{key}\" belongs to {} = {}", $tag, crate::diagnostic::one_of(owners))
                    })
                };
                let word = match decode::entry(table, $tag) {
                    None => {
                        let expected = format!("{} = {}", $tag, crate::diagnostic::one_of(words.iter().map(|w| w.0)));
                        let hint = format!("add {} = \"{}\"", $tag, words[0].0);
                        d.problem(&decode::join(at, $tag), "nothing", expected, Some(hint));
                        None
                    }
                    Some((start, value)) => {
                        let at = decode::join(at, $tag);
                        d.enter(&at, start, value);
                        decode::word(value, &at, d, words)
                    }
                };
                let kind = match word {
                    $(Some($word) => {
                        let known: Vec<&str> =
                            [&[$tag][..], $common::KEYS, $variant::KEYS].concat();
                        d.unknown_keys(table, at, &known, elsewhere);
                        Some($kind::$variant($variant::fields(table, at, d)))
                    })*
                    _ => None,
                };
                Some(Self { common, kind })
            }

            fn schema(definitions: &mut Definitions) -> serde_json::Value {
                if !definitions.contains_key(stringify!($name)) {
                    let mut kinds = Vec::new();
                    $({
                        let (mut properties, mut required) = $common::properties(definitions);
                        let (own, own_required) = $variant::properties(definitions);
                        properties.extend(own);
                        required.extend(own_required);
                        required.push($tag);
                        properties.insert($tag.to_owned(), serde_json::json!({ "const": $word }));
                        kinds.push(serde_json::json!({
                            "title": $word,
                            "description": $variant::about(),
                            "type": "object",
                            "properties": properties,
                            "required": required,
                            "additionalProperties": false,
                        }));
                    })*
                    let about = [$($about),*].map(str::trim).join(" ");
                    definitions.insert(stringify!($name).to_owned(), serde_json::json!({
                        "description": about,
                        "type": "object",
                        "required": [$tag],
                        "properties": { $tag: { "enum": [$($word),*] } },
                        "oneOf": kinds,
                    }));
                }
                serde_json::json!({ "$ref": concat!("#/$defs/", stringify!($name)) })
            }
        }
    };
}

/// Makes an enum of the scenario decode from its words.
macro_rules! words {
    ($ty:ty { $($word:literal => $variant:ident),* $(,)? }) => {
        impl Decode for $ty {
            fn decode(node: &Node<'_>, at: &str, d: &mut Decoder<'_>) -> Option<Self> {
                decode::word(node, at, d, &[$(($word, Self::$variant)),*])
            }

            fn schema(_: &mut Definitions) -> serde_json::Value {
                serde_json::json!({ "enum": [$($word),*] })
            }

            fn to_json(&self) -> serde_json::Value {
                #[allow(unreachable_patterns, reason = "later kinds may have no word yet")]
                match self {
                    $(Self::$variant => $word.into(),)*
                    _ => serde_json::Value::Null,
                }
            }
        }
    };
}

/// Makes a quantity decode from its text.
macro_rules! quantities {
    ($($ty:ty: $pattern:literal, $example:literal;)*) => { $(
        impl Decode for $ty {
            fn decode(node: &Node<'_>, at: &str, d: &mut Decoder<'_>) -> Option<Self> {
                let number = match node.get_ref() {
                    toml::de::DeValue::String(text) => return d.read(text, at, str::parse::<$ty>),
                    toml::de::DeValue::Integer(number) => number.to_string(),
                    toml::de::DeValue::Float(number) => number.to_string(),
                    _ => "?".to_owned(),
                };
                let misread = number.parse::<$ty>().err();
                let misread = misread.unwrap_or(crate::quantity::Misread { expected: "a text".to_owned(), hint: None });
                d.wrong_type(node, at, &misread.expected, misread.hint);
                None
            }

            fn schema(_: &mut Definitions) -> serde_json::Value {
                serde_json::json!({ "type": "string", "pattern": $pattern, "examples": [$example] })
            }

            fn to_json(&self) -> serde_json::Value {
                self.to_string().into()
            }
        }
    )* };
}
