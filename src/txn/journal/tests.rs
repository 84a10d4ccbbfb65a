use super::*;
use crate::plan::{LinkRef, Ns, Verb};

fn entry(seq: u64) -> Entry {
    Entry {
        seq,
        verb: Some(Verb::NetnsAdd { name: "a".into(), cookie: 9 }),
        undo: Undo::Unbind { ns: Ns { cookie: 9, name: "a".into() } },
        on: Vec::new(),
        outcome: None,
    }
}

fn write(folder: &Path, lines: &[String], torn: &str) {
    std::fs::write(folder.join("journal"), lines.join("\n") + "\n" + torn).expect("written");
}

fn header() -> String {
    let header = Header {
        nsscript: VERSION,
        name: "x".into(),
        boot: boot_id(),
        mark: "m".into(),
        started: 1,
        began: 1,
        pid: 1,
        script: "x.rhai".into(),
        aside: None,
    };
    serde_json::to_string(&header).expect("json")
}

fn line(line: &Line) -> String {
    serde_json::to_string(line).expect("json")
}

#[test]
fn a_torn_last_line_is_normal() {
    let dir = tempfile::tempdir().expect("a folder");
    let lines = [header(), line(&Line::Intent { entry: Cow::Owned(entry(1)) })];
    write(dir.path(), &lines, r#"{"line":"outc"#);
    let story = read(dir.path()).expect("read").expect("a story");
    assert_eq!(story.entries, vec![entry(1)]);
    assert_eq!(story.committed, None);
}

#[test]
fn of_those_that_began_at_the_same_moment_the_first_by_name_is_the_later_one() {
    let header = |began| Header { began, ..serde_json::from_str(&header()).expect("a header") };
    let (early, late) = (header(1), header(2));
    let mut all = [("b", Some(&early)), ("c", None), ("a", Some(&early)), ("z", Some(&late)), ("d", None)];
    all.sort_by_key(|(name, header)| Reverse(age(name, *header)));
    assert_eq!(all.map(|(name, _)| name), ["z", "a", "b", "c", "d"]);
}

#[test]
fn what_was_undone_does_not_stand() {
    let dir = tempfile::tempdir().expect("a folder");
    let lines = [
        header(),
        line(&Line::Intent { entry: Cow::Owned(entry(1)) }),
        line(&Line::Outcome { seq: 1, outcome: Cow::default(), undo: None }),
        line(&Line::Intent { entry: Cow::Owned(entry(2)) }),
        line(&Line::Undone { since: 2, but: Cow::Borrowed(&[]) }),
        line(&Line::Commit { seconds: 7, ended: Cow::default(), empty: false }),
    ];
    write(dir.path(), &lines, "");
    let story = read(dir.path()).expect("read").expect("a story");
    assert_eq!(story.entries.len(), 1);
    assert!(story.entries[0].outcome.is_some());
    assert_eq!(story.committed, Some(7));
}

#[test]
fn what_can_not_be_read_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    for bad in [
        vec!["{}".to_string()],
        vec![header(), "nonsense".into()],
        vec![header().replace(&format!(":{VERSION},"), ":99,")],
    ] {
        write(dir.path(), &bad, "");
        assert!(read(dir.path()).is_err(), "{bad:?}");
    }
}

fn append(folder: &Path, text: &str) {
    let file = OpenOptions::new().append(true).open(folder.join("journal"));
    file.expect("open").write_all(text.as_bytes()).expect("written");
}

#[test]
fn what_is_taken_over_is_read_again() {
    let dir = tempfile::tempdir().expect("a folder");
    write(dir.path(), &[header()], "");
    let story = read(dir.path()).expect("read").expect("a story");
    let whole = line(&Line::Intent { entry: Cow::Owned(entry(1)) });
    append(dir.path(), &format!("{whole}\n{{\"line\":\"outc"));
    let taken = Taken::over(&story).expect("taken over");
    assert_eq!(taken.story().entries, vec![entry(1)]);
    assert!(is_held(dir.path()));
    assert_eq!(Taken::over(&story).err().map(|e| e.kind), Some(Kind::Busy));
    drop(taken);
    assert!(!is_held(dir.path()));
    // The torn line was cut off.
    append(dir.path(), &format!("{whole}\n"));
    assert_eq!(read(dir.path()).expect("read").expect("a story").entries.len(), 2);
}

#[test]
fn what_is_another_by_now_is_not_taken_over() {
    let dir = tempfile::tempdir().expect("a folder");
    let commit = line(&Line::Commit { seconds: 7, ended: Cow::default(), empty: false });
    write(dir.path(), &[header(), commit.clone()], "");
    let story = read(dir.path()).expect("read").expect("a story");
    for now in [vec![header().replace("\"m\"", "\"n\""), commit], vec![header()]] {
        std::fs::remove_file(dir.path().join("journal")).expect("removed");
        assert_eq!(Taken::over(&story).err().map(|e| e.kind), Some(Kind::Busy));
        write(dir.path(), &now, "");
        assert_eq!(Taken::over(&story).err().map(|e| e.kind), Some(Kind::Busy), "{now:?}");
    }
}

#[test]
fn that_a_step_which_goes_whole_was_done_waits_for_the_next_line() {
    let dir = tempfile::tempdir().expect("a folder");
    write(dir.path(), &[header()], "");
    let story = read(dir.path()).expect("read").expect("a story");
    let (_, mut journal) = Taken::over(&story).expect("taken over").parts();
    let outcomes = || {
        let story = read(dir.path()).expect("read").expect("a story");
        story.entries.iter().map(|e| e.outcome.is_some()).collect::<Vec<_>>()
    };
    let whole = |seq| Entry { undo: Undo::Whole, outcome: Some(Outcome::default()), ..entry(seq) };
    journal.intent(&entry(1)).expect("written");
    journal.outcome(&whole(1)).expect("written");
    assert_eq!(outcomes(), [false]);
    journal.intent(&entry(2)).expect("written");
    assert_eq!(outcomes(), [true, false]);
    // What came of it, and what is to be undone, are not to be lost.
    let link = Some(LinkRef { index: 7, name: "x".into() });
    journal.outcome(&Entry { outcome: Some(Outcome { link, ..Outcome::default() }), ..whole(2) }).expect("written");
    assert_eq!(outcomes(), [true, true]);
    journal.intent(&entry(3)).expect("written");
    let ns = Ns::default();
    journal.outcome(&Entry { undo: Undo::Unbind { ns }, ..whole(3) }).expect("written");
    assert_eq!(outcomes(), [true, true, true]);
    journal.intent(&entry(4)).expect("written");
    journal.outcome(&whole(4)).expect("written");
    journal.commit(&[], false).expect("written");
    assert_eq!(outcomes(), [true, true, true, true]);
}

#[test]
fn a_line_that_can_not_be_put_into_words_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    write(dir.path(), &[header()], "");
    let story = read(dir.path()).expect("read").expect("a story");
    let (_, mut journal) = Taken::over(&story).expect("taken over").parts();
    // JSON has no keys but strings.
    let bad = std::collections::BTreeMap::from([("good", std::collections::BTreeMap::from([((1, 2), 3)]))]);
    assert!(journal.write(&bad).is_err());
    journal.intent(&entry(1)).expect("written");
    assert_eq!(read(dir.path()).expect("read").expect("a story").entries, vec![entry(1)]);
}
