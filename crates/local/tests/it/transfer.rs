//! Exports and imports of a tenant.

use switchboard_core::{
    error::{ErrorKind, Result},
    limits,
    ports::{EventFilter, EventQueue, TicketStore},
};
use switchboard_local::{ExportReader, ImportOptions, Imported, ReadExport};
use switchboard_testkit::sample;

use crate::filled::{Filled, TICKETS};

async fn import(into: &Filled, tenant: &str, text: &str, options: ImportOptions) -> Result<Imported> {
    let mut reader = ExportReader::open(text.as_bytes())?.expect("an export");
    let mut imported = Imported::default();
    loop {
        match reader.next_part()? {
            ReadExport::File(_) => {}
            ReadExport::Row(row) => {
                imported.add(&into.store.import(&sample::scope(tenant), vec![*row], options).await?);
            }
            ReadExport::End(_) => return Ok(imported),
        }
    }
}

/// What reading it to its end says.
fn refused(text: &str) -> String {
    let read = || -> Result<()> {
        let Some(mut reader) = ExportReader::open(text.as_bytes())? else { return Ok(()) };
        while !matches!(reader.next_part()?, ReadExport::End(_)) {}
        Ok(())
    };
    read().expect_err("it is damaged").report()
}

const AS_IT_IS: ImportOptions = ImportOptions { renamed: false };

#[tokio::test]
async fn an_export_that_is_imported_and_exported_again_is_the_same_byte_by_byte() {
    let (from, to) = (Filled::empty(), Filled::empty());
    from.fill("acme", "kaleidoscope", 1).await;
    let exported = from.export("acme");
    let kinds = |kind: &str| exported.matches(&format!("{{\"kind\":\"{kind}\"")).count();
    assert_eq!((kinds("ticket"), kinds("example"), kinds("customer"), kinds("dead_letter")), (12, 9, 5, 4));
    let imported = import(&to, "acme", &exported, AS_IT_IS).await.unwrap();
    assert_eq!((imported.new["ticket"], imported.there.len()), (u64::from(TICKETS), 0));
    assert_eq!(to.export("acme"), exported);
    let again = import(&to, "acme", &exported, AS_IT_IS).await.unwrap();
    assert_eq!((again.new.len(), again.there, again.held), (0, imported.new, 0), "a second run changes nothing");
    assert_eq!(to.export("acme"), exported);
    // The store reads what was imported as what it had itself.
    for n in 1..=TICKETS {
        let id = sample::ticket(n).id;
        let one = from.store.ticket(&sample::scope("acme"), &id).await.unwrap().unwrap();
        let other = to.store.ticket(&sample::scope("acme"), &id).await.unwrap().unwrap();
        assert_eq!(one.ticket.to_record(), other.ticket.to_record());
        assert_eq!((one.decision, one.review, one.sync), (other.decision, other.review, other.sync));
    }
}

#[tokio::test]
async fn an_export_has_nothing_of_another_tenant() {
    let both = Filled::empty();
    both.fill("acme", "kaleidoscope", 1).await;
    both.fill("other", "sextant", 2).await;
    let alone = Filled::empty();
    alone.fill("acme", "kaleidoscope", 1).await;
    let exported = both.export("acme");
    assert!(exported.contains("kaleidoscope") && !exported.contains("sextant") && !exported.contains("other"));
    assert_eq!(exported, alone.export("acme"), "that there is another tenant shows nowhere");
    assert!(!exported.contains("api_key") && !exported.contains("\"hash\""), "keys are not exported");
}

#[tokio::test]
async fn a_tenant_is_imported_under_another_name_beside_itself() {
    let store = Filled::empty();
    store.fill("acme", "kaleidoscope", 1).await;
    let exported = store.export("acme");
    let clash = import(&store, "twin", &exported, AS_IT_IS).await.unwrap_err();
    assert_eq!(clash.kind(), ErrorKind::Conflict, "events of another tenant are not taken over: {}", clash.report());
    let renamed = ImportOptions { renamed: true };
    import(&store, "twin", &exported, renamed).await.unwrap();
    let again = import(&store, "twin", &exported, renamed).await.unwrap();
    assert_eq!(again.new.len(), 0, "{again:?}");
    let all = EventFilter { limit: 1_000, ..EventFilter::default() };
    let events = |tenant: &'static str| {
        let (store, all) = (store.store.clone(), all.clone());
        async move { store.archived(&sample::scope(tenant), &all).await.unwrap() }
    };
    let (original, twin) = (events("acme").await, events("twin").await);
    assert_eq!(original.len(), twin.len());
    assert!(twin.iter().all(|event| original.iter().all(|other| other.id != event.id)));
    assert_eq!(store.export("acme"), exported, "the original is as it was");
    let letters = store.store.dead_letters(&sample::scope("twin"), 100).await.unwrap();
    assert_eq!(letters.len(), 4, "dead letters find their events");
}

#[tokio::test]
async fn unfinished_tickets_are_held_until_they_are_resumed() {
    let (from, to) = (Filled::empty(), Filled::empty());
    from.fill("acme", "kaleidoscope", 1).await;
    let exported = from.export("acme");
    let imported = import(&to, "acme", &exported, AS_IT_IS).await.unwrap();
    // Two wait, two are dead letters before their decision, two are decided, two are reviewed: none of them is written back.
    assert_eq!(imported.held, 8);
    to.clock.advance(limits::UNFINISHED_AGE * 2);
    assert_eq!(to.store.sweep().await.unwrap().queued_again, 0, "the old system may still work on them");
    assert_eq!(to.store.depth().await.unwrap().waiting, 0);
    let again = import(&to, "acme", &exported, AS_IT_IS).await.unwrap();
    assert_eq!(again.new.len(), 0);
    assert_eq!(to.store.resume(&sample::scope("other")).await.unwrap(), 0, "another tenant's");
    assert_eq!(to.store.sweep().await.unwrap().queued_again, 0);
    assert_eq!(to.store.resume(&sample::scope("acme")).await.unwrap(), 8);
    assert_eq!(to.store.sweep().await.unwrap().queued_again, 6, "dead letters wait for a person");
    assert_eq!(to.export("acme"), exported);
}

#[tokio::test]
async fn what_is_cut_off_changed_or_newer_is_refused_with_its_line() {
    let store = Filled::empty();
    store.fill("acme", "kaleidoscope", 1).await;
    let exported = store.export("acme");
    let lines: Vec<&str> = exported.lines().collect();
    let without = |n: usize| {
        let rest: Vec<&str> = lines.iter().enumerate().filter(|(at, _)| *at != n).map(|(_, line)| *line).collect();
        rest.join("\n") + "\n"
    };
    assert!(refused(&without(lines.len() - 1)).contains("cut off"));
    assert!(refused(&without(1)).contains("hash"));
    assert!(refused(&exported[..exported.len() / 2]).starts_with("line "));
    assert!(refused(&format!("{exported}{{}}\n")).contains("more after the last line"));
    assert!(refused(&exported.replacen("kaleidoscope", "kaleidoscopE", 1)).contains("hash"));
    assert!(refused(&exported.replacen("\"version\":1", "\"version\":2", 1)).contains("use a newer program"));
    for (from, to, part) in [
        ("\"ticket\",\"ticket_id\":\"T-1\"", "\"ticket\",\"ticket_id\":\"T-2\"", "not that of the record beside it"),
        ("\"dead_letter\",\"event\":\"0", "\"dead_letter\",\"event\":\"!", "`event`"),
        ("\"sync\":\"pending\"", "\"sync\":\"maybe\"", "must be one of: pending, success, failed"),
        ("\"routed\":true", "\"routed\":false", "contradict"),
        ("\"accepted_at\":\"2026", "\"accepted_at\":\"x", "RFC 3339"),
        ("{\"kind\":\"ticket\"", "{\"kind\":\"tenant\"", "`kind` is unknown"),
        ("{\"kind\":\"ticket\"", "{\"kind\":\"ticket\",\"tenant\":\"other\"", "`tenant` is unknown"),
        ("{\"kind\":\"ticket\"", "{\"kind\":\"job\"", "`kind` is unknown"),
        ("{\"kind\":\"ticket\"", "{\"kind\":\"end\"", "missing field"),
    ] {
        assert!(exported.contains(from), "{from}");
        let said = refused(&exported.replacen(from, to, 1));
        assert!(said.contains(part), "{from} -> {to}: {said}");
    }
    for other in ["", "\n", "{}\n", "subject,body\n1,2\n", "\u{0}\u{1}", "{\"format\":\"x\"}\n"] {
        assert!(ExportReader::open(other.as_bytes()).unwrap().is_none(), "{other:?} is something else");
    }
}
