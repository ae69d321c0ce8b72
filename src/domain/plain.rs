//! PURE · characters that have no place in a line for people: what commands a terminal, ends a line, or turns the order
//! of what is read. Texts come from repositories, and any of them may be hostile.

/// Whether `c` is a control character, a separator of lines, or an override of the reading direction.
#[must_use]
pub fn is_odd(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `text` with U+FFFD for each of them.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if is_odd(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commands_a_terminal_or_turns_the_order_is_replaced_and_nothing_else() {
        for text in ["ядро 中文 é", "a\u{200d}b", "\u{feff}", "~"] {
            assert_eq!(plain(text), text);
        }
        for odd in ["\u{1b}", "\n", "\u{7f}", "\u{9b}", "\u{2028}", "\u{202e}", "\u{2066}"] {
            assert_eq!(plain(&format!("a{odd}b")), "a\u{fffd}b");
        }
    }
}
