//! What the program prints as the next command.

/// The command that sends this input, from the screen.
pub(crate) fn printed_command(screen: &str, input: &str) -> Option<Vec<String>> {
    let mut commands = screen.lines().rev().filter_map(|line| {
        let command = line.split_once("attrsync sync ")?.1.trim_end_matches('`');
        command.strip_suffix(input)
    });
    let options = commands.next()?;
    let mut arguments = vec!["sync".to_owned(), input.to_owned()];
    arguments.extend(words(options.trim_end()).into_iter().filter(|word| !word.is_empty()));
    Some(arguments)
}

/// Words of a shell, of which only simple quotes are known.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for character in line.chars() {
        match character {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            _ => words.last_mut().unwrap().push(character),
        }
    }
    words
}
