//! Changes of a source, such as a point release of HAProxy may have.

use super::edits::Edit;

#[derive(Clone, Copy, Debug)]
pub enum Mutation {
    /// A name in the code is another.
    Renamed,
    /// The code is laid out in another way.
    Reformatted,
    /// The code is in another function.
    Moved,
    /// The code is there once more.
    Doubled,
}

impl Mutation {
    pub const ALL: [Self; 4] = [Self::Renamed, Self::Reformatted, Self::Moved, Self::Doubled];

    /// The source with the lines of an edit changed, which begin at `place`.
    pub fn of(self, source: &str, edit: &Edit, place: usize) -> String {
        let mut lines: Vec<String> = source.lines().map(str::to_owned).collect();
        // Of a function that is replaced the edit has the first line only.
        let end = if edit.is_of_a_function() {
            place
                + lines[place..].iter().position(|line| line.starts_with('}')).expect("an end")
                + 1
        } else {
            place + edit.lines.len()
        };
        // The line that matters is the last: those before it say where.
        let last = place + edit.lines.len() - 1;
        match self {
            Self::Renamed => lines[last] = renamed(&lines[last]),
            Self::Reformatted => lines[last] = reformatted(&lines[last]),
            Self::Moved => {
                let block: Vec<String> = lines.drain(place..end).collect();
                lines.extend(in_a_function(block, edit));
            }
            Self::Doubled => {
                let block = lines[place..end].to_vec();
                lines.splice(end..end, block);
            }
        }
        lines.join("\n") + "\n"
    }
}

impl Edit {
    fn is_of_a_function(&self) -> bool {
        self.lines.len() == 1 && !self.lines[0].starts_with('\t')
    }
}

fn renamed(line: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    // The word that is called or assigned.
    let end = line.find(['(', '=', ';']).map_or(line.len(), |at| line[..at].trim_end().len());
    let begin = line[..end].rfind(|c| !is_part(c)).map_or(0, |at| at + 1);
    format!("{}renamed_{}", &line[..begin], &line[begin..])
}

/// With a blank more at the first bracket, or before the code.
fn reformatted(line: &str) -> String {
    if line.contains('(') { line.replacen('(', "( ", 1) } else { line.replacen('\t', "\t ", 1) }
}

fn in_a_function(block: Vec<String>, edit: &Edit) -> Vec<String> {
    if edit.is_of_a_function() {
        return block;
    }
    let open = ["static void moved(void)".to_owned(), "{".to_owned()];
    open.into_iter().chain(block).chain(["}".to_owned()]).collect()
}
