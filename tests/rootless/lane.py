# SPDX-License-Identifier: Apache-2.0
"""A machine of one's own for a test: users, id ranges, homes, stores, images.

The script runs itself again in a private mount namespace, where files under /etc are hidden by
bind mounts of our own; so nothing of the machine changes. Users become real: their processes have
no privilege but what a user namespace of their own gives them.
"""
import ctypes
import gzip
import hashlib
import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
IN_LANE = "IMBREX_LANE"
WITH_IDS = ("imbrexmany", 64321)   # has ranges of subordinate ids
ONE_ID = ("imbrexone", 64322)      # has none
SUBIDS = 300000
PODMAN = ["podman", "--cgroup-manager", "cgroupfs", "--events-backend", "file", "--runtime", "runc"]
PODMAN_RUN = ["run", "--rm", "--network", "none", "--ulimit", "nofile=1024:1024",
              "--ulimit", "nproc=1024:1024"]

libc = ctypes.CDLL(None, use_errno=True)


def skip_all(reason):
    print("skipped:", reason)
    sys.exit(77)


def have(program):
    return shutil.which(program, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")


def mount(*args):
    subprocess.run(["mount", *args], check=True, capture_output=True, text=True)


class Result:
    def __init__(self, argv, p):
        self.argv, self.status, self.out, self.err = argv, p.returncode, p.stdout, p.stderr

    def __repr__(self):
        return f"{' '.join(self.argv)}: status {self.status}\n{self.out}{self.err}"

    @property
    def last(self):
        return self.out.strip().splitlines()[-1] if self.out.strip() else ""


class Lane:
    """One temporary directory with the program, users and images of a whole test script."""

    def __init__(self, imbrex, probe):
        # podman: short paths only, which must also do as names of images.
        self.dir = f"/tmp/imbrex-{os.urandom(4).hex()}"
        os.mkdir(self.dir, 0o700)
        if "IMBREX_LOOPFS" in os.environ:  # on that file system, by the same short path
            mount("--bind", os.environ["IMBREX_LOOPFS"], self.dir)
        os.chmod(self.dir, 0o755)
        build = os.path.dirname(os.path.abspath(imbrex))
        os.mkdir(self.path("build"))
        mount("--bind", build, self.path("build"))
        self.imbrex = self.path("build", os.path.basename(imbrex))
        self.probe = os.path.abspath(probe)
        shutil.copy(os.path.join(HERE, "lane.py"), self.path("lane.py"))
        self.users()

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def users(self):
        for name, extra in (
                ("passwd", [f"{n}:x:{i}:{i}::{self.home(i)}:/bin/sh" for n, i in (WITH_IDS, ONE_ID)]),
                ("group", [f"{n}:x:{i}:" for n, i in (WITH_IDS, ONE_ID)]),
                ("subuid", [f"{WITH_IDS[0]}:{SUBIDS}:65536"]),
                ("subgid", [f"{WITH_IDS[0]}:{SUBIDS}:65536"])):
            target = "/etc/" + name
            text = ""
            if os.path.exists(target) and not name.startswith("sub"):
                with open(target, encoding="utf-8") as f:
                    text = f.read()
            if not os.path.exists(target):
                skip_all(f"there is no {target} that could be hidden by another")
            with open(self.path(name), "w", encoding="utf-8") as f:
                f.write(text + "\n".join(extra) + "\n")
            mount("--bind", self.path(name), target)
        for _, uid in (WITH_IDS, ONE_ID):
            for d in (self.home(uid), self.runtime(uid)):
                os.mkdir(d, 0o700)
                os.chown(d, uid, uid)

    def home(self, uid):
        return self.path(f"home-{uid}")

    def runtime(self, uid):
        return self.path(f"run-{uid}")

    def environment(self, uid, **more):
        env = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": self.home(uid) if uid else self.path("home-0"),
            "LANG": "C.UTF-8",
        }
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            if name in os.environ:
                env[name] = os.environ[name]
        if uid:
            env["XDG_RUNTIME_DIR"] = self.runtime(uid)
        env.update(more)
        return {k: v for k, v in env.items() if v is not None}

    def run(self, argv, uid=0, env=None, timeout=60):
        def become():
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)

        p = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           errors="replace", timeout=timeout, check=False, cwd="/",
                           preexec_fn=become if uid else None,
                           env=env if env is not None else self.environment(uid))
        return Result(argv, p)

    def close(self):
        for _, uid in (WITH_IDS, ONE_ID):
            end_pause(os.path.join(self.runtime(uid), "libpod/tmp/pause.pid"))
        with open("/proc/self/mountinfo", encoding="utf-8") as f:
            points = [line.split()[4] for line in f]
        for point in reversed(points):
            if point == self.dir or point.startswith(self.dir + "/"):
                libc.umount2(point.encode(), 2)
        shutil.rmtree(self.dir, ignore_errors=True)


def end_pause(path):
    """podman leaves one process that holds the user's namespaces, and is slow to hear SIGTERM."""
    try:
        with open(path, encoding="ascii") as f:
            os.kill(int(f.read()), signal.SIGKILL)
    except (OSError, ValueError):
        pass


# ---- images -------------------------------------------------------------------------------------

def entry(name, kind="file", data=b"", mode=0o644, uid=0, gid=0, mtime=1600000000, link="",
          xattrs=None, dev=(0, 0)):
    types = {"file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "symlink": tarfile.SYMTYPE,
             "hard": tarfile.LNKTYPE, "char": tarfile.CHRTYPE, "fifo": tarfile.FIFOTYPE}
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.uid, info.gid, info.mtime = types[kind], mode, uid, gid, mtime
    info.size = len(data) if kind == "file" else 0
    info.linkname = link
    info.devmajor, info.devminor = dev
    info.pax_headers = {"SCHILY.xattr." + k: v for k, v in (xattrs or {}).items()}
    return info, data


def layer_tar(entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data) if info.isreg() else None)
    return out.getvalue()


def write_layout(path, layers, config=None):
    """An OCI layout with one image, tag "latest"; `layers` are lists of entries."""
    def blob(data):
        digest = hashlib.sha256(data).hexdigest()
        with open(os.path.join(path, "blobs/sha256", digest), "wb") as f:
            f.write(data)
        return {"digest": "sha256:" + digest, "size": len(data)}

    os.makedirs(os.path.join(path, "blobs/sha256"))
    tars = [layer_tar(entries) for entries in layers]
    diff_ids = ["sha256:" + hashlib.sha256(t).hexdigest() for t in tars]
    described = [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                  **blob(gzip.compress(t, 1, mtime=0))} for t in tars]
    whole = {"architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine,
                                                                        os.uname().machine),
             "os": "linux", "config": config or {},
             "rootfs": {"type": "layers", "diff_ids": diff_ids},
             "history": [{"created_by": f"step {i}"} for i in range(len(tars))]}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                           **blob(json.dumps(whole).encode())},
                "layers": described}
    index = {"schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        **blob(json.dumps(manifest).encode()),
        "annotations": {"org.opencontainers.image.ref.name": "latest"}}]}
    for name, text in (("index.json", json.dumps(index)),
                       ("oci-layout", '{"imageLayoutVersion":"1.0.0"}')):
        with open(os.path.join(path, name), "w", encoding="utf-8") as f:
            f.write(text)


def diff_ids(layout):
    """DiffIDs of the one image of an OCI layout, from the layers themselves."""
    def blob(digest):
        with open(os.path.join(layout, "blobs", digest.replace(":", "/")), "rb") as f:
            return f.read()

    with open(os.path.join(layout, "index.json"), encoding="utf-8") as f:
        manifest = json.loads(blob(json.load(f)["manifests"][0]["digest"]))
    tars = (blob(d["digest"]) for d in manifest["layers"])
    return [hashlib.sha256(gzip.decompress(t) if t[:2] == b"\x1f\x8b" else t).hexdigest()
            for t in tars]


def sample_layers(probe, devices=True):
    """Several owners, set-id bits, xattrs, hard links, whiteouts, an opaque directory, a device."""
    with open(probe, "rb") as f:
        program = f.read()
    first = [
        entry("bin", "dir", mode=0o755),
        entry("bin/probe", data=program, mode=0o755),
        entry("etc", "dir", mode=0o755),
        entry("etc/passwd", data=b"root:x:0:0::/:/bin/sh\nbob:x:1000:1001::/:/bin/sh\n"),
        entry("etc/group", data=b"root:x:0:\nbob:x:1001:\n"),
        entry("tmp", "dir", mode=0o1777),
        entry("proc", "dir", mode=0o555), entry("sys", "dir", mode=0o555),
        entry("dev", "dir", mode=0o755), entry("run", "dir", mode=0o755),
        entry("home", "dir", mode=0o755),
        entry("home/bob", "dir", mode=0o2750, uid=1000, gid=1001),
        entry("home/bob/note", data=b"bob's", mode=0o600, uid=1000, gid=1001),
        entry("bin/suid", data=b"#!", mode=0o4755),
        entry("bin/sgid", data=b"#!", mode=0o2711, uid=7, gid=42),
        entry("tagged", data=b"x", xattrs={"user.colour": "blue"}),
        entry("twice", data=b"two names", uid=33, gid=33),
        entry("again", "hard", link="twice", uid=33, gid=33),
        entry("way", "symlink", link="/etc/passwd", mode=0o777, uid=5, gid=6),
        entry("pipe", "fifo", mode=0o600, uid=65534, gid=65534),
        entry("gone", data=b"removed above"),
        entry("gonedir", "dir", mode=0o755), entry("gonedir/f", data=b"f"),
        entry("hidden", "dir", mode=0o755), entry("hidden/old", data=b"old"),
        entry("hidden/deep", "dir", mode=0o755), entry("hidden/deep/old", data=b"old"),
        entry("merge", "dir", mode=0o700, uid=1000, gid=1000), entry("merge/low", data=b"low"),
    ]
    if devices:
        first.append(entry("dev/null", "char", mode=0o666, dev=(1, 3)))
    second = [
        entry(".wh.gone"), entry(".wh.gonedir"),
        entry("hidden", "dir", mode=0o711, uid=9, gid=9), entry("hidden/.wh..wh..opq"),
        entry("hidden/new", data=b"new", uid=1, gid=1),
        entry("merge", "dir", mode=0o701, uid=1000, gid=1000), entry("merge/high", data=b"high"),
        entry("etc", "dir", mode=0o755), entry("etc/motd", data=b"hello\n", mtime=1500000001),
    ]
    third = [entry("merge", "dir", mode=0o701, uid=1000, gid=1000), entry("merge/.wh.low"),
             entry("merge/third", data=b"3"), entry("bin", "dir", mode=0o755),
             entry("bin/suid", data=b"#! second", mode=0o6755, uid=1000, gid=1001)]
    return [first, second, third]


def merged(layers, squash=False, devices=True, uids=65537):
    """What the image must look like: path -> facts, computed without any of the code under test."""
    tree = {}
    for entries in layers:
        for info, data in entries:
            base = os.path.basename(info.name)
            parent = os.path.dirname(info.name)
            victim = None
            if base == ".wh..wh..opq":
                victim = parent
            elif base.startswith(".wh."):
                victim = os.path.join(parent, base[4:])
                tree.pop(victim, None)
            if victim is not None:
                for path in [p for p in tree if p.startswith(victim + "/")]:
                    del tree[path]
                continue
            if info.islnk():
                tree[info.name] = tree[info.linkname]
                continue
            if info.ischr() and not devices:
                continue
            kind = ("dir" if info.isdir() else "symlink" if info.issym() else
                    "char" if info.ischr() else "fifo" if info.isfifo() else "file")
            tree[info.name] = {
                "kind": kind,
                "mode": info.mode,
                "owner": [0, 0] if squash else [info.uid, info.gid],
                "mtime": info.mtime,
                "data": hashlib.sha256(data).hexdigest() if kind == "file" else info.linkname,
                "dev": [info.devmajor, info.devminor] if kind == "char" else None,
                "xattrs": {k[len("SCHILY.xattr."):]: v for k, v in info.pax_headers.items()},
            }
    return tree


def walk(root):
    """The tree at `root`, as merged() tells it; run inside the namespace by walk.py."""
    tree = {}
    for base, dirs, files in os.walk(root):
        for name in dirs + files:
            path = os.path.join(base, name)
            st = os.lstat(path)
            fmt = stat.S_IFMT(st.st_mode)
            kind = {stat.S_IFDIR: "dir", stat.S_IFLNK: "symlink", stat.S_IFCHR: "char",
                    stat.S_IFIFO: "fifo", stat.S_IFREG: "file"}[fmt]
            data = ""
            if kind == "symlink":
                data = os.readlink(path)
            elif kind == "file":
                with open(path, "rb") as f:
                    data = hashlib.sha256(f.read()).hexdigest()
            xattrs = {}
            if kind in ("file", "dir"):
                for key in os.listxattr(path, follow_symlinks=False):
                    if key.startswith("user."):
                        xattrs[key] = os.getxattr(path, key).decode()
            tree[os.path.relpath(path, root)] = {
                "kind": kind, "mode": stat.S_IMODE(st.st_mode), "owner": [st.st_uid, st.st_gid],
                "mtime": int(st.st_mtime), "data": data,
                "dev": [os.major(st.st_rdev), os.minor(st.st_rdev)] if kind == "char" else None,
                "xattrs": xattrs, "links": st.st_nlink if kind == "file" else 1,
            }
    return tree


class Case(unittest.TestCase):
    maxDiff = None
    lane = None

    def same_tree(self, have_tree, want):
        links = {p: f.pop("links") for p, f in have_tree.items()}
        self.assertEqual(sorted(have_tree), sorted(want))
        for path, facts in want.items():
            self.assertEqual(have_tree[path], facts, path)
        for path in ("twice", "again"):
            if path in links:
                self.assertEqual(links[path], 2, f"{path} has lost a name")

    def ok(self, result):
        self.assertEqual(result.status, 0, result)
        return result

    def fails(self, result, status, *parts):
        self.assertEqual(result.status, status, result)
        for part in parts:
            self.assertIn(part, result.err, result)
        return result


class User:
    """A user with a store: `imbrex` and `podman` on it."""

    def __init__(self, lane, who, root=None, driver="overlay", options=(), env=None):
        self.lane, self.uid = lane, who[1] if who else 0
        self.env = lane.environment(self.uid, **(env or {}))
        self.flags = []
        if root:
            self.root, self.runroot = lane.path(root), lane.path("r", root.replace("/", "-"))
            for d in (self.root, self.runroot):
                os.makedirs(d, exist_ok=True)
                os.chmod(d, 0o700)
                os.chown(d, self.uid, self.uid)
            self.flags = ["--root", self.root, "--runroot", self.runroot]
        else:
            self.root = os.path.join(lane.home(self.uid), ".local/share/containers/storage")
        self.driver = driver
        self.options = [w for o in options for w in ("--storage-opt", o)]

    def all_flags(self, driver_flag):
        return [*self.flags, driver_flag, self.driver, *self.options]

    def sh(self, argv, **more):
        return self.lane.run(argv, self.uid, self.env, **more)

    def imbrex(self, *args):
        return self.sh([self.lane.imbrex, *self.all_flags("--driver"), *args])

    def podman(self, *args):
        return self.sh([*PODMAN, *self.all_flags("--storage-driver"), *args])

    def podman_run(self, image, *args):
        return self.podman(*PODMAN_RUN, image, *args)

    def script(self, text, *args):
        """A shell script in the user namespace, with $I the program with its store's options."""
        words = " ".join([self.lane.imbrex, *self.all_flags("--driver")])
        argv = ["sh", "-ec", f'I="{words}"; {text}', "sh", *args]
        if self.uid:
            argv = [self.lane.imbrex, "unshare", *argv]
        return self.sh(argv)

    def tree(self, image):
        r = self.script(f'm=$($I mount "$1"); python3 {self.lane.path("lane.py")} "$m"; $I umount "$1" >&2',
                        image)
        if r.status:
            raise AssertionError(r)
        return json.loads(r.out)


def main(module, **attributes):
    """Run the tests of `module` in a lane; exits."""
    if os.geteuid() != 0:
        skip_all("only root can become several users")
    if not have("unshare") or subprocess.run(["unshare", "-m", "true"], check=False,
                                             capture_output=True).returncode:
        skip_all("no private mount namespace is allowed here")
    if IN_LANE not in os.environ:
        os.environ[IN_LANE] = "1"
        os.execvp("unshare", ["unshare", "-m", "--propagation", "private", sys.executable,
                              *sys.argv])
    lane = Lane(sys.argv[1], sys.argv[2])
    try:
        Case.lane = lane
        for name, value in attributes.items():
            setattr(Case, name, value)
        suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules[module])
        result = unittest.TextTestRunner(verbosity=2, stream=sys.stdout).run(suite)
    finally:
        lane.close()
    if not result.wasSuccessful():
        sys.exit(1)
    if result.testsRun and len(result.skipped) == result.testsRun:
        skip_all("; ".join(sorted({reason for _, reason in result.skipped})))
    sys.exit(0)


if __name__ == "__main__":
    json.dump(walk(sys.argv[1]), sys.stdout)
