"""An HTTP server on loopback that notes what is posted to it and answers as it is told."""

from __future__ import annotations

import http.server
import json
import threading


class Webhook:
    """answers: the status of each request, in their order; 200 when they are used up. Use it by `with`."""

    def __init__(self, answers=(), port: int = 0):
        self.answers = list(answers)
        self.posted: list[tuple[str, dict]] = []  # path, JSON
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.headers["Content-Type"] == "application/json"
                hook.posted.append((self.path, json.loads(body)))
                self.send_response(hook.answers.pop(0) if hook.answers else 200)
                self.send_header("Location", "/elsewhere")  # of a redirect
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self):
                hook.posted.append((self.path, {}))
                self.send_error(404)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}/hook"

    def __enter__(self) -> Webhook:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.server.shutdown()
        self.server.server_close()
