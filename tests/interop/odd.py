# SPDX-License-Identifier: Apache-2.0
"""An odd image: everything a layer can hold, and what its tree must look like.

Layers are lists of entries, written by Python's tarfile in several formats. `Model` computes the
tree from the same entries by the rules of layers alone, with no code of any engine; `walk` reads
the tree that an engine made, in the same terms.
"""
import gzip
import hashlib
import io
import json
import os
import stat
import subprocess
import tarfile

KINDS = {"file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "symlink": tarfile.SYMTYPE,
         "hard": tarfile.LNKTYPE, "char": tarfile.CHRTYPE, "block": tarfile.BLKTYPE,
         "fifo": tarfile.FIFOTYPE}
FORMATS = {"pax": tarfile.PAX_FORMAT, "gnu": tarfile.GNU_FORMAT, "ustar": tarfile.USTAR_FORMAT}
# struct vfs_cap_data, revision 2, effective, CAP_NET_BIND_SERVICE and CAP_CHOWN.
CAP = b"\x01\x00\x00\x02" + b"\x01\x04\x00\x00" + bytes(12)
OCI = "application/vnd.oci.image."
ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


class Entry:
    def __init__(self, name, kind="file", mode=None, uid=0, gid=0, ns=1_600_000_000 * 10 ** 9,
                 data=b"", link="", xattrs=None, dev=(0, 0)):
        self.name, self.kind, self.uid, self.gid, self.ns = name, kind, uid, gid, ns
        self.mode = (0o755 if kind == "dir" else 0o644) if mode is None else mode
        self.data, self.link, self.xattrs, self.dev = data, link, xattrs or {}, dev


def write_tar(entries, fmt="pax"):
    """The bytes of a tar. Only pax tells nanoseconds and xattrs."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=FORMATS[fmt], encoding="utf-8",
                      errors="surrogateescape") as tar:
        for e in entries:
            info = tarfile.TarInfo(e.name)
            info.type, info.mode, info.uid, info.gid = KINDS[e.kind], e.mode, e.uid, e.gid
            info.mtime, info.linkname, info.size = e.ns // 10 ** 9, e.link, len(e.data)
            info.devmajor, info.devminor = e.dev
            if e.ns % 10 ** 9:
                info.pax_headers["mtime"] = f"{e.ns // 10 ** 9}.{e.ns % 10 ** 9:09}"
            for key, value in e.xattrs.items():
                info.pax_headers["SCHILY.xattr." + key] = value.decode("latin-1")
            if fmt != "pax" and info.pax_headers:
                raise ValueError(f"{e.name}: {fmt} cannot say {info.pax_headers}")
            tar.addfile(info, io.BytesIO(e.data) if e.data else None)
    return out.getvalue()


def odd_layers(probe):
    """[(format, entries)]; `probe` is a static program for /bin."""
    with open(probe, "rb") as f:
        program = f.read()
    big = 1 << 21
    first = [
        Entry("bin", "dir"), Entry("bin/probe", mode=0o755, data=program),
        Entry("dev", "dir"), Entry("proc", "dir", 0o555), Entry("sys", "dir", 0o555),
        Entry("run", "dir"), Entry("tmp", "dir", 0o1777),
        Entry("etc", "dir"),
        Entry("etc/passwd", data=b"root:x:0:0::/:/bin/sh\nbob:x:1000:1001::/:/bin/sh\n"),
        Entry("etc/group", data=b"root:x:0:\nbob:x:1001:\n"),
        Entry("etc/motd", data=b"first\n"),
        Entry("set", "dir", 0o2775, 7, 8),
        Entry("set/uid", mode=0o4755, data=b"u"), Entry("set/gid", mode=0o2711, uid=7, gid=42),
        Entry("set/all", mode=0o7777, uid=1, gid=1), Entry("set/none", mode=0, data=b"0"),
        Entry("far", uid=big + 5, gid=big + 70_000, data=b"far away"),
        Entry("fardir", "dir", 0o700, 4_000_000_000, 3_999_999_999),
        Entry("ns", ns=1_234_567_890_123_456_789, data=b"nanoseconds"),
        Entry("epoch", ns=0), Entry("nsdir", "dir", ns=1_000_000_000_000_000_001),
        Entry("links", "dir"), Entry("links/a", data=b"three names", mode=0o640, uid=33, gid=34),
        Entry("links/b", "hard", 0o640, 33, 34, link="links/a"),
        Entry("c-elsewhere", "hard", 0o640, 33, 34, link="links/a"),
        Entry("links/abs", "symlink", 0o777, 3, 4, 77 * 10 ** 9 + 5, link="/etc/motd"),
        Entry("links/up", "symlink", 0o777, link="../../../../outside"),
        Entry("links/dangling", "symlink", 0o777, link="n" * 300),
        Entry("x", "dir", xattrs={"user.dir": b"on a directory"}),
        Entry("x/attr", data=b"x", xattrs={"user.note": b"hello", "user.empty": b"",
                                           "user.lines": b"a\nb=c\n"}),
        Entry("x/cap", mode=0o755, data=b"x", xattrs={"security.capability": CAP}),
        Entry("node", "dir"), Entry("node/null", "char", 0o666, 0, 5, dev=(1, 3)),
        Entry("node/loop", "block", 0o660, 0, 6, dev=(7, 300)),
        Entry("node/pipe", "fifo", 0o600, 65534, 65534, 5 * 10 ** 9 + 1),
        Entry("long", "dir"), Entry("long/" + "n" * 150, data=b"n"),
        Entry("long/" + "d" * 200, "dir"), Entry("long/" + "d" * 200 + "/" + "e" * 255, data=b"e"),
        Entry("long/" + "d" * 200 + "/twin", "hard",
              link="long/" + "d" * 200 + "/" + "e" * 255),
        Entry("names", "dir"), Entry("names/na\u00efve \u4e2d", data=b"utf-8"),
        Entry("names/caf\udce9\udcff", data=b"not utf-8"), Entry("names/sp ace\\ \"q\" <&>"),
        Entry("names/new\nline\t", data=b"n"), Entry("names/-rf"), Entry("names/.wh", data=b"w"),
        Entry("gone", data=b"g"), Entry("gonedir", "dir"), Entry("gonedir/sub", "dir"),
        Entry("gonedir/sub/f", data=b"f"),
        Entry("hidden", "dir"), Entry("hidden/old", data=b"o"), Entry("hidden/deep", "dir"),
        Entry("hidden/deep/old", data=b"o"),
        Entry("merge", "dir", 0o700, 1000, 1000), Entry("merge/low", data=b"low"),
        Entry("merge/both", data=b"below"), Entry("file-to-dir", data=b"f"),
        Entry("dir-to-file", "dir"), Entry("dir-to-file/in", data=b"i"),
        Entry("link-to-dir", "symlink", 0o777, link="merge"),
        Entry("zeros", data=bytes(1 << 20)), Entry("noise", data=noise(700_001)),
    ]
    second = [  # GNU: long names and links as members of their own, no pax
        Entry(".wh.gone", mode=0), Entry(".wh.gonedir", mode=0),
        Entry("hidden", "dir", 0o711, 9, 9, 10 ** 18), Entry("hidden/.wh..wh..opq", mode=0),
        Entry("hidden/new", data=b"new"), Entry("hidden/deep", "dir", 0o750, 5, 5),
        Entry("hidden/deep/new", data=b"n"),
        Entry("merge", "dir", 0o701, 1000, 1000), Entry("merge/high", data=b"high"),
        Entry("merge/both", data=b"above", mode=0o600, uid=big + 1, gid=3),
        Entry("file-to-dir", "dir"), Entry("file-to-dir/in", data=b"i"),
        Entry("dir-to-file", data=b"was a directory"),
        Entry("link-to-dir", "dir"), Entry("link-to-dir/in", data=b"i"),
        Entry("gnu", "dir"), Entry("gnu/" + "g" * 180, data=b"long"),
        Entry("gnu/ln", "symlink", 0o777, link="t" * 180), Entry("gnu/caf\udce9", data=b"l1"),
    ]
    third = [  # ustar: prefix and name
        Entry("merge", "dir", 0o701, 1000, 1000), Entry("merge/.wh.low", mode=0),
        Entry("merge/third", data=b"3"), Entry("etc", "dir", 0o755, ns=3 * 10 ** 9),
        Entry("etc/motd", data=b"third\n"), Entry("gone", "dir", 0o700),
        Entry("gone/back", data=b"as a directory"),
        Entry("u" * 120, "dir"), Entry("u" * 120 + "/" + "v" * 90, data=b"v"),
    ]
    return [("pax", first), ("pax", []), ("gnu", second), ("pax", []), ("ustar", third)]


def noise(size):
    return hashlib.shake_128(b"%d" % size).digest(size)


class Model:
    """path (bytes) -> facts. One object for all names of an inode."""

    def __init__(self, layers):
        self.tree = {}
        for _, entries in layers:
            self.apply(entries)
        for path, node in self.tree.items():
            node.setdefault("names", set()).add(path)

    def apply(self, entries):
        here = set()
        for e in entries:
            path = os.fsencode(e.name)
            base, parent = os.path.basename(path), os.path.dirname(path)
            if base == b".wh..wh..opq":
                self.drop(parent, keep=here)
            elif base.startswith(b".wh."):
                victim = os.path.join(parent, base[4:])
                self.drop(victim)
                self.tree.pop(victim, None)
            else:
                here.add(path)
                self.put(path, e)

    def drop(self, below, keep=()):
        for path in [p for p in self.tree if p.startswith(below + b"/") and p not in keep]:
            del self.tree[path]

    def put(self, path, e):
        old = self.tree.get(path)
        if old and not (old["kind"] == e.kind == "dir"):
            self.drop(path)
        if e.kind == "hard":
            self.tree[path] = self.tree[os.fsencode(e.link)]
            return
        data = ""
        if e.kind == "file":
            data = hashlib.sha256(e.data).hexdigest()
        elif e.kind == "symlink":
            data = os.fsencode(e.link)
        self.tree[path] = {
            "kind": e.kind, "mode": 0o777 if e.kind == "symlink" else e.mode,
            "uid": e.uid, "gid": e.gid, "ns": e.ns, "data": data,
            "dev": e.dev if e.kind in ("char", "block") else None, "xattrs": dict(e.xattrs),
            "content": e.data,
        }

    def entries(self):
        """The tree in one layer."""
        out, first = [], {}
        for path in sorted(self.tree):
            node, name = self.tree[path], os.fsdecode(path)
            if id(node) in first:
                out.append(Entry(name, "hard", node["mode"], node["uid"], node["gid"], node["ns"],
                                 link=first[id(node)]))
                continue
            first[id(node)] = name
            link = os.fsdecode(node["data"]) if node["kind"] == "symlink" else ""
            out.append(Entry(name, node["kind"], node["mode"], node["uid"], node["gid"],
                             node["ns"], node["content"], link, node["xattrs"],
                             node["dev"] or (0, 0)))
        return out


def walk(root):
    """The tree below `root`, in the terms of Model."""
    tree, inodes = {}, {}
    root = os.fsencode(root)
    for base, dirs, files in os.walk(root):
        for name in dirs + files:
            path = os.path.join(base, name)
            st = os.lstat(path)
            kind = {stat.S_IFDIR: "dir", stat.S_IFLNK: "symlink", stat.S_IFCHR: "char",
                    stat.S_IFBLK: "block", stat.S_IFIFO: "fifo", stat.S_IFREG: "file",
                    stat.S_IFSOCK: "socket"}[stat.S_IFMT(st.st_mode)]
            data = ""
            if kind == "symlink":
                data = os.readlink(path)
            elif kind == "file":
                with open(path, "rb") as f:
                    data = hashlib.sha256(f.read()).hexdigest()
            rel = os.path.relpath(path, root)
            node = {
                "kind": kind, "mode": stat.S_IMODE(st.st_mode), "uid": st.st_uid,
                "gid": st.st_gid, "ns": st.st_mtime_ns, "data": data,
                "dev": (os.major(st.st_rdev), os.minor(st.st_rdev))
                       if kind in ("char", "block") else None,
                "xattrs": {n: os.getxattr(path, n, follow_symlinks=False)
                           for n in os.listxattr(path, follow_symlinks=False)},
                "names": {rel}, "links": 1 if kind == "dir" else st.st_nlink,
            }
            if kind != "dir" and st.st_nlink > 1:
                node["names"] = inodes.setdefault((st.st_dev, st.st_ino), set())
                node["names"].add(rel)
            tree[rel] = node
    return tree


def differences(have, model, ignore_ns=()):
    """Lines that tell how the tree `have` is not the tree of `model`."""
    out = []
    for path in sorted(set(have) | set(model.tree)):
        got, want = have.get(path), model.tree.get(path)
        if not got or not want:
            out.append(f"{path!r}: {'is missing' if want else 'should not be there'}")
            continue
        want = {**want, "links": 1 if want["kind"] == "dir" else len(want["names"])}
        for key, value in want.items():
            if key == "content":
                continue
            if got[key] != value and not (key == "ns" and path in ignore_ns):
                out.append(f"{path!r}: {key} is {got[key]!r}, not {value!r}")
    return out


# ---- images -------------------------------------------------------------------------------------

def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Image:
    """Layers as tars, and the documents that name them."""

    def __init__(self, layers, **config):
        self.layers = layers
        self.tars = [write_tar(entries, fmt) for fmt, entries in layers]
        self.finish(config)

    @classmethod
    def of_tars(cls, tars, **config):
        self = cls.__new__(cls)
        self.layers, self.tars = None, tars
        self.finish(config)
        return self

    def finish(self, config):
        self.diff_ids = [sha256(t) for t in self.tars]
        history = [{"created_by": f"step {i}"} for i in range(len(self.tars))]
        self.config = json.dumps({
            "architecture": ARCH, "os": "linux", "created": "2020-01-02T03:04:05.678901Z",
            "config": config, "rootfs": {"type": "layers", "diff_ids": self.diff_ids},
            "history": history + [{"created_by": "nothing", "empty_layer": True}]}).encode()
        self.id = sha256(self.config)[7:]

    @property
    def model(self):
        return Model(self.layers)

    def layer_ids(self):
        """Ids of the layers in a store."""
        out = []
        for diff in self.diff_ids:
            name = diff[7:]
            if out:
                name = hashlib.sha256(f"{out[-1]}+{name}".encode()).hexdigest()
            out.append(name)
        return out

    def write_layout(self, path, compression=("gzip",), tag="latest"):
        """Add the image to an OCI layout; compressions are taken in turn."""
        blobs = os.path.join(path, "blobs/sha256")
        os.makedirs(blobs, exist_ok=True)

        def blob(kind, data):
            with open(os.path.join(blobs, sha256(data)[7:]), "wb") as f:
                f.write(data)
            return {"mediaType": OCI + kind, "digest": sha256(data), "size": len(data)}

        described, known = [], {}
        for i, tar in enumerate(self.tars):
            how = known.setdefault(tar, compression[i % len(compression)])
            described.append(blob("layer.v1.tar" + ("+" + how if how else ""), pack(tar, how)))
        manifest = blob("manifest.v1+json", json.dumps({
            "schemaVersion": 2, "mediaType": OCI + "manifest.v1+json",
            "config": blob("config.v1+json", self.config), "layers": described}).encode())
        manifest["annotations"] = {"org.opencontainers.image.ref.name": tag}
        index = os.path.join(path, "index.json")
        manifests = []
        if os.path.exists(index):
            with open(index, encoding="utf-8") as f:
                manifests = json.load(f)["manifests"]
        with open(index, "w", encoding="utf-8") as f:
            json.dump({"schemaVersion": 2, "manifests": manifests + [manifest]}, f)
        with open(os.path.join(path, "oci-layout"), "w", encoding="utf-8") as f:
            f.write('{"imageLayoutVersion":"1.0.0"}')
        return manifest["digest"]


def pack(data, how):
    if not how:
        return data
    if how == "gzip":
        return gzip.compress(data, 1, mtime=0)
    return subprocess.run([how, "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout


def unpack(data):
    if data[:2] == b"\x1f\x8b":
        return gzip.decompress(data)
    if data[:4] == b"\x28\xb5\x2f\xfd":
        return subprocess.run(["zstd", "-dqc"], input=data, stdout=subprocess.PIPE,
                              check=True).stdout
    return data


def make_tree(model, root):
    """Make the tree of `model` below `root`, which exists."""
    root, made = os.fsencode(root), {}
    for path in sorted(model.tree):
        node, at = model.tree[path], os.path.join(root, path)
        if id(node) in made:
            os.link(made[id(node)], at, follow_symlinks=False)
            continue
        made[id(node)] = at
        kind = node["kind"]
        if kind == "dir":
            os.mkdir(at)
        elif kind == "symlink":
            os.symlink(node["data"], at)
        elif kind in ("char", "block", "fifo"):
            fmt = {"char": stat.S_IFCHR, "block": stat.S_IFBLK, "fifo": stat.S_IFIFO}[kind]
            os.mknod(at, fmt | 0o600, os.makedev(*(node["dev"] or (0, 0))))
        else:
            with open(at, "wb") as f:
                f.write(node["content"])
        os.chown(at, node["uid"], node["gid"], follow_symlinks=False)
        if kind != "symlink":
            os.chmod(at, node["mode"])
        for key, value in node["xattrs"].items():
            os.setxattr(at, key, value, follow_symlinks=False)
    for path in sorted(model.tree, reverse=True):
        ns = model.tree[path]["ns"]
        os.utime(os.path.join(root, path), ns=(ns, ns), follow_symlinks=False)
