#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""interop.py UNPACK DRIVER: do we make the same trees of the same tars as containers-storage?

Every mode, owner, mtime, link, device, content and xattr is compared. Known differences, all
wanted: the mtime of a directory that the tar does not name ("now" on both sides) is not compared,
nor that of the root, which containers-storage touches itself, nor that of whiteouts.
"""
import hashlib
import io
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile

D, F, L, H = tarfile.DIRTYPE, tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
C, B, P = tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE
CAP = "\x01\x00\x00\x02\x00\x20" + "\x00" * 14


def e(name, kind=F, mode=0o644, uid=0, gid=0, link="", data=b"", mtime=1000, dev=(0, 0), pax=None):
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.uid, info.gid, info.linkname = kind, mode, uid, gid, link
    info.size, info.mtime, (info.devmajor, info.devminor) = len(data), mtime, dev
    info.pax_headers = pax or {}
    return info, data


CASES = {
    "every kind": [[
        e("./", D, 0o711, 5, 6, mtime=5), e("d", D, 0o1777), e("d/f", mode=0o4755, data=b"x"),
        e("d/h", H, 0o4755, link="d/f"), e("d/s", L, 0o777, 3, 4, link="/no/where", mtime=77),
        e("d/c", C, 0o620, 0, 5, dev=(1, 3)), e("d/b", B, 0o660, 0, 6, dev=(7, 300)),
        e("d/p", P, 0o600, mtime=123.456789), e("big", uid=70000, gid=70001, data=b"b" * 70000),
        e("x", data=b"x", pax={"SCHILY.xattr.user.note": "hi"}),
        e("cap", mode=0o755, data=b"x", pax={"SCHILY.xattr.security.capability": CAP}),
        e("old", mtime=0), e("long/" + "n" * 200, data=b"n"),
    ]],
    # One tar never names a path twice: containers-storage refuses that.
    "replacing": [[
        e("a", data=b"first"), e("b", D), e("b/in"), e("c"), e("d", D, 0o700), e("d/in"),
        e("l", L, link="d"), e("g", D), e("h1", data=b"h"), e("h2", H, link="h1"),
        e("h3", H, 0o600, 7, 8, link="h1", mtime=55), e("p", P), e("x", C, dev=(1, 3)),
    ], [
        e("a", data=b"2"), e("b", data=b"file"), e("c", D, 0o700), e("d", D, 0o711, 1, 2, mtime=9),
        e("l", data=b"x"), e("g", L, link="d"), e("h1", data=b"new"), e("p"), e("x", L, link="a"),
    ]],
    "links as parents": [[
        e("real", D), e("lnk", L, link="/real"), e("lnk/through", data=b"t"),
        e("rel", L, link="real"), e("rel/sub", D), e("rel/sub/x", data=b"x"),
        e("climb", L, link="../../../real"), e("climb/y", data=b"y"),
        e("hard", H, link="lnk/through"), e("hs", H, 0o777, link="lnk"),
    ]],
    "setgid and implicit parents": [[
        e("sg", D, 0o2775, 0, 50), e("sg/f", data=b"f"), e("sg/sub", D), e("sg/sub/g"),
        e("im/pli/cit", data=b"x"), e("sg/sub/im/f"),
    ]],
    "layers": [[
        e("d", D), e("d/keep", data=b"k"), e("d/gone"), e("tree", D), e("tree/sub", D),
        e("tree/sub/f"), e("o", D), e("o/old"), e("o/sub", D), e("o/sub/old"), e("was", data=b""),
    ], [
        e("d", D, 0o700), e("d/.wh.gone"), e(".wh.tree"), e("o", D), e("o/new", data=b"n"),
        e("o/sub", D), e("o/sub/new"), e("o/.wh..wh..opq"), e("was", D), e("imp/.wh.zap", uid=3, gid=4),
        e("none/.wh..wh..opq"),
    ], [e("d/gone", data=b"back"), e("o/.wh.sub"), e("tree", D, 0o711)]],
}


def make_tar(path, entries):
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))


def listing(root, named):
    """path -> what is compared; `named`: directories whose mtime the tar gives."""
    out, inodes = {}, {}
    for base, dirs, files in os.walk(root):
        for name in [""] * (base == root) + sorted(dirs + files):
            path = os.path.join(base, name) if name else root
            rel = os.path.relpath(path, root)
            st = os.lstat(path)
            kind = stat.S_IFMT(st.st_mode)
            item = [oct(st.st_mode), st.st_uid, st.st_gid]
            whiteout = kind == stat.S_IFCHR and st.st_rdev == 0
            if not whiteout and (kind != stat.S_IFDIR or rel in named):
                item.append(st.st_mtime_ns)
            if kind == stat.S_IFLNK:
                item.append(os.readlink(path))
            elif kind == stat.S_IFREG:
                with open(path, "rb") as f:
                    item.append(hashlib.sha256(f.read()).hexdigest())
            elif kind in (stat.S_IFCHR, stat.S_IFBLK):
                item.append(st.st_rdev)
            if kind != stat.S_IFDIR and st.st_nlink > 1:
                item.append(inodes.setdefault(st.st_ino, rel))
            names = os.listxattr(path, follow_symlinks=False)
            item.append({n: os.getxattr(path, n, follow_symlinks=False) for n in sorted(names)})
            out[rel] = item
    return out


def their_layers(work, driver, tars):
    # Before the command: behind it, overlay's default options would be given to vfs.
    tool = ["containers-storage", "-g", work + "/cs", "-R", work + "/csr", "-s", driver]
    parent = []
    for i, tar in enumerate(tars):
        layer = format(i + 1, "064x")
        subprocess.run(tool + ["create-layer", "-i", layer] + parent, check=True,
                       stdout=subprocess.DEVNULL)
        subprocess.run(tool + ["applydiff", "-f", tar, layer], check=True,
                       stdout=subprocess.DEVNULL)
        parent = [layer]
        home = "/overlay/%s/diff" if driver == "overlay" else "/vfs/dir/%s"
        yield work + "/cs" + home % layer
    subprocess.run(tool + ["shutdown"], stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, check=False)


def compare(case, unpack, driver, work):
    tars = []
    for i, entries in enumerate(CASES[case]):
        tars.append(work + "/%d.tar" % i)
        make_tar(tars[-1], entries)
    subprocess.run([unpack, driver, work + "/ours"] + tars, check=True, stdout=subprocess.DEVNULL)
    home = "/ours/g/overlay/layer%d/diff" if driver == "overlay" else "/ours/g/vfs/dir/layer%d"
    named, bad = set(), 0
    for i, theirs in enumerate(their_layers(work, driver, tars)):
        if driver == "overlay":
            named = set()
        named |= {os.path.normpath(x.name) for x, _ in CASES[case][i] if x.type == D} - {"."}
        if driver == "vfs":
            # Changed below without an entry of its own: "now" there, kept here.
            named -= {os.path.dirname(x.name) for x, _ in CASES[case][i]} - {
                os.path.normpath(x.name) for x, _ in CASES[case][i] if x.type == D}
        want, have = listing(theirs, named), listing(work + home % (i + 1), named)
        for path in sorted(set(want) | set(have)):
            if want.get(path) != have.get(path):
                print("%s, layer %d, %s:\n  theirs %s\n  ours   %s" % (
                    case, i + 1, path, want.get(path), have.get(path)))
                bad += 1
    return bad


def main():
    unpack, driver = sys.argv[1:3]
    if os.geteuid() != 0 or not shutil.which("containers-storage"):
        print("skipped: needs root and containers-storage")
        return 77
    bad = 0
    for case in CASES:
        work = tempfile.mkdtemp(prefix="imbrex-interop-")
        try:
            bad += compare(case, unpack, driver, work)
        finally:
            subprocess.run(["umount", "-l", work + "/cs/" + driver], stderr=subprocess.DEVNULL,
                           check=False)
            shutil.rmtree(work)
    print("%d differences" % bad)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
