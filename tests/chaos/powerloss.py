"""A disk that loses power: reads what record.c wrote down, and builds what may be left of it at a moment.

What was synced is there. Of what was not, any part may be: each write whole, not at all, or torn at sectors; changes of names
that no sync of their folder followed, kept or not. A change of names is atomic, as every journalling file system has it, and
depends on earlier ones of the same name.
"""

from __future__ import annotations

import pathlib
import random
import re
from dataclasses import dataclass, field

SECTOR = 512
DAMAGES = ("lost", "subset", "torn", "kept")  # what becomes of unsynced data
NAME = re.compile(rb"(\d+):")


@dataclass
class File:
    number: int
    folder: bool = False
    data: bytearray = field(default_factory=bytearray)  # what is durable
    pending: list = field(default_factory=list)  # (offset, bytes) or (size, None), since the last sync
    names: dict = field(default_factory=dict)  # of a folder: durable name -> File


@dataclass
class Naming:
    """One change of names: [(folder, name, file or None)], all or nothing."""

    effects: list

    def folders(self):
        return {id(folder) for folder, _, _ in self.effects}

    def keys(self):
        return {(id(folder), name) for folder, name, _ in self.effects}

    def apply(self, names) -> None:
        for folder, name, file in self.effects:
            if file is None:
                names(folder).pop(name, None)
            else:
                names(folder)[name] = file


class Disk:
    """Fed with records in their order; image() at any moment."""

    def __init__(self, root_ino: int, lying=()):
        self.made = 1
        self.root = File(0, folder=True)
        self.files = {root_ino: self.root}  # by inode, as it is now
        self.live = {id(self.root): {}}  # names as the program sees them
        self.namings: list[Naming] = []  # not durable yet
        self.lying = lying  # suffixes of names whose syncs do nothing: to see that the checker would notice
        self.name_of: dict[int, str] = {}

    # ---- records ----

    def _new(self, ino: int, folder: bool) -> File:
        file = self.files[ino] = File(self.made, folder)
        self.made += 1
        if folder:
            self.live[id(file)] = {}
        return file

    def _name(self, *effects) -> None:
        naming = Naming(list(effects))
        naming.apply(lambda folder: self.live[id(folder)])
        self.namings.append(naming)
        for _, name, file in effects:
            if file:
                self.name_of[id(file)] = name

    def _known(self, ino: bytes) -> File:
        return self.files[int(ino)]

    def apply(self, op: str, fields: list, data: bytes) -> None:
        getattr(self, "_do_" + op)(*fields, **({"data": data} if op == "write" else {}))

    def _do_open(self, ino, parent, name, created):
        self._name((self._known(parent), name, self._new(int(ino), False)))

    def _do_mkdir(self, ino, parent, name):
        self._name((self._known(parent), name, self._new(int(ino), True)))

    def _do_remove(self, parent, name):
        self._name((self._known(parent), name, None))

    def _do_rename(self, parent, name, to_parent, to_name):
        file = self.live[id(self._known(parent))][name]
        self._name((self._known(parent), name, None), (self._known(to_parent), to_name, file))

    def _do_exchange(self, parent, name, to_parent, to_name):
        a, b = self._known(parent), self._known(to_parent)
        first, second = self.live[id(a)][name], self.live[id(b)][to_name]
        self._name((a, name, second), (b, to_name, first))

    def _do_write(self, ino, offset, length, data):
        if int(ino) in self.files:  # else a file that was there before the recording
            self.files[int(ino)].pending.append((int(offset), data))

    def _do_cut(self, ino, size):
        if int(ino) in self.files:
            self.files[int(ino)].pending.append((int(size), None))

    def _do_sync(self, ino):
        file = self.files.get(int(ino))
        if file is None or self.name_of.get(id(file), "").endswith(self.lying or "\0"):
            return
        if file.folder:
            self._sync_names(file)
        for change in file.pending:
            put(file.data, *change)
        file.pending.clear()

    def _sync_names(self, folder: File) -> None:
        """The folder's changes become durable, with those that they rest on."""
        wanted, chosen = {id(folder)}, []
        for naming in reversed(self.namings):
            if naming.folders() & wanted:
                wanted |= naming.folders()
                chosen.append(naming)
        for naming in reversed(chosen):
            naming.apply(lambda f: f.names)
        left = {id(n) for n in chosen}
        self.namings = [n for n in self.namings if id(n) not in left]

    # ---- the image ----

    def image(self, target: pathlib.Path, dice: random.Random, damage: str) -> None:
        names = self._surviving_names(dice, damage)
        self._write_folder(self.root, names, target, dice, damage)

    def _surviving_names(self, dice, damage):
        copies: dict[int, dict] = {}

        def of(folder):
            return copies.setdefault(id(folder), dict(folder.names))

        dropped: set = set()
        keep_until = dice.randint(0, len(self.namings))
        for i, naming in enumerate(self.namings):
            kept = {"lost": False, "kept": True, "torn": i < keep_until, "subset": dice.random() < 0.5}[damage]
            if kept and not naming.keys() & dropped:
                naming.apply(of)
            else:
                dropped |= naming.keys()
        return of

    def _write_folder(self, folder, names, target, dice, damage):
        for name, file in names(folder).items():
            path = target / name
            if file.folder:
                path.mkdir(mode=0o700)
                self._write_folder(file, names, path, dice, damage)
            elif not name.endswith("-shm"):  # a memory map: nothing of it counts after a crash
                path.touch(mode=0o600)
                path.write_bytes(surviving_data(file, dice, damage))


def put(data: bytearray, at: int, new: bytes | None) -> None:
    """A write at an offset; without bytes a cut to that size."""
    if new is None:
        if len(data) > at:
            del data[at:]
        else:
            data.extend(bytes(at - len(data)))
        return
    if len(data) < at:
        data.extend(bytes(at - len(data)))
    data[at : at + len(new)] = new


def sectors(at: int, new: bytes):
    """The write in parts that a disk writes whole."""
    start = 0
    while start < len(new):
        end = min(len(new), start + SECTOR - (at + start) % SECTOR)
        yield at + start, new[start:end]
        start = end


def surviving_data(file: File, dice: random.Random, damage: str) -> bytes:
    if not file.pending or damage == "lost":
        return bytes(file.data)
    data = bytearray(file.data)
    torn_from = dice.randint(0, len(file.pending)) if dice.random() < 0.5 else 0  # before it all is there
    for i, (at, new) in enumerate(file.pending):
        if damage == "kept" or (damage == "torn" and i < torn_from):
            put(data, at, new)
        elif damage == "subset" or new is None:
            if dice.random() < 0.5:
                put(data, at, new)
        else:
            for part in sectors(at, new):
                if dice.random() < 0.5:
                    put(data, *part)
    return bytes(data)


def records(log: bytes):
    """(op, fields, data) of each record; notes of the test itself have op "note"."""
    at = 0
    while at < len(log):
        space = log.index(b" ", at)
        op = log[at:space].decode()
        fields: list = []
        at = space
        while log[at : at + 1] == b" ":
            at += 1
            name = NAME.match(log, at)
            if name:
                end = name.end() + int(name.group(1))
                fields.append(log[name.end() : end].decode())
            else:
                end = at
                while log[end : end + 1] not in (b" ", b"\n"):
                    end += 1
                fields.append(log[at:end])
            at = end
        at += 1  # the line's end
        data = b""
        if op in ("write", "note"):
            length = int(fields[-1])
            data = log[at : at + length]
            at += length
        yield op, fields, data
