//! Joins the manifest's parts at compile time, so that it is data in the component and no function of it.

/// How many bytes the joined parts have.
pub const fn length(parts: &[&[&str]]) -> usize {
    let (mut total, mut i) = (0, 0);
    while i < parts.len() {
        let mut j = 0;
        while j < parts[i].len() {
            total += parts[i][j].len();
            j += 1;
        }
        i += 1;
    }
    total
}

/// The parts one after the other; `N` is their [`length`].
pub const fn join<const N: usize>(parts: &[&[&str]]) -> [u8; N] {
    let mut joined = [0; N];
    let (mut at, mut i) = (0, 0);
    while i < parts.len() {
        let mut j = 0;
        while j < parts[i].len() {
            let bytes = parts[i][j].as_bytes();
            let mut k = 0;
            while k < bytes.len() {
                joined[at] = bytes[k];
                at += 1;
                k += 1;
            }
            j += 1;
        }
        i += 1;
    }
    joined
}

/// `true` or `false`, as JSON has it.
pub const fn word(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_joined_in_order() {
        const PARTS: &[&[&str]] = &[&["{\"a\":", "é"], &[], &["", "}"]];
        const JOINED: [u8; length(PARTS)] = join(PARTS);
        assert_eq!(&JOINED, "{\"a\":é}".as_bytes());
    }
}
