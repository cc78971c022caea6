use crate::engine::postgres::server::software;
use crate::engine::server;
use crate::scenario::EngineKind;

/// The task that builds images does not know the library.
#[test]
fn the_images_that_can_be_built_are_told() {
    let recipes = include_str!("../../../xtask/src/images.rs").split_whitespace().collect::<Vec<_>>().join(" ");
    for (engine, name) in
        [(EngineKind::Postgres, "Postgres"), (EngineKind::Mariadb, "Mariadb"), (EngineKind::Mysql, "Mysql")]
    {
        for version in engine.versions() {
            let recipe = format!("Recipe {{ engine: Engine::{name}, version: {version:?},");
            let built = server::software(engine, version).image_hint().contains("xtask images");
            assert_eq!(built, recipes.contains(&recipe), "{name} {version}");
        }
    }
    assert_eq!(software("14").image_hint(), "docker pull postgres:14");
}

#[test]
fn a_series_accepts_its_releases_and_a_release_only_itself() {
    let check = |asked: &str, found: &str, expected: bool| {
        assert_eq!(software(asked).accepts(found), expected, "{asked} against {found}");
    };
    check("15", "15.8", true);
    check("15", "15", true);
    check("1", "15.8", false);
    check("15.8", "15.8", true);
    check("15.8", "15.80", false);
    check("15.8", "15.9", false);
    check("18", "18beta1", true);
}
