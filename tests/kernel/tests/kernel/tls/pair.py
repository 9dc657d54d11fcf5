"""A server and clients of asyncio in one loop: TLS over memory BIOs, whose sessions begin by their handshakes.

`/warm` until a line comes, then rounds of as many connections at once as asked for, each with as many requests. Every
request says its client's port and its number; every answer has the status that its path asks for. Half of the clients leave
their sockets open for another round, so that the memory of their sessions is used again while these still live.
"""

import asyncio
import gc
import os
import ssl
import sys

rounds, connections, requests = (int(argument) for argument in sys.argv[1:4])
STATUS = {"/missing": "404 Not Found", "/broken": "500 Internal Server Error"}
PATHS = ["/ok", "/missing", "/ok", "/ok", "/broken", "/ok"]

for_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
for_server.load_cert_chain("cert.pem", "key.pem")
for_client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
for_client.check_hostname = False
for_client.verify_mode = ssl.CERT_NONE
if sys.argv[4] == "1.2":
    for_client.maximum_version = ssl.TLSVersion.TLSv1_2


async def head(reader):
    try:
        return (await reader.readuntil(b"\r\n\r\n")).decode()
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


async def serve(reader, writer):
    while (asked := await head(reader)) is not None:
        status = STATUS.get(asked.split(" ")[1], "200 OK")
        await asyncio.sleep(0.001)
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\nhello".encode())
    writer.close()


async def ask(port, paths, held):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=for_client)
    own = writer.get_extra_info("sockname")[1]
    for number, path in enumerate(paths):
        writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\nX-Request-Id: {own}-{number}\r\n\r\n".encode())
        answer = await head(reader)
        assert answer.startswith("HTTP/1.1 " + STATUS.get(path, "200")), answer
        assert await reader.readexactly(5) == b"hello"
    if own % 4 < 2:
        held.append(os.dup(writer.get_extra_info("socket").fileno()))
        writer.transport.abort()
    else:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=for_server)
    port = server.sockets[0].getsockname()[1]
    go = asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    while not go.done():
        await ask(port, ["/warm"], [])
        await asyncio.sleep(0.02)
    held = []
    for _ in range(rounds):
        before, held = held, []
        paths = [PATHS[index % len(PATHS)] for index in range(requests)]
        await asyncio.gather(*(ask(port, paths, held) for _ in range(connections)))
        for descriptor in before:
            os.close(descriptor)
        await asyncio.sleep(0)
        gc.collect()
    await asyncio.sleep(0.2)


asyncio.run(main())
