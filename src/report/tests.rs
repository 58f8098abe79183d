use super::*;

fn brief(message: &str) -> String {
    let show = |f: &Finding| {
        format!("{} {} {:?}", f.recipient.as_ref().map_or("-".into(), ToString::to_string), f.status, f.class)
    };
    classify(message.as_bytes()).iter().map(show).collect::<Vec<_>>().join("; ")
}

fn dsn(blocks: &str) -> String {
    format!(
        "From: MAILER-DAEMON@mx.example\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n\
         --b\n\nThe user bob@other.example is unknown.\n--b\nContent-Type: message/delivery-status\n\n\
         Reporting-MTA: dns; mx.example\n\n{blocks}\n--b\nContent-Type: message/rfc822\n\nX-Mail-Count: 7\nTo: x@y.example\n\nbody\n--b--\n"
    )
}

#[test]
fn the_fields_of_a_notification() {
    for (blocks, expected) in [
        ("Final-Recipient: rfc822; bob@other.example\nAction: failed\nStatus: 5.1.1\n", "bob@other.example 5.1.1 Hard"),
        (
            "Original-Recipient: rfc822;ann@a.example\nFinal-Recipient: rfc822;ann@b.example\nAction: failed\nStatus: 5.2.2\n",
            "ann@a.example 5.2.2 Soft",
        ),
        (
            "Final-Recipient: rfc822; a@b.example\nAction: delayed\nStatus: 4.4.1\n\nFinal-Recipient: rfc822; c@d.example\nAction: delivered\nStatus: 2.0.0\n",
            "a@b.example 4.4.1 Soft; c@d.example 2.0.0 Delivered",
        ),
        (
            "Final-Recipient: rfc822; a@b.example\nAction: failed\nStatus: 5.0.0\nDiagnostic-Code: smtp; 550 5.7.26 DMARC\n",
            "a@b.example 5.7.26 Policy",
        ),
        // The fields say nothing: the text for people does.
        ("Final-Recipient: rfc822; bob@other.example\nAction: failed\nStatus: 5.0.0\n", "bob@other.example 5.0.0 Hard"),
        ("Final-Recipient: rfc822; no address\nAction: failed\nStatus: 5.1.1\n", "- 5.1.1 Hard"),
    ] {
        assert_eq!(brief(&dsn(blocks)), expected, "{blocks}");
    }
}

#[test]
fn the_returned_header_is_found() {
    let returned = returned_header(dsn("Action: failed\nFinal-Recipient: rfc822;a@b.example\n").as_bytes());
    let returned = returned.expect("there is one");
    assert_eq!(msg::find(&returned, "x-mail-count").map(|f| f.value()).as_deref(), Some("7"));
    let prose = "From: mailer-daemon@x.example\n\n<a@b.example>:\nno\n\n--- Below this line is a copy of the message.\n\nX-Mail-Count: 8\n\nbody\n";
    let returned = returned_header(prose.as_bytes()).expect("there is one");
    assert_eq!(msg::find(&returned, "x-mail-count").map(|f| f.value()).as_deref(), Some("8"));
}

#[test]
fn what_is_no_report() {
    for (message, expected) in [
        ("From: ann@a.example\nSubject: hello\n\nbob@b.example:\n550 user unknown\n", ""),
        (
            "From: ann@a.example\nSubject: Re: x\nAuto-Submitted: auto-replied\n\nI am away.\n",
            "ann@a.example 2.0.0 AutoReply",
        ),
        ("From: ann@a.example\nSubject: Out of office: x\n\nI am away.\n", "ann@a.example 2.0.0 AutoReply"),
        ("", ""),
    ] {
        assert_eq!(brief(message), expected, "{message}");
    }
}

#[test]
fn a_complaint_names_who_complains() {
    let report = "From: fbl@x.example\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\n\n--b\n\nA complaint.\n\
        --b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\nUser-Agent: x/1\nOriginal-Rcpt-To: <ann@a.example>\n\
        --b\nContent-Type: message/rfc822\n\nTo: talk@l.example\n\nx\n--b--\n";
    assert_eq!(brief(report), "ann@a.example 5.7.1 Complaint");
    assert_eq!(brief(&report.replace("abuse", "auth-failure")), "ann@a.example 5.7.1 AutoReply");
}

#[test]
fn hostile_reports_end() {
    let many = "Final-Recipient: rfc822; a@b.example\nAction: failed\n\n".repeat(10_000);
    assert!(classify(dsn(&many).as_bytes()).len() <= RECIPIENT_LIMIT);
    let prose: String = (0..5_000).map(|n| format!("<u{n}@b.example>:\n550 no\n")).collect();
    let found = classify(format!("From: mailer-daemon@x.example\n\n{prose}").as_bytes());
    assert!(found.len() <= RECIPIENT_LIMIT);
}
