#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Is what the man pages say about the layout of a store true of real stores?

usage: test_layout.py IMBREX LAYOUTS MAN DRIVER [LIST]

Under LAYOUT, imbrex-store(5) and imbrex-driver-DRIVER(7) have tables: path, type, mode, content; or
dataset, content.
Stores are filled by imbrex, in all ways that leave something on the disk, and by podman. Everything
that lies in one must match a row, the first that its path matches: type, mode and content. Every
row must have been met in each kind of store, and those with a question mark in one of them; those
with two are too rare for this test, and the page says why. LIST prints what no row matches.

To add a driver: a page, and what only it leaves in Ours.fill_driver().
"""
import ctypes
import functools
import gzip
import io
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile

IMBREX, LAYOUTS, MAN, DRIVER = sys.argv[1:5]
LIST = sys.argv[5:] == ["LIST"]
IN_LANE = "IMBREX_LAYOUT_LANE"
MS_DETACH = 2
libc = ctypes.CDLL(None, use_errno=True)
datasets = None  # with zfs: each store has one of its own
TYPES = {"dir": stat.S_ISDIR, "file": stat.S_ISREG, "link": stat.S_ISLNK, "block": stat.S_ISBLK,
         "char": stat.S_ISCHR, "any": lambda mode: True}
ID = "[0-9a-f]{64}"
WORDS = {"_LAYER_": ID, "_IMAGE_": ID, "_CONTAINER_": ID, "_LINK_": "[A-Z2-7]{26}",
         "_DIGITS_": "[0-9]+", "_KEY_": r"=[A-Za-z0-9+=]+|[0-9a-z.]+[^/]?", "_NAME_": "[^/]+", "_SHORT_": "[^/]{12}",
         "_RANDOM_": "[0-9a-f]{16}", "#": "[0-9]+",
         "/...": "/.+"}


def skip(reason):
    print("skipped:", reason)
    sys.exit(77)


# ---- what the pages say ----

def unmarked(text):
    return re.sub(r"\\(.)", r"\1", text)


def pattern(text):
    """A regular expression for a path or a content with placeholders."""
    parts = re.split(r"(_[A-Z]+_|#|/\.\.\.$)", unmarked(text))
    return "".join(f"(?:{WORDS[p]})" if p in WORDS else re.escape(p) for p in parts)


class Row:
    def __init__(self, page, cells):
        self.page, self.text = page, cells[0]
        path, kind, self.modes, self.content = cells
        self.run = path.startswith("run:")
        self.path = re.compile(pattern(path.removeprefix("run:").strip().rstrip("/")))
        self.optional = kind.count("?")
        self.kind = kind.rstrip("?")
        if self.kind not in TYPES:
            sys.exit(f"{page}: row '{path}': there is no type '{kind}'")
        self.form = self.content.split(":")[0].strip()
        self.met = set()

    def problems(self, path, st):
        """What is otherwise than the row says."""
        if not TYPES[self.kind](st.st_mode):
            yield f"is no {self.kind}"
            return
        mode = f"{stat.S_IMODE(st.st_mode):04o}"
        if self.modes != "any" and mode not in self.modes.split():
            yield f"has the mode {mode}, not {self.modes}"
        if not self.holds(path, st):
            yield f"does not hold {self.form}"

    def holds(self, path, st):
        if self.form.startswith("to "):
            return re.fullmatch(pattern(self.form[3:]), os.readlink(path))
        if not stat.S_ISREG(st.st_mode):
            return True
        with open(path, "rb") as f:
            data = f.read(1 << 22)
        if self.form == "empty":
            return not data
        if self.form == "lock":
            return len(data) in (0, 64)
        if self.form == "json":
            records = json.loads(data or b"[]")
            unknown = {key for r in records for key in [*r, *r.get("flags", {})]} - members()
            if unknown:
                sys.exit(f"{path} has members that RECORDS does not name: {sorted(unknown)}")
            return True
        if self.form == "tar-split":
            return all(json.loads(line)["type"] in (1, 2)
                       for line in gzip.decompress(data).splitlines())
        if self.form == "number":
            return re.fullmatch(rb"[0-9]+", data)
        if self.form == "_LINK_ alone":
            return re.fullmatch(pattern("_LINK_").encode(), data)
        if self.form == "chain":
            link = pattern("l/_LINK_")
            return re.fullmatch(f"{link}(:{link})*".encode(), data)
        if self.form == "true or false":
            return data in (b"true", b"false")
        return True


def zfs_lines(*words):
    return execute(["zfs", *words]).splitlines()


class Dataset:
    """A row about what ZFS lists."""

    def __init__(self, page, cells):
        self.page, self.text = page, cells[0]
        name, self.content = cells
        self.name = re.compile(pattern(name))
        self.met = False

    def problems(self, name):
        of = lambda what: zfs_lines("get", "-Hpo", "value", what, name)[0]
        if "_mountpoint=legacy_" in self.content and of("mountpoint") != "legacy":
            yield "is mounted by ZFS"
        if "_defer_destroy=on_" in self.content and of("defer_destroy") != "on":
            yield "would stay"


def section(page, name):
    with open(os.path.join(MAN, page), encoding="utf-8") as f:
        text = f.read()
    return re.search(rf"^# {name}\n(.*?)(?=^# )", text, re.M | re.S).group(1)


@functools.cache
def members():
    """What RECORDS names."""
    return set(re.findall(r"\*([A-Za-z-]+)\*", section("imbrex-store.5.scd", "RECORDS")))


def table_rows(page):
    """The cells of each row of each table, which all begin with |[ and so does the first of each."""
    cells = []
    for line in section(page, "LAYOUT").splitlines():
        if re.match(r"[\[|][\[\]|<-]? ", line):
            cells.append([line[2:].strip()])
        elif re.match(r":[\[\]|<: -] ", line):
            cells[-1].append(line[2:].strip())
    return cells


def rows_of(page):
    found = [Row(page, c) for c in table_rows(page) if len(c) == 4 and c[0] != "*Path*"]
    if not found:
        sys.exit(f"{page}: there is no table under LAYOUT")
    return found


def dataset_rows():
    page = f"imbrex-driver-{DRIVER}.7.scd"
    return [Dataset(page, c) for c in table_rows(page) if len(c) == 2 and c[0] != "*Dataset*"]


def rows():
    """The driver's first: _DRIVER_ in the page of stores is its name."""
    WORDS["_DRIVER_"] = DRIVER
    page = f"imbrex-driver-{DRIVER}.7.scd"
    return rows_of(page) + rows_of("imbrex-store.5.scd")


# ---- stores ----

def execute(argv, **more):
    p = subprocess.run(argv, capture_output=True, check=False, timeout=120, **more)
    if p.returncode:
        sys.exit(f"{' '.join(argv)}: {p.returncode}\n{p.stdout.decode()}{p.stderr.decode()}")
    return p.stdout.decode().strip()


class Store:
    def __init__(self, base, name):
        self.name, self.base = name, os.path.join(base, name)
        self.root, self.runroot = self.base + "/root", self.base + "/run"
        os.mkdir(self.base)
        # podman wants not only the root there, but what is above it.
        self.dataset = datasets.mount(self.base) if datasets else None
        self.env = dict(os.environ, CONTAINERS_STORAGE_CONF="/dev/null", HOME=self.base,
                        _CONTAINERS_OVERLAY_DISABLE_IDMAP="yes", XDG_RUNTIME_DIR=self.base)

    def walk(self):
        """(in the run root?, path below it, absolute path), but not what a mount shows."""
        with open("/proc/self/mountinfo", encoding="utf-8") as f:
            mounts = {line.split()[4] for line in f}
        for run, top in ((False, self.root), (True, self.runroot)):
            for at, dirs, files in os.walk(top):
                for name in dirs + files:
                    path = os.path.join(at, name)
                    yield run, os.path.relpath(path, top), path
                # A subvolume is a device of its own, too, but no mount; a home that podman has
                # bound onto itself is a mount, but no other device.
                device = os.lstat(at).st_dev
                dirs[:] = [d for d in dirs if os.path.join(at, d) not in mounts
                           or os.lstat(os.path.join(at, d)).st_dev == device]


class Ours(Store):
    def imbrex(self, *args, face=(), **more):
        return execute([IMBREX, *face, "--root", self.root, "--runroot", self.runroot, "--driver",
                        DRIVER, *self.options, *args], env=self.env, **more)

    options = ()

    def storage(self, *args, **more):
        return execute([IMBREX, "storage", "--graph", self.root, "--run", self.runroot,
                        "--storage-driver", DRIVER, *self.options, *args], env=self.env, **more)

    def fill(self, layouts):
        for tag in ("one", "two"):
            self.imbrex("pull", "-q", f"oci:{layouts}:{tag}", tag)
        for name in ("box", "other"):
            self.imbrex("create", "--name", name, "one")
        self.imbrex("mount", "box")
        self.imbrex("mount", "other")
        self.imbrex("umount", "other")
        self.storage("set-container-data", "box", "Key", input=b"data")
        layer = self.storage("create-layer", "-n", "named").split()[0]
        self.storage("set-layer-data", layer, "key", input=b"data")
        self.storage("get-container-dir", "box")
        self.storage("get-container-run-dir", "box")
        image = self.imbrex("images", "-q").split()[0]
        self.storage("get-image-dir", image)
        self.storage("get-image-run-dir", image)
        self.storage("create-container", "--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536",
                     "localhost/one:latest")
        self.fill_driver()
        self.grow()
        self.damage()
        self.die_importing()

    def fill_driver(self):
        """What only this driver leaves."""
        if DRIVER == "btrfs":
            self.storage("create-container", "--storage-opt", "size=1g", "localhost/one:latest")
            self.imbrex("mount", "two")
        if DRIVER == "zfs":
            self.storage("create-container", "--storage-opt", "size=1g", "localhost/one:latest")

    def die_importing(self):
        """Killed in the middle of an archive: what it has staged is left."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as t:
            for name in ("first", "second"):
                entry = tarfile.TarInfo(name)
                entry.size = 1 << 20
                t.addfile(entry, io.BytesIO(bytes(entry.size)))
        p = subprocess.Popen([IMBREX, "storage", "--graph", self.root, "--run", self.runroot,
                              "--storage-driver", DRIVER, "import-layer"], env=self.env,
                             stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        # Not before this was read, but for what fits into a pipe, can the rest be written.
        p.stdin.write(archive.getvalue()[:3 << 19])
        p.stdin.flush()
        p.kill()
        p.wait()
        p.stdin.close()

    def grow(self):
        """So many layers that a table gets an index."""
        path = os.path.join(self.root, f"{DRIVER}-layers", "layers.json")
        with open(path, encoding="utf-8") as f:
            records = json.load(f)
        records[-1]["metadata"] = "x" * (256 << 10)
        with open(path, "w", encoding="utf-8") as f:
            json.dump(records, f)
        self.imbrex("layers")

    def damage(self):
        """Cut a table off, and have it mended."""
        path = os.path.join(self.root, f"{DRIVER}-containers", "containers.json")
        with open(path, "rb+") as f:
            f.truncate(os.path.getsize(path) - 3)
        subprocess.run([IMBREX, "--root", self.root, "--runroot", self.runroot, "--driver", DRIVER,
                        "check", "--repair", "--quick"], env=self.env, check=False,
                       capture_output=True)


class Transient(Ours):
    """Another store, whose containers are gone at the next boot."""
    options = ("--transient-store",)

    def fill(self, layouts):
        self.imbrex("pull", "-q", f"oci:{layouts}:one", "one")
        self.imbrex("mount", self.imbrex("create", "one"))


class OnAnother(Ours):
    """A store that has its images from an additional one."""

    def fill(self, layouts):
        if DRIVER not in ("overlay", "vfs"):
            self.imbrex("images")
            return
        below = Ours(os.path.dirname(self.base), self.name + ".below")
        below.imbrex("pull", "-q", f"oci:{layouts}:one", "one")
        self.options = ("--storage-opt", f"{DRIVER}.imagestore={below.root}")
        self.imbrex("mount", "one")
        self.imbrex("create", "one")


class Podmans(Store):
    def fill(self, layouts):
        conf = self.base + "/storage.conf"
        with open(conf, "w", encoding="utf-8") as f:
            f.write(f'[storage]\ndriver = "{DRIVER}"\ngraphroot = "{self.root}"\n'
                    f'runroot = "{self.runroot}"\n')
        self.env["CONTAINERS_STORAGE_CONF"] = conf
        podman = ["podman", "--root", self.root, "--runroot", self.runroot, "--storage-driver",
                  DRIVER, "--cgroup-manager", "cgroupfs", "--events-backend", "file", "--tmpdir",
                  self.base + "/tmp"]
        images = [execute([*podman, "pull", "-q", f"oci:{layouts}:{tag}"], env=self.env)
                  for tag in ("one", "two")]
        box = execute([*podman, "create", "--network", "none", images[0], "/bin/sh"], env=self.env)
        execute([*podman, "mount", box], env=self.env)
        execute([*podman, "image", "mount", images[1]], env=self.env)
        execute([*podman, "volume", "create", "v"], env=self.env)


def judge(store, table):
    """Lines: what is otherwise than the table says."""
    for run, rel, path in store.walk():
        st = os.lstat(path)
        row = next((r for r in table if r.run == run and r.path.fullmatch(rel)), None)
        shown = ("run:" if run else "") + rel
        if not row:
            yield f"{store.name}: {shown} ({stat.filemode(st.st_mode)}) matches no row"
            continue
        row.met.add(type(store))
        for problem in row.problems(path, st):
            yield f"{store.name}: {shown} {problem} (row '{row.text}' of {row.page})"


def judge_datasets(store, table):
    """The same of what ZFS lists below that of the store."""
    for name in zfs_lines("list", "-Hr", "-t", "all", "-o", "name", store.dataset)[1:]:
        rel = name[len(store.dataset) + 1:]
        row = next((r for r in table if r.name.fullmatch(rel)), None)
        if not row:
            yield f"{store.name}: dataset {rel} matches no row"
            continue
        row.met = True
        for problem in row.problems(name):
            yield f"{store.name}: dataset {rel} {problem} (row '{row.text}' of {row.page})"


def run(base):
    table = rows()
    listed = dataset_rows()
    layouts = os.path.join(base, "layouts")
    execute([sys.executable, "-B", LAYOUTS, layouts])
    stores = [Ours(base, "ours"), Transient(base, "transient"), OnAnother(base, "on-another")]
    if shutil.which("podman"):
        stores.append(Podmans(base, "podman"))
    found = []
    for store in stores:
        store.fill(layouts)
        found += judge(store, table)
        if datasets:
            found += judge_datasets(store, listed)
    # Between two renames only, and until the next repair: tests/zfs/ has them.
    found += [f"{r.page}: dataset '{r.text}' was met nowhere" for r in listed
              if not r.met and not re.search("replaced|in use", r.content)]
    for row in table:
        where = f"{row.page}: row '{row.text}'"
        if row.optional == 2 and row.met:
            found.append(f"{where} has two question marks, and was met")
        elif row.optional == 1 and not row.met and len(stores) == 4:
            found.append(f"{where} was met nowhere")
        elif row.optional == 0:
            found += [f"{where} was not met in a store of {kind.__name__}"
                      for kind in {Ours, type(stores[-1])} - row.met]
    print("\n".join(sorted(set(found))))
    print(f"{len(table) + len(listed)} rows, {len(found)} problems")
    return 1 if found else 0


def main():
    if os.geteuid() != 0:
        skip("needs root")
    if IN_LANE not in os.environ:
        if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
            skip("no private mount namespace is allowed here")
        os.environ[IN_LANE] = "1"
        os.execvp("unshare", ["unshare", "-m", "--propagation", "private", sys.executable, "-B",
                              *sys.argv])
    os.umask(0o022)
    global datasets  # pylint: disable=global-statement
    loopfs = os.environ.get("IMBREX_LOOPFS")
    if DRIVER == "zfs":
        sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../zfs"))
        from datasets import Datasets  # pylint: disable=import-outside-toplevel
        datasets = Datasets(tempfile.gettempdir())
    # podman takes no run root of more than 50 characters, and no image in a path of capital ones.
    base = os.path.join("/tmp" if loopfs or datasets else tempfile.gettempdir(), "il-" + os.urandom(6).hex())
    os.mkdir(base, 0o755)
    if loopfs:
        execute(["mount", "--bind", loopfs, base])
    try:
        status = run(base)
    finally:
        with open("/proc/self/mountinfo", encoding="utf-8") as f:
            points = [line.split()[4] for line in f]
        for point in reversed([p for p in points if p.startswith(base + "/")]):
            libc.umount2(point.encode(), MS_DETACH)
        shutil.rmtree(base, ignore_errors=True)
        if datasets:
            datasets.destroy()
        if loopfs:
            libc.umount2(base.encode(), MS_DETACH)
            os.rmdir(base)
    sys.exit(status)


if __name__ == "__main__":
    main()
