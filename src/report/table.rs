use std::fmt::{self, Display};

/// Cells in columns as wide as they need to be: the first one to the left, the others, which are numbers, to the right.
/// Displayed with a line end after each row.
pub(super) struct Table<const N: usize>(pub(super) Vec<[String; N]>);

impl<const N: usize> Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width =
            |column: usize| self.0.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
        let widths: [usize; N] = std::array::from_fn(width);
        for row in &self.0 {
            let mut line = format!("{:<name$}", row[0], name = widths[0]);
            for (cell, width) in row.iter().zip(widths).skip(1) {
                line = format!("{line}  {cell:>width$}");
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}
