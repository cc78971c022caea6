//! A package of Debian's, as a scenario names it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// `postgresql-15-unit=7.7-1`: a name, and perhaps the version asked for. It holds nothing that a shell or apt-get would take for
/// anything else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Package {
    name: String,
    version: Option<String>,
}

impl Package {
    /// As apt-get takes it; none where Debian would not take the name or the version (Debian Policy, chapters "Package" and "Version").
    pub fn parse(text: &str) -> Option<Package> {
        let (name, version) = match text.split_once('=') {
            Some((name, version)) => (name, Some(version)),
            None => (text, None),
        };
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let is_name =
            name.len() > 1 && name.starts_with(is_plain) && name.chars().all(|c| is_plain(c) || "+.-".contains(c));
        let is_version = |version: &str| {
            version.starts_with(|c: char| c.is_ascii_digit())
                && version.chars().all(|c| c.is_ascii_alphanumeric() || "+.~:-".contains(c))
        };
        // apt-get takes "x-" for the removal of x.
        let is_command = version.is_none() && name.ends_with('-');
        (is_name && !is_command && version.is_none_or(is_version))
            .then(|| Package { name: name.to_owned(), version: version.map(str::to_owned) })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{}={version}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl TryFrom<String> for Package {
    type Error = String;

    fn try_from(text: String) -> Result<Package, String> {
        Package::parse(&text).ok_or_else(|| format!("{text:?} is no package"))
    }
}

impl From<Package> for String {
    fn from(package: Package) -> String {
        package.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_debian_would_take() {
        for text in
            ["postgresql-15-unit", "g++", "libstdc++6", "0ad", "unit=7.7-1", "mariadb-server=1:10.11.6-0+deb12u1"]
        {
            assert_eq!(Package::parse(text).map(|package| package.to_string()).as_deref(), Some(text));
        }
        let refused = [
            "",
            "x",
            "-y",
            "Unit",
            "unit_7",
            "unit=",
            "unit=v7",
            "unit =7",
            "unit-",
            "a b",
            "a\nRUN rm",
            "a;b",
            "a$b",
            "a'b",
            "a\"b",
            "a/b",
            "a=1 b",
            "a=1;b",
            "a=1$(b)",
            "ünit",
            "a:amd64",
        ];
        for text in refused {
            assert_eq!(Package::parse(text), None, "{text:?}");
        }
    }
}
