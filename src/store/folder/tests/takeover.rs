//! Mailboxes that other servers have kept.

use super::*;

#[test]
fn a_dovecot_folder_is_taken_over() {
    let home = home();
    deliver(home.path(), "cur/1276533073.M242911P3632.kurkku:2,Fa", "x\n");
    deliver(home.path(), "cur/1276528487.M364837P9451.kurkku,S=1355,W=1394:2,S", "x\n");
    deliver(home.path(), "new/1276533074.M1P1.kurkku", "x\n");
    let list = "3 V1275660208 N25022 G1\n25006 :1276528487.M364837P9451.kurkku,S=1355,W=1394\n25017 :1276533073.M242911P3632.kurkku:2,F\n25018 :5.gone\n";
    deliver(home.path(), "dovecot-uidlist", list);
    deliver(home.path(), "dovecot-keywords", "0 $Forwarded\n");
    let folder = open(home.path());
    let snapshot = folder.refresh().unwrap();
    assert_eq!(snapshot.uid_validity.number(), 1_275_660_208);
    assert_eq!(uids(&snapshot), [25_006, 25_017, 25_022]);
    let flags: Vec<Vec<&str>> = snapshot.entries.iter().map(|e| snapshot.keywords.print(e.flags).collect()).collect();
    assert_eq!(flags, [vec!["\\Seen"], vec!["\\Flagged", "$Forwarded"], vec![]]);
    assert_eq!(text(&folder, uid(25_017)), "x\n");
}

#[test]
fn a_courier_folder_is_taken_over() {
    let home = home();
    deliver(home.path(), "cur/124.y:2,S", "x\n");
    deliver(home.path(), "courierimapuiddb", "1 1398164000 9\n3 123.x,S=5\n8 124.y\n");
    std::fs::create_dir(home.path().join("Maildir/courierimapkeywords")).unwrap();
    deliver(home.path(), "courierimapkeywords/:list", "Work\n\n124.y:0\n");
    let folder = open(home.path());
    let snapshot = folder.refresh().unwrap();
    assert_eq!((snapshot.uid_validity.number(), snapshot.uid_next), (1_398_164_000, uid(9)));
    assert_eq!(uids(&snapshot), [8]);
    assert_eq!(snapshot.keywords.print(snapshot.entries[0].flags).collect::<Vec<_>>(), ["\\Seen", "Work"]);
    folder.settle(10).unwrap();
    assert_eq!(files(&home.path().join("Maildir/cur")), ["124.y:2,Sa"]);
}
