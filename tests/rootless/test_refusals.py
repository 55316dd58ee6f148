#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Where a store cannot be used as asked: does one line say why, and what to do?

usage: test_refusals.py IMBREX PROBE
"""
import os
import subprocess
import unittest

import lane
from lane import ONE_ID, WITH_IDS, Case, User

IMAGE = "localhost/sample:latest"
FUSE = "/usr/bin/fuse-overlayfs"


class Refusals(Case):
    @classmethod
    def setUpClass(cls):
        cls.layers = lane.sample_layers(cls.lane.probe)
        cls.layout = cls.lane.path("sample")
        lane.write_layout(cls.layout, cls.layers)
        cls.source = "oci:" + cls.layout
        with open(cls.lane.path("empty.conf"), "w", encoding="ascii") as f:
            f.write("[storage]\n")

    def pulled(self, user):
        self.ok(user.imbrex("pull", "-q", self.source, IMAGE))
        return user

    def on_overlay(self, name):
        """A directory on an overlay mount, where no overlay can lie."""
        parts = [self.lane.path(name + "-" + p) for p in ("lower", "upper", "work")]
        top = self.lane.path(name)
        for d in (*parts, top):
            os.mkdir(d)
        lane.mount("-t", "overlay", "overlay", "-o",
                   f"lowerdir={parts[0]},upperdir={parts[1]},workdir={parts[2]}", top)
        return name

    def hide_fuse(self):
        """fuse-overlayfs as if it were not installed."""
        if not os.path.exists(FUSE):
            return
        blank = self.lane.path("not-executable")
        with open(blank, "w", encoding="ascii"):
            pass
        lane.mount("--bind", blank, FUSE)
        self.addCleanup(subprocess.run, ["umount", FUSE], check=True)

    def test_no_overlay_here_says_what_to_do(self):
        base = self.on_overlay("nested1")
        self.hide_fuse()
        for who in (WITH_IDS, ONE_ID, None):
            user = User(self.lane, who, f"{base}/{who and who[0]}")
            for words in (["pull", self.source], ["images"], ["info"]):
                self.fails(user.imbrex(*words), 1, "overlay cannot lie on overlayfs (",
                           "\nhint: install fuse-overlayfs, or use the driver vfs\n")
            self.assertFalse(os.path.exists(user.root + "/overlay"))

    def test_a_mount_program_that_cannot_mount_is_no_way_out(self):
        if not os.path.exists(FUSE):
            self.skipTest("fuse-overlayfs is not installed")
        base = self.on_overlay("nested2")
        blank = self.lane.path("closed-device")
        with open(blank, "w", encoding="ascii"):
            pass
        os.chmod(blank, 0o600)
        if os.path.exists("/dev/fuse"):
            lane.mount("--bind", blank, "/dev/fuse")
            self.addCleanup(subprocess.run, ["umount", "/dev/fuse"], check=True)
        user = User(self.lane, WITH_IDS, base + "/user")
        self.fails(user.imbrex("pull", self.source), 1, "overlay cannot lie on overlayfs (",
                   "may not open /dev/fuse", "or the driver vfs")

    def test_a_driver_that_works_is_chosen_and_chosen_again(self):
        base = self.on_overlay("nested3")
        self.hide_fuse()
        for who in (WITH_IDS, None):
            user = User(self.lane, who, f"{base}/{who and who[0]}",
                        env={"CONTAINERS_STORAGE_CONF": self.lane.path("empty.conf")})
            for words in (["pull", "-q", self.source, IMAGE], ["info"], ["images"]):
                r = user.sh([self.lane.imbrex, *user.flags, *words])
                self.ok(r)
            self.assertIn("sample", r.out)
            r = user.sh([self.lane.imbrex, *user.flags, "run", IMAGE, "/bin/probe", "exit", "3"])
            self.assertEqual(r.status, 3, r)
            self.assertEqual([d for d in os.listdir(user.root) if d in ("overlay", "vfs")], ["vfs"])

    def test_a_read_only_store_is_read_and_not_written(self):
        for who in (WITH_IDS, ONE_ID, None):
            user = self.pulled(User(self.lane, who, f"readonly-{who and who[0]}"))
            self.ok(user.imbrex("create", "--name", "box", IMAGE))
            lane.mount("--bind", user.root, user.root)
            lane.mount("-o", "remount,bind,ro", user.root)
            for words in (["images"], ["layers"], ["ps"], ["inspect", IMAGE], ["history", IMAGE],
                          ["info"], ["df"], ["check"]):
                r = self.ok(user.imbrex(*words))
                self.assertEqual(bool(r.out), words != ["check"], r)
            for words in (["pull", self.source, "other"], ["create", IMAGE], ["tag", IMAGE, "b"],
                          ["rmi", IMAGE], ["rm", "box"], ["gc"]):
                self.fails(user.imbrex(*words), 1,
                           f"the store at {user.root} is on a read-only file system\nhint: ")
            self.fails(user.imbrex("run", IMAGE, "/bin/probe"), 125, "is on a read-only file system")

    def test_a_store_of_another_driver_is_refused(self):
        for have, want in (("overlay", "vfs"), ("vfs", "overlay")):
            user = self.pulled(User(self.lane, WITH_IDS, "of-" + have, driver=have))
            before = sorted(os.listdir(user.root))
            user.driver = want
            for words in (["images"], ["pull", self.source]):
                self.fails(user.imbrex(*words), 1,
                           f"'{user.root}' is a store of the driver {have}, not {want}\n"
                           f"hint: use --driver={have}, or another store with --root\n")
            self.assertEqual(sorted(os.listdir(user.root)), before)

    def test_two_drivers_in_one_root_must_be_named(self):
        user = self.pulled(User(self.lane, None, "both",
                                env={"CONTAINERS_STORAGE_CONF": self.lane.path("empty.conf")}))
        os.makedirs(user.root + "/vfs/dir")
        self.fails(user.sh([self.lane.imbrex, *user.flags, "images"]), 1,
                   f"'{user.root}' holds several storage drivers: overlay, vfs\nhint: name the one")
        for driver, expect in (("overlay", True), ("vfs", False)):
            user.driver = driver
            self.assertEqual("sample" in self.ok(user.imbrex("images")).out, expect)

    def test_a_driver_that_is_none(self):
        user = User(self.lane, WITH_IDS, "none", driver="aufs")
        self.fails(user.imbrex("images"), 1, "there is no storage driver 'aufs'")

    def test_the_store_of_another_user(self):
        theirs = self.pulled(User(self.lane, None, "theirs"))
        user = User(self.lane, WITH_IDS, "mine")
        user.flags = ["--root", theirs.root, "--runroot", user.runroot]
        self.fails(user.imbrex("images"), 1, f"open directory '{theirs.root}': Permission denied",
                   "hint: use --root")
        os.mkdir(self.lane.path("closed"), 0o755)
        user.flags = ["--root", self.lane.path("closed/store"), "--runroot", user.runroot]
        self.fails(user.imbrex("images"), 1, "closed/store': Permission denied", "hint: use --root")

    def test_no_user_namespaces(self):
        if not lane.have("newuidmap"):
            self.skipTest("newuidmap is not installed")
        user = User(self.lane, WITH_IDS, "without")
        # The limit counts below the namespace that it is written in; ours stays as it is.
        r = user.sh([self.lane.imbrex, "unshare", "sh", "-ec",
                     'echo 0 >/proc/sys/user/max_user_namespaces\n'
                     'exec setpriv --reuid 1000 --regid 1000 --clear-groups "$@"', "sh",
                     self.lane.imbrex, "images"])
        self.fails(r, 1, "create a user namespace: ", "hint: ", "user.max_user_namespaces")


if __name__ == "__main__":
    lane.main(__name__)
