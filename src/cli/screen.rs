//! A terminal to draw on, restored on drop.

use std::io::{self, Write as _};

use crossterm::terminal::{self, Clear, ClearType};
use crossterm::{cursor, execute, queue, style};

/// The alternate screen of a terminal. Dropping it restores the terminal.
pub(super) struct Screen {
    out: io::Stdout,
}

impl Screen {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// When standard output is not a terminal to draw on.
    pub(super) fn enter() -> io::Result<Self> {
        terminal::enable_raw_mode()?;
        // From here on, the drop undoes it and what follows.
        let mut screen = Self { out: io::stdout() };
        execute!(screen.out, terminal::EnterAlternateScreen, terminal::DisableLineWrap, cursor::Hide)?;
        Ok(screen)
    }

    /// Its columns.
    pub(super) fn width() -> Option<u16> {
        terminal::size().ok().map(|(columns, _)| columns)
    }

    /// Draws over the last picture, in one write, so that nothing flickers.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(super) fn draw(&mut self, picture: &str) -> io::Result<()> {
        let rows = terminal::size().map_or(usize::MAX, |(_, rows)| usize::from(rows));
        let mut drawn = Vec::new();
        queue!(drawn, cursor::MoveTo(0, 0))?;
        for line in fitting(picture, rows.saturating_sub(1)) {
            // Cleared beforehand: behind a line as long as the terminal is wide, the cursor still stands on its last letter. On a raw
            // terminal a line feed alone stays in its column.
            queue!(drawn, Clear(ClearType::UntilNewLine), style::Print(line), style::Print("\r\n"))?;
        }
        queue!(drawn, Clear(ClearType::FromCursorDown))?;
        self.out.write_all(&drawn)?;
        self.out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = execute!(self.out, cursor::Show, terminal::EnableLineWrap, terminal::LeaveAlternateScreen);
        let _ = terminal::disable_raw_mode();
    }
}

/// Returns the lines that fit; the last one counts those that do not.
fn fitting(picture: &str, rows: usize) -> Vec<String> {
    let mut lines: Vec<String> = picture.lines().map(str::to_owned).collect();
    if lines.len() > rows {
        let kept = rows.saturating_sub(1);
        let more = lines.len() - kept;
        lines.truncate(kept);
        lines.push(format!("… {more} more lines"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_lines_than_rows_are_counted() {
        assert_eq!(fitting("a\nb\nc\n", 3), ["a", "b", "c"]);
        assert_eq!(fitting("a\nb\nc\nd\n", 3), ["a", "b", "… 2 more lines"]);
        assert_eq!(fitting("a\nb\n", 0), ["… 2 more lines"]);
    }
}
