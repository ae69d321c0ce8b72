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

/// `text` as a value in the query of an address or in a form: what RFC 3986 does not reserve stays.
#[must_use]
pub fn in_query(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&hex::encode_upper([byte]));
        }
    }
    out
}

/// `text` as it may stand in an HTML element or in a quoted attribute.
#[must_use]
pub fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_its_value() {
        assert_eq!(in_query("a b&c=d/é~.-_+"), "a%20b%26c%3Dd%2F%C3%A9~.-_%2B");
    }

    #[test]
    fn nothing_leaves_its_element_or_attribute() {
        assert_eq!(html("<a href='x\">&"), "&lt;a href=&#39;x&quot;&gt;&amp;");
        assert_eq!(html("plain é"), "plain é");
    }

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
