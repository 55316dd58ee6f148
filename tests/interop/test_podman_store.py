#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Do images of podman's stores become ours, with their files where that is possible, and is podman's
store as it was?

usage: test_podman_store.py IMBREX PROBE [TEST...]
"""
import os
import shutil
import subprocess
import time
import unittest

import odd
import peers
from peers import Case, Store

NAME = "localhost/odd:1"


class Base(Case):
    @classmethod
    def setUpClass(cls):
        m = cls.machine
        cls.image = odd.Image(odd.odd_layers(m.probe), Env=["COLOUR=blue"], Cmd=["/bin/probe", "ids"])
        cls.model = cls.image.model
        cls.layout = m.path("layout")
        cls.manifest = cls.image.write_layout(cls.layout, ("gzip", "gzip", None))

    def store(self, driver, filled=False):
        store = Store(self.machine, driver)
        self.addCleanup(store.end)
        if filled:
            image = store.podman("pull", "-q", f"oci:{self.layout}:latest").last
            store.podman("tag", image, NAME)
            for name in store.podman("inspect", image).json()[0]["RepoTags"]:
                if name != NAME:
                    store.podman("untag", image, name)
        return store

    def check(self, store, source=False):
        """`source`: what podman has unpacked itself, empty xattrs missing."""
        record = store.imbrex("inspect", NAME).json()[0]
        self.assertEqual(record["id"], self.image.id)
        self.assertEqual(sorted(x["id"] for x in store.imbrex("layers", "--json").json()),
                         sorted(self.image.layer_ids()))
        self.clean(store)
        root = store.podman("image", "mount", NAME).last
        found = [d for d in odd.differences(odd.walk(root), self.model) if ": links is " not in d]
        if not source:
            self.assertEqual(found, [])
        store.podman("image", "umount", NAME)
        r = store.podman("run", "--rm", NAME, "/bin/probe", "cat", "/etc/motd", "put", "/new", "ids")
        self.assertEqual(r.out.splitlines(), ["third", "/new: ok", "ids: 0:0"])

    def digest_of(self, store):
        """The manifest's, by podman."""
        return store.podman("inspect", "--type", "image", NAME).json()[0]["Digest"]


def linked(root, driver):
    """Files of layers with more names than they have in the layer."""
    found = set()
    for folder, _, files in os.walk(os.path.join(root, driver)):
        for name in files:
            st = os.lstat(os.path.join(folder, name))
            if st.st_nlink > 1 and st.st_size:
                found.add(st.st_ino)
    return found


class Adopt(Base):
    def adopt(self, from_driver, to_driver):
        source, target = self.store(from_driver, filled=True), self.store(to_driver)
        digest = self.digest_of(source)
        self.assertEqual(target.imbrex("pull", "-q", source.name(NAME)).last, self.image.id)
        self.check(target)
        self.assertEqual(self.digest_of(target), digest)
        self.check(source, source=True)
        return source, target

    def test_overlay_to_overlay(self):
        source, target = self.adopt("overlay", "overlay")
        shared = linked(source.root, "overlay") & linked(target.root, "overlay")
        if os.stat(source.root).st_dev == os.stat(target.root).st_dev and not can_clone(source.root):
            big = {e.name for e in self.model.entries() if e.kind == "file" and len(e.data) >= 65536}
            self.assertEqual(len(shared) > 0, len(big) > 0)
        # Each store stands without the other.
        source.podman("rmi", "-f", NAME)
        self.check(target)
        target.imbrex("verify", NAME)

    def test_the_source_outlives_the_copy(self):
        source, target = self.adopt("overlay", "overlay")
        target.imbrex("rmi", NAME)
        self.check(source, source=True)
        source.imbrex("verify", NAME)

    def test_open_stores_are_not_linked(self):
        """Others may enter: they could write to files that an image says belong to them."""
        source, target = self.store("overlay", filled=True), self.store("overlay")
        os.chmod(source.root, 0o711)
        os.chmod(source.root + "/overlay", 0o711)
        target.imbrex("pull", "-q", source.name(NAME))
        self.check(target)
        self.assertEqual(linked(source.root, "overlay") & linked(target.root, "overlay"), set())

    def test_overlay_to_vfs(self):
        source, target = self.adopt("overlay", "vfs")
        self.assertEqual(linked(source.root, "overlay") & linked(target.root, "vfs"), set())

    def test_vfs_to_overlay(self):
        self.adopt("vfs", "overlay")

    def test_vfs_to_vfs(self):
        self.adopt("vfs", "vfs")

    def test_btrfs_to_btrfs(self):
        source, target = self.adopt("btrfs", "btrfs")
        source.podman("rmi", "-f", NAME)
        self.check(target)
        target.imbrex("verify", NAME)

    def test_btrfs_to_overlay(self):
        self.adopt("btrfs", "overlay")

    def test_btrfs_to_vfs(self):
        self.adopt("btrfs", "vfs")

    def test_overlay_to_btrfs(self):
        self.adopt("overlay", "btrfs")

    def test_vfs_to_btrfs(self):
        self.adopt("vfs", "btrfs")

    def test_again_costs_nothing(self):
        source, target = self.adopt("overlay", "overlay")
        r = target.imbrex("pull", "--progress", "plain", source.name(NAME), "localhost/other:1")
        self.assertEqual((r.last, r.err.count("already here"), r.err.count("fetching")),
                         (self.image.id, len(self.image.diff_ids), 0))
        self.assertEqual(sorted(target.imbrex("images", "--json").json()[0]["names"]),
                         [NAME, "localhost/other:1"])

    def test_part_of_it_is_here(self):
        source, target = self.store("overlay", filled=True), self.store("overlay")
        small = odd.Image(self.image.layers[:1])
        layout = self.machine.path("small")
        small.write_layout(layout)
        target.imbrex("pull", "-q", f"oci:{layout}:latest", "localhost/small:1")
        target.imbrex("pull", "-q", source.name(NAME))
        self.check(target)

    def test_the_same_store_is_only_a_name(self):
        store = self.store("overlay", filled=True)
        layers = [x["id"] for x in store.imbrex("layers", "--json").json()]
        r = store.imbrex("pull", "-q", store.name(NAME), "localhost/other:1")
        self.assertEqual(r.last, self.image.id)
        self.assertEqual(sorted(store.podman("inspect", NAME).json()[0]["RepoTags"]),
                         [NAME, "localhost/other:1"])
        self.assertEqual([x["id"] for x in store.imbrex("layers", "--json").json()], layers)
        self.clean(store)

    def test_names_and_ids(self):
        source = self.store("overlay", filled=True)
        for reference, names in (("odd:1", [NAME]), (self.image.id, []), ("@" + self.image.id[:20], []),
                                 (NAME + "@" + self.image.id, [NAME]), (self.image.id[:12], [])):
            with self.subTest(reference):
                target = self.store("overlay")
                target.imbrex("pull", "-q", source.name(reference))
                self.assertEqual(target.imbrex("images", "--json").json()[0]["names"], names)

    def test_nothing_of_the_source_is_changed(self):
        def state(root):
            found = {}
            for folder, dirs, files in os.walk(root):
                for name in [*dirs, *files]:
                    st = os.lstat(os.path.join(folder, name))
                    found[os.path.relpath(os.path.join(folder, name), root)] = (
                        st.st_mode, st.st_uid, st.st_gid, st.st_size if not os.path.isdir(
                            os.path.join(folder, name)) else 0, st.st_mtime_ns)
            return found
        source, target = self.store("overlay", filled=True), self.store("overlay")
        before = state(source.root)
        target.imbrex("pull", "-q", source.name(NAME))
        self.assertEqual(state(source.root), before)


def can_clone(folder):
    """Does the file system share blocks between files?"""
    paths = [os.path.join(folder, ".clone-" + n) for n in "ab"]
    with open(paths[0], "wb") as f:
        f.write(b"x" * 65536)
    r = subprocess.run(["cp", "--reflink=always", *paths], capture_output=True, check=False)
    for p in paths:
        if os.path.exists(p):
            os.unlink(p)
    return r.returncode == 0


class Clone(Base):
    """On a file system that shares blocks."""
    def test_blocks_are_shared(self):
        if not shutil.which("mkfs.xfs"):
            self.skipTest("no mkfs.xfs")
        image, mount = self.machine.path("xfs.img"), self.machine.path("xfs")
        os.mkdir(mount)
        with open(image, "wb") as f:
            f.truncate(1 << 30)
        for argv in (["mkfs.xfs", "-q", "-m", "reflink=1", image], ["mount", "-o", "loop", image, mount]):
            r = subprocess.run(argv, capture_output=True, text=True, check=False)
            if r.returncode:
                self.skipTest(f"{argv[0]}: {r.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", mount], check=False)
        layout = self.machine.path("big")
        big = odd.Image([("pax", [odd.Entry("big", data=odd.noise(64 << 20)), odd.Entry("b", data=b"x")])])
        big.write_layout(layout, (None,))
        source, target = self.store("overlay"), self.store("overlay")
        for store, name in ((source, "a"), (target, "b")):
            store.root, store.runroot = f"{mount}/{name}", f"{mount}/{name}.run"
            store.roots = ["--root", store.root, "--runroot", store.runroot]
        source.imbrex("pull", "-q", f"oci:{layout}:latest", "big:1")
        os.sync()
        before = os.statvfs(mount).f_bfree
        target.imbrex("pull", "-q", source.name("localhost/big:1"))
        os.sync()
        used = (before - os.statvfs(mount).f_bfree) * os.statvfs(mount).f_frsize
        self.assertLess(used, 16 << 20)
        self.clean(target)
        target.imbrex("verify", "big:1")
        inodes = [os.stat(f"{s.root}/overlay/{big.layer_ids()[0]}/diff/big").st_ino for s in (source, target)]
        self.assertNotEqual(*inodes)


class Enroot(Base):
    """A plain directory and a squashfs file of an image of podman's store, read in place."""
    def enroot(self, source, *args):
        conf = self.machine.write("enroot-storage.conf", '[storage]\ndriver = "%s"\ngraphroot = "%s"\n'
                                  'runroot = "%s"\n' % (source.driver, source.root, source.runroot))
        places = [f"ENROOT_{name}_PATH={self.work}/{name.lower()}"
                  for name in ("DATA", "CACHE", "CONFIG", "TEMP", "RUNTIME")]
        return self.machine.run(["env", "-C", self.work, *places, "CONTAINERS_STORAGE_CONF=" + conf,
                                 self.machine.imbrex, "enroot", *args])

    def good(self, *args):
        r = self.enroot(*args)
        self.assertEqual((r.status, r.out), (0, ""), r)
        return r.err.splitlines()

    def expected(self, setid):
        """{path: (kind, permissions as an owner needs them, content)} of the image."""
        found = {}
        for path, node in self.model.tree.items():
            mode, is_dir = node["mode"], node["kind"] == "dir"
            if not is_dir and not setid:
                mode &= 0o1777
            mode |= 0o700 if is_dir else 0o500 if mode & 0o111 else 0o400
            if not path.startswith(b"dev/"):
                found[path] = (node["kind"], node["kind"] != "symlink" and oct(mode), node["data"])
        return found

    @staticmethod
    def found(root):
        made = (b"etc/rc", b"etc/rc.local", b"etc/environment", b"etc/fstab")
        return {path: (node["kind"], node["kind"] != "symlink" and oct(node["mode"]), node["data"])
                for path, node in odd.walk(root).items() if path not in made}

    def container(self, driver):
        source = self.store(driver, filled=True)
        self.work = self.machine.path("enroot-" + driver)
        os.makedirs(self.work + "/temp")
        self.addCleanup(shutil.rmtree, self.work)
        self.assertEqual(self.good(source, "load", "-n", "loaded", "podman://odd:1"), [
            "[INFO] Fetching image", "[INFO] Extracting image content...",
            "[INFO] Loading container root filesystem..."])
        self.assertEqual(self.good(source, "import", "podman://odd:1"), [
            "[INFO] Fetching image", "[INFO] Extracting image content...",
            "[INFO] Creating squashfs filesystem..."])
        self.good(source, "create", "odd+1.sqsh")
        for name in ("loaded", "odd+1"):
            root = f"{self.work}/data/{name}"
            self.assertEqual(self.found(root), self.expected(setid=name != "loaded"))
            with open(root + "/etc/rc", encoding="utf-8") as f:
                self.assertEqual(f.readline(), "# enroot-provenance: podman://odd:1\n")
            with open(root + "/etc/environment", encoding="utf-8") as f:
                self.assertEqual(f.read(), "COLOUR=blue\n")
            # Whatever is written there, podman's image stays what it was.
            self.assertEqual([p for p in linked(root, "") if p in linked(source.root, driver)], [])
            with open(root + "/etc/motd", "w", encoding="utf-8") as f:
                f.write("changed")
        self.check(source, source=True)
        source.imbrex("verify", NAME)
        self.assertEqual(os.listdir(f"{self.work}/cache") + os.listdir(f"{self.work}/temp"), [])

    def test_overlay(self):
        self.container("overlay")

    def test_vfs(self):
        self.container("vfs")

    def test_btrfs(self):
        self.container("btrfs")

    def test_image_that_is_not_there(self):
        source = self.store("overlay", filled=True)
        self.work = self.machine.path("enroot-none")
        os.makedirs(self.work + "/temp")
        self.addCleanup(shutil.rmtree, self.work)
        for command in ("import", "load"):
            r = self.enroot(source, command, "podman://nope:1")
            self.assertEqual((r.status, r.out, r.err), (
                1, "", "[INFO] Fetching image\n[ERROR] import podman://nope:1: image 'nope:1' is not "
                "in the store\n"))
        self.assertEqual(sorted(os.listdir(self.work)), ["cache", "data", "runtime", "temp"])
        self.assertEqual(os.listdir(self.work + "/data") + os.listdir(self.work + "/temp"), [])


class Refused(Base):
    def refuse(self, source, message, target=None):
        target = target or self.store("overlay")
        r = self.machine.run(target.argv("imbrex", "pull", "-q", source))
        self.assertEqual((r.status, r.out, r.err.splitlines()[:1]),
                         (1, "", [f"imbrex: pull {source}: {message}"]))
        self.assertEqual(target.imbrex("images", "-q").out + target.imbrex("layers", "-q").out, "")
        self.clean(target)

    def test_image_that_is_not_there(self):
        source = self.store("overlay", filled=True)
        self.refuse(source.name("nope:1"), "image 'nope:1' is not in the store")

    def test_store_that_is_not_there(self):
        where = self.machine.path("nowhere")
        self.refuse(f"containers-storage:[overlay@{where}]x",
                    f"open directory '{where}': No such file or directory")
        self.assertFalse(os.path.exists(where))

    def test_texts_that_are_none(self):
        self.refuse("containers-storage:[overlay@/x", "'[overlay@/x': no ']' after '['")
        self.refuse("containers-storage:[overlay@x]y", "'[overlay@x]y': roots are absolute paths")
        self.refuse("containers-storage:[overlay@/x+y]z", "'[overlay@/x+y]z': roots are absolute paths")

    def test_changed_content(self):
        source = self.store("overlay", filled=True)
        found = None
        for folder, _, files in os.walk(f"{source.root}/overlay/{self.image.layer_ids()[0]}/diff"):
            found = found or next((os.path.join(folder, f) for f in files if os.path.isfile(
                os.path.join(folder, f)) and not os.path.islink(os.path.join(folder, f))
                and os.path.getsize(os.path.join(folder, f)) > 100), None)
        with open(found, "r+b") as f:
            f.write(b"\0changed\0")
        target = self.store("overlay")
        r = self.machine.run(target.argv("imbrex", "pull", "-q", source.name(NAME)))
        self.assertEqual((r.status, len(r.err.splitlines())), (1, 1), r.err)
        self.assertRegex(r.err, f": layer sha256:[0-9a-f]{{12}}: content of '{os.path.basename(found)}'"
                         " does not match its recorded checksum$")
        self.assertEqual(target.imbrex("images", "-q").out + target.imbrex("layers", "-q").out, "")
        self.clean(target)

    def test_lost_tar_split(self):
        source = self.store("overlay", filled=True)
        layer = self.image.layer_ids()[1]
        os.unlink(f"{source.root}/overlay-layers/{layer}.tar-split.gz")
        self.refuse(source.name(NAME), f"layer {layer}: open 'overlay-layers/{layer}.tar-split.gz': "
                    "No such file or directory")


class Default(Base):
    """podman://: the store that podman would use here."""
    def setUp(self):
        self.source = Store(self.machine)
        self.addCleanup(self.source.end)
        self.source.root, self.source.runroot = self.machine.path("default"), self.machine.path("default-run")
        self.source.roots = []
        image = self.source.podman("pull", "-q", f"oci:{self.layout}:latest").last
        self.source.podman("tag", image, NAME)
        self.target = self.store("overlay")
        self.addCleanup(self.machine.env.__setitem__, "CONTAINERS_STORAGE_CONF",
                        self.machine.env["CONTAINERS_STORAGE_CONF"])

    def other_conf(self):
        """A configuration whose store cannot be read here: its driver is of no system's."""
        os.makedirs(self.machine.path("foreign/devicemapper"), exist_ok=True)
        self.machine.env["CONTAINERS_STORAGE_CONF"] = self.machine.write(
            "foreign.conf", '[storage]\ndriver = "devicemapper"\ngraphroot = "%s"\nrunroot = "%s"\n' % (
                self.machine.path("foreign"), self.machine.path("foreign-run")))

    def test_as_configured(self):
        self.assertEqual(self.target.imbrex("pull", "-q", "podman://odd:1").last, self.image.id)
        self.check(self.target)
        self.assertEqual(self.target.imbrex("images", "--json").json()[0]["names"], [NAME])

    def test_into_itself(self):
        self.source.imbrex("pull", "-q", "podman://odd:1", "itself:1")
        self.assertIn("localhost/itself:1", self.source.podman("inspect", NAME).json()[0]["RepoTags"])

    def service(self, path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(self.machine.path("service.log"), "wb") as log:
            p = subprocess.Popen(self.source.argv("podman", "system", "service", "-t", "0", "unix://" + path),
                                 env=self.machine.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(p.wait)
        self.addCleanup(p.terminate)
        end = time.monotonic() + 30
        while not os.path.exists(path):
            if p.poll() is not None or time.monotonic() > end:
                self.skipTest("podman system service does not start")
            time.sleep(0.02)

    def test_service_that_is_named(self):
        path = self.machine.path("svc/podman.sock")
        self.service(path)
        self.machine.env["CONTAINER_HOST"] = "unix://" + path
        self.addCleanup(self.machine.env.pop, "CONTAINER_HOST", None)
        self.assertEqual(self.target.imbrex("pull", "-q", "podman://odd:1").last, self.image.id)
        del self.machine.env["CONTAINER_HOST"]
        self.check(self.target)

    def test_service_where_the_store_cannot_be_read(self):
        runtime = self.machine.path("xdg")
        self.service(runtime + "/podman/podman.sock")
        self.other_conf()
        self.machine.env["XDG_RUNTIME_DIR"] = runtime
        self.addCleanup(self.machine.env.pop, "XDG_RUNTIME_DIR")
        self.assertEqual(self.target.imbrex("pull", "-q", "podman://odd:1").last, self.image.id)
        self.assertEqual(self.target.imbrex("images", "--json").json()[0]["names"], [NAME])

    def program(self, text):
        """In the place of podman, in this mount namespace."""
        wrapper = self.machine.write("wrapper", text)
        os.chmod(wrapper, 0o755)
        real = self.machine.path("podman-real")
        shutil.copy("/usr/bin/podman", real)
        subprocess.run(["mount", "--bind", wrapper, "/usr/bin/podman"], check=True)
        self.addCleanup(subprocess.run, ["umount", "/usr/bin/podman"], check=True)
        return real

    @unittest.skipUnless(os.access("/usr/bin/podman", os.X_OK), "podman is elsewhere")
    def test_program_where_there_is_no_service(self):
        real = self.machine.path("podman-real")
        conf = self.machine.env["CONTAINERS_STORAGE_CONF"]
        self.program(f"#!/bin/sh\nenv > {self.machine.path('env')}\n"
                     f"CONTAINERS_STORAGE_CONF={conf} exec {real} --tmpdir {self.source.tmpdir} \"$@\"\n")
        self.other_conf()
        self.machine.env["SECRET"] = "s3cr3t"
        self.addCleanup(self.machine.env.pop, "SECRET")
        self.assertEqual(self.target.imbrex("pull", "-q", "podman://odd:1").last, self.image.id)
        self.assertEqual(self.target.imbrex("images", "--json").json()[0]["names"], [NAME])
        self.clean(self.target)
        with open(self.machine.path("env"), encoding="utf-8") as f:
            self.assertNotIn("s3cr3t", f.read())

    @unittest.skipUnless(os.access("/usr/bin/podman", os.X_OK), "podman is elsewhere")
    def test_program_that_fails(self):
        self.program("#!/bin/sh\necho warning >&2\necho 'Error: nope: image not known' >&2\nexit 125\n")
        self.other_conf()
        r = self.machine.run(self.target.argv("imbrex", "pull", "-q", "podman://odd:1"))
        self.assertEqual((r.status, r.err), (1, "imbrex: pull podman://odd:1: '/usr/bin/podman' failed "
                                             "with status 125: Error: nope: image not known\n"))


if __name__ == "__main__":
    peers.main(__name__, ["podman", "runc"])
