//! One struct gives the JSON line and its documentation: the doc comment of a field is its description.

/// A documented field of a JSON log line.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub name: &'static str,
    /// As Rust spells it.
    pub rust_type: &'static str,
    pub about: &'static str,
}

/// A documented JSON object.
#[derive(Clone, Copy, Debug)]
pub struct Object {
    pub name: &'static str,
    pub about: &'static str,
    pub fields: &'static [Field],
}

/// Declares a struct that is written as JSON and can list its fields.
macro_rules! documented {
    (
        $(#[doc = $about:literal])+
        $(#[derive($($derive:ident),*)])?
        pub struct $name:ident {
            $( $(#[doc = $doc:literal])+ pub $field:ident: $type:ty, )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, serde::Serialize)]
        $(#[derive($($derive),*)])?
        pub struct $name {
            $( $(#[doc = $doc])+ pub $field: $type, )+
        }

        impl $name {
            /// Name, description and fields, for the documentation.
            pub const OBJECT: $crate::report::fields::Object = $crate::report::fields::Object {
                name: stringify!($name),
                about: concat!($($about),+),
                fields: &[ $( $crate::report::fields::Field {
                    name: stringify!($field),
                    rust_type: stringify!($type),
                    about: concat!($($doc),+),
                }, )+ ],
            };
        }
    };
}
pub(crate) use documented;

impl Field {
    /// The type as a reader of JSON knows it.
    pub fn json_type(&self) -> String {
        json_type(self.rust_type)
    }
}

fn json_type(rust_type: &str) -> String {
    let inside = |outer: &str| {
        rust_type
            .strip_prefix(outer)?
            .strip_prefix('<')?
            .strip_suffix('>')
    };
    if let Some(inner) = inside("Option") {
        return format!("{} or null", json_type(inner));
    }
    if let Some(inner) = inside("Vec") {
        return format!("list of {}", json_type(inner));
    }
    match rust_type {
        "u64" | "u32" | "i64" => "integer".to_owned(),
        "f64" | "f32" => "number".to_owned(),
        "bool" => "true or false".to_owned(),
        "String" | "Cause" => "string".to_owned(),
        object => format!("[{object}](#{})", object.to_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    documented! {
        /// An example,
        /// in two lines.
        pub struct Example {
            /// How many.
            pub count: u64,
            /// Where known.
            pub share: Option<f64>,
            /// Parts.
            pub parts: Vec<Example>,
        }
    }

    #[test]
    fn doc_comments_become_descriptions() {
        let object = Example::OBJECT;
        assert_eq!(object.about, " An example, in two lines.");
        let fields: Vec<_> = object
            .fields
            .iter()
            .map(|f| (f.name, f.json_type(), f.about))
            .collect();
        assert_eq!(
            fields,
            [
                ("count", "integer".to_owned(), " How many."),
                ("share", "number or null".to_owned(), " Where known."),
                ("parts", "list of [Example](#example)".to_owned(), " Parts."),
            ]
        );
    }

    #[test]
    fn json_has_the_documented_names() {
        let json = serde_json::to_value(Example {
            count: 1,
            share: None,
            parts: Vec::new(),
        })
        .unwrap();
        let names: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
        let mut documented: Vec<_> = Example::OBJECT.fields.iter().map(|f| f.name).collect();
        documented.sort_unstable();
        assert_eq!(names, documented);
    }
}
