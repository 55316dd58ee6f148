# SPDX-License-Identifier: Apache-2.0
"""File systems of ZFS for stores of tests, quickly.

A test needs one or two, and zfs(8) takes a third of a second for each where it is emulated: so they
are made by a call of libzfs_core where that is, mounted by mount(2), and go all at once in the end.
"""
import ctypes
import os
import subprocess

LIBRARY = "libzfs_core.so.3"
FILE_SYSTEM = 2  # LZC_DATSET_TYPE_ZFS
libc = ctypes.CDLL(None, use_errno=True)


def zfs(*args):
    return subprocess.run(["zfs", *args], check=True, stdout=subprocess.PIPE, text=True).stdout


def load():
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        return None
    return library if library.libzfs_core_init() == 0 else None


class Datasets:
    """Below the one that a directory lies on."""

    def __init__(self, directory):
        above = zfs("list", "-H", "-o", "name", directory).strip()
        self.library = load()
        self.top = f"{above}/tests-{os.getpid()}"
        self.made = 0
        self.create(self.top)

    def create(self, name):
        if not self.library:
            zfs("create", "-u", name)
            return
        status = self.library.lzc_create(name.encode(), FILE_SYSTEM, None, None, 0)
        if status:
            raise OSError(status, os.strerror(status), name)

    def make(self):
        """A new one, not mounted: its name."""
        self.made += 1
        name = f"{self.top}/{self.made}"
        self.create(name)
        return name

    def mount(self, where):
        """A new one, mounted there: its name."""
        name = self.make()
        os.makedirs(where, exist_ok=True)
        self.show(name, where)
        return name

    @staticmethod
    def show(name, where):
        if libc.mount(name.encode(), where.encode(), b"zfs", 0, None):
            raise OSError(ctypes.get_errno(), "mount", name)

    @staticmethod
    def hide(where):
        if libc.umount2(where.encode(), 0):
            raise OSError(ctypes.get_errno(), "umount", where)

    def destroy(self):
        zfs("destroy", "-R", "-f", self.top)
