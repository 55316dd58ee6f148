#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""podman and imbrex on one store of zfs: each reads, runs, writes and removes what the other made;
and what lies there is what imbrex-driver-zfs(7) says.

usage: podman.py IMBREX PROBE [TEST...]

Below the dataset IMBREX_ZFS; each test has one of its own there, with its graph root on it.
"""
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))
import odd  # noqa: E402
import peers  # noqa: E402

NAME = "localhost/odd:1"
LAYER = "[0-9a-f]{64}"


PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "man",
                    "imbrex-driver-zfs.7.scd")


def recipes():
    """{title: commands} of the page, for who has no imbrex."""
    with open(PAGE, encoding="utf-8") as f:
        text = f.read().split("# RECOVERY BY HAND", 1)[1]
    found = {}
    for block in re.findall(r"(?m)^```\n# (.*\n(?:.*\n)*?)```$", text):
        title, commands = block.split("\n", 1)
        found[title.rstrip(".")] = commands
    return found


def zfs(*args):
    return subprocess.run(["zfs", *args], check=True, stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "LC_ALL": "C"}).stdout


class Store(peers.Store):
    def __init__(self, machine):
        super().__init__(machine, "zfs")
        self.dataset = f"{os.environ['IMBREX_ZFS']}/p{machine.stores}"
        zfs("create", "-o", "mountpoint=" + self.root, self.dataset)
        # What podman asks for its file system is the directory that holds the graph root.
        self.root += "/g"
        self.roots[1] = self.root

    def end(self):
        super().end()
        shutil.rmtree(os.path.dirname(self.root), ignore_errors=True)
        zfs("destroy", "-R", "-f", self.dataset)

    def datasets(self, kind="filesystem"):
        """Below the store's, without its name."""
        names = zfs("list", "-H", "-r", "-t", kind, "-o", "name", self.dataset).split()
        return sorted(n[len(self.dataset) + 1:] for n in names if n != self.dataset)

    def property(self, name, layer):
        return zfs("get", "-H", "-o", "value", name, f"{self.dataset}/{layer}").strip()

    def mounts(self):
        """Mount points of layers here."""
        with open("/proc/self/mountinfo", encoding="utf-8") as f:
            points = [line.split()[4] for line in f]
        return [p for p in points if p.startswith(self.root + "/zfs/graph/")]


class Zfs(peers.Case):
    @classmethod
    def setUpClass(cls):
        m = cls.machine
        cls.image = odd.Image(odd.odd_layers(m.probe), Env=["COLOUR=blue"], Cmd=["/bin/probe", "ids"])
        cls.layout = m.path("layout")
        cls.image.write_layout(cls.layout, ("gzip", "gzip", None))

    def setUp(self):
        self.store = Store(self.machine)
        self.addCleanup(self.store.end)

    def nothing_is_left(self):
        self.assertEqual(self.store.datasets("filesystem,snapshot"), [])
        self.assertEqual(self.store.mounts(), [])

    def tree_by_mount(self, name, ignore_ns=()):
        self.same_tree(self.store.imbrex("mount", name).last, self.image.model, ignore_ns)
        self.store.imbrex("umount", name)

    def test_podman_takes_what_imbrex_pulled(self):
        s = self.store
        s.imbrex("pull", "-q", f"oci:{self.layout}:latest", NAME)
        self.assertEqual([i["Id"] for i in s.podman("images", "--format", "json").json()],
                         [self.image.id])
        config = s.podman("inspect", "--type", "image", NAME).json()[0]
        self.assertEqual(config["Config"]["Env"], ["COLOUR=blue"])
        self.assertEqual(config["GraphDriver"]["Name"], "zfs")
        r = s.podman("--runtime", "crun", "run", "--rm", "--network=none", "--cgroups=disabled",
                     NAME, "/bin/probe", "cat", "/etc/motd", timeout=300)
        self.assertEqual(r.out, "third\n")
        # A container of podman's on layers of ours, written to by both.
        ctr = s.podman("create", "--network=none", NAME, "/bin/probe", "ids").last
        at = s.podman("mount", ctr).last
        with open(at + "/by-podman", "w", encoding="ascii") as f:
            f.write("p")
        self.assertEqual([c["id"] for c in s.imbrex("ps", "--json").json()], [ctr])
        with open(s.imbrex("mount", ctr).last + "/by-imbrex", "w", encoding="ascii") as f:
            f.write("i")
        s.imbrex("umount", ctr)
        self.assertTrue(os.path.exists(at + "/by-imbrex"))
        s.podman("umount", ctr)
        self.assertEqual(s.mounts(), [])
        changes = s.podman("diff", ctr).out.split("\n")
        self.assertIn("A /by-imbrex", changes)
        self.assertIn("A /by-podman", changes)
        s.podman("rm", ctr)
        self.clean(s)
        s.podman("rmi", NAME)
        self.nothing_is_left()

    def test_imbrex_takes_what_podman_pulled(self):
        s = self.store
        s.podman("pull", "-q", f"oci:{self.layout}:latest")
        s.podman("tag", self.image.id, NAME)
        self.assertEqual([i["id"] for i in s.imbrex("images", "--json").json()], [self.image.id])
        p = self.machine.run(s.argv("imbrex", "run", NAME, "/bin/probe", "cat", "/etc/motd",
                                    "put", "/new", "exit", "7"))
        self.assertEqual((p.status, p.out), (7, "third\n/new: ok\n"), p)
        self.clean(s)
        # Podman's layers have no mark of ours: gc takes none of them.
        self.assertEqual(s.imbrex("gc").out, "")
        ctr = s.imbrex("create", NAME).last
        with open(s.imbrex("mount", ctr).last + "/by-imbrex", "w", encoding="ascii") as f:
            f.write("i")
        s.imbrex("umount", ctr)
        layer = s.imbrex("inspect", ctr).json()[0]["layer"]
        # containers-storage, the library that podman is built on, compares the two.
        self.assertIn("/by-imbrex", s.cs("changes", layer).out)
        s.imbrex("rm", ctr)
        s.imbrex("rmi", self.image.id)
        self.nothing_is_left()

    def test_the_layout_is_what_the_man_page_says(self):
        s = self.store
        s.imbrex("pull", "-q", f"oci:{self.layout}:latest", NAME)
        layers = s.datasets()
        self.assertEqual(len(layers), len(self.image.diff_ids))
        marks = set()
        for layer in layers:
            self.assertRegex(layer, f"^{LAYER}$")
            self.assertEqual(s.property("mountpoint", layer), "legacy")
            self.assertEqual(s.property("quota", layer), "none")
            own = zfs("get", "-H", "-s", "local", "-o", "property,value", "all",
                      f"{s.dataset}/{layer}")
            marks.update(re.findall(r"(?m)^imbrex:store\.[0-9a-f]{16}\t.*$", own))
        self.assertEqual([m.split("\t")[1] for m in marks], [s.root])
        snapshots = s.datasets("snapshot")
        self.assertEqual(len(snapshots), len(layers) - 1)
        for snapshot in snapshots:
            self.assertRegex(snapshot, f"^{LAYER}@imbrex-[0-9]+-[0-9a-f]{{16}}$")
            self.assertEqual(s.property("defer_destroy", snapshot), "on")
        self.assertEqual(os.listdir(s.root + "/zfs"), [])
        # A container: a clone of the top layer, mounted at its place while it is.
        ctr = s.imbrex("create", NAME).last
        layer = s.imbrex("inspect", ctr).json()[0]["layer"]
        top = s.property("origin", layer)[len(s.dataset) + 1:].split("@")[0]
        self.assertIn(top, layers)
        at = s.imbrex("mount", ctr).last
        self.assertEqual(at, f"{s.root}/zfs/graph/{layer}")
        self.assertEqual(s.mounts(), [at])
        s.imbrex("umount", ctr)
        self.assertEqual((s.mounts(), os.listdir(s.root + "/zfs/graph")), ([], []))
        info = s.imbrex("info").out
        for word in ("Parent Dataset", s.dataset, "Zpool Health", "ONLINE"):
            self.assertIn(word, info)
        self.tree_by_mount(NAME)
        s.imbrex("rm", ctr)
        self.clean(s)
        s.imbrex("rmi", NAME)
        self.nothing_is_left()

    def test_the_recipes_of_the_man_page_work(self):
        s, known = self.store, recipes()
        work = self.machine.path("recipes")
        mnt = work + "/mnt"
        os.makedirs(mnt)
        s.imbrex("pull", "-q", f"oci:{self.layout}:latest", NAME)
        ctr = s.imbrex("create", NAME).last
        layer = s.imbrex("inspect", ctr).json()[0]["layer"]

        def do(title, **more):
            env = {**self.machine.env, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin",
                   "fs": s.dataset, "id": layer, "root": s.root, "mnt": mnt, **more}
            p = subprocess.run(["sh", "-euc", known.pop(title)], cwd=work, env=env, check=False,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            self.assertEqual(p.returncode, 0, p.stdout)
            return p.stdout

        with open(s.imbrex("mount", ctr).last + "/mine", "w", encoding="ascii") as f:
            f.write("mine")
        s.imbrex("umount", ctr)
        do("Save the files of a layer")
        names = subprocess.run(["tar", "-tf", f"{work}/{layer}.tar"], check=True, text=True,
                               stdout=subprocess.PIPE).stdout.split("\n")
        self.assertIn("./mine", names)
        # Lost, and an old one beside it.
        zfs("rename", f"{s.dataset}/{layer}", f"{s.dataset}/imbrex-old-{layer}")
        self.assertNotEqual(self.machine.run(s.argv("imbrex", "check")).status, 0)
        do("Put a layer back")
        self.clean(s)
        zfs("destroy", "-r", f"{s.dataset}/{layer}")
        do("Make a layer again")
        self.clean(s)
        self.same_tree(s.imbrex("mount", ctr).last, self.image.model)
        s.imbrex("umount", ctr)
        stranger = "ab" * 32
        zfs("create", "-o", "mountpoint=legacy", f"{s.dataset}/{stranger}")
        self.assertEqual(do("List datasets without a record").split(), [stranger])
        self.assertEqual(known, {})
        zfs("destroy", f"{s.dataset}/{stranger}")
        s.imbrex("rm", ctr)
        s.imbrex("rmi", NAME)
        self.nothing_is_left()

    def test_a_limit_is_a_quota(self):
        s = self.store
        s.imbrex("pull", "-q", f"oci:{self.layout}:latest", NAME)
        ctr = s.imbrex("--storage-opt", "zfs.size=16m", "create", NAME).last
        layer = s.imbrex("inspect", ctr).json()[0]["layer"]
        self.assertEqual(s.property("quota", layer), "16M")
        at = s.imbrex("mount", ctr).last
        with self.assertRaises(OSError):
            with open(at + "/large", "wb") as f:
                for _ in range(64):
                    f.write(os.urandom(1 << 20))
                    f.flush()
                    os.fsync(f.fileno())
        s.imbrex("umount", ctr)
        s.imbrex("rm", ctr)
        s.imbrex("rmi", NAME)
        self.nothing_is_left()


if __name__ == "__main__":
    if not os.environ.get("IMBREX_ZFS"):
        peers.skip_all("no ZFS dataset is given (tests/vm/onzfs)")
    peers.main(__name__, ("podman", "containers-storage", "crun", "zfs"))
