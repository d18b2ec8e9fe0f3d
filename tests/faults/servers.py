"""An unreliable connection to the tracking server, and damaged downloads."""

import contextlib
import http.client
import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator

from tests.servers import answering

PAGE = b"<!DOCTYPE html><html><body><h1>Welcome! Log in to use this network</h1></body></html>"


class Proxy:
    """Passes requests on to a server, or disturbs some of them.

    Attributes:
        behaviour: what happens to the n-th request, from 1 on: pass; slow (answered 2 s later);
            500 (answered so, not passed on); cut (neither passed on nor answered); unanswered
            (passed on); half (passed on, half of the answer returned); stop (from here on nothing
            listens for ``away`` seconds).
        count: how many requests have arrived.
        hit: how many of them were disturbed.
    """

    def __init__(self, port: int):
        self.upstream, self.port = port, None
        self.behaviour: Callable[[int], str] = lambda number: "pass"
        self.away = 0.0
        self.count = self.hit = 0
        self._lock, self._open, self._server = threading.Lock(), set(), None
        self._gone = threading.Event()
        self._listen()

    def _listen(self) -> None:
        class Handler(_Handler):
            proxy = self

        server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port or 0), Handler)
        self._server, self.port = server, server.server_port
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def decide(self) -> str:
        """The behaviour for the request that has just arrived."""
        with self._lock:
            self.count += 1
            behaviour = "cut" if self._gone.is_set() else self.behaviour(self.count)
            self.hit += behaviour != "pass"
            if behaviour == "stop":
                self._gone.set()
                threading.Thread(target=self._stop_and_return, daemon=True).start()
            return behaviour

    def _stop_and_return(self) -> None:
        self._hang_up()
        time.sleep(self.away)
        if self._server is None and self.away < 60:
            self._listen()
            self._gone.clear()

    def _hang_up(self) -> None:
        server, self._server = self._server, None
        if server:
            server.shutdown()
            server.server_close()
        for connection in [*self._open]:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def heal(self) -> None:
        """Pass every request on from now on."""
        self.behaviour = lambda number: "pass"
        for _ in range(100):  # it may be about to listen again
            if not self._gone.is_set():
                return
            if self.away >= 60 and self._server is None:
                self._listen()
                self._gone.clear()
            time.sleep(0.1)

    def close(self) -> None:
        """Stop listening."""
        self._gone.set()
        self._hang_up()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    proxy: Proxy

    def setup(self):
        super().setup()
        self.proxy._open.add(self.connection)

    def handle(self):
        with contextlib.suppress(OSError):  # the client is dead
            super().handle()

    def finish(self):
        self.proxy._open.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def _pass_on(self):
        body, behaviour = self._body(), self.proxy.decide()
        if behaviour == "slow":
            time.sleep(2)
        if behaviour in ("cut", "stop"):
            return self._cut()
        if behaviour == "500":
            return self._answer(500, {}, b"")
        status, headers, content = self._ask(body)
        if behaviour == "unanswered":
            return self._cut()
        return self._answer(status, headers, content, half=behaviour == "half")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _pass_on

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _ask(self, body: bytes):
        upstream = http.client.HTTPConnection("127.0.0.1", self.proxy.upstream, timeout=60)
        drop = ("host", "connection", "transfer-encoding", "content-length", "accept-encoding")
        headers = {k: v for k, v in self.headers.items() if k.lower() not in drop}
        with contextlib.closing(upstream):
            upstream.request(self.command, self.path, body, headers)
            answer = upstream.getresponse()
            drop = ("connection", "transfer-encoding", "content-length", "server", "date")
            headers = {k: v for k, v in answer.getheaders() if k.lower() not in drop}
            return answer.status, headers, answer.read()

    def _answer(self, status: int, headers: dict, content: bytes, half: bool = False) -> None:
        with contextlib.suppress(OSError):
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(content))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if half else content)
        if half:
            self._cut()

    def _cut(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def mirror(contents: dict[str, bytes]) -> Iterator[str]:
    """Serve files at ``<address>/<damaged>/<how>/<share>/<name>``.

    The file with the name ``damaged`` is cut off, corrupt, or replaced by a page, at the position
    ``share`` of its length. All others, and those below ``<address>/none/none/0/``, are intact.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            damaged, how, share, name = self.path.removeprefix("/").split("/")
            body = contents[name]
            position, size = int(float(share) * len(body)), len(body)
            if name == damaged and how == "page":
                body, size = PAGE, len(PAGE)
            elif name == damaged and how == "cut":
                body = body[:position]
            elif name == damaged and how == "corrupt":
                body = body[:position] + bytes([body[position] ^ 1]) + body[position + 1 :]
            self.send_response(200)
            self.send_header("Content-Length", str(size))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with answering(Handler) as address:
        yield address
