#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Part of the report: the driver btrfs beside podman's and containers-storage's, on one file system.

As a program it runs below tests/loopfs: bench/btrfs.py IMBREX LAYOUT ROUNDS
"""
import os
import statistics
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def timed(*words):
    start = time.monotonic()
    p = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False,
                       stderr=subprocess.STDOUT, text=True)
    if p.returncode:
        sys.exit(f"{' '.join(words)} failed with {p.returncode}:\n{p.stdout}")
    return time.monotonic() - start, p.stdout.strip()


class Store:
    """One of a program's own, on the file system of all."""

    def __init__(self, name, imbrex):
        place = f"{os.environ['TMPDIR']}/{name[0]}"  # podman takes short ones only
        os.mkdir(place)
        roots = ["--root", f"{place}/r", "--runroot", f"{place}/run"]
        self.name = name
        self.imbrex = [imbrex, *roots, "--driver", "btrfs"]
        self.podman = ["podman", *roots, "--storage-driver", "btrfs", "--cgroup-manager", "cgroupfs",
                       "--events-backend", "file"]
        self.storage = ["containers-storage", "--graph", f"{place}/r", "--run", f"{place}/run",
                        "--storage-driver", "btrfs"]
        self.ours = name == "imbrex"
        self.boxes = []

    def pull(self, layout):
        """podman's pull fills the store of containers-storage, too, which has none."""
        if self.ours:
            took, self.image = timed(*self.imbrex, "pull", "-q", f"oci:{layout}", "localhost/big:1")
        else:
            took, out = timed(*self.podman, "pull", "-q", f"oci:{layout}")
            self.image = out.splitlines()[-1]
        return took

    def create(self):
        if self.ours:
            took, out = timed(*self.imbrex, "create", self.image)
        elif self.name == "podman":
            took, out = timed(*self.podman, "create", "-q", "--ulimit", "nofile=1024:1024",
                              self.image, "true")
        else:
            took, out = timed(*self.storage, "create-container", self.image)
        self.boxes.append(out.split()[-1 if self.name == "podman" else 0])
        return took

    def remove(self):
        verb = {"imbrex": (*self.imbrex, "rm"), "podman": (*self.podman, "rm"),
                "containers-storage": (*self.storage, "delete-container")}[self.name]
        return timed(*verb, self.boxes.pop())[0]

    def changes(self):
        """Of a container that nobody has used, against its image: nothing, but both are looked at."""
        words = {"imbrex": (self.imbrex[0], "storage", *self.storage[1:], "changes"),
                 "podman": (*self.podman, "diff"),
                 "containers-storage": (*self.storage, "changes")}[self.name]
        box = self.boxes[-1]
        if self.name != "podman":
            box = next(word for line in timed(*self.storage, "container", box)[1].splitlines()
                       for key, _, word in [line.partition(": ")] if key == "Layer")
        return timed(*words, box)[0]

    def remove_image(self):
        if self.ours:
            return timed(*self.imbrex, "rmi", self.image)[0]
        return timed(*self.podman, "rmi", self.image)[0]


def measure(imbrex, layout, rounds):
    names = ("imbrex", "podman", "containers-storage")
    stores = [Store(name, imbrex) for name in names]
    many = rounds * 4
    rows = []

    def row(title, action, times, who=names):
        took = {name: [] for name in who}
        for _ in range(times):
            for store in stores:
                if store.name in who:
                    took[store.name].append(action(store))
        rows.append((title, {name: statistics.median(t) for name, t in took.items()}))

    stores[2].pull(layout)
    row("pull an image from a layout on the same machine", lambda s: s.pull(layout), 1, names[:2])
    row("create a container", Store.create, many)
    row("what a new container changes", Store.changes, rounds)
    row("remove a container", Store.remove, many)
    row("remove the image", Store.remove_image, 1, names[:2])
    print("| work on btrfs | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 1) + "|")
    for title, took in rows:
        cells = []
        for name in names:
            if name not in took:
                cells.append("")
            elif name == "imbrex":
                cells.append(f"{took[name] * 1000:.1f} ms")
            else:
                cells.append(f"{took[name] * 1000:.1f} ms (**{took[name] / took['imbrex']:.1f} x**)")
        print(f"| {title} | " + " | ".join(cells) + " |")


def section(bench):
    """Lines of Markdown."""
    layout = f"{bench.work}/images/gzip-big:big"
    p = subprocess.run([f"{TOP}/tests/loopfs", "--size", "8G", "btrfs", sys.executable, "-B",
                        __file__, bench.options.imbrex, layout, str(bench.rounds)],
                       stdout=subprocess.PIPE, text=True, check=False)
    out = ["", "## btrfs", "", "On a file system of its own on a loop device, made for this.", ""]
    if p.returncode == 77:
        return out + ["Not measured: " + p.stdout.strip()]
    if p.returncode:
        sys.exit(f"bench: btrfs: {p.stdout}")
    return out + p.stdout.splitlines()


if __name__ == "__main__":
    measure(sys.argv[1], sys.argv[2], int(sys.argv[3]))
