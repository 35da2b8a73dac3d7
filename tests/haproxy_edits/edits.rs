//! Edits as contrib/haproxy has them, and the scripts that apply them.

use mworker_kit::TempDir;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How a script ended.
pub struct Outcome {
    pub succeeded: bool,
    pub output: String,
    pub errors: String,
}

impl Outcome {
    /// What it printed. It must have succeeded.
    #[track_caller]
    pub fn text(self) -> String {
        assert!(self.succeeded, "{}", self.errors);
        self.output
    }

    /// Its message. It must have failed, and printed nothing else.
    #[track_caller]
    pub fn message(&self) -> &str {
        assert!(!self.succeeded, "nothing stops: {}", self.output);
        assert_eq!(self.output, "");
        &self.errors
    }
}

fn contrib() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/haproxy")
}

fn run(command: &mut Command) -> Outcome {
    let output = command.output().expect("the script runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Outcome {
        succeeded: output.status.success(),
        output: text(output.stdout),
        errors: text(output.stderr),
    }
}

/// `edit-source EDITS VERSION SOURCE`
pub fn edit_source(edits: &Path, version: &str, source: &Path) -> Outcome {
    run(Command::new(contrib().join("edit-source")).arg(edits).arg(version).arg(source))
}

/// `generation VERSION`
pub fn generation(version: &str) -> Outcome {
    run(Command::new(contrib().join("generation")).arg(version))
}

/// One edit, as far as a test has to know where it applies.
pub struct Edit {
    pub name: String,
    /// The lines of the source that it replaces, removes or is put next to.
    pub lines: Vec<String>,
}

/// A file of edits, and the file of a tree that they are for.
pub struct Edits {
    file: PathBuf,
    version: String,
    source: PathBuf,
    edits: Vec<Edit>,
}

impl Edits {
    /// All files of edits for a tree.
    pub fn of_tree(tree: &Path) -> Vec<Self> {
        let version = std::fs::read_to_string(tree.join("VERSION")).expect("VERSION");
        let version = version.trim().to_owned();
        let folder = contrib().join(generation(&version).text().trim());
        let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
            .expect("a generation")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "edits"))
            .collect();
        files.sort();
        files.into_iter().map(|file| Self::read(file, &version, tree)).collect()
    }

    fn read(file: PathBuf, version: &str, tree: &Path) -> Self {
        let text = std::fs::read_to_string(&file).expect("edits");
        let mut edits: Vec<Edit> = Vec::new();
        let mut source = None;
        for line in text.lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "file" => source = Some(tree.join(rest.trim())),
                "edit" => edits.push(Edit { name: rest.trim().to_owned(), lines: vec![] }),
                "replace" | "remove" => {
                    edits.last_mut().expect("an edit").lines.push(rest.trim().to_owned());
                }
                _ if line.starts_with([' ', '-']) => {
                    edits.last_mut().expect("an edit").lines.push(line[1..].to_owned());
                }
                _ => {}
            }
        }
        Self { file, version: version.to_owned(), source: source.expect("a file"), edits }
    }

    pub fn source(&self) -> String {
        // Some names in comments aren't UTF-8.
        String::from_utf8_lossy(&std::fs::read(&self.source).expect("a source")).into_owned()
    }

    pub fn apply(&self) -> Outcome {
        edit_source(&self.file, &self.version, &self.source)
    }

    /// Applies them to another text of the source.
    pub fn apply_to(&self, text: &str) -> Outcome {
        let folder = TempDir::new();
        let source = folder.path().join("source.c");
        std::fs::write(&source, text).expect("a source");
        edit_source(&self.file, &self.version, &source)
    }

    /// The edits that change something in this tree, and the line where their lines begin.
    pub fn that_apply(&self) -> Vec<(&Edit, usize)> {
        let mut list = Command::new(contrib().join("edit-source"));
        list.arg(&self.file).arg(&self.version).arg(&self.source).arg("list");
        let list = run(&mut list).text();
        let places = list.lines().map(|line| line.rsplit_once(' ').expect("a name and a line"));
        places
            .map(|(name, line)| {
                let edit = self.edits.iter().find(|edit| edit.name == name).expect("the edit");
                (edit, line.parse::<usize>().expect("a line") - 1)
            })
            .collect()
    }
}
