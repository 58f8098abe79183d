//! The English texts.

use super::Text;

/// One text.
pub(super) fn text(text: Text) -> &'static str {
    match text {
        Text::Help => HELP,
        Text::Welcome => WELCOME,
        Text::Goodbye => GOODBYE,
        Text::ConfirmSubscribe => CONFIRM_SUBSCRIBE,
        Text::ConfirmUnsubscribe => CONFIRM_UNSUBSCRIBE,
        Text::Approve => APPROVE,
        Text::Declined => DECLINED,
        Text::Moderate => MODERATE,
        Text::Held => HELD,
        Text::Refused => REFUSED,
        Text::Came => CAME,
        Text::Left => LEFT,
        Text::BounceWarning => BOUNCE_WARNING,
        Text::BounceOff => BOUNCE_OFF,
        Text::BounceOut => BOUNCE_OUT,
        Text::Complained => COMPLAINED,
        Text::Results => RESULTS,
        Text::Footer => "",
    }
}

const HELP: &str = "\
Subject: Help for {list}

{description}

Posts go to       {list}
Commands go to    {control}
People answer at  {owner}

Commands, one on each line; the # may be left out:

# help               this text
# subscribe NAME     become a member
# unsubscribe        leave
# on                 get every post
# off                get none for a while, and stay a member
# digest             get many posts in one mail
# stat               how you are set: ON, OFF, DGT or QUIT
# member             who the members are
# summary            the posts: date, number, author, subject
# get 4,9-11         posts by number; * for all, 9- from a number on
# get 4,9-11 each    the same, each in a mail of its own
# confirm TOKEN      answer a question of ours
# end                what follows is not read
";

const WELCOME: &str = "\
Subject: Welcome to {list}

You are a member of {list} now, as {address}.

{description}

Posts go to     {list}
Commands go to  {control}; \"# help\" explains them
To leave, send  \"# unsubscribe\" there
";

const GOODBYE: &str = "\
Subject: You have left {list}

{address} is not a member of {list} any more.
";

const CONFIRM_SUBSCRIBE: &str = "\
Subject: Please confirm: {address} for {list}

Somebody, perhaps you, asked that {address}
become a member of {list}.

If that is what you want, answer this mail: any answer will do. Or send
the line

# confirm {token}

to {control} within seven days.
If you did not ask, do nothing. Nothing will happen, and you will not
be asked again today.
";

const CONFIRM_UNSUBSCRIBE: &str = "\
Subject: Please confirm: {address} leaves {list}

Somebody, perhaps you, asked that {address}
be no longer a member of {list}.

If that is what you want, answer this mail: any answer will do. Or send
the line

# confirm {token}

to {control} within seven days.
If you did not ask, do nothing: you stay a member.
";

const APPROVE: &str = "\
Subject: {address} asks to become a member of {list}

{address} asks to become a member of {list}.

";

const DECLINED: &str = "\
Subject: Your request to become a member of {list}

The owners of {list} have declined that {address} become a member.
Questions go to {owner}.
";

const MODERATE: &str = "\
Subject: A post to {list} waits: {subject}

A post to {list} waits for you; it is attached.

Author:  {address}
Subject: {subject}
Reason:  {reason}

";

const HELD: &str = "\
Subject: Your post to {list} waits for a moderator

Your post \"{subject}\" to {list}
waits for a moderator, because: {reason}.
";

const REFUSED: &str = "\
Subject: Your post to {list} was refused

Your post \"{subject}\" to {list}
was refused, because: {reason}.
Questions go to {owner}.
";

const CAME: &str = "\
Subject: {list}: {address} has become a member

{address} has become a member of {list}.
";

const LEFT: &str = "\
Subject: {list}: {address} has left

{address} has left {list}.
";

const BOUNCE_WARNING: &str = "\
Subject: Your mail from {list} comes back

Mail from {list} to {address}
came back on several days. You get none any more. The last answer was:

  {reason}

Posts that you did not get: {lost}

To get mail again, send the line

# on

to {control}. With \"# get\" and the numbers there
you get the posts that are missing.

Without an answer of yours you cease to be a member after {left} more
letters like this one.
";

const BOUNCE_OFF: &str = "\
Subject: {list}: {address} was switched off

Mail to {address} came back too often.
He is still a member of {list}, but gets no mail.

Last answer: {reason}
Posts that did not reach him: {lost}
";

const BOUNCE_OUT: &str = "\
Subject: {list}: {address} was taken out

Mail to {address} came back, and nobody answered
the warnings. He is no member of {list} any more.

Last answer: {reason}
";

const COMPLAINED: &str = "\
Subject: {list}: {address} was taken out after a complaint

The provider of {address} reports that mail from
{list} was called spam there. He is no member of it any more.
";

const RESULTS: &str = "\
Subject: Results of your commands for {list}

";
