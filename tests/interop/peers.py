# SPDX-License-Identifier: Apache-2.0
"""The real engines around one store, on a machine of their own.

A script runs itself again in a private mount namespace, where /etc/containers, /var/lib/containers,
/run/containers and /dev/shm are the test's: nothing of the machine is read or changed, and no mount
outlives the script.
"""
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import unittest
import urllib.request

import odd

IN_LANE = "IMBREX_INTEROP_LANE"
MS_DETACH = 2
libc = ctypes.CDLL(None, use_errno=True)


def skip_all(reason):
    print("skipped:", reason)
    sys.exit(77)


def have(program):
    return shutil.which(program)


def cat(path):
    """A pipe with a file in it."""
    return subprocess.Popen(["cat", path], stdout=subprocess.PIPE)


def need(*programs):
    missing = [p for p in programs if not have(p)]
    if missing:
        skip_all("not installed: " + ", ".join(missing))


# Where a driver has one name for each layer.
HOMES = {"overlay": ("overlay", "l"), "vfs": ("vfs", "dir"), "btrfs": ("btrfs", "subvolumes")}
# Below tests/loopfs btrfs only the tests about btrfs run, and elsewhere all others.
LOOPFS = os.environ.get("IMBREX_LOOPFS")


class Result:
    def __init__(self, argv, status, out, err):
        self.argv, self.status, self.out, self.err = argv, status, out, err

    def __repr__(self):
        return f"{' '.join(map(str, self.argv))}: status {self.status}\n{self.out}{self.err}"

    @property
    def last(self):
        return self.out.strip().splitlines()[-1] if self.out.strip() else ""

    def json(self):
        return json.loads(self.out)


class Failed(AssertionError):
    pass


class Machine:
    """A temporary directory, private system directories, programs and a registry."""

    def __init__(self, imbrex, probe):
        # podman takes no runroot of more than 50 characters, and names images after paths.
        self.dir = f"/tmp/ii-{os.urandom(4).hex()}"
        os.mkdir(self.dir, 0o700)
        if LOOPFS:  # under a name in small letters
            subprocess.run(["mount", "--bind", LOOPFS, self.dir], check=True)
            os.chmod(self.dir, 0o700)
        self.imbrex, self.probe = os.path.abspath(imbrex), os.path.abspath(probe)
        self.registries, self.stores = [], 0
        for target in ("/etc/containers", "/var/lib/containers", "/run/containers", "/dev/shm"):
            if os.path.isdir(target):
                mine = self.path("machine" + target)
                os.makedirs(mine)
                subprocess.run(["mount", "--bind", mine, target], check=True)
        self.write("containers.conf", """[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
netns = "none"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
""")
        self.write("storage.conf", "[storage]\ndriver = \"overlay\"\nrunroot = \"%s\"\n"
                   "graphroot = \"%s\"\n" % (self.path("default-run"), self.path("default")))
        self.write("policy.json", '{"default":[{"type":"insecureAcceptAnything"}]}')
        self.write("registries.conf", "")
        os.mkdir(self.path("tmp"))
        keep = ("PATH", "LANG", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS")
        self.env = {k: os.environ[k] for k in keep if k in os.environ}
        self.env.update(HOME=self.path("tmp"), TMPDIR=self.path("tmp"), LC_ALL="C.UTF-8",
                        CONTAINERS_CONF=self.path("containers.conf"),
                        CONTAINERS_STORAGE_CONF=self.path("storage.conf"),
                        CONTAINERS_REGISTRIES_CONF=self.path("registries.conf"))
        for where in ("/etc/containers", self.path("tmp", ".config/containers")):
            if where.startswith(self.dir):
                os.makedirs(where)
            elif not os.path.isdir(where):
                continue
            shutil.copy(self.path("policy.json"), where)

    def path(self, *names):
        return os.path.join(self.dir, *(n.lstrip("/") for n in names))

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)
        return self.path(name)

    def run(self, argv, timeout=120, stdin=None, kill_after=None):
        """Never fails but by time; a program that does not end is killed with its children, and
        so is one that has not ended in kill_after seconds."""
        p = subprocess.Popen(argv, stdin=stdin or subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, env=self.env, cwd=self.path("tmp"),
                             start_new_session=True)
        try:
            out, err = p.communicate(timeout=kill_after or timeout)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            out, err = p.communicate()
            if kill_after:
                return Result(argv, -signal.SIGKILL, "", "")
            raise Failed(f"{' '.join(argv)} did not end in {timeout} s") from None
        return Result(argv, p.returncode, out.decode("utf-8", "replace"),
                      err.decode("utf-8", "replace"))

    def ok(self, argv, **more):
        r = self.run(argv, **more)
        if r.status:
            raise Failed(repr(r))
        return r

    def skopeo(self, *args):
        return self.ok(["skopeo", "--policy", self.path("policy.json"), *args])

    def registry(self):
        """Start a docker-registry on a free port of the loopback; its host:port."""
        for _ in range(5):
            with socket.socket() as s:
                s.bind(("127.0.0.1", 0))
                port = s.getsockname()[1]
            name = self.write(f"registry-{port}.yml", f"""version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {self.path('registry-data')}}}}}
http: {{addr: 127.0.0.1:{port}}}
""")
            with open(self.path("registry.log"), "ab") as log:
                p = subprocess.Popen(["docker-registry", "serve", name], stdout=log, stderr=log,
                                     stdin=subprocess.DEVNULL, start_new_session=True)
            self.registries.append(p)
            end = time.monotonic() + 20
            while p.poll() is None and time.monotonic() < end:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=5).close()
                    return f"127.0.0.1:{port}"
                except OSError:
                    time.sleep(0.02)
        raise Failed("docker-registry does not start")

    def stray_mounts(self, root):
        """Mounts below `root`, but for the home of a driver, which podman binds onto itself."""
        with open("/proc/self/mountinfo", encoding="utf-8") as f:
            points = [line.split()[4] for line in f]
        return [p for p in points if p.startswith(root + "/")
                and p not in [root + d for d in ("/overlay", "/vfs", "/btrfs", "/zfs")]]

    def close(self):
        for p in self.registries:
            p.terminate()
            p.wait()
        with open("/proc/self/mountinfo", encoding="utf-8") as f:
            points = [line.split()[4] for line in f]
        for point in reversed(points):
            if point.startswith(self.dir + "/") or point in (
                    "/etc/containers", "/var/lib/containers", "/run/containers", "/dev/shm"):
                libc.umount2(point.encode(), MS_DETACH)
        shutil.rmtree(self.dir, ignore_errors=True)
        if LOOPFS:
            libc.umount2(self.dir.encode(), MS_DETACH)
            os.rmdir(self.dir)


class Store:
    """One store and the programs on it."""

    def __init__(self, machine, driver="overlay"):
        self.machine, self.driver = machine, driver
        machine.stores += 1
        name = f"s{machine.stores}"
        self.root, self.runroot = machine.path(name), machine.path(name + ".run")
        self.tmpdir = machine.path(name + ".tmp")
        self.roots = ["--root", self.root, "--runroot", self.runroot]

    def argv(self, program, *args):
        return {
            "imbrex": lambda: [self.machine.imbrex, *self.roots, "--driver", self.driver],
            "podman": lambda: ["podman", *self.roots, "--storage-driver", self.driver,
                               "--tmpdir", self.tmpdir],
            "plumbing": lambda: [self.machine.imbrex, "storage", "-g", self.root, "-R",
                                 self.runroot, "-s", self.driver],
            "buildah": lambda: ["buildah", *self.roots, "--storage-driver", self.driver],
            "containers-storage": lambda: ["containers-storage", "-g", self.root, "-R",
                                           self.runroot, "-s", self.driver],
        }[program]() + list(args)

    def imbrex(self, *args, **more):
        return self.machine.ok(self.argv("imbrex", *args), **more)

    def podman(self, *args, **more):
        return self.machine.ok(self.argv("podman", *args), **more)

    def buildah(self, *args, **more):
        return self.machine.ok(self.argv("buildah", *args), **more)

    def cs(self, *args, **more):
        return self.machine.ok(self.argv("containers-storage", *args), **more)

    def name(self, image):
        """For skopeo."""
        return f"containers-storage:[{self.driver}@{self.root}+{self.runroot}]{image}"

    def end(self):
        """Undo what podman's opening of a store leaves, and remove it."""
        with open("/proc/self/mountinfo", encoding="utf-8") as f:
            points = [line.split()[4] for line in f]
        for point in reversed(points):
            if point.startswith(self.root + "/"):
                libc.umount2(point.encode(), MS_DETACH)
        for path in (self.root, self.runroot, self.tmpdir):
            shutil.rmtree(path, ignore_errors=True)


class Case(unittest.TestCase):
    maxDiff = None
    machine = None

    @classmethod
    def is_wanted(cls, name):
        return ("btrfs" in f"{cls.__name__}.{name}".lower()) == bool(LOOPFS)

    def same_tree(self, root, model, ignore_ns=()):
        found = odd.differences(odd.walk(root), model, ignore_ns)
        self.assertEqual(found[:20], [], f"{len(found)} differences below {root}")

    def clean(self, store):
        """The store is sound and nothing is mounted in it."""
        r = store.imbrex("check")
        self.assertEqual((r.out, r.err), ("", ""))
        self.assertEqual(self.machine.stray_mounts(store.root), [])


def main(module, programs):
    """Run the tests of `module` on a machine; exits. argv: IMBREX PROBE [TEST...]"""
    if os.geteuid() != 0:
        skip_all("needs root")
    need(*programs)
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        skip_all("no private mount namespace is allowed here")
    if IN_LANE not in os.environ:
        os.environ[IN_LANE] = "1"
        os.execvp("unshare", ["unshare", "-m", "--propagation", "private", sys.executable, "-B",
                              *sys.argv])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    machine = Machine(sys.argv[1], sys.argv[2])
    try:
        Case.machine = machine
        load = unittest.defaultTestLoader
        load.getTestCaseNames = lambda case: [
            name for name in unittest.TestLoader().getTestCaseNames(case) if case.is_wanted(name)]
        suite = (load.loadTestsFromNames(sys.argv[3:], sys.modules[module]) if sys.argv[3:]
                 else load.loadTestsFromModule(sys.modules[module]))
        result = unittest.TextTestRunner(verbosity=2, stream=sys.stdout).run(suite)
    finally:
        machine.close()
    if not result.wasSuccessful():
        sys.exit(1)
    if result.testsRun and len(result.skipped) == result.testsRun:
        skip_all("; ".join(sorted({reason for _, reason in result.skipped})))
    sys.exit(0)
