#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Do the recipes of the man pages for a broken store work, as they stand there?

usage: test_recipes.py IMBREX LAYOUTS MAN DRIVER

Every block of commands in imbrex-store(5) and imbrex-driver-DRIVER(7) begins with a comment that is
its title. Each is run by a shell on a store that was damaged accordingly, without imbrex, and then
imbrex must find nothing to complain of. Titles without a test, and tests without a title, fail.
"""
import ctypes
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

IMBREX, LAYOUTS, MAN, DRIVER = sys.argv[1:5]
IN_LANE = "IMBREX_RECIPES_LANE"
MS_DETACH = 2
libc = ctypes.CDLL(None, use_errno=True)
PAGES = (f"imbrex-driver-{DRIVER}.7.scd", "imbrex-store.5.scd")


if DRIVER == "zfs":
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../zfs"))
    import datasets


def skip(reason):
    print("skipped:", reason)
    sys.exit(77)


def recipes():
    """{title: commands}"""
    found = {}
    for page in PAGES:
        with open(os.path.join(MAN, page), encoding="utf-8") as f:
            text = f.read()
        for block in re.findall(r"^```\n# (.*\n(?:.*\n)*?)```$", text, re.M):
            title, commands = block.split("\n", 1)
            # As scdoc has it: a backslash stands for the character behind it.
            found[title.rstrip(".")] = re.sub(r"\\(.)", r"\1", commands, flags=re.S)
    return found


def tree(top):
    """What everybody sees of a tree."""
    found = {}
    for at, dirs, files in os.walk(top):
        for name in dirs + files:
            path = os.path.join(at, name)
            st = os.lstat(path)
            found[os.path.relpath(path, top)] = (
                st.st_mode, st.st_uid, st.st_nlink if name in files else 0,
                os.readlink(path) if os.path.islink(path) else
                open(path, "rb").read() if os.path.isfile(path) else None)
    return found


class Recipes(unittest.TestCase):
    maxDiff = None
    known = recipes()
    file_systems = None

    @classmethod
    def setUpClass(cls):
        if DRIVER == "zfs":
            cls.file_systems = datasets.Datasets(tempfile.gettempdir())
            cls.addClassCleanup(cls.file_systems.destroy)

    def setUp(self):
        self.dir = os.path.join(tempfile.gettempdir(), "ir-" + os.urandom(6).hex())
        os.mkdir(self.dir, 0o755)
        self.addCleanup(self.remove)
        self.root, self.run_root, self.mnt = (f"{self.dir}/{n}" for n in ("root", "run", "mnt"))
        os.mkdir(self.mnt)
        self.env = dict(os.environ, CONTAINERS_STORAGE_CONF="/dev/null", HOME=self.dir)
        self.options, self.fs = [], ""
        if DRIVER == "zfs":
            self.fs = self.file_systems.make()
            self.options = ["--storage-opt", "zfs.fsname=" + self.fs]
        layouts = self.dir + "/layouts"
        self.execute([sys.executable, "-B", LAYOUTS, layouts])
        self.imbrex("pull", "-q", f"oci:{layouts}:one", "one")
        self.image = self.imbrex("images", "-q").split()[0]
        self.box = self.imbrex("create", "--name", "box", "one")
        self.layer = self.records("containers")[0]["layer"]
        self.top = self.records("images")[0]["layer"]
        self.want = self.seen()

    def remove(self):
        with open("/proc/self/mountinfo", encoding="utf-8") as f:
            points = [line.split()[4] for line in f]
        for point in reversed([p for p in points if p.startswith(self.dir + "/")]):
            libc.umount2(point.encode(), MS_DETACH)
        shutil.rmtree(self.dir, ignore_errors=True)

    def execute(self, argv, **more):
        p = subprocess.run(argv, capture_output=True, check=False, timeout=60, env=self.env, **more)
        self.assertEqual(p.returncode, 0, f"{argv}\n{p.stdout.decode()}{p.stderr.decode()}")
        return p.stdout.decode().strip()

    def imbrex(self, *args):
        return self.execute([IMBREX, "--root", self.root, "--runroot", self.run_root, "--driver",
                             DRIVER, *self.options, *args])

    def cook(self, title, **variables):
        """Run a recipe; its output."""
        words = {"root": self.root, "run": self.run_root, "driver": DRIVER, "id": self.layer,
                 "image": self.image, "name": "box", "mnt": self.mnt, "fs": self.fs, **variables}
        script = "".join(f"{k}='{v}'\n" for k, v in words.items()) + self.known[title]
        return self.execute(["sh", "-eu", "-c", script], cwd=self.dir)

    def path(self, *names):
        return os.path.join(self.root, *names)

    def records(self, noun):
        with open(self.path(f"{DRIVER}-{noun}", noun + ".json"), encoding="utf-8") as f:
            return json.load(f)

    def content(self, layer):
        if DRIVER == "zfs":
            where = f"{self.dir}/content-{layer[:12]}"
            os.makedirs(where, exist_ok=True)
            self.file_systems.show(f"{self.fs}/{layer}", where)
            self.addCleanup(self.file_systems.hide, where)
            return where
        return self.path(*{"vfs": ("vfs", "dir", layer), "overlay": ("overlay", layer, "diff"),
                           "btrfs": ("btrfs", "subvolumes", layer)}[DRIVER])

    def text(self, path):
        with open(path, encoding="utf-8") as f:
            return f.read()

    def seen(self):
        found = tree(self.imbrex("mount", "box"))
        self.imbrex("umount", "box")
        return found

    def clean(self):
        self.imbrex("check")
        self.assertEqual(self.seen(), self.want)

    def overlay(self):
        if DRIVER != "overlay":
            self.skipTest("is about overlay")

    def whole(self):
        if DRIVER not in ("vfs", "btrfs"):
            self.skipTest("is about drivers that keep whole trees")

    def zfs(self):
        if DRIVER != "zfs":
            self.skipTest("is about zfs")

    def btrfs(self):
        if DRIVER != "btrfs":
            self.skipTest("is about btrfs")

    def test_every_recipe_is_tried(self):
        with open(__file__, encoding="utf-8") as f:
            tried = set(re.findall(r'self\.cook\("([^"]*)"', f.read()))
        others = set()
        for other in {"overlay", "vfs", "btrfs", "zfs"} - {DRIVER}:
            with open(os.path.join(MAN, f"imbrex-driver-{other}.7.scd"), encoding="utf-8") as f:
                others |= {t.rstrip(".") for t in re.findall(r"^```\n# (.*)", f.read(), re.M)}
        self.assertEqual(set(self.known) - tried, set())
        self.assertEqual(tried - set(self.known) - others, set())

    # ---- overlay ----

    def test_a_layer_is_mounted_by_hand(self):
        self.overlay()
        self.cook("Mount a layer for reading")
        self.assertEqual(tree(self.mnt), self.want)
        self.execute(["umount", self.mnt])
        lowest = [r["id"] for r in self.records("layers") if "parent" not in r][0]
        self.cook("Mount a layer for reading", id=lowest)
        self.assertIn("etc/passwd", tree(self.mnt))
        self.execute(["umount", self.mnt])
        self.cook("Mount a layer for writing")
        self.assertEqual(tree(self.mnt), self.want)
        with open(self.mnt + "/written", "w", encoding="utf-8") as f:
            f.write("by hand")
        self.execute(["umount", self.mnt])
        self.assertIn("written", self.seen())

    def test_links_are_made_again(self):
        self.overlay()
        links = self.path("overlay", "l")
        before = {n: os.readlink(os.path.join(links, n)) for n in os.listdir(links)}
        shutil.rmtree(links)
        self.cook("Make the links again")
        self.assertEqual({n: os.readlink(os.path.join(links, n)) for n in os.listdir(links)},
                         before)
        self.clean()

    def test_link_files_are_made_again(self):
        self.overlay()
        paths = [self.path("overlay", r["id"], "link") for r in self.records("layers")]
        before = [self.text(path) for path in paths]
        for path in paths:
            os.unlink(path)
        self.cook("Make the link files again")
        self.assertEqual([self.text(path) for path in paths], before)
        self.clean()

    def test_a_chain_is_made_again(self):
        self.overlay()
        path = self.path("overlay", self.layer, "lower")
        before = self.text(path)
        os.unlink(path)
        self.cook("Make the chain again")
        self.assertEqual(self.text(path), before)
        self.clean()

    def test_directories_for_mounting_are_made_again(self):
        self.overlay()
        for name in ("work", "merged"):
            shutil.rmtree(self.path("overlay", self.layer, name))
        self.cook("Make the directories for mounting again")
        for name in ("work", "merged"):
            self.assertEqual(os.listdir(self.path("overlay", self.layer, name)), [])
        self.clean()

    # ---- vfs ----

    def test_files_are_saved(self):
        self.whole()
        self.cook("Save the files of a layer")
        with tarfile.open(self.mnt + "/files.tar") as t:
            names = {os.path.normpath(n) for n in t.getnames()} - {"."}
        self.assertEqual(names, set(self.want))

    def test_a_layer_is_made_again(self):
        self.whole()
        shutil.rmtree(self.content(self.layer))
        self.cook("Make a layer again")
        self.clean()

    # ---- btrfs ----

    def ids(self):
        """Inode numbers of the layers' roots: 256 are subvolumes."""
        return {n: os.stat(self.content(n)).st_ino for n in os.listdir(self.path("btrfs/subvolumes"))}

    def test_a_subvolume_is_shown(self):
        self.btrfs()
        shown = self.cook("Show a layer's subvolume, and what it is a snapshot of")
        above = self.cook("Show a layer's subvolume, and what it is a snapshot of", id=self.top)
        self.assertEqual(re.search(r"Parent UUID:\s*(\S+)", shown).group(1),
                         re.search(r"\bUUID:\s*(\S+)", above).group(1))

    def test_copied_directories_become_subvolumes(self):
        self.btrfs()
        for layer in self.ids():
            os.rename(self.content(layer), self.dir + "/old")
            self.execute(["cp", "-a", self.dir + "/old", self.content(layer)])
            shutil.rmtree(self.dir + "/old")
        self.assertNotIn(256, self.ids().values())
        self.clean()
        self.cook("Turn copied directories into subvolumes")
        self.assertEqual(set(self.ids().values()), {256})
        self.clean()

    def test_a_subvolume_is_removed(self):
        self.btrfs()
        for name in ("a", "a/b", "c"):
            self.execute(["btrfs", "subvolume", "create", self.content(self.layer) + "/" + name])
        self.cook("Remove a subvolume, and those in it")
        self.assertFalse(os.path.exists(self.content(self.layer)))
        self.cook("Make a layer again")
        self.clean()

    # ---- zfs ----

    def test_files_of_a_dataset_are_saved(self):
        self.zfs()
        self.cook("Save the files of a layer")
        with tarfile.open(f"{self.dir}/{self.layer}.tar") as t:
            names = {os.path.normpath(n) for n in t.getnames()} - {"."}
        self.assertEqual(names, set(self.want))
        self.assertEqual(os.listdir(self.mnt), [])

    def test_a_dataset_is_made_again(self):
        self.zfs()
        datasets.zfs("destroy", f"{self.fs}/{self.layer}")
        self.cook("Make a layer again")
        self.clean()
        self.assertNotIn("again", datasets.zfs("list", "-H", "-t", "filesystem", "-o", "name", "-r",
                                               self.fs))

    def test_a_dataset_is_put_back(self):
        self.zfs()
        datasets.zfs("rename", f"{self.fs}/{self.layer}", f"{self.fs}/imbrex-old-{self.layer}")
        self.cook("Put a layer back")
        self.clean()

    def test_datasets_are_shown(self):
        self.zfs()
        out = self.cook("Show layers, what each was cloned from, and what it takes")
        shown = {line.split()[0]: line.split() for line in out.splitlines()}
        layers = {f"{self.fs}/{r['id']}" for r in self.records("layers")}
        self.assertEqual(layers - set(shown), set())
        self.assertTrue([w for w in shown[f"{self.fs}/{self.layer}"]
                         if w.startswith(f"{self.fs}/{self.top}@imbrex-")])
        marks = [line.split("\t") for line in
                 self.cook("Show what imbrex made, for which graph root").splitlines()]
        self.assertEqual({m[0] for m in marks}, layers)
        self.assertEqual({m[2] for m in marks}, {os.path.realpath(self.root)})

    def test_who_keeps_a_layer_busy_is_shown(self):
        self.zfs()
        self.imbrex("mount", "box")
        datasets.zfs("snapshot", f"{self.fs}/{self.layer}@kept")
        datasets.zfs("hold", "mine", f"{self.fs}/{self.layer}@kept")
        shown = self.cook("Show who keeps a layer busy: processes that see it mounted, and holds")
        self.assertIn(f"/proc/{os.getpid()}/mountinfo", shown)
        self.assertRegex(shown, f"{self.layer}@kept +mine ")
        datasets.zfs("release", "mine", f"{self.fs}/{self.layer}@kept")
        self.imbrex("umount", "box")

    def test_strange_datasets_are_listed(self):
        self.zfs()
        stranger = "ab" * 32
        datasets.zfs("create", "-u", f"{self.fs}/{stranger}")
        self.assertEqual(self.cook("List datasets without a record"), stranger)

    # ---- all ----

    def test_strangers_are_listed(self):
        if DRIVER == "zfs":
            self.skipTest("is about directories")
        stranger = "ab" * 32
        os.mkdir(os.path.dirname(self.content(stranger)) if DRIVER == "overlay"
                 else self.content(stranger))
        self.assertEqual(self.cook("List layers without a record"), stranger)

    def test_the_layers_of_an_image_are_shown(self):
        shown = self.cook("Show the layers of an image, the top one first").split()
        self.assertEqual((shown[0], len(shown)), (self.top, 3))
        self.assertEqual(set(shown), {r["id"] for r in self.records("layers")} - {self.layer})

    def test_the_layer_of_a_container_is_shown(self):
        self.assertEqual(self.cook("Show the layer of a container by its name"), self.layer)

    def test_documents_are_named(self):
        shown = dict(line.rsplit(" ", 1) for line in
                     self.cook("Show which file has which key").splitlines())
        keys = set(self.records("images")[0]["big-data-names"])
        self.assertEqual(set(shown), keys - {"manifest"})
        with open(self.path(f"{DRIVER}-images", self.image, shown["sha256:" + self.image]),
                  "rb") as f:
            self.assertEqual(hashlib.sha256(f.read()).hexdigest(), self.image)

    def test_an_archive_is_put_together(self):
        for record in self.records("layers"):
            # With vfs a layer that changes a file of the one below has lost its own no more.
            if "diff-digest" not in record:
                continue
            out = self.cook("Put the archive of a layer together", id=record["id"],
                            content=self.content(record["id"])).split()
            self.assertEqual("sha256:" + out[0], out[2])

    def test_everything_is_unmounted(self):
        self.imbrex("mount", "box")
        self.cook("Unmount everything")
        with open("/proc/self/mountinfo", encoding="utf-8") as f:
            self.assertNotIn(self.root, f.read())
        if DRIVER == "zfs":  # an empty directory stays where a layer was mounted
            self.imbrex("gc")
        self.clean()

    def test_a_container_is_forgotten(self):
        self.imbrex("create", "--name", "other", "one")
        self.cook("Forget a container")
        self.assertEqual([r["names"] for r in self.records("containers")], [["other"]])
        self.imbrex("gc")
        self.imbrex("check")

    def test_the_record_of_a_container_is_made_again(self):
        path = self.path(f"{DRIVER}-containers", "containers.json")
        with open(path, "w", encoding="utf-8") as f:
            f.write("[]")
        self.cook("Make the record of a container again")
        self.clean()


def main():
    if os.geteuid() != 0:
        skip("needs root")
    for program in ("jq", "unshare", "findmnt"):
        if not shutil.which(program):
            skip(f"not installed: {program}")
    if IN_LANE not in os.environ:
        if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
            skip("no private mount namespace is allowed here")
        os.environ[IN_LANE] = "1"
        os.execvp("unshare", ["unshare", "-m", "--propagation", "private", sys.executable, "-B",
                              *sys.argv])
    os.umask(0o022)
    del sys.argv[1:]
    unittest.main(testRunner=unittest.TextTestRunner(stream=sys.stdout, verbosity=2))


if __name__ == "__main__":
    main()
