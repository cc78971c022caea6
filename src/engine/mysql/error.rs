//! The servers' errors, as they may be kept and shown: without row values and literals (chapter "Server Error Message Reference" of the
//! manuals).

use super::connect::DriverError;
use crate::event::{SqlError, with_causes};

/// The code that an error of the connection is given, as on the other engines.
pub const CONNECTION_LOST: &str = "08006";

/// Errors whose message names objects, settings and positions, never a row's values.
const OF_NAMES: [u16; 63] = [
    1005, 1006, 1007, 1008, 1010, 1011, 1016, 1017, 1025, 1044, 1045, 1046, 1049, 1050, 1051, 1054, 1060, 1061, 1068,
    1069, 1071, 1072, 1074, 1075, 1091, 1101, 1109, 1113, 1115, 1118, 1136, 1142, 1143, 1146, 1153, 1170, 1193, 1205,
    1213, 1215, 1217, 1227, 1235, 1239, 1264, 1273, 1286, 1304, 1305, 1317, 1356, 1364, 1406, 1418, 1419, 1451, 1452,
    1553, 1792, 1826, 1840, 3021, 3730,
];

/// What stands for a value that is left out.
const LEFT_OUT: &str = "…";

/// What stands for the words of a routine's SIGNAL or RESIGNAL, which may say anything.
pub const RAISED: &str = "a routine raised it; its words are left out";

/// A message with whatever could be a value left out, unless it names objects alone. `state` is the SQLSTATE.
pub fn shown(number: u16, state: &str, message: &str) -> String {
    // ER_SIGNAL_WARN, ER_SIGNAL_NOT_FOUND, ER_SIGNAL_EXCEPTION, and the class for what users define.
    if (1642..=1644).contains(&number) || state.starts_with("45") {
        return RAISED.to_owned();
    }
    if OF_NAMES.contains(&number) {
        return message.to_owned();
    }
    // ER_DUP_ENTRY: "Duplicate entry 'VALUE' for key 'NAME'", and the value may hold quotes.
    if number == 1062
        && let Some((_, key)) = message.rsplit_once(" for key ")
    {
        return format!("Duplicate entry {LEFT_OUT} for key {key}");
    }
    let quotes = ['\'', '"'];
    let Some(start) = message.find(|each: char| quotes.contains(&each) || each.is_ascii_digit()) else {
        return message.to_owned();
    };
    // Whatever comes after the first quote may be inside it: the text that is quoted may hold quotes itself.
    match message.rfind(quotes) {
        Some(end) if end > start && message[start..].starts_with(quotes) => {
            format!("{}{LEFT_OUT}{}", &message[..start], &message[end + 1..])
        }
        _ => format!("{}{LEFT_OUT}", &message[..start]),
    }
}

/// Characters that the performance schema keeps of a message.
const KEPT: usize = 128;

/// A message as far as it is sure what stands where: of one that was cut, the part before its first quote.
pub fn cut(message: &str) -> String {
    match message.find(['\'', '"']) {
        Some(quote) if message.chars().count() >= KEPT => format!("{}{LEFT_OUT}", &message[..quote]),
        _ => message.to_owned(),
    }
}

/// A driver's error as an event holds it, without values: the server's own number, or what befell the connection.
pub fn sql_error_of(error: &DriverError) -> SqlError {
    let (code, message) = match error {
        DriverError::Server(said) => (said.code.to_string(), shown(said.code, &said.state, &said.message)),
        other => (CONNECTION_LOST.to_owned(), with_causes(other)),
    };
    SqlError { code, message, table: None, column: None, constraint: None, position: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_left_out_and_names_are_not() {
        let check = |number, message: &str, expected: &str| assert_eq!(shown(number, "HY000", message), expected);
        check(1146, "Table 'shop.t' doesn't exist", "Table 'shop.t' doesn't exist");
        check(1062, "Duplicate entry 'it's for key 1' for key 't.mail'", "Duplicate entry … for key 't.mail'");
        let syntax = "You have an error in your SQL syntax; check the manual for the right syntax to use near ";
        check(1064, &format!("{syntax}'secret'' at line 1"), &format!("{syntax}… at line 1"));
        check(
            1366,
            "Incorrect integer value: 'secret' for column `shop`.`t`.`a` at row 1",
            "Incorrect integer value: … for column `shop`.`t`.`a` at row 1",
        );
        check(1644, "it said secret", RAISED);
        assert_eq!(shown(1146, "45001", "no secret"), RAISED);
        check(1526, "Table has no partition for value 20301", "Table has no partition for value …");
        check(3616, "Longitude 181.5 is out of range in function st_x.", "Longitude …");
        check(1231, "Variable 'a' can't be set to the value of 'secret'", "Variable …");
        check(1366, "it said 'secret", "it said …");
        check(1366, "no quotes", "no quotes");
    }
}
