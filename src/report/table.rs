use std::fmt::{self, Display};

/// A table. The first column is aligned left, the others, which are numbers, right. Each row ends with a line end.
pub(super) struct Table<const N: usize> {
    pub(super) rows: Vec<[String; N]>,
    /// How wide the screen is.
    pub(super) columns: usize,
    /// Columns that are left out if the table is too wide, in this order.
    pub(super) dispensable: &'static [usize],
}

impl<const N: usize> Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: &usize| {
            self.rows.iter().map(|row| row[*column].chars().count()).max().unwrap_or_default()
        };
        let mut kept: Vec<usize> = (0..N).collect();
        for least in self.dispensable {
            let all: usize = kept.iter().map(|column| width(column) + 2).sum();
            if all <= self.columns + 2 {
                break;
            }
            kept.retain(|column| column != least);
        }
        for row in &self.rows {
            let mut line = String::new();
            for column in &kept {
                let (cell, width) = (&row[*column], width(column));
                match column {
                    0 => line = format!("{cell:<width$}"),
                    _ => line = format!("{line}  {cell:>width$}"),
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_left_out_where_there_is_no_room_for_all() {
        let rows =
            vec![["name", "rows", "users"].map(str::to_owned), ["city", "1,000", "7"].map(str::to_owned)];
        let check = |columns, expected: &str| {
            assert_eq!(Table { rows: rows.clone(), columns, dispensable: &[1, 2] }.to_string(), expected);
        };
        check(18, "name   rows  users\ncity  1,000      7\n");
        check(17, "name  users\ncity      7\n");
        check(10, "name\ncity\n");
    }
}
