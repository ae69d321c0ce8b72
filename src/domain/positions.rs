//! PURE · where each value of a document was written, by JSON pointer, without a text for each pointer.
//!
//! The members of a mapping and the elements of a list lie next to one another, members sorted by name: a place is found
//! in logarithmic time, and costs some 40 bytes and its name.

use std::borrow::Cow;

use super::document::{Position, pointer_token};

/// Places of values, by JSON pointer. A member stands where its key stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions {
    /// The root comes first.
    entries: Vec<Entry>,
    /// The names of all members.
    names: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Entry {
    /// Line 0: nothing was written here, but below it.
    position: Position,
    /// Where the name begins in `names`, and its bytes.
    name: (u32, u32),
    /// The first entry below this one, and how many there are.
    below: (u32, u32),
    is_list: bool,
}

impl Positions {
    /// Nothing but the place of the whole document.
    pub(super) fn of_root(position: Position) -> Self {
        Self { entries: vec![Entry { position, ..Entry::default() }], names: String::new() }
    }

    /// The place of the value at `pointer`, if it was written.
    #[must_use]
    pub fn get(&self, pointer: &str) -> Option<&Position> {
        let mut entry = self.entries.first()?;
        if !pointer.is_empty() {
            for token in pointer.strip_prefix('/')?.split('/') {
                entry = self.child(entry, token)?;
            }
        }
        (entry.position.line != 0).then_some(&entry.position)
    }

    /// Whether the value at `pointer` was written.
    #[must_use]
    pub fn contains_key(&self, pointer: &str) -> bool {
        self.get(pointer).is_some()
    }

    /// Every place with its pointer.
    #[must_use]
    pub fn all(&self) -> Vec<(String, Position)> {
        let mut found = Vec::new();
        if let Some(root) = self.entries.first() {
            self.collect(root, String::new(), &mut found);
        }
        found
    }

    fn collect(&self, entry: &Entry, pointer: String, found: &mut Vec<(String, Position)>) {
        for (index, child) in self.children(entry).iter().enumerate() {
            let below = if entry.is_list {
                format!("{pointer}/{index}")
            } else {
                format!("{pointer}/{}", pointer_token(self.name(child)))
            };
            self.collect(child, below, found);
        }
        if entry.position.line != 0 {
            found.push((pointer, entry.position));
        }
    }

    fn children(&self, entry: &Entry) -> &[Entry] {
        let (first, count) = (entry.below.0 as usize, entry.below.1 as usize);
        self.entries.get(first..first.saturating_add(count)).unwrap_or_default()
    }

    fn name(&self, entry: &Entry) -> &str {
        let (start, length) = (entry.name.0 as usize, entry.name.1 as usize);
        self.names.get(start..start.saturating_add(length)).unwrap_or_default()
    }

    fn child(&self, entry: &Entry, token: &str) -> Option<&Entry> {
        let children = self.children(entry);
        if entry.is_list {
            // A pointer writes an index in one way only.
            let plain = token == "0" || !token.starts_with(['0', '+']);
            return children.get(token.parse::<usize>().ok().filter(|_| plain)?);
        }
        let name = if token.contains('~') {
            Cow::Owned(token.replace("~1", "/").replace("~0", "~"))
        } else {
            Cow::Borrowed(token)
        };
        let at = children.binary_search_by(|child| self.name(child).cmp(&name)).ok()?;
        children.get(at)
    }

    /// Puts the elements of the list at entry `at` behind all others, and gives the index of the first.
    pub(super) fn add_elements(
        &mut self,
        at: usize,
        elements: impl Iterator<Item = Position>,
    ) -> usize {
        let first = self.entries.len();
        self.entries.extend(elements.map(|position| Entry { position, ..Entry::default() }));
        self.link(at, first, true);
        first
    }

    /// The same with the members of a mapping, which come sorted by name.
    pub(super) fn add_members<'n>(
        &mut self,
        at: usize,
        members: impl Iterator<Item = (&'n str, Position)>,
    ) -> usize {
        let first = self.entries.len();
        for (name, position) in members {
            let range = (small(self.names.len()), small(name.len()));
            self.names.push_str(name);
            self.entries.push(Entry { position, name: range, ..Entry::default() });
        }
        self.link(at, first, false);
        first
    }

    fn link(&mut self, at: usize, first: usize, is_list: bool) {
        let below = (small(first), small(self.entries.len() - first));
        if let Some(entry) = self.entries.get_mut(at) {
            entry.below = below;
            entry.is_list = is_list;
        }
    }
}

#[cfg(test)]
impl Positions {
    /// Those places, for tests that have no document. A name of digits is an index.
    pub(crate) fn of_places(places: &[(&str, Position)]) -> Self {
        let root = places.iter().find(|(pointer, _)| pointer.is_empty());
        let mut positions = Self::of_root(root.map(|(_, at)| *at).unwrap_or_default());
        positions.add_below(0, "", places);
        positions
    }

    fn add_below(&mut self, at: usize, pointer: &str, places: &[(&str, Position)]) {
        let mut tokens: Vec<&str> = places
            .iter()
            .filter_map(|(place, _)| place.strip_prefix(pointer)?.strip_prefix('/'))
            .filter_map(|rest| rest.split('/').next())
            .collect();
        tokens.sort_unstable();
        tokens.dedup();
        let below: Vec<(&str, String, Position)> = tokens
            .into_iter()
            .map(|token| {
                let child = format!("{pointer}/{token}");
                let place = places.iter().find(|(place, _)| *place == child);
                (token, child.clone(), place.map(|(_, at)| *at).unwrap_or_default())
            })
            .collect();
        if below.is_empty() {
            return;
        }
        let is_list = below.iter().all(|(token, ..)| token.bytes().all(|b| b.is_ascii_digit()));
        let first = if is_list {
            self.add_elements(at, below.iter().map(|(_, _, place)| *place))
        } else {
            self.add_members(at, below.iter().map(|(token, _, place)| (*token, *place)))
        };
        for (index, (_, child, _)) in below.iter().enumerate() {
            self.add_below(first + index, child, places);
        }
    }
}

/// A file of four gigabytes is refused long before.
fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::document::{Key, Node, NodeValue};
    use super::*;

    fn at(line: usize) -> Position {
        Position { line, column: 1 }
    }

    fn leaf(line: usize) -> Node {
        Node { value: NodeValue::Scalar(serde_json::Value::Null), position: at(line) }
    }

    fn mapping(line: usize, members: Vec<(&str, usize, Node)>) -> Node {
        let member = |(name, line, node): (&str, usize, Node)| {
            (Key { name: name.to_owned(), position: at(line) }, node)
        };
        let members = members.into_iter().map(member).collect();
        Node { value: NodeValue::Mapping(members), position: at(line) }
    }

    #[test]
    fn each_value_is_found_by_its_pointer_and_nothing_else_is() {
        let list = Node { value: NodeValue::Sequence(vec![leaf(5), leaf(6)]), position: at(5) };
        let inner = mapping(3, vec![("x/y~z", 3, leaf(3)), ("b", 4, list), ("a", 7, leaf(7))]);
        let node = mapping(1, vec![("z", 1, leaf(1)), ("m", 2, inner), ("none", 0, leaf(0))]);
        let positions = node.positions();
        let lines: Vec<(String, usize)> =
            positions.all().into_iter().map(|(pointer, at)| (pointer, at.line)).collect();
        let wanted = [
            ("/m/a", 7),
            ("/m/b/0", 5),
            ("/m/b/1", 6),
            ("/m/b", 4),
            ("/m/x~1y~0z", 3),
            ("/m", 2),
            ("/z", 1),
            ("", 1),
        ];
        assert_eq!(lines, wanted.map(|(pointer, line)| (pointer.to_owned(), line)));
        for (pointer, line) in lines {
            assert_eq!(positions.get(&pointer), Some(&at(line)), "{pointer}");
        }
        for pointer in ["/none", "/m/b/2", "/m/b/01", "/m/b/+1", "/m/b/x", "/m/", "m", "/z/a", "/"]
        {
            assert!(!positions.contains_key(pointer), "{pointer}");
        }
        assert_eq!(Positions::default().get(""), None);
    }
}
