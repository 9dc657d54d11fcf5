"""An event loop, standard library only: asks the next service, if there is one, before it answers."""
import asyncio
import sys

NEXT = sys.argv[1] if len(sys.argv) > 1 else ""
IDLE = []


async def head(reader):
    text = await reader.readuntil(b"\r\n\r\n")
    return text.decode()


def identifier(text):
    return next(line[14:] for line in text.split("\r\n") if line.lower().startswith("x-request-id: "))


async def ask(path, number):
    if IDLE:
        reader, writer = IDLE.pop()
    else:
        host, port = NEXT.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: next\r\nX-Request-Id: {number}\r\n\r\n".encode())
    answer = await head(reader)
    length = next(int(line[16:]) for line in answer.split("\r\n") if line.lower().startswith("content-length: "))
    await reader.readexactly(length)
    IDLE.append((reader, writer))


async def serve(reader, writer):
    try:
        while True:
            text = await head(reader)
            if NEXT:
                await ask(text.split(" ")[1], identifier(text))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=128)
    print("port", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
