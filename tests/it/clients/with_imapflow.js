// Node's imapflow. Arguments: the ports of imap and imaps, and a program that delivers to alice.
const { spawnSync } = require('child_process');
const assert = require('assert');
const { ImapFlow } = require('imapflow');

const [clear, tls, ...deliver] = process.argv.slice(2);
const connect = async (port, secure) => {
  const client = new ImapFlow({
    host: '127.0.0.1', port: Number(port), secure, logger: false, tls: { rejectUnauthorized: false },
    auth: { user: 'alice@example.test', pass: 'demo' },
  });
  await client.connect();
  return client;
};
const letter = n => `Subject: ${n}\r\nFrom: Ann <ann@side.test>\r\nMessage-ID: <${n}@x>\r\nMIME-Version: 1.0\r\n` +
  'Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nGrüße\r\n--b\r\nContent-Type: application/octet-stream\r\n' +
  `Content-Disposition: attachment; filename="${n}.bin"\r\nContent-Transfer-Encoding: base64\r\n\r\nAAECAw==\r\n--b--\r\n`;

(async () => {
  const first = await connect(tls, true);
  await first.logout();
  const client = await connect(clear, false);
  assert(client.capabilities.has('CONDSTORE') && client.serverInfo.name === 'ExpressMail', client.serverInfo);
  await client.mailboxCreate('日本/Ferris');
  assert.deepEqual((await client.list()).map(row => row.path).sort(), ['INBOX', '日本', '日本/Ferris'].sort());
  for (let n = 1; n <= 4; n++) {
    const told = await client.append('INBOX', letter(n), ['\\Flagged'], new Date(1644267145000));
    assert.equal(told.uid, n);
  }
  const status = await client.status('INBOX', { messages: true, unseen: true, uidNext: true, highestModseq: true });
  assert(status.messages === 4 && status.unseen === 4 && status.uidNext === 5, status);
  const lock = await client.getMailboxLock('INBOX');
  try {
    assert.equal(client.mailbox.exists, 4);
    let seen = 0;
    for await (const m of client.fetch('1:*', { uid: true, envelope: true, bodyStructure: true, flags: true, source: true, internalDate: true, size: true, threadId: true })) {
      seen++;
      assert.equal(m.source.toString(), letter(m.uid));
      assert.equal(m.size, Buffer.byteLength(letter(m.uid)));
      assert.equal(m.envelope.subject, String(m.uid));
      assert.equal(m.envelope.from[0].address, 'ann@side.test');
      assert.equal(m.bodyStructure.childNodes[1].dispositionParameters.filename, `${m.uid}.bin`);
      assert.equal(m.internalDate.getTime(), 1644267145000);
      assert(m.flags.has('\\Flagged') && m.modseq > 0n && m.emailId);
    }
    assert.equal(seen, 4);
    const { content } = await client.download('2', '2');
    const chunks = [];
    for await (const chunk of content) chunks.push(chunk);
    assert.deepEqual([...Buffer.concat(chunks)], [0, 1, 2, 3]);
    assert.deepEqual(await client.search({ flagged: true, header: { subject: '3' } }), [3]);
    assert(await client.messageFlagsAdd('1:2', ['\\Seen', '$Work']));
    assert.deepEqual(await client.search({ seen: true, keyword: '$Work' }), [1, 2]);
    const moved = await client.messageMove('1', '日本/Ferris', { uid: true });
    assert.equal(moved.uidMap.size, 1);
    const copied = await client.messageCopy('2', '日本/Ferris', { uid: true });
    assert.equal(copied.uidMap.get(2), 2);
    assert(await client.messageDelete('3', { uid: true }));
    assert.equal(client.mailbox.exists, 2);

    // It idles by itself when nothing else is to be done.
    const event = name => new Promise((resolve, reject) => {
      client.once(name, resolve);
      setTimeout(() => reject(new Error(`no ${name}`)), 20000).unref();
    });
    const exists = event('exists');
    client.idle();
    assert.equal(spawnSync(deliver[0], deliver.slice(1), { input: 'Subject: new\n\nnew\n' }).status, 0);
    assert.equal((await exists).count, 3);
    const other = await connect(clear, false);
    const [expunged, flags] = [event('expunge'), event('flags')];
    await other.mailboxOpen('INBOX');
    await other.messageFlagsSet('4', ['\\Answered'], { uid: true });
    await flags;
    await other.messageDelete('2', { uid: true });
    await expunged;
    await other.logout();
  } finally {
    lock.release();
  }
  await client.mailboxRename('日本/Ferris', 'Ferris');
  await client.mailboxDelete('Ferris');
  await client.logout();
})().catch(error => {
  console.error(error);
  process.exit(1);
});
