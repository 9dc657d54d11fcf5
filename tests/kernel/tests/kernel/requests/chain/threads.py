"""A thread per connection, standard library only: asks the next service, if there is one, before it answers; over TLS
where its address begins with https://. With a certificate and a key it serves over TLS."""
import http.client
import http.server
import ssl
import sys
import threading

NEXT = sys.argv[1] if len(sys.argv) > 1 else ""
LOCAL = threading.local()


def connection():
    if NEXT.startswith("https://"):
        host = NEXT.removeprefix("https://")
        return http.client.HTTPSConnection(host, context=ssl._create_unverified_context())
    return http.client.HTTPConnection(NEXT)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        if NEXT:
            if not hasattr(LOCAL, "next"):
                LOCAL.next = connection()
            LOCAL.next.request("GET", self.path, headers={"X-Request-Id": self.headers["X-Request-Id"]})
            LOCAL.next.getresponse().read()
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


server = Server(("127.0.0.1", 0), Handler)
if len(sys.argv) > 3:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print("port", server.server_address[1], flush=True)
server.serve_forever()
