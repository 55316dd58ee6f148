#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who waits for whom? While one program does something long on a store (fills a large layer, or
changes the owners of a copy of an image), another lists and creates: how long does each of these
take, beside what it takes on an idle store?

usage: waiting.py IMBREX WORK [FILES]      (prints a table; bench.py has section())

The long operation is done by imbrex and by containers-storage, the short ones by the program that
does the long one. Each has a store of its own; all begin alike.
"""
import io
import os
import random
import shutil
import statistics
import subprocess
import sys
import tarfile
import time

FILE_BYTES = 16 * 1024
MAP = "0:100000:65536"


def make_tar(path, n_files):
    """n_files of noise, so that no program has less to do for being clever."""
    noise = random.Random(1).randbytes(FILE_BYTES * 64)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as t:
        for i in range(n_files):
            if i % 100 == 0:
                entry = tarfile.TarInfo(f"d{i // 100}")
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                t.addfile(entry)
            entry = tarfile.TarInfo(f"d{i // 100}/f{i}")
            entry.size, entry.mtime = FILE_BYTES, 1700000000
            at = i * 4099 % (len(noise) - FILE_BYTES)
            t.addfile(entry, io.BytesIO(noise[at:at + FILE_BYTES]))


class Tool:
    def __init__(self, name, argv, store, driver):
        self.name, self.store = name, store
        self.argv = argv + ["--graph", f"{store}/root", "--run", f"{store}/run",
                            "--storage-driver", driver]

    def run(self, *words):
        p = subprocess.run(self.argv + list(words), capture_output=True, text=True, check=False)
        if p.returncode:
            sys.exit(f"{self.name} {' '.join(words)}: {p.stdout}{p.stderr}")
        return p.stdout.split()

    def short(self):
        """Seconds that one listing and one creation take."""
        start = time.monotonic()
        self.run("images")
        middle = time.monotonic()
        self.run("create-container", "small")
        return middle - start, time.monotonic() - middle


def measure(tool, long_words):
    idle = [tool.short() for _ in range(5)]
    start = time.monotonic()
    with subprocess.Popen(tool.argv + long_words, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True) as p:
        busy = []
        while p.poll() is None:
            busy.append(tool.short())
        seconds = time.monotonic() - start
        if p.returncode:
            sys.exit(f"{tool.name} {' '.join(long_words)}: {p.stderr.read()}")
    return {"name": tool.name, "seconds": seconds, "n": len(busy),
            "idle": [statistics.median(x) for x in zip(*idle)],
            "median": [statistics.median(x) for x in zip(*busy)],
            "worst": [max(x) for x in zip(*busy)]}


def waits(imbrex, work, n_files=20000, say=lambda text: None):
    """[(what is done, [result of measure()])]"""
    folder = f"{work}/waiting-{os.getpid()}"
    os.makedirs(folder)
    tar = f"{folder}/large.tar"
    make_tar(tar, n_files)
    tools = (("imbrex", [imbrex, "storage"]), ("containers-storage", ["containers-storage"]))
    out = []
    for title, driver, words in (
            (f"a layer of {n_files} files is filled (overlay)", "overlay",
             ["import-layer", "-f", tar]),
            (f"owners of an image of {n_files} files are changed in a copy (vfs)", "vfs",
             ["create-container", "--uidmap", MAP, "--gidmap", MAP, "large"])):
        rows = []
        for name, argv in tools:
            store = f"{folder}/{driver}-{name}"
            tool = Tool(name, argv, store, driver)
            layer = tool.run("create-layer")[0]
            tool.run("create-image", "-n", "small", layer)
            if driver == "vfs":
                layer = tool.run("import-layer", "-f", tar)[0]
                tool.run("create-image", "-n", "large", layer)
            rows.append(measure(tool, words))
            say(f"{title}, {name}: worst create {rows[-1]['worst'][1] * 1000:.0f} ms")
        out.append((title, rows))
    return out


def table(sections):
    """Lines of Markdown."""
    lines = ["| while | by | for s | list: idle, median, worst ms | create: idle, median, worst ms | done meanwhile |",
             "|---|---|---|---|---|---|"]
    for title, rows in sections:
        for r in rows:
            cells = [", ".join(f"{r[k][i] * 1000:.1f}" for k in ("idle", "median", "worst"))
                     for i in (0, 1)]
            lines.append(f"| {title} | {r['name']} | {r['seconds']:.1f} | {cells[0]} | {cells[1]} | {r['n']} |")
    return lines


def clean(work):
    folder = f"{work}/waiting-{os.getpid()}"
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        for mount in [line.split()[4] for line in f if f" {folder}/" in line]:
            subprocess.run(["umount", "-l", mount], check=False)
    shutil.rmtree(folder, ignore_errors=True)


def section(bench):
    """The part of bench.py's report."""
    try:
        found = waits(os.path.abspath(bench.options.imbrex), bench.work,
                      4000 if bench.options.quick else 20000)
    finally:
        clean(bench.work)
    return ["## Who waits for whom", "",
            "While one command does something long, others list images and create containers, "
            "again and again, on the same store.", "", *table(found)]


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        found = waits(os.path.abspath(sys.argv[1]), sys.argv[2],
                        int(sys.argv[3]) if len(sys.argv) > 3 else 20000,
                        lambda text: print(text, file=sys.stderr))
        print("\n".join(table(found)))
    finally:
        clean(sys.argv[2])


if __name__ == "__main__":
    main()
