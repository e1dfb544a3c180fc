"""TLS material, made by openssl at run time: a CA, and server certificates that are good or wrong in one way each."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


@dataclass
class Certificate:
    crt: Path
    key: Path  # 0600

    def sha256(self) -> str:
        """The fingerprint of the whole certificate, as lower-case hex."""
        out = _openssl("x509", "-in", self.crt, "-noout", "-fingerprint", "-sha256")
        return out.split("=")[1].strip().replace(":", "").lower()


class Certificates:
    """ca: the authority to trust. good: for localhost and 127.0.0.1, signed by it. expired: as good, but ended yesterday.
    wrong_host: as good, for another host. self_signed: for localhost, signed by nobody. other_ca: signs nothing of this."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.ca = self._signed_by_itself("ca", "/CN=Holdfast test authority", "basicConstraints=critical,CA:TRUE")
        self.other_ca = self._signed_by_itself("other_ca", "/CN=Another test authority", "basicConstraints=critical,CA:TRUE")
        here = "subjectAltName=DNS:localhost,IP:127.0.0.1"
        self.good = self._signed("good", here)
        self.expired = self._signed("expired", here, days=-1)
        self.wrong_host = self._signed("wrong_host", "subjectAltName=DNS:elsewhere.example")
        self.self_signed = self._signed_by_itself("self_signed", "/CN=localhost", here)

    def _paths(self, name: str) -> Certificate:
        return Certificate(self.folder / f"{name}.crt", self.folder / f"{name}.key")

    def _signed_by_itself(self, name: str, subject: str, extension: str) -> Certificate:
        made = self._paths(name)
        _openssl("req", "-x509", *KEY, "-days", "2", "-subj", subject, "-addext", extension, "-keyout", made.key, "-out", made.crt)
        return made

    def _signed(self, name: str, extension: str, days: int = 2) -> Certificate:
        made, request = self._paths(name), self.folder / f"{name}.csr"
        _openssl("req", *KEY, "-subj", f"/CN={name}", "-addext", extension, "-keyout", made.key, "-out", request)
        sign = ["x509", "-req", "-in", request, "-CA", self.ca.crt, "-CAkey", self.ca.key, "-CAcreateserial"]
        _openssl(*sign, "-copy_extensions", "copy", "-days", str(days), "-out", made.crt)
        return made


def _openssl(*arguments) -> str:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, f"openssl {arguments[0]}: {done.stderr}"
    return done.stdout
