#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What does a container cost, and does that depend on its image? On each driver, on the file system
that suits it, of a small image and of a large one: milliseconds and kilobytes a container.

usage: creating.py IMBREX WORK [FILES]      (prints a table; bench.py has section())

Each file system is made in a file below WORK, which is on the machine's disk. containers-storage
does the same on a file system of its own. Both sync what they promise to.
"""
import os
import shutil
import statistics
import subprocess
import sys
import time

import waiting

ROUNDS = 7
SMALL_FILES = 50
# (driver, file system, mkfs and its arguments)
PLACES = [
    ("overlay", "ext4", ["mkfs.ext4", "-q", "-F"]),
    ("overlay", "xfs", ["mkfs.xfs", "-q", "-f"]),
    ("vfs", "xfs", ["mkfs.xfs", "-q", "-f", "-m", "reflink=1"]),
    ("btrfs", "btrfs", ["mkfs.btrfs", "-q", "-f"]),
    ("vfs", "ext4", ["mkfs.ext4", "-q", "-F"]),
]


class Disk:
    """A fresh file system."""

    def __init__(self, folder, name, mkfs):
        self.image, self.path = f"{folder}/{name}.img", f"{folder}/{name}"
        with open(self.image, "wb") as f:
            f.truncate(4 << 30)
        subprocess.run([*mkfs, self.image], check=True, stdout=subprocess.DEVNULL)
        os.mkdir(self.path)
        subprocess.run(["mount", "-o", "loop", self.image, self.path], check=True)

    def used(self):
        subprocess.run(["sync", "-f", self.path], check=True)
        st = os.statvfs(self.path)
        return (st.f_blocks - st.f_bfree) * st.f_frsize

    def close(self):
        subprocess.run(["umount", "-R", "-l", self.path], check=False)
        os.unlink(self.image)


def works(argv, disk, driver):
    """Does this build have the driver?"""
    words = ["--graph", f"{disk.path}/probe", "--run", f"{disk.path}/probe.run",
             "--storage-driver", driver, "layers"]
    return subprocess.run(argv + words, capture_output=True, check=False).returncode == 0


def measure(argv, disk, driver, name, tars):
    """{image: (median seconds, bytes a container)}"""
    found = {}
    for image, tar in tars.items():
        tool = waiting.Tool(name, argv, f"{disk.path}/{image}", driver)
        layer = tool.run("import-layer", "-f", tar)[0]
        tool.run("create-image", "-n", image, layer)
        tool.run("create-container", image)
        before = disk.used()
        times = []
        for _ in range(ROUNDS):
            start = time.monotonic()
            tool.run("create-container", image)
            times.append(time.monotonic() - start)
            os.sync()
        found[image] = (statistics.median(times), (disk.used() - before) / ROUNDS)
    return found


def creations(imbrex, work, n_files, say=lambda text: None):
    """[(driver, file system, program, {image: (seconds, bytes)})]"""
    folder = f"{work}/creating-{os.getpid()}"
    os.makedirs(folder)
    tars = {"small": f"{folder}/small.tar", "large": f"{folder}/large.tar"}
    waiting.make_tar(tars["small"], SMALL_FILES)
    waiting.make_tar(tars["large"], n_files)
    out = []
    for driver, kind, mkfs in PLACES:
        if not shutil.which(mkfs[0]):
            continue
        for name, argv in (("imbrex", [imbrex, "storage"]),
                           ("containers-storage", ["containers-storage"])):
            disk = Disk(folder, f"{driver}-{kind}-{name}", mkfs)
            try:
                if not works(argv, disk, driver):
                    continue
                out.append((driver, kind, name, measure(argv, disk, driver, name, tars)))
            finally:
                disk.close()
            say(f"create, {driver} on {kind}, {name}: " + ", ".join(
                f"{image} {s * 1000:.1f} ms {b / 1024:.0f} KiB"
                for image, (s, b) in out[-1][3].items()))
    return out


def table(found, n_files):
    """Lines of Markdown."""
    lines = [f"| driver | on | by | of {SMALL_FILES} files: ms | KiB | of {n_files} files: ms | KiB |",
             "|---|---|---|---|---|---|---|"]
    for driver, kind, name, images in found:
        cells = " | ".join(f"{seconds * 1000:.1f} | {size / 1024:.0f}"
                           for seconds, size in images.values())
        lines.append(f"| {driver} | {kind} | {name} | {cells} |")
    return lines


def clean(work):
    folder = f"{work}/creating-{os.getpid()}"
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        for mount in [line.split()[4] for line in f if f" {folder}/" in line]:
            subprocess.run(["umount", "-l", mount], check=False)
    shutil.rmtree(folder, ignore_errors=True)


def section(bench):
    """The part of bench.py's report."""
    n_files = 1000 if bench.options.quick else 5000
    try:
        found = creations(os.path.abspath(bench.options.imbrex), bench.work, n_files,
                          lambda text: print(text, file=sys.stderr, flush=True))
    finally:
        clean(bench.work)
    return ["## Create a container, by driver and size of the image", "",
            "A container by `create-container`, on a fresh file system each. What it costs must "
            "not grow with the image, where the driver clones; vfs makes every file anew, and "
            "shares their blocks where the file system can.", "", *table(found, n_files)]


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    n_files = int(sys.argv[3]) if len(sys.argv) > 3 else 5000
    try:
        found = creations(os.path.abspath(sys.argv[1]), sys.argv[2], n_files,
                          lambda text: print(text, file=sys.stderr, flush=True))
        print("\n".join(table(found, n_files)))
    finally:
        clean(sys.argv[2])


if __name__ == "__main__":
    main()
