use super::*;

fn check_code(text: &str, expected: &[&str]) {
    let lines = split(text);
    let code: Vec<&str> = lines.iter().map(|line| line.code.as_str()).collect();
    assert_eq!(code, expected, "{text}");
}

fn check_comments(text: &str, expected: &[&str]) {
    let lines = split(text);
    let comments: Vec<&str> = lines.iter().map(|line| line.comment.as_str()).collect();
    assert_eq!(comments, expected, "{text}");
}

fn check_tests(text: &str) {
    for (number, line) in split(text).iter().enumerate() {
        assert_eq!(line.is_test, line.comment.contains("test"), "line {} of {text}", number + 1);
    }
}

#[test]
fn comments_are_not_code() {
    check_code("a // b\n/* c\nd /* e */ */ f\n/// g", &["a ", "", " f", ""]);
    check_comments("a // b\n/* c\nd /* e */ */ f\n/// g", &["// b", " c", "d  e  ", "/// g"]);
}

#[test]
fn strings_are_not_code() {
    check_code(r#"a("b\"c", d)"#, &[r#"a("", d)"#]);
    check_code("a(\"b // c\nd\\\ne\")", &["a(\"", "", "\")"]);
    check_code(r###"a(r"\", br#"b"c"#, d)"###, &[r##"a(r"", br#"", d)"##]);
    check_code(r#"for"a""#, &[r#"for"""#]);
}

#[test]
fn character_literals_are_not_code_and_lifetimes_are() {
    check_code(r#"['"', '\'', '\\', '\u{22}', 'a', '/']"#, &["[', ', ', ', ', ']"]);
    check_code("fn a<'b>(c: &'b str, d: &'static str)", &["fn a<'b>(c: &'b str, d: &'static str)"]);
}

#[test]
fn a_test_module_ends_with_its_brace() {
    check_tests(
        "fn a() {}\n#[cfg(test)] // test\nmod tests { // test\n fn b() { // test\n } // test\n} // test\nfn c() {}",
    );
    check_tests("#[cfg(test)] // test\nmod tests { // test\n const A: &str = \"}\"; // test\n} // test\nfn c() {}");
}

#[test]
fn a_test_item_without_a_body_ends_with_its_semicolon() {
    check_tests("#[cfg(test)] // test\nmod tests; // test\nfn a() {}");
    check_tests("#[cfg(test)] // test\n#[path = \"x\"] // test\nfn a(b: [u8; 4]) { // test\n} // test\nfn c() {}");
    check_tests("struct A {\n #[cfg(test)] // test\n b: u8, // test\n} // the end of the test field\nfn c() {}");
}

#[test]
fn a_whole_file_can_be_test_code() {
    check_tests("#![cfg(test)] // test\nfn a() {} // test");
}
