#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does a container cost what its image weighs? Bytes on a file system of its own, before and after.

usage: loopfs TYPE test_instant.py IMBREX DRIVER clones|copies
       onzfs test_instant.py IMBREX zfs clones

clones: a container takes less than an eighth of its image (vfs: inodes, since each file is one), and
as much of an image with ten times the content. copies: it takes all of it, and holds the same.
"""
import hashlib
import io
import os
import subprocess
import sys
import tarfile

IMBREX, DRIVER, WANT = sys.argv[1:4]
PLACE = os.environ["IMBREX_ZFS_ROOT" if DRIVER == "zfs" else "IMBREX_LOOPFS"]
CONTAINERS = 4
N_FILES = 64


def storage(*words, data=b""):
    p = subprocess.run([IMBREX, "storage", "-g", PLACE + "/root", "-R", PLACE + "/run", "-s", DRIVER,
                        *words], input=data, capture_output=True, check=False)
    if p.returncode:
        sys.exit(f"{words}: {p.stdout.decode()}{p.stderr.decode()}")
    return p.stdout.decode().split()


def archive(file_bytes):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for n in range(N_FILES):
            entry = tarfile.TarInfo(f"f{n}")
            entry.size = file_bytes
            t.addfile(entry, io.BytesIO(hashlib.shake_128(str(n).encode()).digest(file_bytes)))
    return out.getvalue()


def used():
    if DRIVER == "zfs":  # a container's dataset is a file system of its own
        pool = os.environ["IMBREX_ZFS"].split("/")[0]
        subprocess.run(["zpool", "sync", pool], check=True)
        return int(subprocess.run(["zpool", "list", "-Hpo", "allocated", pool], check=True,
                                  capture_output=True).stdout)
    subprocess.run(["sync", "-f", PLACE], check=True)
    st = os.statvfs(PLACE)
    return (st.f_blocks - st.f_bfree) * st.f_frsize


def tree(layer):
    """Digest of what a mount shows."""
    where = storage("mount", layer)[0]
    total = hashlib.sha256()
    for name in sorted(os.listdir(where)):
        with open(os.path.join(where, name), "rb") as f:
            total.update(name.encode() + f.read())
    storage("unmount", layer)
    return total.hexdigest()


def cost(image, file_bytes):
    """Bytes that one container takes. It holds what the image holds, and is its own."""
    storage("import-layer", "-i", image, data=archive(file_bytes))
    before, want = used(), tree(image)
    boxes = [f"{image}-box{n}" for n in range(CONTAINERS)]
    for box in boxes:
        storage("create-layer", "-i", box, image)
    took = (used() - before) // CONTAINERS
    for box in boxes:
        if tree(box) != want:
            sys.exit(f"{box} does not hold what {image} holds")
    where = storage("mount", boxes[0])[0]
    with open(where + "/f0", "r+b") as f:
        f.write(b"changed")
    storage("unmount", boxes[0])
    if tree(image) != want or tree(boxes[1]) != want or tree(boxes[0]) == want:
        sys.exit(f"{boxes[0]} is not apart from {image}")
    return took


def main():
    small, large = 64 << 10, 640 << 10
    costs = [(N_FILES * size, cost(name, size)) for name, size in (("small", small),
                                                                   ("large", large))]
    for size, took in costs:
        print(f"{DRIVER}: a container of an image of {size} bytes takes {took}")
    for size, took in costs:
        if WANT == "copies" and took < size * 7 // 8:
            sys.exit("it was said to be a copy")
        if WANT == "clones" and took > size // 8:
            sys.exit("it was said to be a clone")
    if WANT == "clones" and costs[1][1] > costs[0][1] + (1 << 20):
        sys.exit("ten times the content cost more")
    storage("wipe")


main()
