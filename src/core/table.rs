//! What the core needs of a process table, and a plain one.
//!
//! In a HAProxy build the table is HAProxy's own `proc_list`, which its C code
//! walks and writes; [`crate::capi`] has that form.

use super::process::{Process, options};

/// The rows could not be had: out of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

/// A list of rows. A handle stays good until its row is released.
pub trait Table {
    /// Names a row.
    type Row: Copy + Eq + std::fmt::Debug;

    /// The first row.
    fn first(&self) -> Option<Self::Row>;
    /// The row after `row`.
    fn next(&self, row: Self::Row) -> Option<Self::Row>;
    /// A copy of its numbers.
    fn load(&self, row: Self::Row) -> Process;
    /// Writes its numbers.
    fn store(&mut self, row: Self::Row, process: Process);
    /// Its name (programs have one), or nothing.
    fn id(&self, row: Self::Row) -> &[u8];
    /// The version of the binary that it runs, or nothing.
    fn version(&self, row: Self::Row) -> &[u8];
    /// Adds a row at the end.
    ///
    /// # Errors
    /// [`OutOfMemory`]; the table is as before then.
    fn append(
        &mut self,
        process: Process,
        id: &[u8],
        version: &[u8],
    ) -> Result<Self::Row, OutOfMemory>;
    /// Takes the row out of the list; it lives on until it is released.
    fn unlink(&mut self, row: Self::Row);

    /// Every row, with its numbers.
    fn rows(&self) -> Rows<'_, Self>
    where
        Self: Sized,
    {
        Rows { table: self, next: self.first() }
    }

    /// The first row whose numbers please `wanted`.
    fn find(&self, wanted: impl Fn(&Process) -> bool) -> Option<Self::Row>
    where
        Self: Sized,
    {
        self.rows().find(|(_, process)| wanted(process)).map(|(row, _)| row)
    }

    /// The master's row.
    fn master(&self) -> Option<Self::Row>
    where
        Self: Sized,
    {
        self.find(|p| p.is(options::MASTER))
    }

    /// The worker that has been forked but has not said READY.
    fn starting(&self) -> Option<Self::Row>
    where
        Self: Sized,
    {
        self.find(Process::is_starting)
    }

    /// Changes the numbers of every row.
    fn for_each(&mut self, change: impl Fn(&mut Process))
    where
        Self: Sized,
    {
        let mut at = self.first();
        while let Some(row) = at {
            at = self.next(row);
            let mut process = self.load(row);
            change(&mut process);
            self.store(row, process);
        }
    }
}

/// Walks a table.
pub struct Rows<'a, T: Table> {
    table: &'a T,
    next: Option<T::Row>,
}

impl<T: Table> Iterator for Rows<'_, T> {
    type Item = (T::Row, Process);

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.next?;
        self.next = self.table.next(row);
        Some((row, self.table.load(row)))
    }
}

/// A plain table: what the load guard's image gets, and for exploring the lifecycle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PlainTable {
    rows: Vec<PlainRow>,
    last_key: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct PlainRow {
    key: u32,
    /// False between `unlink` and `release`.
    listed: bool,
    process: Process,
    id: Vec<u8>,
    version: Vec<u8>,
}

impl PlainTable {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.listed().count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Frees a row that has been taken out of the list. False if there is none.
    pub fn release(&mut self, row: u32) -> bool {
        let before = self.rows.len();
        self.rows.retain(|r| r.listed || r.key != row);
        self.rows.len() < before
    }

    /// How many rows are out of the list but not released.
    pub fn unreleased(&self) -> usize {
        self.rows.len().saturating_sub(self.len())
    }

    fn listed(&self) -> impl Iterator<Item = &PlainRow> {
        self.rows.iter().filter(|r| r.listed)
    }

    // Keys ascend, as rows are only added at the end.
    fn at(&self, key: u32) -> Option<&PlainRow> {
        let index = self.rows.binary_search_by_key(&key, |r| r.key).ok()?;
        self.rows.get(index)
    }

    fn at_mut(&mut self, key: u32) -> Option<&mut PlainRow> {
        let index = self.rows.binary_search_by_key(&key, |r| r.key).ok()?;
        self.rows.get_mut(index)
    }
}

impl Table for PlainTable {
    type Row = u32;

    fn first(&self) -> Option<u32> {
        self.listed().next().map(|r| r.key)
    }

    fn next(&self, row: u32) -> Option<u32> {
        let after = self.rows.partition_point(|r| r.key <= row);
        self.rows.get(after..)?.iter().find(|r| r.listed).map(|r| r.key)
    }

    fn load(&self, row: u32) -> Process {
        self.at(row).map(|r| r.process).unwrap_or_default()
    }

    fn store(&mut self, row: u32, process: Process) {
        if let Some(r) = self.at_mut(row) {
            r.process = process;
        }
    }

    fn id(&self, row: u32) -> &[u8] {
        self.at(row).map_or(&[], |r| &r.id)
    }

    fn version(&self, row: u32) -> &[u8] {
        self.at(row).map_or(&[], |r| &r.version)
    }

    fn append(&mut self, process: Process, id: &[u8], version: &[u8]) -> Result<u32, OutOfMemory> {
        self.last_key = self.last_key.wrapping_add(1);
        self.rows.push(PlainRow {
            key: self.last_key,
            listed: true,
            process,
            id: id.to_vec(),
            version: version.to_vec(),
        });
        Ok(self.last_key)
    }

    fn unlink(&mut self, row: u32) {
        if let Some(r) = self.at_mut(row) {
            r.listed = false;
        }
    }
}
