#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Do we tell the difference between two layers as containers-storage does, and apply it alike?

usage: test_differences.py IMBREX [SEED]

Random trees: containers-storage makes a store, and layers in it, mounts each on the one below and
random things are done in it. Then both programs are asked about every layer of that one store. The
seed of a failure is printed, and repeats it.

What differs on purpose, and is not asked for or evened out:

* A directory in the place of a symbolic link: the peer follows the link on the host to see whether
  there was something. In the place of a file with the same name below: its `changes` fails.
* A directory whose owner alone was changed is a change for us only. Xattrs alone, and times of
  directories, are one for the peer since 1.46.
* Whiteouts: the kernel has one inode for many, so the peer gives them a link name, which means
  nothing. Where two trees are compared, its whiteouts have the time of the question.
* Two trees compared are told in the order of their directories, by the peer in none.
* A block device in the place of a directory: the peer takes it for a directory, and tells that what
  was in it is gone.
* An opaque directory in between: the peer overlooks it, and takes what is new in it for changed.
* Until 1.46 the peer wrote types of files into modes, and names of the users of the host.
"""
import ctypes
import hashlib
import io
import json
import os
import random
import shutil
import stat
import subprocess
import sys
import tarfile

IN_LANE = "IMBREX_DIFFERENCES_LANE"
PEER = "containers-storage"
ROUNDS, LAYERS, STEPS = 3, 4, 60
libc = ctypes.CDLL(None, use_errno=True)


def skip(reason):
    print("skipped:", reason)
    sys.exit(77)


class Failure(Exception):
    pass


class Store:
    def __init__(self, place, driver, imbrex):
        self.place, self.driver = place, driver
        self.words = ["-g", place + "/root", "-R", place + "/run", "-s", driver]
        self.ours = [imbrex, "storage"]

    def run(self, program, *words, stdin=b"", status=0):
        # Before the command: behind it, overlay's default options would be given to vfs.
        r = subprocess.run([*program, *self.words, *words], input=stdin,
                           capture_output=True, check=False)
        if status is not None and r.returncode != status:
            raise Failure(f"{program[0]} {' '.join(words)}: status {r.returncode}\n"
                          f"{r.stdout[-2000:]!r}\n{r.stderr.decode(errors='replace')[-2000:]}")
        return r.stdout

    def peer(self, *words, **more):
        return self.run([PEER], *words, **more)

    def us(self, *words, **more):
        return self.run(self.ours, *words, **more)

    def layer(self, parent=""):
        return self.peer("create-layer", *([parent] if parent else [])).decode().split()[0]

    def mount(self, layer):
        return self.peer("mount", layer).decode().strip()

    def umount(self, layer):
        self.peer("unmount", layer)

    def record(self, layer):
        with open(f"{self.place}/root/{self.driver}-layers/layers.json", encoding="utf-8") as f:
            return next(r for r in json.load(f) if r["id"] == layer)


# ---- random trees --------------------------------------------------------------------------

NAMES = ["a", "b", "c", "a.b", "a-b", "sp ace", "\u00fc\u4e2d", "n" * 120, "dir", "x" * 60]


class Tree:
    """Does random things below a directory."""

    def __init__(self, rng, root):
        self.rng, self.root = rng, root

    def paths(self, want):
        out = []
        for base, dirs, files in os.walk(self.root):
            dirs.sort()
            for name in sorted(dirs + files):
                path = os.path.join(base, name)
                mode = os.lstat(path).st_mode
                if want(mode):
                    out.append(path)
        return out

    def pick(self, want=lambda mode: True):
        found = self.paths(want)
        return self.rng.choice(found) if found else None

    def place(self):
        """A directory and a name in it that is free."""
        dirs = [self.root, *self.paths(stat.S_ISDIR)]
        for _ in range(20):
            base = self.rng.choice(dirs)
            path = os.path.join(base, self.rng.choice(NAMES) + self.rng.choice(["", "1", "2"]))
            if not os.path.lexists(path) and len(path) < 900:
                return path
        return None

    def finish(self, path, follow=False):
        if self.rng.random() < 0.5:
            os.chown(path, self.rng.choice([0, 5, 1000, 3000000]), self.rng.choice([0, 7, 2500000]),
                     follow_symlinks=follow)
        when = self.rng.choice([0, 1, 1234567890, 1700000000, 2 ** 33 + 5]) * 10 ** 9
        when += self.rng.choice([0, 0, 123456789])
        os.utime(path, ns=(when, when), follow_symlinks=follow)

    def file(self):
        path = self.place()
        if path:
            with open(path, "wb") as f:
                f.write(self.rng.randbytes(self.rng.choice([0, 1, 511, 512, 513, 70000])))
            if self.rng.random() < 0.3:
                os.setxattr(path, "user." + self.rng.choice(["a", "b\u00fc"]), b"value\n\0x")
            if self.rng.random() < 0.1:
                os.setxattr(path, "security.capability",
                            b"\x01\0\0\x02\0 \0\0\0\0\0\0\0\0\0\0\0\0\0\0")
            self.finish(path)
            os.chmod(path, self.rng.choice([0o644, 0o600, 0o4755, 0o2711, 0o1777, 0]))

    def directory(self):
        path = self.place()
        if path:
            os.mkdir(path)
            os.chmod(path, self.rng.choice([0o755, 0o700, 0o1777, 0o2775]))
            self.finish(path)

    def symlink(self):
        path = self.place()
        if path:
            os.symlink(self.rng.choice(["/", "/" + "./" * 60]), path)
            self.finish(path)

    def hardlink(self):
        path, old = self.place(), self.pick(stat.S_ISREG)
        if path and old:
            os.link(old, path)

    def node(self):
        path = self.place()
        if path:
            kind = self.rng.choice([stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK])
            os.mknod(path, kind | 0o640, os.makedev(*self.rng.choice([(1, 3), (7, 300)])))
            self.finish(path)

    def remove(self):
        path = self.pick()
        if path and stat.S_ISDIR(os.lstat(path).st_mode):
            shutil.rmtree(path)
        elif path:
            os.unlink(path)

    def replace(self):
        """Something else of the same name; a directory becomes opaque."""
        path = self.pick()
        if not path:
            return
        kept = os.lstat(path).st_mode
        if stat.S_ISDIR(kept):
            shutil.rmtree(path)
        else:
            os.unlink(path)
        if not stat.S_ISLNK(kept) and self.rng.random() < 0.5:
            os.mkdir(path)
            with open(path + "/" + self.rng.choice(NAMES), "w", encoding="utf-8") as f:
                f.write("new")
        else:
            with open(path, "w", encoding="utf-8") as f:
                f.write("new")

    def change(self):
        path = self.pick(lambda mode: not stat.S_ISLNK(mode))
        if path:
            mode = os.lstat(path).st_mode
            if self.rng.random() < 0.3 and (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                os.setxattr(path, "user.c", b"changed")
            if self.rng.random() < 0.3:
                os.chown(path, 42, 43)
            os.chmod(path, self.rng.choice([0o640, 0o755, 0o4700]))
            os.utime(path, (7, self.rng.randrange(10 ** 9)))

    def append(self):
        path = self.pick(stat.S_ISREG)
        if path:
            with open(path, "ab") as f:
                f.write(b"more")

    def do(self, steps):
        acts = [self.file] * 5 + [self.directory] * 4 + [self.symlink, self.hardlink, self.node]
        if self.paths(lambda mode: True):
            acts += [self.remove, self.replace, self.change, self.append]
        for _ in range(steps):
            self.rng.choice(acts)()


# ---- what is compared ----------------------------------------------------------------------

def told(data):
    return sorted(data.decode().splitlines())


def as_of_late(data):
    """1.43 writes types of files into modes, and names of the host's users; later versions do not.
    """
    out, at = bytearray(data), 0
    while any(out[at:at + 512]):
        size = int(bytes(out[at + 124:at + 136]).strip(b"\0 ") or b"0", 8)
        mode = int(bytes(out[at + 100:at + 108]).strip(b"\0 "), 8) & 0o7777
        out[at + 100:at + 108] = b"%07o\0" % mode
        out[at + 265:at + 329] = bytes(64)
        out[at + 148:at + 156] = b" " * 8
        out[at + 148:at + 156] = b"%06o\0 " % sum(out[at:at + 512])
        at += 512 + (size + 511) // 512 * 512
    return bytes(out)


def entries(data):
    """What a tar says; order, which name of a file is the first, and times of whiteouts aside."""
    out = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as t:
        for m in t:
            body = t.extractfile(m).read() if m.isreg() or m.islnk() else b""
            white = os.path.basename(m.name).startswith(".wh.")
            pax = {k: v for k, v in m.pax_headers.items() if k.startswith("SCHILY")}
            out[m.name] = (tarfile.REGTYPE if m.islnk() else m.type, m.mode, m.uid, m.gid,
                           0 if white else int(m.mtime), len(body), m.devmajor, m.devminor,
                           m.linkname if m.issym() else "", pax,
                           hashlib.sha256(body).hexdigest())
    return out


def links_whiteouts(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as t:
        return any(m.isreg() and m.linkname for m in t)


class Round:
    def __init__(self, store, seed):
        self.store, self.rng = store, random.Random(seed)
        self.layers, self.problems, self.same_bytes = [], [], 0

    def expect(self, what, ours, theirs):
        if ours != theirs:
            self.problems.append((what, ours, theirs))

    def make(self):
        parent = ""
        for _ in range(LAYERS):
            layer = self.store.layer(parent)
            root = self.store.mount(layer)
            Tree(self.rng, root).do(STEPS)
            self.store.umount(layer)
            self.layers.append(layer)
            parent = layer

    def compare(self, layer, other):
        words = [layer, *([other] if other else [])]
        what = f"{self.layers.index(layer)} to {self.layers.index(other) if other else 'parent'}"
        ours = self.store.us("diff", "-u", *words)
        theirs = as_of_late(self.store.peer("diff", "-u", *words))
        mine, his = entries(ours), entries(theirs)
        below = tuple(f"{n}/" for n, e in mine.items() if e[0] == tarfile.BLKTYPE)
        his = {n: e for n, e in his.items() if not n.startswith(below)}
        # Times of directories (and of block devices, by mistake) count since 1.46.
        late = {n for n in mine.keys() - his.keys() if mine[n][0] in (tarfile.DIRTYPE, tarfile.BLKTYPE)
                and (other or self.store.driver == "vfs")}
        for name in late:
            del mine[name]
        self.expect("diff of " + what, mine, his)
        self.expect("size of " + what, self.store.us("diffsize", *words),
                    self.store.peer("diffsize", *words))
        changes = [x for x in told(self.store.us("changes", *words))
                   if x not in {f'Modify "/{name}"' for name in late}]
        his_changes = self.store.peer("changes", *words, status=None)
        if his_changes:  # else it fails at what a lower layer has in the place of a directory
            gone = tuple(f'Delete "/{name}' for name in below)
            his_changes = [x for x in told(his_changes) if not x.startswith(gone)]
            self.expect("changes of " + what, *self.told_as_new(layer, other, changes, his_changes))
        if not other and self.store.driver == "overlay" and not links_whiteouts(theirs):
            self.expect("bytes of the diff of " + what, hashlib.sha256(ours).hexdigest(),
                        hashlib.sha256(theirs).hexdigest())
            self.same_bytes += 1
        return theirs

    def told_as_new(self, layer, other, ours, theirs):
        """Without what we tell as new and the peer as changed, and is not there to be changed."""
        below = other or next(reversed(self.layers[:self.layers.index(layer)]), None)
        new = {x.removeprefix("Add ") for x in ours} & {x.removeprefix("Modify ") for x in theirs}
        if not new or not below:
            return ours, theirs
        root = self.store.mount(below)
        lines = {f"{kind} {x}" for kind in ("Add", "Modify") for x in new
                 if not os.path.lexists(root + x.strip('"'))}
        self.store.umount(below)
        return [x for x in ours if x not in lines], [x for x in theirs if x not in lines]

    def tree(self, layer):
        root, out = self.store.mount(layer), {}
        for base, dirs, files in os.walk(root):
            for name in dirs + files:
                path = os.path.join(base, name)
                st = os.lstat(path)
                link = os.readlink(path) if stat.S_ISLNK(st.st_mode) else ""
                body = b""
                if stat.S_ISREG(st.st_mode):
                    with open(path, "rb") as f:
                        body = hashlib.sha256(f.read()).digest()
                xattrs = {n: os.getxattr(path, n, follow_symlinks=False)
                          for n in os.listxattr(path, follow_symlinks=False)}
                out[os.path.relpath(path, root)] = (
                    st.st_mode, st.st_uid, st.st_gid, st.st_rdev,
                    0 if stat.S_ISDIR(st.st_mode) else (st.st_size, int(st.st_mtime)), link, body,
                    xattrs)
        self.store.umount(layer)
        return out

    def apply(self, diffs):
        """The same diffs, applied by each to a chain of its own."""
        ours, theirs = "", ""
        for layer, data in zip(self.layers, diffs):
            ours, theirs = self.store.layer(ours), self.store.layer(theirs)
            self.store.us("applydiff", ours, stdin=data)
            self.store.peer("applydiff", theirs, stdin=data)
            what = f"{self.layers.index(layer)} applied"
            self.expect("tree of " + what, self.tree(ours), self.tree(theirs))
            records = [self.store.record(x) for x in (ours, theirs)]
            for r in records:
                for key in ("id", "parent", "created"):
                    r.pop(key, None)
            self.expect("record of " + what, *records)
            self.expect("diff of " + what, self.store.us("diff", ours), data)

    def run(self):
        self.make()
        diffs = [self.compare(layer, "") for layer in self.layers]
        for layer in self.layers:
            other = self.rng.choice(self.layers)
            if other != layer:
                self.compare(layer, other)
        if self.store.driver == "overlay" and not self.same_bytes:
            self.problems.append(("no diff was compared byte for byte", "", ""))
        self.apply(diffs)


def describe(a, b):
    if isinstance(a, dict) and isinstance(b, dict):
        return "\n".join(f"    {k!r}\n      ours   {a.get(k)}\n      theirs {b.get(k)}"
                         for k in sorted({*a, *b}) if a.get(k) != b.get(k))
    if isinstance(a, list) and isinstance(b, list):
        return "\n".join([f"    ours alone   {x}" for x in a if x not in b] +
                         [f"    theirs alone {x}" for x in b if x not in a])
    return f"    ours   {a!r}\n    theirs {b!r}"


def main():
    if not shutil.which(PEER):
        skip(f"not installed: {PEER}")
    if os.geteuid() != 0:
        skip("owners and devices need root")
    if IN_LANE not in os.environ:
        os.execvpe("unshare", ["unshare", "-m", "--propagation", "private", sys.executable, "-B",
                               *sys.argv], {**os.environ, IN_LANE: "1"})
    imbrex = os.path.abspath(sys.argv[1])
    seeds = [int(sys.argv[2])] if len(sys.argv) > 2 else \
        [random.SystemRandom().randrange(10 ** 6) for _ in range(ROUNDS)]
    failed = False
    for driver in ("overlay", "vfs"):
        for seed in seeds:
            place = f"/tmp/id-{os.urandom(4).hex()}"
            os.mkdir(place, 0o700)
            r = Round(Store(place, driver, imbrex), seed)
            try:
                r.run()
            except Failure as e:
                r.problems.append((str(e), "", ""))
            for what, ours, theirs in r.problems:
                print(f"{driver}, seed {seed}: {what}\n{describe(ours, theirs)}")
            failed = failed or bool(r.problems)
            if not r.problems or "KEEP" not in os.environ:
                libc.umount2((place + "/root/" + driver).encode(), 2)
                shutil.rmtree(place)
    return failed


if __name__ == "__main__":
    sys.exit(main())
