//! What each recogniser takes and what it leaves.

use std::time::Duration;

use super::{super::*, check};

#[test]
fn cards_have_an_issuer_and_a_check_digit() {
    check("4111 1111 1111 1111", "card_numbers=**** 1111");
    // Its first twelve digits pass the check, too.
    check("my card is 4242 4242 4242 4242", "card_numbers=**** 4242");
    check("amex 3782 822463 10005", "card_numbers=**** 0005");
    check("5500-0000-0000-0004!", "card_numbers=**** 0004");
    check("order 4111 1111 1111 1112", "");
    check("x4111111111111111", "");
    check("９４１１１ ４１１１１１１１１１１１１１１１", "");
    check("I paid with 12 4111111111111111 today", "card_numbers=**** 1111");
}

#[test]
fn bank_accounts_are_of_a_country_and_add_up() {
    check("DE89 3704 0044 0532 0130 00 bitte", "ibans=**** 3000");
    check("gb82west12345698765432", "ibans=**** 5432");
    check("ES91 2100 0418 4502 0005 1332 y gracias", "ibans=**** 1332");
    check("DE89 3704 0044 0532 0130 01", "");
    check("DE8937040044053201300", "");
}

#[test]
fn tax_numbers_obey_their_rules() {
    check("SSN 123-45-6789", "tax_ids=**** 6789");
    check("123-45-6789", "tax_ids=**** 6789");
    check("666-45-6789 and 000-12-3456 and 123-00-4567", "");
    check("Steuer-ID 86 095 742 719", "tax_ids=**** 2719");
    check("Steuer-ID 86095742718", "");
    check("DNI 12345678Z, NIE X1234567L", "tax_ids=**** 678Z; tax_ids=**** 567L");
    check("DNI 12345678A", "");
    check("NINO AB 12 34 56 C", "tax_ids=**** 456C");
    check("part BG123456C", "");
}

#[test]
fn addresses_of_the_net_are_parsed() {
    check("at 10.0.0.1 or fe80::1", "ip_addresses=10.0.0.1→10.0.0.1; ip_addresses=fe80::1→fe80::1");
    check("version 1.2.3.4 of 1.2.3.4.5 and 256.1.1.1", "");
    check("at 12:34:56, MAC 00:1A:2B:3C:4D:5E, fade::bad", "");
    check("see https://example.org/a(b)?c=d.", "urls=https://example.org/a(b)?c=d");
    check("(www.example.org/x)", "urls=www.example.org/x");
}

#[test]
fn secrets_are_masked_whole() {
    check("key sk-0123456789abcdefXYZ", "secrets=****");
    check("password: hunter2, PIN 1234", "secrets=****; secrets=****");
    check("my password is wrong and the token is invalid", "");
    check("https://bob:hunter2@example.org/", "secrets=****; urls=https://bob");
    check("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY----- thanks", "secrets=****");
}

#[test]
fn dates_are_of_the_calendar() {
    check("2026-02-30", "");
    check("2 November 2026", "dates=2 November 2026→2026-11-02");
    check("November 2nd, 2026", "dates=November 2nd, 2026→2026-11-02");
    check("the 2nd of Nov 2026", "dates=2nd of Nov 2026→2026-11-02");
    check("2. März 2026", "dates=2. März 2026→2026-03-02");
    check("el 2 de noviembre de 2026", "dates=2 de noviembre de 2026→2026-11-02");
    check("primero de mayo", "dates=primero de mayo");
    check("03/04/2026", "dates=03/04/2026");
    check("30 February 2026", "");
    check("2 may be enough, May 5 too", "dates=May 5");
    check("2026-11-02T10:15:00Z", "dates=2026-11-02→2026-11-02");
}

#[test]
fn money_is_counted_in_a_currency() {
    check("EUR 1.299,00 or CHF 1'299.00", "money=EUR 1.299,00→1299.00 EUR; money=CHF 1'299.00→1299.00 CHF");
    check("1 299 EUR", "money=299 EUR→299.00 EUR");
    check("500 pesos", "money=500 pesos");
    check("1.299.000,50 €", "money=1.299.000,50 €→1299000.50 EUR");
}

#[test]
fn telephone_numbers_are_not_guessed() {
    check("+49 (0)30 5550-1234", "phones=+49 (0)30 5550-1234→+493055501234");
    check("0034 612 345 678", "phones=0034 612 345 678→+34612345678");
    check("+999 123456789", "");
    check("612 345 678", "phones=612 345 678");
    check("order number 612 345 678", "");
    check("S/N 0123456789", "");
}

#[test]
fn time_grows_with_the_text_and_no_faster() {
    let hard = [
        "1",
        "a@",
        "a.",
        "1 ",
        "[",
        "www.",
        "eyJ",
        "DE89",
        "password=",
        "-----BEGIN PRIVATE KEY-----",
        "1-",
        "a:",
        "12:",
        "://a:",
        "+1",
        "x1.",
        "May 5 ",
        "(1) ",
    ];
    for piece in hard {
        let text = piece.repeat(200_000 / piece.len());
        #[expect(clippy::disallowed_methods, reason = "the test measures real time")]
        let started = std::time::Instant::now();
        find(&[], &text);
        // Unoptimised, a linear reading takes some tenths of a second; a quadratic one would take minutes.
        assert!(started.elapsed() < Duration::from_secs(8), "{piece:?} took {:?}", started.elapsed());
    }
}
