"""Small disks of a test's own: to fill, and to disconnect."""

from __future__ import annotations

import os
import pathlib
import subprocess

from support.home import Home

DISK_BYTES = 12 << 20
FILLER = "filler"


class SmallDisk:
    """A small file system in memory: mounted by root, or else in a user namespace that a sleeping process holds."""

    def __init__(self, at: pathlib.Path, size: int = DISK_BYTES):
        self.at, self.holder, self.enter = at, None, []
        at.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(at)]
        if os.geteuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0:
            self.root = at
            return
        script = f"{' '.join(mount)} && echo mounted && exec sleep 600"
        self.holder = subprocess.Popen(["unshare", "-rm", "sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        said = self.holder.stdout.readline()
        assert said == b"mounted\n", f"no small disk: neither root may mount here, nor a user namespace: {self.holder.stderr.read().decode()}"
        self.root = pathlib.Path(f"/proc/{self.holder.pid}/root{at}")  # how we see it from outside
        self.enter = ["nsenter", "--target", str(self.holder.pid), "--user", "--mount", "--preserve-credentials", "--"]

    def fill(self) -> None:
        """To the last byte."""
        with open(self.root / FILLER, "ab", buffering=0) as file:
            step = 1 << 20
            while step:
                try:
                    assert file.write(b"x" * step)
                except OSError:
                    step //= 2

    def free(self) -> None:
        (self.root / FILLER).unlink()

    def close(self) -> None:
        if self.holder:
            self.holder.kill()
            self.holder.wait()
        else:
            subprocess.run(["umount", "--lazy", str(self.at)], check=True)

    def run(self, *command: str) -> None:
        """Where the disk is."""
        subprocess.run([*self.enter, *command], check=True)


class RemovableDisk(SmallDisk):
    """One that keeps what is on it while it is not connected. Its mount point is a folder on the disk below."""

    def __init__(self, folder: pathlib.Path):
        super().__init__(folder / "disk")
        self.mount_point = folder / "its mount point"
        self.mount_point.mkdir()
        self.connected = False
        self.connect()

    def connect(self) -> None:
        self.run("mount", "--bind", str(self.at), str(self.mount_point))
        self.connected = True

    def disconnect(self) -> None:
        self.run("umount", "--lazy", str(self.mount_point))
        self.connected = False

    def close(self) -> None:
        if self.connected:
            self.disconnect()
        super().close()


class InsideHome(Home):
    """A home some of which is on the small disk: commands run where the disk is."""

    def __init__(self, folder, disk, **kwargs):
        self.disk = disk
        super().__init__(folder, **kwargs)

    def inside(self, text: str) -> str:
        return text.replace(str(self.disk.root), str(self.disk.at))

    def command(self, *args):
        return [*self.disk.enter, *map(self.inside, super().command(*args))]

    def write_config(self, config: str = "") -> None:
        super().write_config(config)
        path = self.path / "holdfast.yaml"
        path.write_text(self.inside(path.read_text()))
