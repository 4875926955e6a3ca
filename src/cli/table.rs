//! The table of workers: the same on a terminal and in a pipe, except for colours.

use std::io::IsTerminal as _;
use std::time::SystemTime;

use comfy_table::{
    Cell, CellAlignment, Color, ContentArrangement, ContentLineStyle, LineStyle, Row, Table, TableStyle,
};

use super::format::{age, bytes, one_line};
use super::snapshot::{Plugin, Worker};

/// The borders of RoadRunner's tables.
const STYLE: TableStyle = TableStyle::new()
    .top_border(LineStyle::new('┌', '─', '┬', '┐'))
    .header_lines(ContentLineStyle::new('│', '│', '│'))
    .header_separator(LineStyle::new('├', '─', '┼', '┤'))
    .content_lines(ContentLineStyle::new('│', '│', '│'))
    .bottom_border(LineStyle::new('└', '─', '┴', '┘'));

/// RoadRunner's six columns in its order, and the command.
const HEADER: [&str; 7] = ["PID", "STATUS", "EXECS", "MEMORY", "CPU %", "AGE", "COMMAND"];

/// Before the command, where workers may have several requests.
const IN_HAND: &str = "IN HAND";

/// How to draw a table on the output.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Style {
    pub(super) colours: bool,
    /// The width that lines must not exceed, in columns.
    pub(super) width: Option<u16>,
}

impl Style {
    /// The style for standard output. Honours `NO_COLOR`, see <https://no-color.org>.
    pub(super) fn of_stdout() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colours: std::io::stdout().is_terminal() && !unwanted, width: None }
    }
}

/// Formats the table of one plugin's workers.
pub(super) fn show(plugin: &Plugin, now: SystemTime, style: Style) -> String {
    let mut table = Table::new();
    table.load_style(STYLE);
    if style.colours {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    if let Some(width) = style.width {
        table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic);
    }
    let shows_in_hand = plugin.is_concurrent();
    let [first @ .., command] = HEADER;
    let names = first.into_iter().chain(shows_in_hand.then_some(IN_HAND)).chain([command]);
    table.set_header(names.map(|name| Cell::new(name).set_alignment(CellAlignment::Center)));
    for worker in &plugin.workers {
        let mut row = row(worker, shows_in_hand, now);
        row.max_height(1);
        table.add_row(row);
    }
    let name = one_line(&plugin.name);
    let name = if style.colours { format!("\u{1b}[93m{name}\u{1b}[0m") } else { name };
    format!("Workers of [{name}]:\n{table}\n")
}

fn row(worker: &Worker, shows_in_hand: bool, now: SystemTime) -> Row {
    let colour = match worker.status.as_str() {
        "ready" => Color::Cyan,
        "working" => Color::Green,
        _ => Color::Yellow,
    };
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    let in_hand = || right(worker.in_hand.map(|number| number.to_string()).unwrap_or_default());
    let first = [
        right(worker.pid.to_string()),
        Cell::new(one_line(&worker.status)).fg(colour),
        right(worker.executions.to_string()),
        right(bytes(worker.memory)),
        right(format!("{:.2}", worker.cpu)),
        right(age(worker.age(now))),
    ];
    let command = Cell::new(one_line(&worker.command));
    Row::from(first.into_iter().chain(shows_in_hand.then(in_hand)).chain([command]))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn plugin() -> Plugin {
        let worker = |pid, status: &str, executions| Worker {
            pid,
            status: status.into(),
            executions,
            created: 1_795_449_638_375_621_835,
            memory: 14_614_528,
            cpu: 2.026_4,
            command: "php app.php".into(),
            in_hand: Some(3),
        };
        Plugin {
            name: "centrifuge".into(),
            workers: vec![worker(4242, "ready", 17), worker(70000, "working", 1234)],
            stats: None,
        }
    }

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_795_449_738)
    }

    #[test]
    fn workers_are_a_table_with_borders() {
        insta::assert_snapshot!(show(&plugin(), now(), Style::default()), @"
        Workers of [centrifuge]:
        ┌───────┬─────────┬───────┬────────┬───────┬────────┬─────────────┐
        │  PID  │  STATUS │ EXECS │ MEMORY │ CPU % │   AGE  │   COMMAND   │
        ├───────┼─────────┼───────┼────────┼───────┼────────┼─────────────┤
        │  4242 │ ready   │    17 │  15 MB │  2.03 │ 1m 39s │ php app.php │
        │ 70000 │ working │  1234 │  15 MB │  2.03 │ 1m 39s │ php app.php │
        └───────┴─────────┴───────┴────────┴───────┴────────┴─────────────┘
        ");
    }

    #[test]
    fn workers_with_several_requests_show_how_many_they_have_in_hand() {
        let stats = serde_json::json!({"capacity": 128});
        insta::assert_snapshot!(show(&Plugin { stats: Some(stats), ..plugin() }, now(), Style::default()), @"
        Workers of [centrifuge]:
        ┌───────┬─────────┬───────┬────────┬───────┬────────┬─────────┬─────────────┐
        │  PID  │  STATUS │ EXECS │ MEMORY │ CPU % │   AGE  │ IN HAND │   COMMAND   │
        ├───────┼─────────┼───────┼────────┼───────┼────────┼─────────┼─────────────┤
        │  4242 │ ready   │    17 │  15 MB │  2.03 │ 1m 39s │       3 │ php app.php │
        │ 70000 │ working │  1234 │  15 MB │  2.03 │ 1m 39s │       3 │ php app.php │
        └───────┴─────────┴───────┴────────┴───────┴────────┴─────────┴─────────────┘
        ");
    }

    #[test]
    fn colours_change_nothing_else() {
        let coloured = show(&plugin(), now(), Style { colours: true, width: None });
        assert!(coloured.contains("\u{1b}[93mcentrifuge\u{1b}[0m"), "{coloured}");
        let mut plain = String::new();
        for part in coloured.split('\u{1b}') {
            plain.push_str(part.strip_prefix('[').map_or(part, |rest| rest.split_once('m').unwrap().1));
        }
        assert_eq!(plain, show(&plugin(), now(), Style::default()));
    }

    #[test]
    fn a_narrow_terminal_cuts_the_command_and_no_row_takes_two_lines() {
        let mut plugin = plugin();
        plugin.workers[0].command = "php /srv/app/current/bin/worker.php --with-a-long=option".into();
        let shown = show(&plugin, now(), Style { colours: false, width: Some(70) });
        assert!(shown.lines().all(|line| line.chars().count() <= 70), "{shown}");
        assert_eq!(shown.lines().count(), 7, "{shown}");
        assert!(shown.contains('…'), "{shown}");
    }

    #[test]
    fn no_workers_are_an_empty_table() {
        let shown = show(&Plugin { workers: Vec::new(), ..plugin() }, now(), Style::default());
        assert!(shown.contains("│ PID │"), "{shown}");
    }
}
