"""A bad line to the tracking server, and bad sources of the data."""

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
    """Passes requests on to a server, or does what ``mood`` says of the n-th one.

    Attributes:
        mood: gives, for the number of a request, from 1 on, one of
            pass; slow (2 s later); 500 (not passed on); cut (neither passed on nor answered);
            unanswered (passed on); half (passed on, half of the answer); stop (from here on nobody
            listens, for ``away`` seconds).
        struck: how many requests were not simply passed on.
    """

    def __init__(self, port: int):
        self.upstream, self.port = port, None
        self.mood: Callable[[int], str] = lambda number: "pass"
        self.away = 0.0
        self.count = self.struck = 0
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
        """What is to become of the request that has just come."""
        with self._lock:
            self.count += 1
            mood = "cut" if self._gone.is_set() else self.mood(self.count)
            self.struck += mood != "pass"
            if mood == "stop":
                self._gone.set()
                threading.Thread(target=self._stop_and_return, daemon=True).start()
            return mood

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
        """From now on everything is passed on."""
        self.mood = lambda number: "pass"
        for _ in range(100):  # it may be about to return by itself
            if not self._gone.is_set():
                return
            if self.away >= 60 and self._server is None:
                self._listen()
                self._gone.clear()
            time.sleep(0.1)

    def close(self) -> None:
        """Nobody listens any more."""
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
        with contextlib.suppress(OSError):  # whoever asked is dead
            super().handle()

    def finish(self):
        self.proxy._open.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def _pass_on(self):
        body, mood = self._body(), self.proxy.decide()
        if mood == "slow":
            time.sleep(2)
        if mood in ("cut", "stop"):
            return self._cut()
        if mood == "500":
            return self._answer(500, {}, b"")
        status, headers, content = self._ask(body)
        if mood == "unanswered":
            return self._cut()
        return self._answer(status, headers, content, half=mood == "half")

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
    """Files at ``<address>/<spoilt>/<how>/<share>/<name>``.

    ``how`` the file with the name ``spoilt`` is spoilt is cut, corrupt or page; ``share`` is where
    in it. All others, and those below ``<address>/none/none/0/``, are as they should be.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            spoilt, how, share, name = self.path.removeprefix("/").split("/")
            body = contents[name]
            place, size = int(float(share) * len(body)), len(body)
            if name == spoilt and how == "page":
                body, size = PAGE, len(PAGE)
            elif name == spoilt and how == "cut":
                body = body[:place]
            elif name == spoilt and how == "corrupt":
                body = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
            self.send_response(200)
            self.send_header("Content-Length", str(size))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with answering(Handler) as address:
        yield address
