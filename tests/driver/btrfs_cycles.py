#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does a store on btrfs stay as it is, however many containers come and go?

usage: tests/loopfs --options commit=1 btrfs tests/driver/btrfs_cycles.py IMBREX LAYOUTS

Creates, mounts, writes to, unmounts and removes IMBREX_CYCLES containers (40; by hand 10000), each
with a limit and a subvolume of its own in it, and looks for what is left: subvolumes, quota groups,
quota files, mounts, temporary directories. Prints what a cycle took at the beginning and at the end.
"""
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

IMBREX, LAYOUTS = (os.path.abspath(a) for a in sys.argv[1:3])
CYCLES = int(os.environ.get("IMBREX_CYCLES", "40"))
BASE = os.environ.get("IMBREX_LOOPFS") or sys.exit("usage: " + __doc__.split("\n")[3][7:])
ROOT, RUNROOT = BASE + "/root", BASE + "/run"


def execute(*argv):
    p = subprocess.run(argv, capture_output=True, text=True, check=False,
                       env={**os.environ, "CONTAINERS_STORAGE_CONF": "/dev/null"})
    if p.returncode:
        sys.exit(f"{' '.join(argv)}: {p.returncode}\n{p.stdout}{p.stderr}")
    return p.stdout.strip()


def imbrex(*words):
    return execute(IMBREX, "--root", ROOT, "--runroot", RUNROOT, "--driver", "btrfs", *words)


def storage(*words):
    return execute(IMBREX, "storage", "--graph", ROOT, "--run", RUNROOT, "--storage-driver", "btrfs",
                   *words)


def cycle(number):
    name = f"box{number}"
    storage("create-container", "--storage-opt", "size=64m", "-n", name, "localhost/one:latest")
    tree = imbrex("mount", name)
    with open(tree + "/written", "w", encoding="utf-8") as f:
        f.write(name)
    execute("btrfs", "subvolume", "create", tree + "/nested")
    imbrex("umount", name)
    imbrex("rm", name)


def left():
    """What lies there, in numbers; the kernel removes what is destroyed in its own time."""
    execute("btrfs", "subvolume", "sync", BASE)
    groups = execute("btrfs", "qgroup", "show", "--raw", BASE).splitlines()
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        mounts = sum(line.split()[4].startswith(BASE + "/") for line in f)
    books = f"{RUNROOT}/btrfs-layers/mountpoints.json"
    with open(books, encoding="utf-8") as f:
        counted = len(json.load(f) or [])
    temps = f"{ROOT}/btrfs/tempdirs"
    return {
        "subvolumes": len(execute("btrfs", "subvolume", "list", BASE).splitlines()),
        "quota groups": sum(line.startswith("0/") for line in groups),
        "quota files": len(os.listdir(f"{ROOT}/btrfs/quotas")),
        "mounts": mounts,
        "counted mounts": counted,
        "temporary": len(os.listdir(temps)) if os.path.isdir(temps) else 0,
        "containers": len(os.listdir(f"{ROOT}/btrfs-containers")),
    }


def main():
    if not shutil.which("btrfs"):
        print("skipped: btrfs is not installed")
        sys.exit(77)
    execute(sys.executable, "-B", LAYOUTS, BASE + "/layouts")
    imbrex("pull", "-q", f"oci:{BASE}/layouts:one", "one")
    cycle(0)
    before = left()
    took = []
    for number in range(1, CYCLES + 1):
        start = time.monotonic()
        cycle(number)
        took.append(time.monotonic() - start)
    after = left()
    tenth = max(CYCLES // 10, 1)
    print(f"{CYCLES} cycles: {statistics.median(took[:tenth]) * 1000:.1f} ms each in the first tenth, "
          f"{statistics.median(took[-tenth:]) * 1000:.1f} ms in the last")
    print(f"left: {after}")
    if after != before:
        sys.exit(f"before: {before}")
    if imbrex("check"):
        sys.exit("check is not content")


main()
