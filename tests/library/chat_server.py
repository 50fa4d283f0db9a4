"""A local server that speaks OpenAI's chat completions and misbehaves on request."""

import json
import socket
import threading
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def completion(content, **extra):
    text = content if isinstance(content, str) else json.dumps(content)
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", **extra}
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    return json.dumps({"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage})


class ChatServer(ThreadingHTTPServer):
    """Answers with ``faults`` in turn (functions of the handler), then with ``content``.

    ``requests`` holds (path, headers, body) of each; ``asked`` counts them by what ``identify`` says of the body.
    """

    daemon_threads = True

    def __init__(self, *faults, content, identify):
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults, self.lock = list(faults), threading.Lock()
        self.content, self.identify = content, identify
        self.requests, self.asked, self.answered = [], Counter(), 0
        self.hold = threading.Event()
        self.always = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request, address):
        pass


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.requests.append((self.path, dict(self.headers), body))
            self.server.asked[self.server.identify(body)] += 1
            fault = self.server.always or (self.server.faults.pop(0) if self.server.faults else None)
        if fault:
            fault(self)
        else:
            self.answer(200, completion(self.server.content))
            with self.server.lock:
                self.server.answered += 1

    def answer(self, status, text, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())


def status(code, text="{}", **headers):
    return lambda handler: handler.answer(code, text, **headers)


def says(content, **extra):
    return lambda handler: handler.answer(200, completion(content, **extra))


def cut(handler):
    """Half a body, then the connection is closed."""
    text = completion(handler.server.content)
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(text)))
    handler.end_headers()
    handler.wfile.write(text[: len(text) // 2].encode())
    handler.close_connection = True


def noise(handler):
    """Bytes that are no HTTP."""
    handler.wfile.write(b"\x00\xff" * 5000)
    handler.close_connection = True


def reset(handler):
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    handler.connection.close()


def stall(handler):
    """Says nothing until the server is shut down."""
    handler.server.hold.wait(600)


def trickle(handler):
    """An answer that never ends, a blank every hundredth of a second."""
    handler.send_response(200)
    handler.end_headers()
    while not handler.server.hold.wait(0.01):
        handler.wfile.write(b" ")


@contextmanager
def serving(*faults, content="A red square", identify=lambda body: None):
    server = ChatServer(*faults, content=content, identify=identify)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()
