//! Rows as Apache Parquet.

use super::{
    Failed, Table,
    column::{Column, Kind, Value},
};
use crate::trace::origin::Origin;
use parquet::{
    basic::{Compression, LogicalType, Repetition, Type as Physical, ZstdLevel},
    data_type::{BoolType, ByteArray, ByteArrayType, Int64Type},
    errors::ParquetError,
    file::{
        metadata::KeyValue,
        properties::WriterProperties,
        writer::{SerializedColumnWriter, SerializedFileWriter},
    },
    schema::types::{Type, TypePtr},
};
use std::{io::Write, sync::Arc};

/// Rows that are held and written together; about 100 MB with everything in them.
const ROW_GROUP: usize = 64 << 10;

pub struct Parquet<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    columns: Vec<Held>,
    rows: usize,
}

/// A column of the row group that is gathered.
struct Held {
    values: Values,
    /// 1 for a value, 0 for null; empty if the column is required.
    defined: Option<Vec<i16>>,
}

enum Values {
    Numbers(Vec<i64>),
    Flags(Vec<bool>),
    Texts(Vec<ByteArray>),
}

impl<W: Write + Send> Parquet<W> {
    pub fn new(stream: W, columns: &[Column], origin: &Origin) -> Result<Self, Failed> {
        let fields: Result<Vec<TypePtr>, ParquetError> = columns.iter().map(field).collect();
        let schema = Type::group_type_builder("switches")
            .with_fields(fields?)
            .build()?;
        let origin = serde_json::to_string(origin).ok();
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .set_created_by(format!("kernoracle {}", env!("CARGO_PKG_VERSION")))
            .set_key_value_metadata(Some(vec![KeyValue::new(
                "kernoracle.origin".to_owned(),
                origin,
            )]))
            .build();
        let writer = SerializedFileWriter::new(stream, Arc::new(schema), Arc::new(properties))?;
        let columns = columns.iter().map(Held::new).collect();
        Ok(Self {
            writer,
            columns,
            rows: 0,
        })
    }

    fn flush(&mut self) -> Result<(), Failed> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for held in &mut self.columns {
            let mut column = group
                .next_column()?
                .ok_or_else(|| ParquetError::General("fewer columns than the schema".to_owned()))?;
            held.write(&mut column)?;
            column.close()?;
        }
        group.close()?;
        self.rows = 0;
        Ok(())
    }
}

impl<W: Write + Send> Table for Parquet<W> {
    fn row(&mut self, values: &[Value]) -> Result<(), Failed> {
        for (held, value) in self.columns.iter_mut().zip(values) {
            held.push(value);
        }
        self.rows += 1;
        if self.rows == ROW_GROUP {
            self.flush()?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), Failed> {
        self.flush()?;
        // Its footer, then what the buffer below it still holds.
        self.writer.finish()?;
        self.writer.inner_mut().flush()?;
        Ok(())
    }
}

fn field(column: &Column) -> Result<TypePtr, ParquetError> {
    let (physical, logical) = match column.kind {
        Kind::Unsigned => (Physical::INT64, Some(LogicalType::integer(64, false))),
        Kind::Signed => (Physical::INT64, None),
        Kind::Flag => (Physical::BOOLEAN, None),
        Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
    };
    let repetition = if column.optional {
        Repetition::OPTIONAL
    } else {
        Repetition::REQUIRED
    };
    let field = Type::primitive_type_builder(&column.name, physical)
        .with_logical_type(logical)
        .with_repetition(repetition)
        .build()?;
    Ok(Arc::new(field))
}

impl Held {
    fn new(column: &Column) -> Self {
        Self {
            values: match column.kind {
                Kind::Unsigned | Kind::Signed => Values::Numbers(Vec::new()),
                Kind::Flag => Values::Flags(Vec::new()),
                Kind::Text => Values::Texts(Vec::new()),
            },
            defined: column.optional.then(Vec::new),
        }
    }

    fn push(&mut self, value: &Value) {
        if let Some(defined) = &mut self.defined {
            defined.push(i16::from(*value != Value::Absent));
        }
        match (&mut self.values, value) {
            (_, Value::Absent) => {}
            (Values::Numbers(numbers), Value::Unsigned(number)) => {
                numbers.push(number.cast_signed());
            }
            (Values::Numbers(numbers), Value::Signed(number)) => numbers.push(*number),
            (Values::Flags(flags), Value::Flag(flag)) => flags.push(*flag),
            (Values::Texts(texts), Value::Text(text)) => texts.push(text.as_str().into()),
            _ => unreachable!("a column gives what its kind says"),
        }
    }

    fn write(&mut self, column: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        let Self { values, defined } = self;
        let levels = defined.as_deref();
        match values {
            Values::Numbers(numbers) => {
                column
                    .typed::<Int64Type>()
                    .write_batch(numbers, levels, None)?;
                numbers.clear();
            }
            Values::Flags(flags) => {
                column
                    .typed::<BoolType>()
                    .write_batch(flags, levels, None)?;
                flags.clear();
            }
            Values::Texts(texts) => {
                column
                    .typed::<ByteArrayType>()
                    .write_batch(texts, levels, None)?;
                texts.clear();
            }
        }
        if let Some(defined) = defined {
            defined.clear();
        }
        Ok(())
    }
}
