//! Reading a block: its head at once, its streams only where they are asked for, its bodies by row.

mod bodies;

use std::cell::{Cell, RefCell};
use std::io;
use std::ops::{Deref, Range};
use std::rc::Rc;
use std::sync::Arc;

use super::head::{Head, Shaped};
use super::pack::{Layout, decompress, unpack};
use super::values::Grouped;
use super::{MAX_TEXT, bad};

/// Values and bytes that one reading of a block may make: several times what the largest one needs.
pub(super) const BUDGET: usize = 16 * MAX_TEXT;

/// Where a block lies.
pub(crate) trait ReadAt {
    /// Fills `bytes` from position `at`.
    fn read_at(&self, at: u64, bytes: &mut [u8]) -> io::Result<()>;
}

impl ReadAt for std::fs::File {
    fn read_at(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, bytes, at)
    }
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(at).unwrap_or(usize::MAX);
        let found = self.get(start..).and_then(|rest| rest.get(..bytes.len()));
        bytes.copy_from_slice(found.ok_or_else(|| bad("short block"))?);
        Ok(())
    }
}

/// Where a block and its head lie, and what it must be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Location {
    pub(crate) at: u64,
    pub(crate) bytes: usize,
    pub(crate) head_bytes: usize,
    pub(crate) head_unpacked: usize,
    pub(crate) head_crc: u32,
}

/// Gives the records' times of some rows of a block, which ascend, or of all.
pub(crate) type Records<'a> = &'a dyn Fn(Option<&[u32]>) -> io::Result<Vec<i64>>;

/// The head of a block, read and checked: all that is known without its streams. It may be kept and shared.
#[derive(Debug)]
pub(crate) struct BlockHead {
    pub(super) head: Head,
    layout: Layout,
}

impl BlockHead {
    /// Reads the head of a block.
    pub(crate) fn read(source: &dyn ReadAt, location: Location) -> io::Result<Self> {
        let Location { at, bytes, head_bytes, head_unpacked, head_crc } = location;
        if head_bytes > bytes || head_unpacked > MAX_TEXT {
            return Err(bad("impossible size of a head"));
        }
        let mut packed = vec![0; head_bytes];
        source.read_at(at, &mut packed)?;
        if crc32c::crc32c(&packed) != head_crc {
            return Err(bad("wrong checksum of a head"));
        }
        let head = Head::parse(&decompress(&packed, head_unpacked)?)?;
        let layout = Layout::new(&head.stream_lens);
        Ok(Self { head, layout })
    }

    pub(crate) fn rows(&self) -> usize {
        self.head.rows
    }

    /// Memory, bytes.
    pub(crate) fn memory(&self) -> usize {
        self.head.memory() + self.layout.places.len() * 12 + self.layout.frames.len() * 4 + 128
    }
}

/// The bytes of a stream within its frame.
pub(super) struct Stream {
    frame: Rc<Vec<u8>>,
    range: Range<usize>,
}

impl Deref for Stream {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.frame[self.range.clone()]
    }
}

/// An open block.
pub(crate) struct Block<'a> {
    known: Arc<BlockHead>,
    source: &'a dyn ReadAt,
    records: Records<'a>,
    /// Where each frame starts in the source.
    offsets: Vec<u64>,
    line_times: RefCell<Option<Rc<Vec<i64>>>>,
    ids: RefCell<Option<Rc<Vec<u32>>>>,
    groups: RefCell<Option<Rc<Grouped>>>,
    frames: RefCell<Vec<Option<Rc<Vec<u8>>>>>,
    pub(super) budget: Cell<usize>,
}

impl std::fmt::Debug for Block<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Block").field("head", &self.known.head).finish_non_exhaustive()
    }
}

impl<'a> Block<'a> {
    /// A block whose head was read before. `records` is only called if times are needed.
    pub(crate) fn open(
        source: &'a dyn ReadAt,
        location: Location,
        known: Arc<BlockHead>,
        records: Records<'a>,
    ) -> io::Result<Self> {
        let Location { at, bytes, head_bytes, .. } = location;
        let mut offsets = Vec::with_capacity(known.head.frames.len());
        let mut end = at + head_bytes as u64;
        for (len, _) in &known.head.frames {
            offsets.push(end);
            end += u64::from(*len);
        }
        if end != at + bytes as u64 {
            return Err(bad("parts beyond the block"));
        }
        let frames = RefCell::new(vec![None; known.head.frames.len()]);
        Ok(Self {
            known,
            source,
            records,
            offsets,
            line_times: RefCell::new(None),
            ids: RefCell::new(None),
            groups: RefCell::new(None),
            frames,
            budget: Cell::new(BUDGET),
        })
    }

    pub(super) fn head(&self) -> &Head {
        &self.known.head
    }

    /// Reads all of it once, so that what is copied is whole.
    pub(crate) fn check(&self) -> io::Result<()> {
        (0..self.head().frames.len()).try_for_each(|frame| self.frame(frame).map(drop))
    }

    pub(crate) fn rows(&self) -> usize {
        self.head().rows
    }

    /// All templates, and which of them the first line of each body has.
    pub(crate) fn patterns(&self) -> io::Result<(Vec<&[u8]>, Vec<u32>)> {
        let templates = self.head().top.templates.iter().map(|template| &template.text[..]).collect();
        let ids = self.line_ids()?;
        let Some(lines) = self.lines_of_row()? else { return Ok((templates, ids.to_vec())) };
        let mut line = 0;
        let mut of = Vec::with_capacity(lines.len());
        for lines in lines {
            of.push(ids[line]);
            line += lines;
        }
        Ok((templates, of))
    }

    /// Lines of each body, if some have several.
    pub(super) fn lines_of_row(&self) -> io::Result<Option<Vec<usize>>> {
        let Some(numbers) = &self.head().lines_of_row else { return Ok(None) };
        let lines = self.numbers(numbers, self.head().rows, None)?;
        let mut counts = Vec::with_capacity(lines.len());
        let mut sum = 0_usize;
        for line in lines {
            let count = usize::try_from(line).ok().filter(|count| *count > 0 && *count <= self.head().lines);
            counts.push(count.ok_or_else(|| bad("impossible lines of a body"))?);
            sum = sum.saturating_add(count.unwrap_or(0));
        }
        if sum == self.head().lines { Ok(Some(counts)) } else { Err(bad("other lines than bodies")) }
    }

    /// Which template each line has.
    pub(super) fn line_ids(&self) -> io::Result<Rc<Vec<u32>>> {
        if let Some(known) = &*self.ids.borrow() {
            return Ok(Rc::clone(known));
        }
        let ids = Rc::new(self.ids(&self.head().top, self.head().lines)?);
        *self.ids.borrow_mut() = Some(Rc::clone(&ids));
        Ok(ids)
    }

    /// Which lines each template has.
    pub(super) fn groups(&self) -> io::Result<Rc<Grouped>> {
        if let Some(known) = &*self.groups.borrow() {
            return Ok(Rc::clone(known));
        }
        let groups = Grouped::new(self.line_ids()?.iter().copied(), self.head().top.templates.len());
        let groups = Rc::new(groups);
        *self.groups.borrow_mut() = Some(Rc::clone(&groups));
        Ok(groups)
    }

    /// The records' times of the lines of a template.
    pub(super) fn times_of(&self, template: Option<usize>) -> io::Result<Option<Vec<i64>>> {
        let Some(template) = template else { return Ok(None) };
        let times = self.line_times()?;
        let groups = self.groups()?;
        Ok(Some(groups.of(template).iter().map(|line| times[*line as usize]).collect()))
    }

    fn line_times(&self) -> io::Result<Rc<Vec<i64>>> {
        if let Some(known) = &*self.line_times.borrow() {
            return Ok(Rc::clone(known));
        }
        let mut times = (self.records)(None)?;
        if times.len() != self.head().rows {
            return Err(bad("times of another number of rows"));
        }
        if let Some(lines) = self.lines_of_row()? {
            let pairs = lines.iter().zip(times);
            times = pairs.flat_map(|(lines, time)| std::iter::repeat_n(time, *lines)).collect();
        }
        let times = Rc::new(times);
        *self.line_times.borrow_mut() = Some(Rc::clone(&times));
        Ok(times)
    }

    /// Which template each text has; all are there, each as often as its template says.
    pub(super) fn ids(&self, shaped: &Shaped, len: usize) -> io::Result<Vec<u32>> {
        let numbers = self.numbers(&shaped.ids, len, None)?;
        let mut counts = vec![0_usize; shaped.templates.len()];
        let mut ids = Vec::with_capacity(len);
        for number in numbers {
            let id = usize::try_from(number).ok().filter(|id| *id < counts.len());
            let id = id.ok_or_else(|| bad("unknown template"))?;
            counts[id] += 1;
            ids.push(id as u32);
        }
        let same = counts.iter().zip(&shaped.templates).all(|(count, template)| *count == template.lines);
        if same { Ok(ids) } else { Err(bad("templates for other lines")) }
    }

    pub(super) fn charge(&self, units: usize) -> io::Result<()> {
        let left = self.budget.get().checked_sub(units).ok_or_else(|| bad("more values than a block has"))?;
        self.budget.set(left);
        Ok(())
    }

    fn frame(&self, frame: usize) -> io::Result<Rc<Vec<u8>>> {
        let (Some(slot), Some((len, crc))) =
            (self.frames.borrow().get(frame).cloned(), self.head().frames.get(frame).copied())
        else {
            return Err(bad("no such part"));
        };
        if let Some(known) = slot {
            return Ok(known);
        }
        let size = self.known.layout.frames[frame] as usize;
        if len as usize > size {
            return Err(bad("impossible size of a part"));
        }
        let mut packed = vec![0; len as usize];
        self.source.read_at(self.offsets[frame], &mut packed)?;
        let bytes = Rc::new(unpack(packed, crc, size)?);
        self.frames.borrow_mut()[frame] = Some(Rc::clone(&bytes));
        Ok(bytes)
    }

    /// The bytes of a stream.
    pub(super) fn stream(&self, stream: usize) -> io::Result<Stream> {
        let place = *self.known.layout.places.get(stream).ok_or_else(|| bad("no such stream"))?;
        let frame = self.frame(place.frame as usize)?;
        let start = place.offset as usize;
        let range = start..start + place.len as usize;
        if frame.get(range.clone()).is_none() {
            return Err(bad("stream beyond its part"));
        }
        Ok(Stream { frame, range })
    }
}
