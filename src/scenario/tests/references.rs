use super::super::reference::references;
use super::*;

#[test]
fn substitutes_what_is_a_reference_and_nothing_else() {
    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(substitute(text, |node, field| format!("<{node} {field:?}>")), expected);
    }
    check("", "");
    check("${node.a.host}", "<a Host>");
    check("host=${node.a.host} port=${node.b-1.port};", "host=<a Host> port=<b-1 Port>;");
    check("é${node.a.url}é", "é<a Url>é");
    check("${node.a.1.host}", "<a.1 Host>");
    check("${HOME} $node.a.host ${node} $$ ${nodes.a.host}", "${HOME} $node.a.host ${node} $$ ${nodes.a.host}");
    check("${node.a.password} ${node.a.host", "${node.a.password} ${node.a.host");
    check("${node.${node.a.host}.port}", "${node.<a Host>.port}");
}

#[test]
fn finds_references_that_make_no_sense() {
    let found: Vec<_> = references("${node.a} ${node.b.host ${node.c.sun}").collect();
    let found: Vec<_> = found.iter().map(|found| (found.node, found.field, found.closed)).collect();
    assert_eq!(found, [("a", "", true), ("b", "host", false), ("c", "sun", true)]);
}
