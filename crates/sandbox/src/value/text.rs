//! The lexical side of literals: the extent of numbers, and strings with their escapes.

/// What stands before a string's quote.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub is_bytes: bool,
    is_raw: bool,
}

/// The kind of the string that begins here, and where its quote is.
pub(super) fn opening(text: &str) -> Option<(Kind, usize)> {
    let quote = text.bytes().take(3).position(|byte| matches!(byte, b'\'' | b'"'))?;
    let prefix = text[..quote].to_ascii_lowercase();
    let kind = |is_bytes, is_raw| Some((Kind { is_bytes, is_raw }, quote));
    match prefix.as_str() {
        "" | "u" => kind(false, false),
        "r" => kind(false, true),
        "b" => kind(true, false),
        "br" | "rb" => kind(true, true),
        _ => None,
    }
}

/// Appends a string's content; gives what follows it.
pub(super) fn read<'a>(text: &'a str, kind: Kind, data: &mut Vec<u8>) -> Option<&'a str> {
    let quote = text.get(..1)?;
    let triple = quote.repeat(3);
    let close = if text.starts_with(&triple) { triple.as_str() } else { quote };
    let mut rest = &text[close.len()..];
    loop {
        if let Some(after) = rest.strip_prefix(close) {
            return Some(after);
        }
        let letter = rest.chars().next()?;
        rest = &rest[letter.len_utf8()..];
        match letter {
            '\\' if kind.is_raw => {
                // A quote after a backslash does not close a raw string; both belong to it.
                let next = rest.chars().next()?;
                rest = &rest[next.len_utf8()..];
                push(data, letter, kind)?;
                push(data, next, kind)?;
            }
            '\\' => rest = escape(rest, kind, data)?,
            '\n' if close.len() == 1 => return None,
            _ => push(data, letter, kind)?,
        }
    }
}

fn push(data: &mut Vec<u8>, letter: char, kind: Kind) -> Option<()> {
    if kind.is_bytes && !letter.is_ascii() {
        return None;
    }
    data.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
    Some(())
}

fn push_code(data: &mut Vec<u8>, code: u32, kind: Kind) -> Option<()> {
    if kind.is_bytes {
        data.push(u8::try_from(code).ok()?);
        return Some(());
    }
    // A lone surrogate is no character, and no literal here.
    push(data, char::from_u32(code)?, kind)
}

fn escape<'a>(text: &'a str, kind: Kind, data: &mut Vec<u8>) -> Option<&'a str> {
    let letter = text.chars().next()?;
    let rest = &text[letter.len_utf8()..];
    let hexadecimal = |count: usize| Some((u32::from_str_radix(digits(rest, count)?, 16).ok()?, &rest[count..]));
    let (code, rest) = match letter {
        '\n' => return Some(rest),
        '\\' | '\'' | '"' => (u32::from(letter), rest),
        'a' => (7, rest),
        'b' => (8, rest),
        'f' => (12, rest),
        'n' => (10, rest),
        'r' => (13, rest),
        't' => (9, rest),
        'v' => (11, rest),
        'x' => hexadecimal(2)?,
        'u' if !kind.is_bytes => hexadecimal(4)?,
        'U' if !kind.is_bytes => hexadecimal(8)?,
        // Names of characters are not known here.
        'N' if !kind.is_bytes => return None,
        '0'..='7' => {
            let length = text.bytes().take(3).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
            (u32::from_str_radix(&text[..length], 8).ok()?, &text[length..])
        }
        _ => {
            push(data, '\\', kind)?;
            push(data, letter, kind)?;
            return Some(rest);
        }
    };
    push_code(data, code, kind)?;
    Some(rest)
}

fn digits(text: &str, count: usize) -> Option<&str> {
    text.get(..count).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Bytes of the decimal number that begins here: digits, point, exponent.
pub(super) fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let run = |start: usize| start + bytes[start..].iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'_').count();
    let whole = run(0);
    let mut end = whole;
    if bytes.get(end) == Some(&b'.') {
        end = run(end + 1);
        if end == 1 {
            return 0;
        }
    }
    if end > 0 && matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        if bytes.get(end + 1 + sign).is_some_and(u8::is_ascii_digit) {
            end = run(end + 1 + sign);
        }
    }
    end
}

/// Underscores may stand between digits only.
pub(super) fn without_underscores(digits: &str) -> Option<String> {
    let bytes = digits.as_bytes();
    let between = |at: usize| at > 0 && bytes[at - 1].is_ascii_alphanumeric() && bytes.get(at + 1).is_some_and(u8::is_ascii_alphanumeric);
    let valid = bytes.iter().enumerate().all(|(at, byte)| *byte != b'_' || between(at));
    valid.then(|| digits.replace('_', ""))
}
