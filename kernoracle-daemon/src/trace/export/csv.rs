//! Rows as comma-separated values.

use super::{
    Failed, Table,
    column::{Column, Value},
};
use std::io::{self, Write};

pub struct Csv<W: Write> {
    writer: ::csv::Writer<W>,
    number: String,
}

impl<W: Write> Csv<W> {
    pub fn new(stream: W, columns: &[Column]) -> Result<Self, Failed> {
        let mut writer = ::csv::Writer::from_writer(stream);
        let names = columns.iter().map(|column| &column.name);
        writer.write_record(names).map_err(io::Error::from)?;
        Ok(Self {
            writer,
            number: String::new(),
        })
    }
}

impl<W: Write> Table for Csv<W> {
    fn row(&mut self, values: &[Value]) -> Result<(), Failed> {
        use std::fmt::Write as _;
        for value in values {
            self.number.clear();
            let text = match value {
                Value::Absent => "",
                Value::Flag(flag) => ["false", "true"][usize::from(*flag)],
                Value::Text(text) => text,
                Value::Unsigned(number) => {
                    _ = write!(self.number, "{number}");
                    &self.number
                }
                Value::Signed(number) => {
                    _ = write!(self.number, "{number}");
                    &self.number
                }
            };
            self.writer.write_field(text).map_err(io::Error::from)?;
        }
        self.writer
            .write_record(None::<&[u8]>)
            .map_err(io::Error::from)?;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), Failed> {
        Ok(self.writer.flush()?)
    }
}
