use switchboard_core::guard::Pseudonyms;

fn main() {
    let pseudonyms = Pseudonyms::default();
    println!("{}", pseudonyms);
}
