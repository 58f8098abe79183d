//! The Japanese texts.

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
Subject: {list} の使い方

{description}

投稿の宛先        {list}
コマンドの宛先    {control}
管理者            {owner}

コマンドは1行に1つずつ書きます。先頭の # は省略できます。

# help               この説明
# subscribe 名前     入会する
# unsubscribe        退会する
# on                 投稿を1通ずつ受け取る
# off                しばらく受け取らない (会員のままです)
# digest             まとめて受け取る
# stat               現在の状態 (ON, OFF, DGT, QUIT)
# member             会員の一覧
# summary            投稿の一覧 (日時、番号、投稿者、件名)
# get 4,9-11         番号を指定して投稿を取り寄せる (* は全部、9- は9番以降)
# get 4,9-11 each    1通ずつ別のメールで取り寄せる
# confirm 符号       確認のお願いに答える
# end                これより後は読みません
";

const WELCOME: &str = "\
Subject: {list} へようこそ

{address} は {list} の会員になりました。

{description}

投稿の宛先      {list}
コマンドの宛先  {control} (「# help」で説明が届きます)
退会するには    「# unsubscribe」とコマンドの宛先に送ってください
";

const GOODBYE: &str = "\
Subject: {list} を退会しました

{address} は {list} の会員ではなくなりました。
";

const CONFIRM_SUBSCRIBE: &str = "\
Subject: 入会の確認: {list}

{address} を {list} に入会させたいという
申し込みがありました。

入会する場合は、このメールに返信してください (内容は問いません)。または
7日以内に次の行を {control} に送ってください。

# confirm {token}

心当たりのない場合は何もしないでください。何も起こらず、今日はもうお尋ね
しません。
";

const CONFIRM_UNSUBSCRIBE: &str = "\
Subject: 退会の確認: {list}

{address} を {list} から退会させたいという
申し込みがありました。

退会する場合は、このメールに返信してください (内容は問いません)。または
7日以内に次の行を {control} に送ってください。

# confirm {token}

心当たりのない場合は何もしないでください。会員のままです。
";

const APPROVE: &str = "\
Subject: {list} への入会の申し込み: {address}

{address} から {list} への入会の申し込みがありました。

";

const DECLINED: &str = "\
Subject: {list} への入会の申し込みについて

{list} の管理者は {address} の入会を認めませんでした。
お問い合わせは {owner} へお願いします。
";

const MODERATE: &str = "\
Subject: {list} への投稿が承認を待っています: {subject}

{list} への投稿が承認を待っています。投稿は添付してあります。

投稿者: {address}
件名:   {subject}
理由:   {reason}

";

const HELD: &str = "\
Subject: {list} への投稿は承認待ちです

{list} への投稿「{subject}」は
承認を待っています。理由: {reason}
";

const REFUSED: &str = "\
Subject: {list} への投稿は受け付けられませんでした

{list} への投稿「{subject}」は
受け付けられませんでした。理由: {reason}
お問い合わせは {owner} へお願いします。
";

const CAME: &str = "\
Subject: {list}: {address} が入会しました

{address} が {list} に入会しました。
";

const LEFT: &str = "\
Subject: {list}: {address} が退会しました

{address} が {list} を退会しました。
";

const BOUNCE_WARNING: &str = "\
Subject: {list} からのメールが届いていません

{list} から {address} へのメールが
何日も続けて戻ってきたため、配送を停止しました。最後の応答は次のとおりです。

  {reason}

届かなかった投稿の番号: {lost}

配送を再開するには、次の行を {control} へ送ってください。

# on

届かなかった投稿は「# get 番号」で取り寄せられます。
お返事がない場合は、あと {left} 回このメールを送った後に退会となります。
";

const BOUNCE_OFF: &str = "\
Subject: {list}: {address} への配送を停止しました

{address} へのメールが何度も戻ってきました。
{list} の会員のままですが、メールは配送されません。

最後の応答: {reason}
届かなかった投稿の番号: {lost}
";

const BOUNCE_OUT: &str = "\
Subject: {list}: {address} を退会としました

{address} へのメールが戻り続け、警告にも返事がありませんでした。
{list} を退会としました。

最後の応答: {reason}
";

const COMPLAINED: &str = "\
Subject: {list}: 苦情により {address} を退会としました

{address} のプロバイダから、{list} のメールが
迷惑メールとして報告されました。退会としました。
";

const RESULTS: &str = "\
Subject: {list} へのコマンドの結果

";
