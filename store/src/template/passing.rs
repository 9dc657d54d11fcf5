//! Which rows a regex matches, by walking its automaton along templates and columns: no body is made, and a column that
//! cannot change where the automaton is, whatever its values, is not read.

use std::io;

use super::automaton::{At, Automaton};
use super::bad;
use super::bits::Bits;
use super::block::{BUDGET, Block};
use super::decode::Places;
use super::head::{Column, Numbers, Shaped, Template};
use super::split::literals;
use super::values::Values;

/// Different states that are looked at one by one.
const FEW: usize = 16;

/// Where the automaton is in each of some texts.
#[derive(Clone, Debug)]
enum States {
    /// In all at the same place.
    One(At),
    Each(Vec<At>),
}

impl States {
    fn of(states: Vec<At>) -> Self {
        match states.first() {
            Some(first) if states.iter().all(|at| at == first) => Self::One(*first),
            _ => Self::Each(states),
        }
    }

    fn get(&self, at: usize) -> At {
        match self {
            Self::One(state) => *state,
            Self::Each(states) => states.get(at).copied().unwrap_or(At::Unsure),
        }
    }

    fn are_settled(&self) -> bool {
        let settled = |at: &At| !matches!(at, At::In(_));
        match self {
            Self::One(state) => settled(state),
            Self::Each(states) => states.iter().all(settled),
        }
    }

    /// Goes on in the same way wherever the automaton is in the same state; `None` if `go` does not know one of them, or
    /// they are too many.
    fn alike(&self, most: usize, mut go: impl FnMut(At) -> Option<At>) -> Option<Self> {
        let states = match self {
            Self::One(state) => return go(*state).map(Self::One),
            Self::Each(states) => states,
        };
        let mut known: Vec<(At, At)> = Vec::new();
        let mut next = Vec::with_capacity(states.len());
        for state in states {
            let found = known.iter().find(|(from, _)| from == state).map(|(_, to)| *to);
            next.push(match found {
                Some(to) => to,
                None if known.len() == most => return None,
                None => {
                    let to = go(*state)?;
                    known.push((*state, to));
                    to
                }
            });
        }
        Some(Self::of(next))
    }
}

impl Block<'_> {
    /// Of these rows, those that the automaton matches, and those of which only their bodies can tell.
    pub(crate) fn rows_passing(&self, automaton: &Automaton, rows: &Bits) -> io::Result<(Bits, Bits)> {
        let (mut yes, mut unsure) = (Bits::new(self.rows()), Bits::new(self.rows()));
        // a walk is a reading of its own: many conditions of one request are no sign of damage
        self.budget.set(BUDGET);
        let row_of_line = self.rows_of_lines(rows, &mut unsure)?;
        let groups = self.groups()?;
        for (top, template) in self.head().top.templates.iter().enumerate() {
            let (mut places, mut targets) = (Vec::new(), Vec::new());
            for (place, line) in (0_u32..).zip(groups.of(top)) {
                let row = match &row_of_line {
                    Some(rows) => rows.get(*line as usize).copied().flatten(),
                    None => Some(*line),
                };
                if let Some(row) = row.filter(|row| rows.has(*row as usize)) {
                    places.push(place);
                    targets.push(row);
                }
            }
            if places.is_empty() {
                continue;
            }
            let walk = Walk { block: self, automaton, top: Some(top) };
            let places = (places.len() < template.lines).then_some(places);
            let start = States::One(automaton.start());
            let states = walk.template(template, start, places.as_deref())?;
            for (at, row) in targets.into_iter().enumerate() {
                match automaton.end(states.get(at)) {
                    Some(true) => yes.set(row as usize),
                    Some(false) => {}
                    None => unsure.set(row as usize),
                }
            }
        }
        Ok((yes, unsure))
    }

    /// Of each line its row, if that has no other; rows of several lines are only told by their bodies. `None`: each row is
    /// one line.
    fn rows_of_lines(&self, rows: &Bits, unsure: &mut Bits) -> io::Result<Option<Vec<Option<u32>>>> {
        let Some(lines) = self.lines_of_row()? else { return Ok(None) };
        let mut of = Vec::with_capacity(self.head().lines);
        for (row, lines) in (0_u32..).zip(lines) {
            if lines == 1 {
                of.push(Some(row));
                continue;
            }
            of.extend(std::iter::repeat_n(None, lines));
            if rows.has(row as usize) {
                unsure.set(row as usize);
            }
        }
        Ok(Some(of))
    }
}

/// An automaton on its way through the texts of a template.
struct Walk<'a> {
    block: &'a Block<'a>,
    automaton: &'a Automaton,
    /// Which template of lines it is, for the records' times; shapes have none.
    top: Option<usize>,
}

impl Walk<'_> {
    /// The states after the texts at some places of a template, or after all of them.
    fn template(&self, template: &Template, from: States, places: Places<'_>) -> io::Result<States> {
        let mut states = from;
        for (at, literal) in literals(&template.text).enumerate() {
            states = self.literal(states, literal);
            if states.are_settled() {
                break;
            }
            if let Some(column) = template.columns.get(at) {
                states = self.column(column, template.lines, states, places)?;
            }
        }
        Ok(states)
    }

    fn literal(&self, states: States, text: &[u8]) -> States {
        if text.is_empty() {
            return states;
        }
        let run = |at| Some(self.automaton.run(at, text));
        states
            .alike(FEW, run)
            .unwrap_or_else(|| self.each(&states, usize::MAX, |_, at| self.automaton.run(at, text)))
    }

    /// Goes on in each text for itself.
    fn each(&self, states: &States, count: usize, go: impl Fn(usize, At) -> At) -> States {
        States::of(match states {
            States::One(state) => (0..count).map(|at| go(at, *state)).collect(),
            States::Each(states) => states.iter().enumerate().map(|(at, state)| go(at, *state)).collect(),
        })
    }

    fn column(&self, column: &Column, len: usize, states: States, places: Places<'_>) -> io::Result<States> {
        if let Some(next) = states.alike(FEW, |at| self.after_any(column, at)) {
            return Ok(next);
        }
        let count = places.map_or(len, <[u32]>::len);
        match column {
            Column::Of { entries, ids } => {
                let ids = self.entries(ids, len, entries.len(), places)?;
                Ok(match states {
                    States::One(from) => {
                        let after: Vec<At> =
                            entries.iter().map(|entry| self.automaton.run(from, entry)).collect();
                        States::of(ids.iter().map(|id| after[*id]).collect())
                    }
                    states => self.each(&states, count, |at, state| {
                        ids.get(at).map_or(At::Unsure, |id| self.automaton.run(state, entries.get(*id)))
                    }),
                })
            }
            Column::Shaped(shaped) => self.shaped(shaped, len, &states, places),
            _ => {
                let values = self.values(column, len, places)?;
                Ok(self.each(&states, count, |at, state| self.automaton.run(state, values.get(at))))
            }
        }
    }

    /// Which entries values are, checked.
    fn entries(&self, ids: &Numbers, len: usize, most: usize, places: Places<'_>) -> io::Result<Vec<usize>> {
        let ids = self.block.numbers(ids, len, places)?.into_iter();
        let ids = ids.map(|id| usize::try_from(id).ok().filter(|id| *id < most));
        ids.map(|id| id.ok_or_else(|| bad("unknown entry"))).collect()
    }

    fn values(&self, column: &Column, len: usize, places: Places<'_>) -> io::Result<Values> {
        let mut times = None;
        if matches!(column, Column::Time { relative: true, .. }) {
            times = self.block.times_of(self.top)?;
            if let (Some(all), Some(places)) = (&times, places) {
                times = Some(super::chosen(all, Some(places)));
            }
        }
        self.block.values(column, len, times.as_deref(), places)
    }

    /// As a column's values are written: of each shape those that have it.
    fn shaped(&self, shaped: &Shaped, len: usize, states: &States, places: Places<'_>) -> io::Result<States> {
        let ids = self.block.ids(shaped, len)?;
        // of each shape its values that are wanted: which of its own, and which of all that are wanted
        let mut own: Vec<(Vec<u32>, Vec<usize>)> = vec![Default::default(); shaped.templates.len()];
        let mut wanted = places.map(|places| places.iter().copied().peekable());
        let mut next = vec![0_u32; shaped.templates.len()];
        let mut count = 0;
        for (place, id) in (0_u32..).zip(&ids) {
            let id = *id as usize;
            let is_wanted = wanted.as_mut().is_none_or(|wanted| wanted.next_if_eq(&place).is_some());
            if is_wanted {
                own[id].0.push(next[id]);
                own[id].1.push(count);
                count += 1;
            }
            next[id] += 1;
        }
        let mut after = vec![At::Unsure; count];
        for (template, (own, all)) in shaped.templates.iter().zip(&own) {
            if own.is_empty() {
                continue;
            }
            let from = match states {
                States::One(state) => States::One(*state),
                each => States::of(all.iter().map(|at| each.get(*at)).collect()),
            };
            let places = (own.len() < template.lines).then_some(&own[..]);
            let walk = Walk { top: None, ..*self };
            let states = walk.template(template, from, places)?;
            all.iter().enumerate().for_each(|(at, to)| after[*to] = states.get(at));
        }
        Ok(States::of(after))
    }

    /// Where the automaton is after a value of a column, if that is the same for all that it may have.
    fn after_any(&self, column: &Column, at: At) -> Option<At> {
        if !matches!(at, At::In(_)) {
            return Some(at);
        }
        let same = |mut states: &mut dyn Iterator<Item = Option<At>>| {
            let first = states.next()??;
            (&mut states).all(|state| state == Some(first)).then_some(first)
        };
        let stays = |bytes: &mut dyn Iterator<Item = u8>| self.automaton.stays(at, bytes).then_some(at);
        match column {
            Column::One(value) => Some(self.automaton.run(at, value)),
            Column::Of { entries, .. } => {
                same(&mut entries.iter().map(|entry| Some(self.automaton.run(at, entry))))
            }
            Column::Integer { prefix, suffix, .. } => {
                stays(&mut b"-0123456789".iter().chain(prefix).chain(suffix).copied())
            }
            Column::Hex { .. } => stays(&mut b"-0123456789abcdefABCDEF".iter().copied()),
            Column::Time { format, .. } => stays(&mut format.bytes()),
            Column::Text { .. } => None,
            Column::Shaped(shaped) => {
                let used = shaped.templates.iter().filter(|template| template.lines > 0);
                same(&mut used.map(|template| {
                    let mut at = at;
                    for (slot, literal) in literals(&template.text).enumerate() {
                        at = self.automaton.run(at, literal);
                        if let Some(column) = template.columns.get(slot) {
                            at = self.after_any(column, at)?;
                        }
                    }
                    Some(at)
                }))
            }
        }
    }
}

#[cfg(test)]
mod tests;
