#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does an unprivileged user get from an image to a running program, and podman the same store?

usage: test_user.py IMBREX PROBE
"""
import json
import os
import subprocess
import threading
import unittest

import lane
from lane import ONE_ID, WITH_IDS, Case, User

IMAGE = "localhost/sample:latest"


class WithIds(Case):
    """Ranges of subordinate ids, by newuidmap."""

    @classmethod
    def setUpClass(cls):
        if not lane.have("newuidmap"):
            raise unittest.SkipTest("newuidmap is not installed")
        cls.layers = lane.sample_layers(cls.lane.probe)
        cls.layout = cls.lane.path("sample")
        if not os.path.exists(cls.layout):
            lane.write_layout(cls.layout, cls.layers, {"Env": ["COLOUR=blue"]})
        cls.user = User(cls.lane, WITH_IDS)

    def pulled(self, user):
        return self.ok(user.imbrex("pull", "-q", "oci:" + self.layout, IMAGE)).last

    def test_1_an_image_keeps_every_owner_mode_time_link_and_xattr(self):
        for user in (self.user, User(self.lane, WITH_IDS, "many-own")):
            with self.subTest(user.root):
                self.pulled(user)
                self.assertTrue(os.path.isdir(user.root + "/overlay-images"))
                self.same_tree(user.tree(IMAGE), lane.merged(self.layers, devices=False))

    def test_2_owners_outside_are_the_users_range(self):
        self.pulled(self.user)
        seen = set()
        for base, dirs, files in os.walk(self.user.root + "/overlay"):
            for name in dirs + files:
                seen.add(os.lstat(os.path.join(base, name)).st_uid)
        self.assertLessEqual({WITH_IDS[1], lane.SUBIDS + 999, lane.SUBIDS + 65533}, seen)
        self.assertNotIn(0, seen)
        self.assertTrue(all(u == WITH_IDS[1] or lane.SUBIDS <= u < lane.SUBIDS + 65536
                            for u in seen), seen)

    def test_3_run(self):
        self.pulled(self.user)
        r = self.user.imbrex("run", IMAGE, "/bin/probe", "ids", "env", "put", "/etc/new",
                             "cat", "/etc/motd", "exit", "43")
        self.assertEqual(r.status, 43, r)
        for line in ("ids: 0:0", "env: COLOUR=blue", "/etc/new: ok", "hello"):
            self.assertIn(line, r.out)
        r = self.user.imbrex("run", "--user", "bob", IMAGE, "/bin/probe", "ids", "cat",
                             "/home/bob/note", "put", "/etc/new")
        self.assertEqual((r.status, r.out.splitlines()),
                         (1, ["ids: 1000:1001", "bob's/etc/new: Permission denied"]), r)
        self.assertEqual(self.user.imbrex("run", IMAGE, "/nosuch").status, 127)
        self.assertEqual(self.user.imbrex("ps", "-q").out, "")

    def test_4_create_mount_and_remove(self):
        self.pulled(self.user)
        self.ok(self.user.imbrex("create", "--name", "box", IMAGE))
        self.fails(self.user.imbrex("mount", "box"), 1, "ends with the command", "hint: ",
                   "imbrex unshare")
        self.ok(self.user.script(
            'm=$($I mount box); test -f $m/etc/motd; echo x >$m/etc/made; rm $m/etc/motd; '
            'rm -r $m/merge; mkdir $m/merge; $I umount box'))
        r = self.ok(self.user.script(
            'm=$($I mount box); cat $m/etc/made; ls $m/etc; ls -A $m/merge; $I umount box >&2'))
        self.assertEqual(r.out.split(), ["x", "group", "made", "passwd"])
        self.ok(self.user.imbrex("rm", "box"))
        self.fails(self.user.imbrex("rm", "box"), 1, "'box'")

    def test_4_two_namespaces_do_not_mount_one_container(self):
        """Each command has mounts of its own; two overlays on one directory would destroy it."""
        self.pulled(self.user)
        self.ok(self.user.imbrex("create", "--name", "once", IMAGE))
        up, down = self.user.root + "/up", self.user.root + "/down"
        self.ok(self.user.sh(["mkfifo", up, down]))
        found = []
        other = threading.Thread(target=lambda: found.append(self.user.script(
            f'$I mount once >&2; echo >{up}; cat {down}; $I umount once >&2')))
        other.start()
        with open(up, encoding="utf-8") as f:
            f.read()
        try:
            self.fails(self.user.script("$I mount once"), 1,
                       "is mounted in another mount namespace", "hint: ")
            self.fails(self.user.imbrex("rm", "--force", "once"), 1,
                       "is mounted in another mount namespace")
            self.fails(self.user.imbrex("start", "once", "/bin/probe", "ids"), 125, "is in use")
        finally:
            with open(down, "w", encoding="utf-8") as f:
                f.write("end")
            other.join()
        self.ok(found[0])
        # All at once: one program at a time, and the others are told.
        found = []
        start = lambda: found.append(self.user.imbrex("start", "once", "/bin/probe", "ids"))
        others = [threading.Thread(target=start) for _ in range(6)]
        for t in others:
            t.start()
        for t in others:
            t.join()
        self.assertIn(0, [r.status for r in found], found)
        for r in found:
            if r.status:
                self.assertRegex(r.err, "is in use|is mounted in another mount namespace")
        self.ok(self.user.imbrex("rm", "once"))

    def test_5_marks_are_the_users(self):
        self.pulled(self.user)
        opaque, whiteouts = set(), 0
        top = self.user.root + "/overlay"
        for base, dirs, files in os.walk(top):
            for name in dirs + files:
                path = os.path.join(base, name)
                st = os.lstat(path)
                if os.path.islink(path):
                    continue
                for key in os.listxattr(path):
                    if key.endswith("overlay.opaque"):
                        opaque.add((name, key, os.getxattr(path, key)))
                whiteouts += (st.st_mode & 0o170000) == 0o020000 and st.st_rdev == 0
                self.assertFalse((st.st_mode & 0o170000) == 0o020000 and st.st_rdev, path)
                self.assertFalse(name.startswith(".wh."), path)
        self.assertEqual(opaque, {("hidden", "user.overlay.opaque", b"y")})
        self.assertEqual(whiteouts, 3)

    def test_6_podman_uses_the_store(self):
        if not lane.have("podman") or not lane.have("runc"):
            self.skipTest("podman and runc are not installed")
        for user in (self.user, User(self.lane, WITH_IDS, "many-pod")):
            with self.subTest(user.root):
                image = self.pulled(user)
                r = self.ok(user.podman("images", "--no-trunc", "--format", "json"))
                self.assertEqual([i["Id"] for i in json.loads(r.out)], [image])
                r = user.podman_run(IMAGE, "/bin/probe", "ids", "cat", "/home/bob/note", "exit", "7")
                self.assertEqual((r.status, "ids: 0:0" in r.out), (7, True), r)
                saved = f"{self.lane.home(user.uid)}/saved-{os.path.basename(user.root)}"
                self.ok(user.podman("save", "-q", "--format", "oci-dir", "-o", saved, IMAGE))
                self.assertEqual(lane.diff_ids(saved), lane.diff_ids(self.layout))
                # Each inside the namespace of the other.
                r = self.ok(user.sh(["podman", "unshare", self.lane.imbrex,
                                     *user.all_flags("--driver"), "images", "-q", "--no-trunc"]))
                self.assertEqual(r.last, image)
                r = self.ok(user.sh([self.lane.imbrex, "unshare", *lane.PODMAN,
                                     *user.all_flags("--storage-driver"), "images", "-q"]))
                self.assertIn(r.last, image)
                self.ok(user.podman("rmi", IMAGE))
                self.assertEqual(user.imbrex("images", "-q").out, "")
                self.ok(user.imbrex("check"))
                # The reverse: podman writes, we read and remove.
                self.ok(user.podman("pull", "-q", "oci:" + self.layout))
                name = json.loads(user.podman("images", "--format", "json").out)[0]["Id"]
                self.assertEqual(user.imbrex("images", "-q", "--no-trunc").last, name)
                self.same_tree(user.tree(name), lane.merged(self.layers, devices=False))
                self.assertEqual(user.imbrex("run", name, "/bin/probe", "ids", "exit", "3").status, 3)
                self.ok(user.imbrex("check"))
                self.ok(user.imbrex("rmi", name))
                self.assertEqual(json.loads(user.podman("images", "--format", "json").out), [])

    def test_7_images_of_the_users_podman_are_adopted(self):
        """From where podman keeps them for this user, into a store elsewhere."""
        if not lane.have("podman"):
            self.skipTest("podman is not installed")
        self.ok(self.user.podman("pull", "-q", "oci:" + self.layout))
        image = json.loads(self.user.podman("images", "--no-trunc", "--format", "json").out)[0]["Id"]
        self.ok(self.user.podman("tag", image, "localhost/adopted:1"))
        other = User(self.lane, WITH_IDS, "many-adopt")
        r = self.ok(other.imbrex("pull", "-q", "podman://adopted:1"))
        self.assertEqual(r.last, image)
        self.same_tree(other.tree("localhost/adopted:1"), lane.merged(self.layers, devices=False))
        self.ok(other.imbrex("check"))
        # The store that it lies in gets a name, by a process that is not podman's.
        self.ok(self.user.imbrex("pull", "-q", "podman://adopted:1", "adopted:2"))
        self.assertIn("localhost/adopted:2",
                      json.loads(self.user.podman("inspect", image).out)[0]["RepoTags"])
        self.ok(self.user.podman("rmi", "-f", image))
        self.ok(other.imbrex("verify", "adopted:1"))

    def test_8_enroot_makes_directories_of_the_users_podman(self):
        """Its files belong to ids that only the namespace can read; what is made is the user's own."""
        for program in ("podman", "runc"):
            if not lane.have(program):
                self.skipTest(f"{program} is not installed")
        image = self.ok(self.user.podman("pull", "-q", "oci:" + self.layout)).last
        self.ok(self.user.podman("tag", image, IMAGE))
        home = self.lane.home(WITH_IDS[1])
        user = User(self.lane, WITH_IDS, env={"TMPDIR": home, "ENROOT_DATA_PATH": home + "/data"})
        run = lambda *args: self.ok(user.sh(["env", "-C", home, user.lane.imbrex, "enroot", *args]))
        r = run("import", "podman://" + IMAGE)
        self.assertEqual(r.err.splitlines(), [
            "[INFO] Fetching image", "[INFO] Extracting image content...",
            "[INFO] Creating squashfs filesystem..."])
        run("create", "-n", "created", "localhost+sample+latest.sqsh")
        run("load", "-n", "loaded", "podman://" + IMAGE)
        want = {path: (f["kind"], f["data"])
                for path, f in lane.merged(self.layers, devices=False).items()}
        made = ("etc/rc", "etc/rc.local", "etc/environment", "etc/fstab")
        for name in ("created", "loaded"):
            tree = lane.walk(f"{home}/data/{name}")
            self.assertEqual({p: (f["kind"], f["data"]) for p, f in tree.items() if p not in made}, want)
            self.assertEqual({tuple(f["owner"]) for f in tree.values()},
                             {(WITH_IDS[1], WITH_IDS[1])})
        st = os.stat(home + "/localhost+sample+latest.sqsh")
        self.assertEqual((st.st_uid, st.st_gid), (WITH_IDS[1], WITH_IDS[1]))
        self.ok(user.sh(["rm", "-rf", home + "/data"]))
        self.ok(self.user.podman("rmi", "-f", image))

    def test_9_images_go_and_leave_nothing(self):
        self.pulled(self.user)
        self.ok(self.user.imbrex("rmi", IMAGE))
        self.assertEqual(os.listdir(self.user.root + "/overlay/l"), [])


class OneId(Case):
    """Without subordinate ids: the user's own is all there is."""

    @classmethod
    def setUpClass(cls):
        cls.layers = lane.sample_layers(cls.lane.probe)
        cls.layout = cls.lane.path("sample")
        if not os.path.exists(cls.layout):
            lane.write_layout(cls.layout, cls.layers, {"Env": ["COLOUR=blue"]})
        cls.user = User(cls.lane, ONE_ID)
        r = cls.user.imbrex("pull", "-q", "oci:" + cls.layout, IMAGE)
        cls.pull = r

    def test_an_image_belongs_to_the_one_user(self):
        self.ok(self.pull)
        self.same_tree(self.user.tree(IMAGE), lane.merged(self.layers, squash=True, devices=False))

    def test_run_and_create(self):
        r = self.user.imbrex("run", IMAGE, "/bin/probe", "ids", "put", "/etc/new", "exit", "5")
        self.assertEqual((r.status, r.out.splitlines()), (5, ["ids: 0:0", "/etc/new: ok"]), r)
        self.ok(self.user.imbrex("create", "--name", "box", IMAGE))
        self.ok(self.user.script('m=$($I mount box); echo x >$m/new; $I umount box'))
        self.ok(self.user.imbrex("rm", "box"))

    def test_another_user_inside_is_refused_with_the_reason(self):
        self.fails(self.user.imbrex("run", "--user", "bob", IMAGE, "/bin/probe", "ids"), 125,
                   "id 1001 is not mapped in the user namespace", "hint: ", "/etc/subuid")

    def test_rmi(self):
        user = User(self.lane, ONE_ID, "one-own")
        self.ok(user.imbrex("pull", "-q", "oci:" + self.layout, IMAGE))
        self.ok(user.imbrex("rmi", IMAGE))
        self.assertEqual(os.listdir(user.root + "/overlay/l"), [])


    def test_without_newuidmap_ranges_are_no_use(self):
        if not lane.have("newuidmap"):
            self.skipTest("newuidmap is not installed")
        program = lane.have("newuidmap")
        blank = self.lane.path("no-newuidmap")
        with open(blank, "w", encoding="ascii"):
            pass
        lane.mount("--bind", blank, program)
        self.addCleanup(subprocess.run, ["umount", program], check=True)
        user = User(self.lane, WITH_IDS, "without-helper")
        self.ok(user.imbrex("pull", "-q", "oci:" + self.layout, IMAGE))
        self.same_tree(user.tree(IMAGE), lane.merged(self.layers, squash=True, devices=False))
        r = user.imbrex("run", IMAGE, "/bin/probe", "ids", "exit", "5")
        self.assertEqual((r.status, r.out), (5, "ids: 0:0\n"), r)


class ShortRange(Case):
    """Ids that an image has and the user has not."""

    def test_an_id_that_is_not_mapped_is_explained(self):
        layout = self.lane.path("faraway")
        lane.write_layout(layout, [[lane.entry("f", uid=70000, gid=5)]])
        user = User(self.lane, WITH_IDS, "short")
        self.fails(user.imbrex("pull", "oci:" + layout, "x"), 1,
                   "layer entry 'f'", "uid 70000 or gid 5 is not mapped in the user namespace",
                   "hint: ", "/etc/subuid and /etc/subgid", "ignore_chown_errors")
        self.assertEqual(user.imbrex("images", "-q").out, "")
        self.ok(user.imbrex("check"))
        user.options = ["--storage-opt", "overlay.ignore_chown_errors=true"]
        self.ok(user.imbrex("pull", "-q", "oci:" + layout, "x"))


class OddRanges(Case):
    """What administrators write into /etc/subuid."""

    def maps(self, uids, gids=None):
        for name, lines in (("subuid", uids), ("subgid", gids or uids)):
            path = self.lane.path("odd-" + name)
            with open(path, "w", encoding="ascii") as f:
                f.write("".join(line + "\n" for line in lines))
            lane.mount("--bind", path, "/etc/" + name)
            self.addCleanup(subprocess.run, ["umount", "/etc/" + name], check=True)
        r = self.ok(User(self.lane, WITH_IDS, "odd").sh(
            [self.lane.imbrex, "unshare", "cat", "/proc/self/uid_map"]))
        return [tuple(int(n) for n in line.split()) for line in r.out.splitlines()]

    def setUp(self):
        if not lane.have("newuidmap"):
            self.skipTest("newuidmap is not installed")

    def test_several_ranges_follow_one_another(self):
        self.assertEqual(self.maps([f"{WITH_IDS[0]}:400000:1000", "other:1:2", "",
                                    f"{WITH_IDS[0]}:500000:65536"]),
                         [(0, WITH_IDS[1], 1), (1, 400000, 1000), (1001, 500000, 65536)])

    def test_a_range_by_number(self):
        self.assertEqual(self.maps([f"{WITH_IDS[1]}:400000:1000"]),
                         [(0, WITH_IDS[1], 1), (1, 400000, 1000)])

    def test_a_range_that_is_there_twice_counts_once(self):
        self.assertEqual(self.maps([f"{WITH_IDS[0]}:400000:1000", f"{WITH_IDS[1]}:400000:1000",
                                    f"{WITH_IDS[0]}:{WITH_IDS[1]}:1"]),
                         [(0, WITH_IDS[1], 1), (1, 400000, 1000)])

    def test_uids_without_gids_are_no_use(self):
        self.assertEqual(self.maps([f"{WITH_IDS[0]}:400000:1000"], ["other:1:2"]),
                         [(0, WITH_IDS[1], 1)])

    def test_lines_that_are_none_are_passed_over(self):
        self.assertEqual(self.maps([f"{WITH_IDS[0]}:x:5", f"{WITH_IDS[0]}:4294967295:9", ":::",
                                    f"{WITH_IDS[0]}:400000:0", f"{WITH_IDS[0]}:400000:1000"]),
                         [(0, WITH_IDS[1], 1), (1, 400000, 1000)])


if __name__ == "__main__":
    lane.main(__name__)
