//! What senders are told.

use super::*;

/// The parts of a report: its text, its status fields, and what came back.
fn parts(report: &str) -> (String, String, String) {
    let boundary = report.split("boundary=\"").nth(1).unwrap().split('"').next().unwrap();
    let boundary = format!("\n--{boundary}");
    let mut parts = report.split(&boundary).skip(1).map(str::to_string);
    (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap())
}

fn report_about(text: &[u8], reply: &'static str, change: impl FnOnce(&mut Envelope)) -> String {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::new(move |line| match line {
        l if l.starts_with("EHLO") => Some("250-peer\r\n250 SMTPUTF8"),
        l if l.starts_with("RCPT") => Some(reply),
        _ => None,
    });
    let runner = runner(dir.path(), &host, |_| {});
    let mut recipient = remote(Mailer::Smtp, "no@r.test");
    recipient.orcpt = Some(("rfc822".into(), "first@o.test".into()));
    let mut envelope = Envelope {
        sender: Some(address("alice@example.test")),
        arrived: NOW,
        source: Source { protocol: "local".into(), ..Source::default() },
        eight_bit: true,
        smtputf8: false,
        ret_full: false,
        envid: Some("env 1".into()),
        handling: Handling::default(),
        size: 0,
        recipients: vec![recipient],
    };
    change(&mut envelope);
    let spool = &runner.gate().spool;
    let mut draft = spool.draft(Id::new(NOW), &envelope).unwrap();
    draft.write(text).unwrap();
    let id = spool.publish(draft).unwrap();
    assert_eq!(runner.run(&id, || NOW).unwrap(), Attempted::Finished);
    mailbox(dir.path(), "alice").pop().unwrap()
}

#[test]
fn a_report_has_the_fields_of_rfc_3464() {
    let report = report_about(b"Subject: s\n\nbody\n", "550 5.1.1 no such user", |_| {});
    let (_, status, original) = parts(&report);
    for wanted in [
        "Content-Type: message/delivery-status\n",
        "Reporting-MTA: dns; mail.example.test\n",
        "Original-Envelope-Id: env 1\n",
        "Arrival-Date: ",
        "\n\nOriginal-Recipient: rfc822; first@o.test\nFinal-Recipient: rfc822; no@r.test\nAction: failed\nStatus: 5.1.1\n",
        "Remote-MTA: dns; [192.0.2.1]\nDiagnostic-Code: smtp; 550 5.1.1 no such user\n",
        "Last-Attempt-Date: ",
    ] {
        assert!(status.contains(wanted), "{wanted}: {status}");
    }
    assert!(original.contains("Content-Type: text/rfc822-headers\n") && !original.contains("body"), "{original}");
    assert!(report.contains("Auto-Submitted: auto-replied\n") && report.starts_with("Return-Path: <>\n"));
}

#[test]
fn the_status_part_is_seven_bit_whatever_hosts_and_addresses_say() {
    let report = report_about(b"Subject: s\n\nbody\n", "550 5.1.1 gibt es nicht: M\u{fc}ller\u{7}", |envelope| {
        envelope.smtputf8 = true;
        envelope.recipients[0].original = address("\u{7528}\u{6237}@r.test");
        envelope.recipients[0].delivery.user = "\u{7528}\u{6237}@r.test".into();
        envelope.recipients[0].orcpt = Some(("utf-8".into(), "\u{7528}@o.test".into()));
    });
    let (text, status, _) = parts(&report);
    assert!(status.is_ascii(), "{status}");
    assert!(status.contains("Final-Recipient: utf-8; \\x{7528}\\x{6237}@r.test\n"), "{status}");
    assert!(status.contains("Original-Recipient: utf-8; \\x{7528}@o.test\n"), "{status}");
    assert!(text.contains("M\u{fc}ller") && !report.contains('\u{7}'), "{text}");
}

#[test]
fn what_comes_back_is_named_for_what_it_is() {
    let about = |text: &[u8], full: bool| parts(&report_about(text, "550 5.1.1 no", |e| e.ret_full = full)).2;
    for (text, full, kind, encoding, holds) in [
        (&b"Subject: s\n\nbody\n"[..], false, "text/rfc822-headers", "7bit", "Subject: s\n"),
        (b"Subject: s\n\nb\xc3\xb6dy\n", true, "message/rfc822", "8bit", "\n\nb\u{f6}dy\n"),
        ("Subject: \u{fc}\n\nbody\n".as_bytes(), false, "message/global-headers", "8bit", "Subject: \u{fc}\n"),
        ("Subject: \u{fc}\n\nbody\n".as_bytes(), true, "message/global", "8bit", "Subject: \u{fc}\n\nbody\n"),
        (b"Subject: \xfc\n\nbody\n", false, "text/rfc822-headers", "7bit", "Subject: ?\n"),
    ] {
        let part = about(text, full);
        let head = format!("Content-Type: {kind}\nContent-Transfer-Encoding: {encoding}\n\n");
        assert!(part.contains(&head) && part.contains(holds), "{kind}: {part}");
    }
}

#[test]
fn a_report_of_success_returns_the_header_only() {
    let report = report_about(b"Subject: s\n\nbody text\n", "250 fine", |envelope| {
        envelope.ret_full = true;
        envelope.recipients[0].notify.success = true;
    });
    assert!(report.contains("Action: relayed") && !report.contains("body text"), "{report}");
}

#[test]
fn no_line_of_a_report_is_too_long_and_network_trouble_is_no_smtp_reply() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::new(|line| line.starts_with("RCPT").then_some("CLOSE"));
    let runner = runner(dir.path(), &host, |s| s.queue.expire = Duration::ZERO);
    let id = queue(&runner, Some("alice@example.test"), vec![remote(Mailer::Smtp, "a@r.test")]);
    assert_eq!(runner.run(&id, || NOW).unwrap(), Attempted::Finished);
    let report = &mailbox(dir.path(), "alice")[0];
    assert!(report.contains("Diagnostic-Code: x-expressmail; Not delivered within"), "{report}");
    let long: &'static str = Box::leak(format!("550 5.1.1 {}", "\u{fc}".repeat(1900)).into_boxed_str());
    let report = report_about(b"Subject: s\n\nbody\n", long, |_| {});
    assert!(report.lines().all(|line| line.len() <= 998), "{report}");
}

#[test]
fn a_sender_who_can_never_be_told_does_not_keep_a_message_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::new(|line| line.starts_with("RCPT").then_some("550 5.1.1 no"));
    let runner = runner(dir.path(), &host, |_| {});
    std::fs::write(dir.path().join("etc/aliases"), "alice: :include:/nonexistent\npostmaster: bob\n").unwrap();
    let id = queue(&runner, Some("alice@example.test"), vec![remote(Mailer::Smtp, "a@r.test")]);
    assert!(runner.run(&id, || NOW).is_err());
    let late = || NOW.after(Duration::from_secs(11 * 24 * 3600));
    assert_eq!(runner.run(&id, late).unwrap(), Attempted::Finished);
    assert_eq!(mailbox(dir.path(), "bob").len(), 1);
}
