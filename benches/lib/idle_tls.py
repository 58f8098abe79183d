"""Opens IMAP sessions with TLS that log in, select and idle: for `mailbench idle`, which speaks no TLS itself.

    idle_tls.py PORT COUNT FIRST PASSWORD

Users are userN@example.test from number FIRST on. Prints how many are open, then waits for the end of standard input.
"""
import asyncio
import ssl
import sys

AT_ONCE = 32


async def idle(context, port, user, password, gate):
    async with gate:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, limit=4096, ssl_handshake_timeout=100
        )
        await reader.readline()
        for command in (f"a LOGIN {user} {password}", "b SELECT INBOX", "c IDLE"):
            writer.write(command.encode() + b"\r\n")
            tag = command[:1].encode()
            while True:
                line = await reader.readline()
                if not line or line.startswith(tag + b" NO") or line.startswith(tag + b" BAD"):
                    raise OSError(line)
                if line.startswith((tag + b" OK", b"+")):
                    break
        return reader, writer


async def main():
    port, count, first, password = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    gate = asyncio.Semaphore(AT_ONCE)
    tasks = [idle(context, port, f"user{first + n}@example.test", password, gate) for n in range(count)]
    sessions = await asyncio.gather(*tasks, return_exceptions=True)
    print(sum(not isinstance(s, BaseException) for s in sessions), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for session in sessions:
        if not isinstance(session, BaseException):
            session[1].transport.abort()


asyncio.run(main())
