//! PURE · line differences of two texts and three-way merges of whole trees.

use super::git::Files;

/// How many cells the table of the longest common part may have; beyond it the middle counts as replaced.
const MOST_CELLS: usize = 4_000_000;
/// Lines of context around a change.
const CONTEXT: usize = 3;

/// One line of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Same(&'a str),
    Added(&'a str),
    Removed(&'a str),
}

/// The lines of `old` and `new`, as a difference.
pub(super) fn lines<'a>(old: &'a str, new: &'a str) -> Vec<Line<'a>> {
    let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let (old_rest, new_rest) = (&old[head..], &new[head..]);
    let tail = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(a, b)| a == b).count();
    let old_middle = &old_rest[..old_rest.len() - tail];
    let new_middle = &new_rest[..new_rest.len() - tail];
    let mut found: Vec<Line<'a>> = old[..head].iter().map(|line| Line::Same(line)).collect();
    middle(old_middle, new_middle, &mut found);
    found.extend(old_rest[old_middle.len()..].iter().map(|line| Line::Same(line)));
    found
}

fn middle<'a>(old: &[&'a str], new: &[&'a str], found: &mut Vec<Line<'a>>) {
    let width = new.len() + 1;
    if (old.len() + 1).saturating_mul(width) > MOST_CELLS {
        found.extend(old.iter().map(|line| Line::Removed(line)));
        found.extend(new.iter().map(|line| Line::Added(line)));
        return;
    }
    // best[i][j]: length of the longest common part of old[i..] and new[j..].
    let mut best = vec![0_u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            best[i * width + j] = if old[i] == new[j] {
                best[(i + 1) * width + j + 1] + 1
            } else {
                best[(i + 1) * width + j].max(best[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            found.push(Line::Same(old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len()
            || i < old.len() && best[(i + 1) * width + j] >= best[i * width + j + 1]
        {
            found.push(Line::Removed(old[i]));
            i += 1;
        } else {
            found.push(Line::Added(new[j]));
            j += 1;
        }
    }
}

/// The difference as GitHub's `patch`: hunks without the file's header.
pub(super) fn patch(lines: &[Line<'_>]) -> String {
    use std::fmt::Write as _;
    let changed: Vec<usize> = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| !matches!(line, Line::Same(_)))
        .map(|(index, _)| index)
        .collect();
    let mut hunks: Vec<(usize, usize)> = Vec::new();
    for at in changed {
        let (from, to) = (at.saturating_sub(CONTEXT), (at + CONTEXT + 1).min(lines.len()));
        match hunks.last_mut() {
            Some(last) if from <= last.1 => last.1 = to,
            _ => hunks.push((from, to)),
        }
    }
    let mut text = String::new();
    let (mut old_line, mut new_line, mut done) = (1, 1, 0);
    for (from, to) in hunks {
        let skipped = from - done;
        (old_line, new_line) = (old_line + skipped, new_line + skipped);
        let part = &lines[from..to];
        let old = part.iter().filter(|line| !matches!(line, Line::Added(_))).count();
        let new = part.iter().filter(|line| !matches!(line, Line::Removed(_))).count();
        if !text.is_empty() {
            text.push('\n');
        }
        let start = |line: usize, count: usize| if count == 0 { line - 1 } else { line };
        let (old_from, new_from) = (start(old_line, old), start(new_line, new));
        let _ = write!(text, "@@ -{old_from},{old} +{new_from},{new} @@");
        for line in part {
            let (sign, line) = match line {
                Line::Same(line) => (' ', line),
                Line::Added(line) => ('+', line),
                Line::Removed(line) => ('-', line),
            };
            let _ = write!(text, "\n{sign}{line}");
        }
        (old_line, new_line, done) = (old_line + old, new_line + new, to);
    }
    text
}

/// Merges what `theirs` changed since `start` into `ours`; `None` when both changed the same file differently.
pub(super) fn merge(start: &Files, ours: &Files, theirs: &Files) -> Option<Files> {
    let mut merged = ours.clone();
    for path in start.keys().chain(theirs.keys()) {
        let (old, our, their) = (start.get(path), ours.get(path), theirs.get(path));
        if their == old || their == our {
            continue;
        }
        if our != old {
            return None;
        }
        match their {
            Some(entry) => {
                merged.insert(path.clone(), *entry);
            }
            None => {
                merged.remove(path);
            }
        }
    }
    // A file on one side where the other has a folder.
    let mut folders =
        merged.keys().flat_map(|path| path.match_indices('/').map(|(at, _)| &path[..at]));
    if folders.any(|folder| merged.contains_key(folder)) {
        return None;
    }
    Some(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_has_githubs_hunks() {
        let old = "a\nb\nc\nd\ne\nf\ng\nh\n";
        let new = "a\nb\nc\nX\ne\nf\ng\nh\ni\n";
        let expected = "@@ -1,8 +1,9 @@\n a\n b\n c\n-d\n+X\n e\n f\n g\n h\n+i";
        assert_eq!(patch(&lines(old, new)), expected);
        assert_eq!(patch(&lines("", "x\n")), "@@ -0,0 +1,1 @@\n+x");
        assert_eq!(patch(&lines("x\n", "")), "@@ -1,1 +0,0 @@\n-x");
        assert_eq!(patch(&lines(old, old)), "");
    }

    proptest::proptest! {
        #[test]
        fn both_texts_come_back_out_of_a_difference(
            old in proptest::collection::vec("[ab]{0,1}", 0..12),
            new in proptest::collection::vec("[ab]{0,1}", 0..12),
        ) {
            let (old_text, new_text) = (old.join("\n"), new.join("\n"));
            let found = lines(&old_text, &new_text);
            let of = |drop: fn(&Line<'_>) -> bool| -> Vec<&str> {
                found.iter().filter(|line| !drop(line)).map(|line| match line {
                    Line::Same(text) | Line::Added(text) | Line::Removed(text) => *text,
                }).collect()
            };
            proptest::prop_assert_eq!(of(|l| matches!(l, Line::Added(_))), old_text.lines().collect::<Vec<_>>());
            proptest::prop_assert_eq!(of(|l| matches!(l, Line::Removed(_))), new_text.lines().collect::<Vec<_>>());
        }
    }
}
