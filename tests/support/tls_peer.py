"""A server that speaks TLS and nothing behind it."""

from __future__ import annotations

import socket
import ssl
import threading


class TlsPeer:
    """Answers TLS with a certificate, and keeps what it is sent: `payload` inside of TLS, `plain` if it began without."""

    def __init__(self, certificate):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate.crt, certificate.key)
        self.payload = self.plain = b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            first = client.recv(4, socket.MSG_PEEK)
            if not first.startswith(b"\x16"):
                self.plain += first
            try:
                with self.context.wrap_socket(client, server_side=True) as inside:
                    while data := inside.recv(4096):
                        self.payload += data
                        inside.sendall(b"\0\0\0\0")  # no common version, which ends it
            except OSError:
                pass
            finally:
                client.close()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()
