//! Comma-separated values by RFC 4180, which no spreadsheet takes for formulas.

/// A record with its line end; every cell is quoted. A cell that a spreadsheet would calculate begins with an apostrophe.
pub fn record<S: AsRef<str>>(cells: &[S]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| quoted(cell.as_ref())).collect();
    format!("{}\r\n", cells.join(","))
}

fn quoted(cell: &str) -> String {
    // Spreadsheets skip blanks in front, and know the wide forms too.
    let first = cell.trim_start().chars().next();
    let calculated = cell.starts_with(['\t', '\r', '\n'])
        || first.is_some_and(|c| {
            matches!(
                c,
                '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠' | '|' | '%'
            )
        });
    let guard = if calculated { "'" } else { "" };
    format!("\"{guard}{}\"", cell.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads one record as RFC 4180 says.
    fn read(text: &str) -> Vec<String> {
        let text = text.strip_suffix("\r\n").unwrap();
        let mut cells = Vec::new();
        let mut chars = text.chars().peekable();
        loop {
            assert_eq!(chars.next(), Some('"'));
            let mut cell = String::new();
            while let Some(c) = chars.next() {
                if c != '"' {
                    cell.push(c);
                } else if chars.next_if_eq(&'"').is_some() {
                    cell.push('"');
                } else {
                    break;
                }
            }
            cells.push(cell);
            match chars.next() {
                None => return cells,
                Some(c) => assert_eq!(c, ','),
            }
        }
    }

    #[test]
    fn formulas_are_text() {
        assert_eq!(
            record(&["=1+1", "a\"b", " @x", "plain"]),
            "\"'=1+1\",\"a\"\"b\",\"' @x\",\"plain\"\r\n"
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(cells in prop::collection::vec(any::<String>(), 1..6)) {
            let back = read(&record(&cells));
            prop_assert_eq!(back.len(), cells.len());
            for (back, cell) in back.iter().zip(&cells) {
                prop_assert!(back == cell || back.strip_prefix('\'') == Some(cell));
                prop_assert!(!back.trim_start().starts_with(['=', '+', '-', '@', '|', '%']));
                prop_assert!(!back.starts_with(['\t', '\r', '\n']));
            }
        }
    }
}
