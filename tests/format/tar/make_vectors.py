#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make the tar vectors beside this file. Run by hand; ORIGIN.md says when and with what.

Every archive is made from fixed metadata, so that a second run gives the same bytes. `hand` means:
put together here, block by block, because no program writes it.
"""
import io
import os
import subprocess
import sys
import tarfile
import tempfile

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "vectors")


def number(value, size):
    return b"%0*o\0" % (size - 1, value)


def block(name, typeflag=b"0", size=0, link=b"", magic=b"ustar\0" b"00", mode=0o644, uid=0, gid=0,
          mtime=0, prefix=b"", fields=None):
    """One header block; `fields` are (offset, bytes) put over it before the checksum."""
    head = bytearray(512)
    for offset, data in [
            (0, name), (100, number(mode, 8)), (108, number(uid, 8)), (116, number(gid, 8)),
            (124, number(size, 12)), (136, number(mtime, 12)), (156, typeflag), (157, link),
            (257, magic), (329, number(0, 8)), (337, number(0, 8)), (345, prefix)] + (fields or []):
        head[offset:offset + len(data)] = data
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)


def padded(data):
    return data + bytes(-len(data) % 512)


def record(key, value):
    body = b" " + key + b"=" + value + b"\n"
    size = len(body)
    while len(b"%d" % size) + len(body) != size:
        size = len(b"%d" % size) + len(body)
    return b"%d" % size + body


def pax(records, typeflag=b"x", name=b"./PaxHeaders/x"):
    data = b"".join(record(k, v) for k, v in records)
    return block(name, typeflag, len(data)) + padded(data)


END = bytes(1024)


def python_tar(path, fmt):
    with tarfile.open(path, "w", format=fmt, errors="surrogateescape") as tar:
        def add(name, typ=tarfile.REGTYPE, data=b"", **more):
            info = tarfile.TarInfo(name)
            info.type = typ
            info.size = len(data)
            info.mtime = 1700000000
            for key, value in more.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))
        yield add


def python_vectors():
    for fmt, name in ((tarfile.USTAR_FORMAT, "ustar"), (tarfile.GNU_FORMAT, "gnu"),
                      (tarfile.PAX_FORMAT, "pax")):
        for add in python_tar(out("kinds", "python-" + name), fmt):
            add("./", tarfile.DIRTYPE, mode=0o755)
            add("./etc/", tarfile.DIRTYPE, mode=0o755)
            add("./etc/motd", data=b"hello\n", uid=7, gid=8, mode=0o640)
            add("./etc/empty")
            add("./etc/block512", data=b"b" * 512)
            add("./bin/su", data=b"#!\n", mode=0o4755)
            add("./etc/link", tarfile.SYMTYPE, linkname="../usr/x")
            add("./etc/hard", tarfile.LNKTYPE, linkname="./etc/motd")
            add("./dev/null", tarfile.CHRTYPE, mode=0o666, devmajor=1, devminor=3)
            add("./dev/sda", tarfile.BLKTYPE, mode=0o660, devmajor=8, devminor=0)
            add("./run/pipe", tarfile.FIFOTYPE)
            add("./gone/.wh.file")
            add("./gone/.wh..wh..opq")
        if name != "ustar":
            long = "d" * 90 + "/" + "e" * 90 + "/" + "f" * 90
            for add in python_tar(out("long-names", "python-" + name), fmt):
                add(long, data=b"long\n")
                add("l" * 120, tarfile.SYMTYPE, linkname=long)
                add("h" * 120, tarfile.LNKTYPE, linkname=long)
                add("d" * 250 + "/", tarfile.DIRTYPE, mode=0o700)
        for add in python_tar(out("not-utf8", "python-" + name), fmt):
            add("latin-\udce9", data=b"1\n")
            add("quote\"back\\slash", data=b"2\n")
            add("tab\tnew\nline", data=b"3\n")
            add("html<&>\u2028", data=b"4\n")
    for add in python_tar(out("prefix", "python-ustar"), tarfile.USTAR_FORMAT):
        add("p" * 100 + "/" + "q" * 54 + "/" + "r" * 99, data=b"prefix\n")
    for add in python_tar(out("big-numbers", "python-gnu"), tarfile.GNU_FORMAT):
        add("ids", uid=3000000, gid=4294967294)
        add("old", mtime=-1)
        add("far", mtime=1 << 35)
    for add in python_tar(out("big-numbers", "python-pax"), tarfile.PAX_FORMAT):
        add("ids", uid=3000000, gid=4294967294)
        add("old", mtime=-1.5)
        add("far", mtime=1700000000.25)
    for add in python_tar(out("xattrs", "python-pax"), tarfile.PAX_FORMAT):
        add("x", data=b"x\n", pax_headers={
            "SCHILY.xattr.user.z": "last", "SCHILY.xattr.user.a": "first",
            "SCHILY.xattr.security.selinux": "label", "SCHILY.xattr.trusted.overlay.opaque": "y",
            "SCHILY.xattr.user.overlay.redirect": "/x", "SCHILY.xattr.com.apple.quarantine": "q",
            "LIBARCHIVE.creationtime": "1"})
        add("y", data=b"y\n")


def gnu_tar_vectors():
    with tempfile.TemporaryDirectory() as top:
        os.makedirs(os.path.join(top, "dir", "n" * 130))
        with open(os.path.join(top, "dir", "n" * 130, "file"), "w", encoding="ascii") as f:
            f.write("gnu\n")
        os.symlink("s" * 130, os.path.join(top, "dir", "sym"))
        os.link(os.path.join(top, "dir", "n" * 130, "file"), os.path.join(top, "dir", "twin"))
        for fmt in ("v7", "oldgnu", "gnu", "ustar", "pax"):
            pax_options = ["--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime"]
            if fmt != "pax":
                pax_options = []
            what = ["dir"] if fmt in ("oldgnu", "gnu", "pax") else ["dir/twin"]
            subprocess.run(
                ["tar", "--format=" + fmt, "--sort=name", "--owner=root:0", "--group=root:0",
                 "--mode=u=rwX,go=rX", "--mtime=@1600000000", "--blocking-factor=1"] + pax_options + ["-cf", out("tree", "gnutar-" + fmt), "-C", top] + what,
                check=True)


def hand_vectors():
    body = padded(b"data\n")
    write("global-header", "hand", [
        pax([(b"comment", b"abc")], b"g", b"././@PaxHeader"),
        pax([(b"path", b"renamed"), (b"mtime", b"-0.5")]), block(b"a", size=5), body, END])
    write("global-header", "hand-path", [
        pax([(b"path", b"global-name")], b"g", b"g"), block(b"a", size=5), body, END])
    write("pax-size", "hand", [
        pax([(b"size", b"5")]), block(b"a", size=1000), body, block(b"b", size=5), body, END])
    write("pax-size", "hand-longname", [
        pax([(b"size", b"5")]), block(b"././@LongLink", b"L", 8), padded(b"gnuname\0"),
        block(b"a", size=0), body, END])
    write("hardlink-size", "hand", [
        block(b"a", size=5), body, block(b"b", b"1", size=5, link=b"a"), END])
    write("dir-size", "hand", [block(b"d/", b"5", size=5), block(b"a", size=5), body, END])
    write("old-directory", "hand", [block(b"d/", b"\0", magic=b"\0" * 8),
                                    block(b"f", b"\0", 5, magic=b"\0" * 8), body, END])
    write("end", "hand-none", [block(b"a", size=5), body])
    write("end", "hand-one-block", [block(b"a", size=5), body, bytes(512)])
    write("end", "hand-unpadded", [block(b"a", size=5), b"data\n"])
    write("end", "hand-trailing", [block(b"a", size=5), body, END, b"trailing bytes, not a block"])
    write("end", "hand-second-archive", [block(b"a", size=5), body, END, block(b"b"), END])
    write("end", "hand-empty", [END])
    write("base256", "hand", [block(b"a", mode=0o600, fields=[
        (108, b"\x80\0\0\0\0\x2d\xc6\xc0"), (136, b"\xff" * 11 + b"\xfe")]), END])
    write("star", "hand", [block(b"n", prefix=b"p", fields=[
        (476, number(12, 12)), (488, number(13, 12)), (508, b"tar\0")]), END])
    write("gnu-prefix", "hand", [block(b"n", magic=b"ustar  \0", prefix=b"go17/prefix"), END])


def out(prop, producer):
    os.makedirs(os.path.join(HERE, prop), exist_ok=True)
    return os.path.join(HERE, prop, producer + ".tar")


def write(prop, producer, parts):
    with open(out(prop, producer), "wb") as f:
        f.write(b"".join(parts))


def main():
    tarfile.RECORDSIZE = 1024  # no need for 10 KiB of zeros each
    python_vectors()
    gnu_tar_vectors()
    hand_vectors()
    return 0


if __name__ == "__main__":
    sys.exit(main())
