# SPDX-License-Identifier: Apache-2.0
"""What the tests of the plumbing face share: a tool, fresh stores for it, and how it is judged.

usage: test_X.py --tool PROGRAM [--driver DRIVER|transient] [--root DIR] [--option KEY=VALUE]...
                 [--peer PROGRAM] [TEST...]

PROGRAM is imbrex (its face `storage` is meant) or a containers-storage of any version; what that
version is known to do otherwise stands in differences.py. transient is overlay with a transient
store. Stores lie below DIR (default: TMPDIR, or /tmp), each with the options. With the driver zfs
DIR is on a dataset, and each store gets a dataset of its own below that. A script runs itself again
in a private mount namespace, so no mount outlives it.
"""
import argparse
import ctypes
import fnmatch
import functools
import hashlib
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import unittest

import differences

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../zfs"))
from datasets import Datasets, zfs  # noqa: E402 pylint: disable=wrong-import-position

IN_LANE = "IMBREX_PLUMBING_LANE"
HANG = 60
MS_DETACH = 2
OURS = "imbrex"
# Where a driver keeps layers, below the graph root.
HOMES = {"overlay": ("overlay",), "vfs": ("vfs", "dir"), "btrfs": ("btrfs", "subvolumes"),
         "zfs": ("zfs", "graph")}
# Drivers that take layers of additional stores, with the option imagestore.
READ_OTHERS = ("overlay", "vfs")
# What a store takes from the environment; a test that wants it says so.
FOREIGN = ("STORAGE_DRIVER", "STORAGE_OPTS", "CONTAINERS_STORAGE_CONF",
           "CONTAINERS_STORAGE_CONF_OVERRIDE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME",
           "XDG_DATA_HOME", "_CONTAINERS_USERNS_CONFIGURED", "_CONTAINERS_ROOTLESS_UID",
           "_CONTAINERS_ROOTLESS_GID")
libc = ctypes.CDLL(None, use_errno=True)


def skip_all(reason):
    print("skipped:", reason)
    sys.exit(77)


class Result:
    def __init__(self, argv, status, out, err):
        self.argv, self.status, self.raw = argv, status, out
        self.out, self.err = out.decode("utf-8", "replace"), err.decode("utf-8", "replace")

    def __repr__(self):
        return f"{shlex.join(self.argv)}: status {self.status}\n{self.out[:4000]}{self.err[:4000]}"

    @property
    def lines(self):
        return self.out.splitlines()

    def json(self):
        return json.loads(self.out)


class Tool:
    """A program, and which version of upstream's it is ("imbrex": none of them)."""

    def __init__(self, words):
        self.argv = shlex.split(words)
        self.program = shutil.which(self.argv[0]) or self.argv[0]
        self.argv[0] = os.path.abspath(self.program)
        if os.path.basename(self.program) == OURS:
            self.version = OURS
            if len(self.argv) == 1:
                self.argv.append("storage")
            return
        # 1.43 and older print no version.
        with tempfile.TemporaryDirectory() as d:
            roots = ["-g", d + "/r", "-R", d + "/rr", "-s", "vfs"]
            p = subprocess.run([*self.argv, *roots, "version"], capture_output=True, text=True,
                               check=False, env=environment(d))
        found = re.search(r"^Version: (\d+\.\d+)", p.stderr, re.M)
        self.version = found.group(1) if found else "1.43"

    @property
    def ours(self):
        return self.version == OURS


def environment(home, **more):
    env = {k: v for k, v in os.environ.items() if k not in FOREIGN}
    return {**env, "HOME": home, "LC_ALL": "C.UTF-8", **more}


class Store:
    """A store, and the tool on it."""

    def __init__(self, case, name="store", options=(), tool=None, place=None):
        self.case, self.tool = case, tool or case.tool
        self.base = place or os.path.join(case.dir, name)
        self.root, self.runroot = self.base + "/root", self.base + "/run"
        self.driver = case.driver
        self.transient = case.transient
        self.options = list(options)
        self.dataset, self.peeked = None, {}
        if self.driver == "zfs":
            self.make_dataset()

    # ---- datasets, which are their own file systems and hidden unless mounted ----

    def make_dataset(self):
        """One for the store, at its graph root, until the end of the test."""
        self.dataset = Case.datasets.mount(self.root)
        os.chmod(self.root, 0o700)
        self.case.addCleanup(self.look_away)

    def peek(self, layer):
        """A mount of a layer's dataset beside the driver's, until the tool runs again."""
        if layer not in self.peeked:
            self.peeked[layer] = tempfile.mkdtemp(dir=self.case.dir, prefix="peek-")
            self.case.datasets.show(f"{self.dataset}/{layer}", self.peeked[layer])
        return self.peeked[layer]

    def look_away(self):
        for where in self.peeked.values():
            self.case.datasets.hide(where)
            os.rmdir(where)
        self.peeked = {}

    def globals(self):
        out = ["--graph", self.root, "--run", self.runroot, "--storage-driver", self.driver]
        if self.transient:
            out.append("--transient-store")
        for option in [*self.case.driver_options, *self.options]:
            out += ["--storage-opt", option]
        return out

    def run(self, *args, stdin=b"", env=None, cwd=None, roots=None):
        self.look_away()
        argv = [*self.tool.argv, *(self.globals() if roots is None else roots), *args]
        return self.case.execute(argv, stdin, env, cwd)

    def ok(self, *args, **more):
        """Succeeds without a word on stderr."""
        r = self.run(*args, **more)
        self.case.assertEqual((r.status, r.err), (0, ""), r)
        return r

    def fails(self, *args, text="", status=1, **more):
        """Fails, and says so with `text` on stderr."""
        r = self.run(*args, **more)
        self.case.assertEqual(r.status, status, r)
        self.case.assertIn(text, r.err, r)
        return r

    def silent(self, *args, **more):
        """Succeeds without a word anywhere."""
        r = self.ok(*args, **more)
        self.case.assertEqual(r.out, "", r)

    def lines(self, *args, **more):
        return self.ok(*args, **more).lines

    def json(self, *args, **more):
        return self.ok(*args, **more).json()

    # ---- the shortest way to an object; its id ----

    def layer(self, *args, **more):
        return self.lines("create-layer", *args, **more)[0]

    def image(self, *args):
        return self.lines("create-image", *args)[0]

    def container(self, *args):
        return self.lines("create-container", *args)[0]

    def mount(self, what, *args):
        out = self.lines("mount", *args, what)
        self.case.assertEqual(len(out), 1)
        return out[0]

    def umount(self, what):
        self.ok("unmount", what)

    def ids(self, what):
        return self.lines(what, "-q")

    def filled(self, files, *args):
        """A layer with files: name -> content, or None for a directory."""
        return self.lines("import-layer", *args, stdin=tar(files))[0]

    # ---- what lies on the disk ----

    def path(self, *names):
        return os.path.join(self.root, *names)

    def of(self, noun, *names):
        """A path below overlay-layers, vfs-images and so on."""
        return self.path(f"{self.driver}-{noun}", *names)

    def run_of(self, noun, *names):
        return os.path.join(self.runroot, f"{self.driver}-{noun}", *names)

    def home(self, layer, *names):
        """Where the driver keeps a layer (zfs: shows it, while it is mounted)."""
        return self.path(*HOMES[self.driver], layer, *names)

    def content(self, layer, *names):
        """Where the driver keeps what a layer itself holds (but for overlay: and its parents)."""
        if self.driver == "zfs":
            return os.path.join(self.peek(layer), *names)
        return self.home(layer, *(("diff",) if self.driver == "overlay" else ()), *names)

    def keeps(self, layer):
        """Does the driver have something of that layer?"""
        if self.driver != "zfs":
            return os.path.lexists(self.home(layer))
        return f"{self.dataset}/{layer}" in zfs("list", "-H", "-r", "-o", "name",
                                                self.dataset).split()

    def volatile(self, noun):
        """The table of what need not survive a crash (transient: a boot)."""
        return (self.run_of if self.transient else self.of)(noun, f"volatile-{noun}.json")

    def records(self, noun):
        return read_records(self.of(noun, noun + ".json")) + read_records(self.volatile(noun))

    def change_records(self, noun, change):
        """Let `change` alter a table, as if its last writer had written it so."""
        path = self.of(noun, noun + ".json")
        records = read_records(path)
        change(records)
        with open(path, "w", encoding="utf-8") as f:
            json.dump(records, f)


def read_records(path):
    try:
        with open(path, encoding="utf-8") as f:
            return json.loads(f.read() or "[]")
    except FileNotFoundError:
        return []


def tar(files, **facts):
    """A tar of name -> content, None for a directory, or a TarInfo that says more.

    facts: mode, uid, gid, mtime of all.
    """
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for name, content in files.items():
            if isinstance(content, tarfile.TarInfo):
                t.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            info.mode, info.mtime = 0o755 if content is None else 0o644, 1_000_000_000
            for fact, value in facts.items():
                setattr(info, fact, value)
            info.size = len(content or b"")
            t.addfile(info, io.BytesIO(content or b""))
    return out.getvalue()


def members(data):
    """Names in a tar stream of any compression that Python reads, in order."""
    with tarfile.open(fileobj=io.BytesIO(data)) as t:
        return [m.name + ("/" if m.isdir() else "") for m in t]


def noise(seed, size):
    return hashlib.shake_128(str(seed).encode()).digest(size)


def mount_points(below):
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        points = [line.split()[4] for line in f]
    return [p for p in points if p.startswith(below + "/")]


def mount_options(point):
    """Options of the file system mounted there last: of the mount, and of the file system."""
    found = None
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        for line in f:
            fields = line.split()
            if fields[4] == point:
                rest = fields[fields.index("-") + 1:]
                found = set(fields[5].split(",")) | set(rest[2].split(","))
    return found


def remove_tree(path):
    for point in reversed(mount_points(path)):
        libc.umount2(point.encode(), MS_DETACH)
    shutil.rmtree(path, ignore_errors=True)


def each(*values):
    """A test for each of `values`, which it takes: test_x[value]."""
    def mark(test):
        test.each = values
        return test
    return mark


class Case(unittest.TestCase):
    """One behaviour a test, each in a directory of its own."""
    maxDiff = None
    tool = peer = None
    driver, transient = "overlay", False
    datasets = None  # with zfs
    lane = "overlay"
    root, driver_options = None, ()
    longMessage = True

    def __init_subclass__(cls):
        for name, test in list(vars(cls).items()):
            if hasattr(test, "each"):
                delattr(cls, name)
                for value in test.each:
                    setattr(cls, f"{name}[{value}]", functools.partialmethod(test, value))

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="ip-", dir=self.root)
        self.addCleanup(remove_tree, self.dir)
        self.s = self.store()

    def store(self, name="store", **more):
        return Store(self, name, **more)

    def execute(self, argv, stdin=b"", env=None, cwd=None):
        # As upstream's own tests have it; tests of mapped mounts take it away.
        env = {"_CONTAINERS_OVERLAY_DISABLE_IDMAP": "yes", **(env or {})}
        feed = {"stdin": stdin} if hasattr(stdin, "fileno") else {"input": stdin}
        p = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                           timeout=HANG, cwd=cwd or self.dir,
                           env=environment(self.dir, **{k: v for k, v in env.items() if v}), **feed)
        return Result(argv, p.returncode, p.stdout, p.stderr)

    def file(self, name, data=b""):
        path = os.path.join(self.dir, name)
        with open(path, "wb") as f:
            f.write(data)
        return path

    def write(self, *where, data=b"x", mtime=0):
        """A file with a time of its own, since a peer compares times of two trees."""
        path = os.path.join(*where)
        with open(path, "wb") as f:
            f.write(data)
        os.utime(path, (mtime, mtime))

    def overlay_only(self):
        if self.driver != "overlay":
            self.skipTest("is about overlay")

    @property
    def whole(self):
        """A layer holds what is below it, too: as a copy or a clone."""
        return self.driver != "overlay"

    def vfs_only(self):
        if self.driver != "vfs":
            self.skipTest("is about vfs")

    def ours_only(self, why):
        if not self.tool.ours:
            self.skipTest(why)

    def read(self, *where):
        with open(os.path.join(*where), "rb") as f:
            return f.read()

    def mode(self, *where):
        return os.lstat(os.path.join(*where)).st_mode & 0o7777

    def owner(self, *where):
        st = os.lstat(os.path.join(*where))
        return st.st_uid, st.st_gid


def tests_of(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from tests_of(test)
        else:
            yield test


def expect(test, module, lane, version):
    """Arrange for what `version` is known to do otherwise."""
    name = f"{module}.{type(test).__name__}.{test._testMethodName}"
    for kind, pattern, lanes, reason in differences.of(version):
        if not fnmatch.fnmatchcase(name, pattern) or (lanes and lane not in lanes):
            continue
        if kind == "lacks":
            test.setUp = lambda: test.skipTest(f"{version}: {reason}")
        else:
            test.__unittest_expecting_failure__ = True
        return


def options(argv):
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", required=True)
    parser.add_argument("--driver", default="overlay", choices=(*HOMES, "transient"))
    parser.add_argument("--root")
    parser.add_argument("--option", action="append", default=[])
    parser.add_argument("--peer", default="containers-storage")
    parser.add_argument("tests", nargs="*")
    return parser.parse_args(argv)


def skip_unless_it_works(given):
    """Overlay and vfs must; others need their file system."""
    if Case.driver in ("overlay", "vfs"):
        return
    if Case.driver == "zfs" and not shutil.which("zfs"):
        skip_all("zfs is not installed")
    d = tempfile.mkdtemp(dir=given.root)
    words = ["-g", d + "/r", "-R", d + "/rr", "-s", Case.driver]
    for option in given.option:
        words += ["--storage-opt", option]
    p = subprocess.run([*Case.tool.argv, *words, "layers"], capture_output=True, text=True,
                       check=False, env=environment(d))
    remove_tree(d)
    if re.search("not in this build|not supported|prerequisites|needs? (a|btrfs|ZFS)", p.stdout):
        skip_all(p.stdout.strip())


def main(module, need_peer=False):
    """Run the tests of `module`; exits."""
    given = options(sys.argv[1:])
    if os.geteuid() != 0:
        skip_all("needs root")
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        skip_all("no private mount namespace is allowed here")
    if need_peer and not shutil.which(given.peer):
        skip_all(f"not installed: {given.peer}")
    if IN_LANE not in os.environ:
        os.environ[IN_LANE] = "1"
        os.execvp("unshare", ["unshare", "-m", "--propagation", "private", sys.executable, "-B",
                              *sys.argv])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    os.umask(0o022)
    Case.tool = Tool(given.tool)
    Case.peer = Tool(given.peer) if need_peer else None
    Case.lane = given.driver
    Case.transient = given.driver == "transient"
    Case.driver = "overlay" if Case.transient else given.driver
    Case.root, Case.driver_options = given.root and os.path.abspath(given.root), given.option
    skip_unless_it_works(given)
    if Case.driver == "zfs":
        Case.datasets = Datasets(Case.root or tempfile.gettempdir())
    load = unittest.defaultTestLoader
    suite = (load.loadTestsFromNames(given.tests, sys.modules[module]) if given.tests
             else load.loadTestsFromModule(sys.modules[module]))
    stem = os.path.splitext(os.path.basename(sys.argv[0]))[0]
    for test in tests_of(suite):
        expect(test, stem, given.driver, Case.tool.version)
    result = unittest.TextTestRunner(verbosity=2, stream=sys.stdout).run(suite)
    if Case.datasets:
        Case.datasets.destroy()
    if not result.wasSuccessful():
        sys.exit(1)
    if result.testsRun and len(result.skipped) == result.testsRun:
        skip_all("; ".join(sorted({reason for _, reason in result.skipped})))
    sys.exit(0)
