#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does a driver of whole trees work from pull to run, with clones where the file system has them?

usage: test_vfs.py IMBREX PROBE        vfs; below tests/loopfs btrfs: btrfs
"""
import json
import os
import subprocess
import unittest

import lane
from lane import ONE_ID, WITH_IDS, Case, User

IMAGE = "localhost/sample:latest"
DRIVER = "btrfs" if "IMBREX_LOOPFS" in os.environ else "vfs"
HOME = {"btrfs": "btrfs/subvolumes", "vfs": "vfs/dir"}[DRIVER]


class Whole(Case):
    @classmethod
    def setUpClass(cls):
        cls.layers = lane.sample_layers(cls.lane.probe)
        cls.layers[0].append(lane.entry("big", data=bytes(range(256)) * 1024))
        cls.layout = cls.lane.path("sample")
        lane.write_layout(cls.layout, cls.layers)

    def users(self, base):
        return ((WITH_IDS, "many", base + "-many"), (ONE_ID, "one", base + "-one"),
                (None, "root", base + "-root"))

    def want(self, who):
        return lane.merged(self.layers, squash=who is ONE_ID, devices=who is None)

    def test_an_image_is_pulled_run_changed_and_removed(self):
        for who, label, root in self.users("vfs"):
            with self.subTest(label):
                user = User(self.lane, who, root, driver=DRIVER)
                self.ok(user.imbrex("pull", "-q", "oci:" + self.layout, IMAGE))
                self.same_tree(user.tree(IMAGE), self.want(who))
                r = user.imbrex("run", IMAGE, "/bin/probe", "ids", "put", "/etc/new", "exit", "3")
                self.assertEqual((r.status, r.out), (3, "ids: 0:0\n/etc/new: ok\n"), r)
                self.same_tree(user.tree(IMAGE), self.want(who))
                # The path of a mount is the tree itself, and stays when the command has ended.
                self.ok(user.imbrex("create", "--name", "box", IMAGE))
                path = self.ok(user.imbrex("mount", "box")).last
                self.ok(user.script('echo x >"$1/etc/made"; rm -r "$1/hidden"', path))
                self.assertTrue(os.path.exists(path + "/etc/made"))
                self.ok(user.imbrex("umount", "box"))
                self.ok(user.imbrex("rm", "box"))
                self.assertFalse(os.path.exists(path))
                self.ok(user.imbrex("check"))
                self.ok(user.imbrex("rmi", IMAGE))
                self.assertEqual(os.listdir(user.root + "/" + HOME), [])

    def test_podman_uses_the_store(self):
        if not lane.have("podman") or not lane.have("runc"):
            self.skipTest("podman and runc are not installed")
        for who, label, root in self.users("vp"):
            with self.subTest(label):
                user = User(self.lane, who, root, driver=DRIVER)
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
                self.same_tree(user.tree(name), self.want(who))
                self.assertEqual(user.imbrex("run", name, "/bin/probe", "exit", "2").status, 2)
                self.ok(user.imbrex("check"))
                self.ok(user.imbrex("rmi", name))


@unittest.skipIf(DRIVER != "vfs", "is about copies")
class Clones(Case):
    """Whether the copies of one file share their blocks, as the file system tells it."""

    @classmethod
    def setUpClass(cls):
        cls.layers = [[lane.entry("big", data=bytes(range(256)) * 1024)], [lane.entry("b")],
                      [lane.entry("c")]]
        cls.layout = cls.lane.path("clones")
        lane.write_layout(cls.layout, cls.layers)

    def volume(self, name, *mkfs):
        if not lane.have(mkfs[0]) or not lane.have("filefrag"):
            self.skipTest(f"{mkfs[0]} or filefrag is not installed")
        image, top = self.lane.path(name + ".img"), self.lane.path(name)
        with open(image, "wb") as f:
            f.truncate(320 << 20)
        subprocess.run([*mkfs, image], check=True, capture_output=True)
        os.mkdir(top)
        r = subprocess.run(["mount", "-o", "loop", image, top], check=False, capture_output=True,
                           text=True)
        if r.returncode:
            self.skipTest(f"{name} on a loop device: {r.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", top], check=True)

    def shared(self, name, who):
        user = User(self.lane, who, f"{name}/{who and who[0]}", driver="vfs")
        self.ok(user.imbrex("pull", "-q", "oci:" + self.layout, IMAGE))
        self.ok(user.imbrex("create", "--name", "box", IMAGE))
        ids = os.listdir(user.root + "/vfs/dir")
        self.assertEqual(len(ids), 4)
        files = [f"{user.root}/vfs/dir/{i}/big" for i in ids]
        out = subprocess.run(["filefrag", "-v", *files], check=True, capture_output=True,
                             text=True).stdout
        extents = [line for line in out.splitlines() if line.lstrip()[:1].isdigit()]
        self.assertGreaterEqual(len(extents), 4, out)
        return ["shared" in line for line in extents]

    def clones(self, name, *mkfs):
        self.volume(name, *mkfs)
        for who in (None, WITH_IDS):
            self.assertEqual(set(self.shared(name, who)), {True})

    def test_xfs_clones(self):
        self.clones("xfs", "mkfs.xfs", "-q", "-m", "reflink=1")

    def test_btrfs_clones(self):
        self.clones("btrfs", "mkfs.btrfs", "-q")

    def test_ext4_copies(self):
        self.volume("ext4", "mkfs.ext4", "-q")
        for who in (None, WITH_IDS):
            self.assertEqual(set(self.shared("ext4", who)), {False})


if __name__ == "__main__":
    lane.main(__name__)
