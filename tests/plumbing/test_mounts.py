#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Mounting and unmounting, counted across processes; copying into layers; shutting down; overlay
directories that were damaged by hand."""
import os
import shutil

import plumbing
import tree


class Case(plumbing.Case):
    def mounted(self, *words):
        return self.s.ok("mounted", *words).lines

    def counts(self):
        """What the table of mounts says: id -> (path, count)."""
        return {x["id"]: (x["path"], x["count"])
                for x in plumbing.read_records(self.s.run_of("layers", "mountpoints.json"))}


class Mounting(Case):
    def test_a_layer_is_mounted_where_it_says(self):
        self.s.filled({"f": b"x"}, "-i", "one")
        where = self.s.mount("one")
        self.assertEqual(where, self.s.home("one") if self.whole
                         else self.s.home("one", "merged"))
        self.assertEqual(self.read(where, "f"), b"x")

    def test_a_layer_may_be_given_by_name(self):
        self.s.layer("-i", "one", "-n", "name")
        self.assertEqual(self.s.mount("name"), self.s.mount("one"))

    def test_a_container_is_mounted_with_its_own_layer(self):
        self.s.filled({"f": b"x"}, "-i", "la")
        self.s.image("-i", "im", "la")
        record = self.s.json("create-container", "-j", "-i", "co", "-n", "name", "im")
        where = self.s.mount("name")
        self.assertEqual(where, self.s.mount(record["layer"]))
        self.write(where, "new")
        self.assertEqual(sorted(os.listdir(where)), ["f", "new"])

    def test_what_is_written_stays_after_unmounting(self):
        self.s.layer("-i", "one")
        self.write(self.s.mount("one"), "f", data=b"kept")
        self.s.umount("one")
        self.assertEqual(self.read(self.s.mount("one"), "f"), b"kept")

    def test_what_is_removed_stays_removed(self):
        self.s.filled({"f": b"x", "g": b"y"}, "-i", "one")
        self.s.layer("-i", "two", "one")
        os.unlink(self.s.mount("two") + "/f")
        self.s.umount("two")
        self.assertEqual(os.listdir(self.s.mount("two")), ["g"])
        self.assertEqual(sorted(os.listdir(self.s.mount("one"))), ["f", "g"])

    def test_several_are_mounted_in_order(self):
        for layer in ("one", "two"):
            self.s.layer("-i", layer)
        self.assertEqual(self.s.lines("mount", "two", "one"),
                         [self.s.mount("two"), self.s.mount("one")])

    def test_mounts_as_json(self):
        self.s.layer("-i", "one")
        where = self.s.mount("one")
        self.assertEqual(self.s.json("mount", "-j", "one"),
                         [{"id": "one", "mountpoint": where, "error": ""}])

    def test_an_unknown_object_is_an_empty_line_and_an_error(self):
        self.s.layer("-i", "one")
        where = self.s.mount("one")
        r = self.s.fails("mount", "nope", "one", text="layer not known while mounting nope\n")
        self.assertEqual(r.out, f"\n{where}\n")

    def test_an_unknown_object_as_json(self):
        r = self.s.fails("mount", "-j", "nope")
        self.assertEqual((r.json(), r.err),
                         ([{"id": "nope", "mountpoint": "", "error": "layer not known"}], ""))

    def test_options_for_mounting_are_ignored(self):
        self.s.layer("-i", "one")
        self.write(self.s.mount("one", "-o", "ro"), "f")

    def test_options_of_the_store_are_used(self):
        self.overlay_only()
        self.s.options = ["overlay.mountopt=nodev,noexec"]
        self.s.layer("-i", "one")
        options = plumbing.mount_options(self.s.mount("one"))
        self.assertTrue({"nodev", "noexec"} <= options, options)

    def test_the_root_of_a_mount_has_the_mode_of_the_layer(self):
        self.s.layer("-i", "one")
        self.assertEqual(self.mode(self.s.mount("one")), 0o555)

    def test_overlay_mounts_the_chain_in_order(self):
        self.overlay_only()
        parent = ""
        for layer in ("one", "two", "three"):
            self.s.filled({"f": layer.encode(), layer: b"x"}, "-i", layer, parent)
            parent = layer
        where = self.s.mount("three")
        self.assertEqual((sorted(os.listdir(where)), self.read(where, "f")),
                         (["f", "one", "three", "two"], b"three"))
        options = plumbing.mount_options(where)
        self.assertIn(f"upperdir={self.s.home('three', 'diff')}", options)
        self.assertIn(f"workdir={self.s.home('three', 'work')}", options)

    def test_mounting_takes_a_lock_and_leaves_a_token(self):
        self.s.layer("-i", "one")
        seen = set()
        for _ in range(3):
            self.s.mount("one")
            seen.add(self.read(self.s.run_of("layers", "mountpoints.lock")))
        self.assertEqual((len(seen), {len(x) for x in seen}), (3, {64}))


class Counting(Case):
    def test_a_mount_is_recorded_with_its_count(self):
        self.s.layer("-i", "one")
        where = self.s.mount("one")
        self.assertEqual(self.counts(), {"one": (where, 1)})
        self.s.mount("one")
        self.assertEqual(self.counts(), {"one": (where, 2)})

    def test_a_mount_stays_until_the_last_is_undone(self):
        self.s.layer("-i", "one")
        where = self.s.mount("one")
        self.s.mount("one")
        self.write(where, "f")
        self.assertEqual(self.s.ok("unmount", "one").out, "")
        self.assertEqual(self.mounted("one"), ["one mounted"])
        self.assertTrue(os.path.exists(where + "/f"))
        self.assertEqual(self.s.ok("unmount", "one").out, "one mountpoint unmounted\n")
        self.assertEqual(self.mounted("one"), [])
        self.assertEqual(self.counts(), {})
        if self.driver == "overlay":
            self.assertNotIn(where, plumbing.mount_points(self.dir))
            self.assertEqual(os.listdir(where), [])

    def test_force_undoes_all_mounts(self):
        self.s.layer("-i", "one")
        for _ in range(3):
            self.s.mount("one")
        self.assertEqual(self.s.ok("unmount", "-f", "one").out, "one mountpoint unmounted\n")
        self.assertEqual(self.counts(), {})

    def test_unmounting_what_is_not_mounted_is_no_error(self):
        self.s.layer("-i", "one")
        self.assertEqual(self.s.ok("unmount", "one").out, "one mountpoint unmounted\n")

    def test_a_container_counts_by_its_layer(self):
        record = self.s.json("create-container", "-j", "-i", "co", "")
        self.s.mount("co")
        self.assertEqual(list(self.counts()), [record["layer"]])
        self.assertEqual(self.mounted("co", record["layer"]),
                         ["co mounted", record["layer"] + " mounted"])
        self.s.umount("co")
        self.assertEqual(self.mounted("co"), [])

    def test_unmounting_as_json(self):
        self.s.layer("-i", "one")
        self.s.mount("one")
        self.assertEqual(self.s.ok("unmount", "-j", "one").out,
                         'one mountpoint unmounted\n[{"id":"one","error":""}]\n')

    def test_unmounting_an_unknown_object_is_an_error(self):
        r = self.s.fails("unmount", "nope", text="layer not known while unmounting nope\n")
        self.assertEqual(r.out, "")
        self.assertEqual(self.s.fails("unmount", "-j", "nope").out,
                         '[{"id":"nope","error":"layer not known"}]\n')

    def test_mounted_as_json(self):
        self.s.layer("-i", "one")
        self.assertEqual(self.s.ok("mounted", "-j", "one").out, '[{"id":"one","error":""}]\n')
        self.s.mount("one")
        self.assertEqual(self.s.ok("mounted", "-j", "one").out,
                         'one mounted\n[{"id":"one","error":""}]\n')

    def test_mounted_of_an_unknown_object_is_an_error(self):
        self.s.layer("-i", "one")
        r = self.s.fails("mounted", "nope", "one",
                         text="layer not known checking if nope is mounted\n")
        self.assertEqual(r.out, "")

    def test_after_a_boot_nothing_is_mounted(self):
        self.s.layer("-i", "one")
        self.s.mount("one")
        plumbing.remove_tree(self.s.runroot)
        for point in reversed(plumbing.mount_points(self.s.root)):
            plumbing.libc.umount2(point.encode(), plumbing.MS_DETACH)
        self.assertEqual(self.mounted("one"), [])
        self.s.mount("one")
        self.assertEqual(self.mounted("one"), ["one mounted"])

    def test_a_mount_undone_by_others_is_done_again(self):
        self.overlay_only()
        self.s.filled({"f": b"x"}, "-i", "one")
        where = self.s.mount("one")
        plumbing.libc.umount2(where.encode(), plumbing.MS_DETACH)
        self.assertEqual(self.read(self.s.mount("one"), "f"), b"x")


class Images(Case):
    def setUp(self):
        super().setUp()
        self.overlay_only()  # vfs refuses the options of a read-only mount
        self.s.filled({"f": b"x"}, "-i", "la")
        self.s.image("-i", "im", "-n", "name", "la")

    @plumbing.each("-r", "--ro", "--read-only")
    def test_an_image_is_mounted_read_only(self, word):
        where = self.s.mount("im", word)
        self.assertEqual(self.read(where, "f"), b"x")
        self.assertIn("ro", plumbing.mount_options(where))
        self.assertRaises(OSError, self.write, where, "g")

    def test_an_image_may_be_given_by_name(self):
        self.assertEqual(self.s.mount("name", "-r"), self.s.mount("im", "-r"))

    def test_an_image_is_unmounted_again(self):
        where = self.s.mount("im", "-r")
        self.assertEqual(self.mounted("la"), ["la mounted"])
        self.s.umount("im")
        self.assertEqual(self.mounted("la"), [])
        self.assertNotIn(where, plumbing.mount_points(self.dir))

    def test_without_the_option_an_image_is_no_layer(self):
        self.s.fails("mount", "im", text="layer not known while mounting im")

    def test_with_the_option_a_layer_is_no_image(self):
        self.s.fails("mount", "-r", "la", text="image not known while mounting la")

    def test_an_image_and_its_containers_can_be_mounted_together(self):
        self.s.container("-i", "co", "im")
        image, container = self.s.mount("im", "-r"), self.s.mount("co")
        self.write(container, "f", data=b"changed")
        self.assertEqual(self.read(image, "f"), b"x")


class Shutdown(Case):
    def test_shutting_down_says_nothing(self):
        self.s.layer("-i", "one")
        self.s.silent("shutdown")
        self.assertEqual(self.s.lines("layers"), ["one"])

    def test_shutting_down_as_json_is_an_empty_string(self):
        self.assertEqual(self.s.ok("shutdown", "-j").out, '""\n')

    def test_shutting_down_leaves_no_mount_behind(self):
        self.s.layer("-i", "one")
        self.s.mount("one")
        self.s.umount("one")
        self.s.silent("shutdown")
        self.no_mounts()

    def test_with_a_layer_mounted_it_is_refused(self):
        self.s.layer("-i", "one")
        where = self.s.mount("one")
        r = self.s.fails("shutdown")
        self.assertTrue(r.err.startswith("shutdown: "), r)
        self.assertIn("layer is in use by a container", r.err)
        self.assertEqual(self.mounted("one"), ["one mounted"])
        self.assertTrue(os.path.isdir(where))

    def no_mounts(self):
        """None but the file system that a store of zfs lies on."""
        self.assertEqual([p for p in plumbing.mount_points(self.dir) if p != self.s.root], [])

    def test_force_unmounts_first(self):
        self.s.layer("-i", "one")
        for _ in range(2):
            self.s.mount("one")
        # Upstream says all the same that a layer is mounted.
        self.s.run("shutdown", "-f")
        self.assertEqual(self.mounted("one"), [])
        self.assertEqual(self.counts(), {})
        self.s.silent("shutdown")
        self.no_mounts()


class Copying(Case):
    def setUp(self):
        super().setUp()
        self.s.layer("-i", "one", "-n", "name")
        os.makedirs(self.dir + "/from/sub")
        self.write(self.dir, "from/f", data=b"f")
        self.write(self.dir, "from/sub/g", data=b"g")
        os.chown(self.dir + "/from/f", 11, 12)

    def test_a_file_is_copied_into_a_layer(self):
        self.s.silent("copy", self.dir + "/from/f", "one:/there")
        self.assertEqual(self.read(self.s.content("one", "there")), b"f")
        self.assertEqual(self.owner(self.s.content("one", "there")), (11, 12))
        self.assertEqual(self.mounted("one"), [])

    def test_a_directory_is_copied_into_a_layer(self):
        self.s.silent("copy", self.dir + "/from", "one:/to")
        self.assertEqual(self.read(self.s.content("one", "to/sub/g")), b"g")
        self.assertEqual(self.read(self.s.content("one", "to/f")), b"f")

    def test_a_layer_may_be_given_by_name(self):
        self.s.silent("copy", self.dir + "/from/f", "name:/there")
        self.assertEqual(self.read(self.s.content("one", "there")), b"f")

    def test_a_file_is_copied_out_of_a_layer(self):
        self.s.silent("applydiff", "one", stdin=plumbing.tar({"in": b"inside"}))
        self.s.silent("copy", "one:/in", self.dir + "/out")
        self.assertEqual(self.read(self.dir, "out"), b"inside")

    def test_a_file_is_copied_from_layer_to_layer(self):
        self.s.silent("applydiff", "one", stdin=plumbing.tar({"d": None, "d/in": b"inside"}))
        self.s.layer("-i", "two")
        self.s.silent("copy", "one:/d", "two:/d")
        self.assertEqual(self.read(self.s.content("two", "d/in")), b"inside")

    def test_several_are_copied_into_a_directory(self):
        self.s.silent("applydiff", "one", stdin=plumbing.tar({"d": None}))
        for name in ("a", "b"):
            self.write(self.dir, name, data=name.encode())
        self.s.silent("copy", self.dir + "/a", "one:/d/a")
        self.s.silent("copy", self.dir + "/b", "one:/d/b")
        self.assertEqual(sorted(os.listdir(self.s.content("one", "d"))), ["a", "b"])

    @plumbing.each("--chown", "-o")
    def test_an_owner_may_be_given(self, word):
        self.s.silent("copy", word, "77:88", self.dir + "/from/f", "one:/f")
        self.assertEqual(self.owner(self.s.content("one", "f")), (77, 88))

    def test_an_owner_without_a_group_is_both(self):
        self.s.silent("copy", "--chown", "77", self.dir + "/from/f", "one:/f")
        self.assertEqual(self.owner(self.s.content("one", "f")), (77, 77))

    def test_what_is_no_owner_is_refused(self):
        self.s.fails("copy", "--chown", "x", self.dir + "/from/f", "one:/f", text="bad UID")
        self.s.fails("copy", "--chown", "1:x", self.dir + "/from/f", "one:/f", text="bad GID")

    def test_an_unknown_layer_is_refused(self):
        self.s.fails("copy", self.dir + "/from/f", "nope:/f",
                     text='error finding layer "nope": layer not known')
        self.s.fails("copy", "nope:/f", self.dir + "/f",
                     text='error finding layer "nope": layer not known')

    def test_a_missing_file_is_refused_and_nothing_stays_mounted(self):
        self.s.fails("copy", self.dir + "/nope", "one:/f", text="no such file or directory")
        self.assertEqual(self.mounted("one"), [])


class Recreating(Case):
    """What overlay can find out again after someone removed it."""

    def setUp(self):
        super().setUp()
        self.overlay_only()
        tree.make(self, self.s)
        self.want = self.seen()
        self.s.silent("shutdown")

    def seen(self):
        where = self.s.mount("upper")
        found = sorted(os.path.relpath(os.path.join(base, n), where)
                       for base, dirs, files in os.walk(where) for n in dirs + files)
        self.s.umount("upper")
        return found

    def test_short_links_come_back(self):
        for name in os.listdir(self.s.path("overlay", "l")):
            os.unlink(self.s.path("overlay", "l", name))
        self.assertEqual(self.seen(), self.want)

    def test_files_that_name_links_are_not_missed(self):
        for layer in tree.LAYERS:
            os.unlink(self.s.home(layer, "link"))
        self.assertEqual(self.seen(), self.want)

    def test_mount_points_come_back(self):
        for layer in tree.LAYERS:
            shutil.rmtree(self.s.home(layer, "merged"))
        self.assertEqual(self.seen(), self.want)


if __name__ == "__main__":
    plumbing.main(__name__)
