#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""interop_idmap.py UNPACK DRIVER: do identity maps make the same trees as with containers-storage?

Three ways: entries into layers that have a map; a layer that is a copy with other owners (in `diff1`
of overlay); a tree that the kernel shows through a map. And force_mask, where owners and modes lie
in xattrs. Known differences, all wanted: see interop.py, and FORGIVEN below.
"""
import os
import shutil
import subprocess
import sys
import tempfile

import interop
from interop import CAP, D, F, H, L, C, P, e

MAP = "0:100000:65536"
PIECES = ["0:200000:10", "11:150000:65000"]
CASES = {
    "plain": ([MAP], [
        e("a", D, uid=1, gid=2), e("a/f", uid=5, gid=6, data=b"x"), e("b", D), e("cap", mode=0o755,
        data=b"c", pax={"SCHILY.xattr.security.capability": CAP}), e("su", mode=0o4755, uid=7, gid=8),
        e("sg", mode=0o2755, uid=7, gid=8, data=b"g"), e("l", L, link="/x", uid=3, gid=4),
        e("p", P, 0o600, uid=9), e("c", C, 0o620, 0, 5, dev=(1, 3)), e("last", uid=65534, gid=65535),
        e("u", data=b"u", pax={"SCHILY.xattr.user.note": "hi"}), e("im/pli/cit", data=b"x", uid=1),
    ]),
    "pieces": (PIECES, [e("x", D, uid=9, gid=9), e("x/y", uid=11, gid=11, data=b"y"), e("z")]),
}
# Taking hard links apart and together, containers-storage loses the times of their directories.
LINKS = ([MAP], [e("a/f", uid=5, gid=6, data=b"x"), e("b/h", H, uid=5, gid=6, link="a/f"),
                 e("b/h2", H, uid=5, gid=6, link="a/f")])
# 1.43 fails on devices and fifos; newer ones make them empty files, as test_program.c has it.
MASKED = [
    e("d", D, 0o1777, 5, 6), e("d/f", mode=0o4755, uid=7, gid=8, data=b"x"),
    e("d/h", H, 0o4755, 7, 8, link="d/f"), e("s", L, link="d/f"),
    e("x", data=b"x", pax={"SCHILY.xattr.user.note": "hi"}),
]
BASE, TOP = format(1, "064x"), format(2, "064x")


class Theirs:
    """A store of containers-storage; `shifting` False: as on a kernel without id-mapped mounts."""

    def __init__(self, work, driver, shifting=True, options=()):
        self.work, self.driver = work, driver
        self.tool = ["containers-storage", "-g", work + "/cs", "-R", work + "/csr", "-s", driver]
        for option in options:
            self.tool += ["--storage-opt", option]
        if not shifting and driver == "overlay":
            os.makedirs(work + "/csr/overlay", 0o700)
            with open(work + "/csr/overlay/idmapped-lower-dir-false", "w", encoding="ascii"):
                pass

    def run(self, *args):
        done = subprocess.run(self.tool + list(args), check=False, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError("%s: %s" % (args, done.stderr))
        return done.stdout.strip()

    def layer(self, layer, parent, maps, tar=None):
        args = ["--uidmap", ":".join(maps), "--gidmap", ":".join(maps)] if maps else []
        self.run("create-layer", "-r", "-i", layer, *args, *([parent] if parent else []))
        if tar:
            self.run("applydiff", "-f", tar, layer)

    def tree(self, layer, diff="diff"):
        home = "/cs/overlay/%s/" + diff if self.driver == "overlay" else "/cs/vfs/dir/%s"
        return self.work + home % layer

    def shutdown(self):
        subprocess.run(self.tool + ["shutdown", "-f"], capture_output=True, check=False)


def ours(work, unpack, driver, tar, maps, *flags):
    args = [a for m in maps for a in ("-m", m)]
    subprocess.run([unpack, *args, *flags, driver, work + "/ours", tar], check=True,
                   stdout=subprocess.DEVNULL)


def our_tree(work, driver, layer, diff="diff"):
    return work + ("/ours/g/overlay/%s/" + diff if driver == "overlay"
                   else "/ours/g/vfs/dir/%s") % layer


def listing(root, entries):
    named = {os.path.normpath(x.name) for x, _ in entries if x.type == D}
    tree = interop.listing(root, named)
    for item in tree.values():
        # Of copies that the kernel made: names of inodes below.
        item[-1] = {n: v for n, v in item[-1].items() if not n.startswith("trusted.overlay.")}
    return tree


def differences(what, theirs, mine, skip=()):
    bad = 0
    for path in sorted((set(theirs) | set(mine)) - set(skip)):
        if theirs.get(path) != mine.get(path):
            print("%s, %s:\n  theirs %s\n  ours   %s" % (
                what, path, theirs.get(path), mine.get(path)))
            bad += 1
    return bad


def entries_into_mapped_layers(unpack, driver, work, case):
    maps, entries = CASES[case]
    tar = work + "/t.tar"
    interop.make_tar(tar, entries)
    them = Theirs(work, driver, shifting=False)
    them.layer(BASE, None, maps, tar)
    ours(work, unpack, driver, tar, maps)
    # Parents that no entry names: root inside, but root of the host in vfs there.
    bad = differences("entries", listing(them.tree(BASE), entries),
                      listing(our_tree(work, driver, "layer1"), entries),
                      ["im", "im/pli"] if driver == "vfs" else [])
    them.shutdown()
    return bad


def copies_with_other_owners(unpack, driver, work, case):
    maps, entries = CASES[case] if case != "links" else LINKS
    tar = work + "/t.tar"
    interop.make_tar(tar, entries)
    them = Theirs(work, driver, shifting=False)
    them.layer(BASE, None, [], tar)
    them.layer(TOP, BASE, maps)
    ours(work, unpack, driver, tar, maps, "-c")
    theirs = listing(them.tree(TOP, "diff1"), entries)
    mine = listing(our_tree(work, driver, "mapped", "diff1"), entries)
    # containers-storage 1.43 leaves out the root and some of what is no regular file: compared
    # with what entries become that are mapped on their way in.
    left_out = [p for p in mine if p not in theirs or theirs[p][1] < 100000]
    bad = differences("copy", theirs, mine, left_out + ["a", "b"] * (case == "links"))
    ours(work + "/again", unpack, driver, tar, maps)
    bad += differences("copy and entries", listing(
        our_tree(work + "/again", driver, "layer1"), entries), mine, ["."])
    subprocess.run(["umount", "-l", work + "/again/ours/g/" + driver], check=False,
                   stderr=subprocess.DEVNULL)
    if driver == "overlay":
        bad += differences("diff of the copy", listing(them.tree(TOP), entries),
                           listing(our_tree(work, driver, "mapped"), entries))
        for name in "work", "link", "lower":
            a = os.lstat(them.tree(TOP, name))
            b = os.lstat(our_tree(work, driver, "mapped", name))
            if (a.st_mode, a.st_uid, a.st_gid) != (b.st_mode, b.st_uid, b.st_gid):
                print("%s: theirs %s, ours %s" % (name, a, b))
                bad += 1
    them.shutdown()
    return bad


def shown_through_maps(unpack, driver, work, case):
    maps, entries = CASES[case]
    tar = work + "/t.tar"
    interop.make_tar(tar, entries)
    them = Theirs(work, driver)
    them.layer(BASE, None, [], tar)
    image = them.run("create-image", BASE).split()[0]
    args = ["--uidmap", ":".join(maps), "--gidmap", ":".join(maps)]
    container = them.run("create-container", *args, image).split()[0]
    theirs = listing(them.run("mount", container), entries)
    them.run("unmount", container)
    them.shutdown()
    args = [a for m in maps for a in ("-m", m)]
    with subprocess.Popen([unpack, *args, "-s", driver, work + "/ours", tar], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as me:
        mine = listing(me.stdout.readline().strip(), entries)
        me.communicate("")
        if me.returncode:
            raise RuntimeError("unpack failed")
    # 1.43 leaves the root of the tree to the host's root; newer ones give it to root inside.
    return differences("shown", theirs, mine, ["."])


def as_143_tells_it(tree):
    """Newer ones keep set-id bits and the type in the xattr, too."""
    name = "user.containers.override_stat"
    for item in tree.values():
        if name in item[-1]:
            uid, gid, mode = item[-1][name].split(b":")[:3]
            item[-1][name] = b"%s:%s:%04o" % (uid, gid, int(mode, 8) & 0o777)
    return tree


def masks(unpack, driver, work, _case):
    program = shutil.which("fuse-overlayfs")
    if driver != "overlay" or not program:
        return 0
    tar = work + "/t.tar"
    interop.make_tar(tar, MASKED)
    options = ["overlay.mount_program=" + program, "overlay.force_mask=shared"]
    them = Theirs(work, driver, options=options)
    them.layer(BASE, None, [], tar)
    ours(work, unpack, driver, tar, [], *[a for o in options for a in ("-o", o)])
    bad = differences("masked", listing(them.tree(BASE), MASKED),
                      as_143_tells_it(listing(our_tree(work, driver, "layer1"), MASKED)))
    them.shutdown()
    return bad


def main():
    unpack, driver = sys.argv[1:3]
    if os.geteuid() != 0 or not shutil.which("containers-storage"):
        print("skipped: needs root and containers-storage")
        return 77
    bad = 0
    for test, cases in ((entries_into_mapped_layers, CASES),
                        (copies_with_other_owners, list(CASES) + ["links"]),
                        # 1.43 makes no container with a map of pieces.
                        (shown_through_maps, ["plain"] if driver == "overlay" else ()),
                        (masks, [""])):
        for case in cases:
            work = tempfile.mkdtemp(prefix="imbrex-interop-")
            try:
                found = test(unpack, driver, work, case)
                print("%s %s: %d differences" % (test.__name__, case, found))
                bad += found
            finally:
                for store in "/cs/", "/ours/g/":
                    subprocess.run(["umount", "-l", work + store + driver], check=False,
                                   stderr=subprocess.DEVNULL)
                shutil.rmtree(work)
    return 1 if bad else 0


sys.exit(main())
