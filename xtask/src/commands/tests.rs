use std::path::Path;

use super::*;

fn dispatch_words(words: &[&str]) -> Result<()> {
    let arguments: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    dispatch(&Project::at(Path::new("/nowhere"), &|_| None), &arguments)
}

#[test]
fn an_unknown_command_names_the_nearest() {
    for (typed, nearest) in [("tset", "test"), ("tiddy", "tidy"), ("open-api", "openapi"), ("benches", "bench")] {
        let error = dispatch_words(&[typed]).unwrap_err();
        assert!(error.is::<UsageError>(), "{error}");
        assert!(error.to_string().contains(&format!("the nearest is `{nearest}`")), "{error}");
    }
}

#[test]
fn an_unknown_argument_is_a_usage_error() {
    for words in [["test", "--quick"], ["tidy", "now"], ["openapi", "x"], ["setup", "x"], ["advisories", "x"]] {
        let error = dispatch_words(&words).unwrap_err();
        assert!(error.is::<UsageError>(), "{words:?}: {error}");
    }
}

#[test]
fn help_is_given_for_every_way_of_asking() {
    for words in [&[][..], &["help"], &["--help"], &["-h"]] {
        assert!(dispatch_words(words).is_ok(), "{words:?}");
    }
}
