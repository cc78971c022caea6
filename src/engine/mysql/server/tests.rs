//! What the servers say of themselves.

use super::*;

#[test]
fn versions_are_read_from_what_the_servers_say_of_themselves() {
    let mariadb = "mariadbd  Ver 10.11.6-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)\n";
    let mysql = "/usr/sbin/mysqld  Ver 9.7.0-1 for Linux on x86_64 ((Debian))\n";
    assert_eq!(parse_mariadb_version(mariadb).as_deref(), Some("10.11.6"));
    assert_eq!(parse_mysql_version(mysql).as_deref(), Some("9.7.0"));
    assert_eq!((parse_mariadb_version(mysql), parse_mysql_version(mariadb)), (None, None));
    assert_eq!(parse_mysql_version("mysqld"), None);
}

#[test]
fn a_series_is_two_numbers() {
    let software = software(EngineKind::Mariadb, "10.11.6");
    assert_eq!(software.series(), "10.11");
    assert!(!software.accepts("10.11.60") && software.accepts("10.11.6"));
    assert!(!self::software(EngineKind::Mariadb, "10.1").accepts("10.11.6"));
}
