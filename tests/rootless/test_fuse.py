#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does a mount program (fuse-overlayfs) do what the kernel does, for users and for root?

usage: test_fuse.py IMBREX PROBE
"""
import json
import os
import stat
import subprocess
import unittest

import lane
from lane import ONE_ID, WITH_IDS, Case, User

IMAGE = "localhost/sample:latest"
PROGRAM = "/usr/bin/fuse-overlayfs"
OPTIONS = ["overlay.mount_program=" + PROGRAM]


def marks(user):
    """Names and owners of the .wh. files, and whether there are marks of the kernel's overlay."""
    files, kernel = [], []
    for base, dirs, names in os.walk(user.root + "/overlay"):
        for name in dirs + names:
            path = os.path.join(base, name)
            st = os.lstat(path)
            if name.startswith(".wh."):
                files.append(os.path.join(os.path.basename(base), name))
            if stat.S_ISCHR(st.st_mode) and st.st_rdev == 0:
                kernel.append(path)
            if stat.S_ISDIR(st.st_mode):
                kernel += [k for k in os.listxattr(path) if k.endswith("overlay.opaque")]
    return sorted(files), kernel


class Fuse(Case):
    @classmethod
    def setUpClass(cls):
        if not os.access(PROGRAM, os.X_OK):
            raise unittest.SkipTest("fuse-overlayfs is not installed")
        cls.layers = lane.sample_layers(cls.lane.probe)
        cls.layout = cls.lane.path("sample")
        if not os.path.exists(cls.layout):
            lane.write_layout(cls.layout, cls.layers)

    def usable_device(self):
        """A /dev/fuse for everybody, in our mount namespace only."""
        node = self.lane.path("fuse")
        if not os.path.exists("/dev/fuse"):
            self.skipTest("there is no /dev/fuse")
        if not os.path.exists(node):
            try:
                os.mknod(node, 0o666 | stat.S_IFCHR, os.stat("/dev/fuse").st_rdev)
            except OSError as e:
                self.skipTest(f"mknod: {e}")
            os.chmod(node, 0o666)
        lane.mount("--bind", node, "/dev/fuse")
        self.addCleanup(subprocess.run, ["umount", "/dev/fuse"], check=False)
        try:
            with open("/dev/fuse", "rb"):
                pass
        except OSError as e:
            self.skipTest(f"/dev/fuse: {e}")

    def users(self):
        return ((WITH_IDS, "many", "fuse-many"), (ONE_ID, "one", "fuse-one"),
                (None, "root", "fuse-root"))

    def test_an_image_is_pulled_mounted_and_run(self):
        self.usable_device()
        for who, label, root in self.users():
            with self.subTest(label):
                user = User(self.lane, who, root, options=OPTIONS)
                self.ok(user.imbrex("pull", "-q", "oci:" + self.layout, IMAGE))
                with open(user.root + "/overlay/.has-mount-program", encoding="ascii") as f:
                    self.assertEqual(f.read(), "true")
                self.assertEqual(marks(user), (["diff/.wh.gone", "diff/.wh.gonedir",
                                                "hidden/.wh..wh..opq", "merge/.wh.low"], []))
                want = lane.merged(self.layers, squash=who is ONE_ID, devices=who is None)
                self.same_tree(user.tree(IMAGE), want)
                r = user.imbrex("run", IMAGE, "/bin/probe", "ids", "put", "/etc/new", "cat",
                                "/etc/new", "exit", "3")
                self.assertEqual((r.status, r.out), (3, "ids: 0:0\n/etc/new: ok\nx"), r)
                self.assertEqual(r.err, "")
                # Without the option the store is known by what it is.
                user.options = []
                r = user.imbrex("run", IMAGE, "/bin/probe", "ids", "exit", "4")
                self.assertEqual((r.status, r.out), (4, "ids: 0:0\n"), r)
                self.same_tree(user.tree(IMAGE), want)
                self.ok(user.imbrex("check"))
                self.ok(user.imbrex("rmi", IMAGE))
                self.assertEqual(marks(user), ([], []))

    def test_a_container_keeps_what_was_written_and_removed(self):
        self.usable_device()
        for who, label, root in self.users():
            with self.subTest(label):
                user = User(self.lane, who, root + "-box", options=OPTIONS)
                self.ok(user.imbrex("pull", "-q", "oci:" + self.layout, IMAGE))
                self.ok(user.imbrex("create", "--name", "box", IMAGE))
                self.ok(user.script('m=$($I mount box); echo x >$m/etc/made; rm $m/etc/motd; '
                                    '$I umount box'))
                r = self.ok(user.script('m=$($I mount box); ls $m/etc; $I umount box >&2'))
                self.assertEqual(r.out.split(), ["group", "made", "passwd"])
                self.ok(user.imbrex("rm", "box"))

    def test_podman_uses_the_store(self):
        if not lane.have("podman") or not lane.have("runc"):
            self.skipTest("podman and runc are not installed")
        self.usable_device()
        for who, label, root in self.users():
            with self.subTest(label):
                user = User(self.lane, who, root + "-pod", options=OPTIONS)
                image = self.ok(user.imbrex("pull", "-q", "oci:" + self.layout, IMAGE)).last
                r = self.ok(user.podman("images", "--no-trunc", "-q"))
                self.assertEqual(r.last, "sha256:" + image)
                r = user.podman_run(IMAGE, "/bin/probe", "ids", "exit", "6")
                self.assertEqual((r.status, "ids: 0:0" in r.out), (6, True), r)
                self.ok(user.podman("rmi", IMAGE))
                self.assertEqual(user.imbrex("images", "-q").out, "")
                if who is ONE_ID:
                    continue    # podman cannot unpack foreign owners with one id
                self.ok(user.podman("pull", "-q", "oci:" + self.layout))
                name = json.loads(user.podman("images", "--format", "json").out)[0]["Id"]
                self.same_tree(user.tree(name), lane.merged(self.layers, devices=who is None))
                self.assertEqual(user.imbrex("run", name, "/bin/probe", "exit", "2").status, 2)
                self.ok(user.imbrex("check"))

    def test_a_store_of_the_kernels_kind_is_read_by_the_program(self):
        self.usable_device()
        for who, label, root in self.users():
            with self.subTest(label):
                user = User(self.lane, who, root + "-native")
                self.ok(user.imbrex("pull", "-q", "oci:" + self.layout, IMAGE))
                self.assertNotEqual(marks(user)[1], [])
                user.options = ["--storage-opt", OPTIONS[0]]
                self.same_tree(user.tree(IMAGE), lane.merged(
                    self.layers, squash=who is ONE_ID, devices=who is None))

    def test_a_device_that_may_not_be_opened_is_named(self):
        if os.access("/dev/fuse", os.F_OK) and os.stat("/dev/fuse").st_mode & 0o006:
            self.skipTest("everybody may open /dev/fuse here")
        user = User(self.lane, WITH_IDS, "fuse-closed", options=OPTIONS)
        self.ok(user.imbrex("pull", "-q", "oci:" + self.layout, IMAGE))
        self.fails(user.imbrex("run", IMAGE, "/bin/probe"), 125, "'/usr/bin/fuse-overlayfs' failed "
                   "with status 1: ", "cannot mount", "hint: this user may not open /dev/fuse")
        self.assertEqual(user.imbrex("ps", "-q").out, "")
        self.assertIn("sample", user.imbrex("images").out)

    def test_a_program_that_is_missing_is_named(self):
        user = User(self.lane, WITH_IDS, "fuse-none", options=["overlay.mount_program=/no/such"])
        self.fails(user.imbrex("images"), 1,
                   "option overlay.mount_program: '/no/such': No such file or directory")


if __name__ == "__main__":
    lane.main(__name__)
