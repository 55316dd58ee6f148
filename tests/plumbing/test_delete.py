#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Deleting: what is refused, what goes with what, what crashed writers left, wiping everything."""
import fcntl
import os
import struct

import plumbing

FS_IOC_GETFLAGS, FS_IOC_SETFLAGS = 0x80086601, 0x40086602
FS_IMMUTABLE_FL = 0x10


def set_immutable(path, on):
    fd = os.open(path, os.O_RDONLY)
    try:
        flags = struct.unpack("I", fcntl.ioctl(fd, FS_IOC_GETFLAGS, bytes(4)))[0]
        flags = flags | FS_IMMUTABLE_FL if on else flags & ~FS_IMMUTABLE_FL
        fcntl.ioctl(fd, FS_IOC_SETFLAGS, struct.pack("I", flags))
    finally:
        os.close(fd)


class Case(plumbing.Case):
    def left(self, what):
        return [x["id"] for x in self.s.records(what)]

    def nothing_of_layer(self, layer):
        self.assertNotIn(layer, self.left("layers"))
        self.assertFalse(self.s.keeps(layer))
        for path in (self.s.of("layers", layer), self.s.of("layers", layer + ".tar-split.gz")):
            self.assertFalse(os.path.lexists(path), path)
        if self.driver == "overlay":
            links = self.s.path("overlay", "l")
            self.assertNotIn(f"../{layer}/diff",
                             [os.readlink(os.path.join(links, n)) for n in os.listdir(links)])


class Layers(Case):
    def test_a_layer_goes_whole(self):
        self.s.filled({"f": b"x"}, "-i", "one")
        self.s.silent("set-layer-data", "one", "item", stdin=b"data")
        self.s.silent("delete-layer", "one")
        self.nothing_of_layer("one")

    def test_a_layer_may_be_given_by_name_or_prefix(self):
        self.s.layer("-i", "one", "-n", "name")
        self.s.silent("delete-layer", "name")
        other = self.s.layer()
        self.s.silent("delete-layer", other[:20])
        self.assertEqual(self.left("layers"), [])

    def test_several_go_at_once(self):
        for layer in ("one", "two", "three"):
            self.s.layer("-i", layer)
        self.s.silent("delete-layer", "three", "one")
        self.assertEqual(self.left("layers"), ["two"])

    def test_a_layer_with_children_stays(self):
        self.s.layer("-i", "one", "-n", "name")
        self.s.layer("-i", "two", "one")
        self.s.fails("delete-layer", "one", text="layer has children")
        self.assertEqual(self.left("layers"), ["one", "two"])

    def test_a_layer_of_an_image_stays(self):
        self.s.layer("-i", "one")
        self.s.image("-i", "im", "one")
        r = self.s.fails("delete-layer", "one", text="layer is in use by an image")
        self.assertTrue(r.err.startswith("one: "), r)

    def test_the_layer_of_a_container_stays(self):
        layer = self.s.json("create-container", "-j", "-i", "co", "")["layer"]
        self.s.fails("delete-layer", layer, text="layer is in use by a container")
        self.assertEqual(self.left("layers"), [layer])

    def test_a_layer_in_use_stays_by_whatever_name_it_is_called(self):
        parent = self.s.layer("-n", "parent")
        self.s.layer(parent)
        for word in ("parent", parent[:20]):
            self.s.fails("delete-layer", word, text="layer has children")
        shown = self.s.layer("-n", "shown")
        self.s.image(shown)
        self.s.fails("delete-layer", "shown", text="layer is in use by an image")
        self.assertEqual(len(self.left("layers")), 3)

    def test_an_unknown_layer_is_an_error(self):
        r = self.s.fails("delete-layer", "nope", text="nope: identifier is not a layer\n")
        self.assertEqual(r.out, "")

    def test_an_image_is_no_layer(self):
        self.s.image("-i", "im")
        self.s.fails("delete-layer", "im", text="identifier is not a layer")

    def test_as_json_each_argument_has_its_error(self):
        self.s.layer("-i", "one")
        r = self.s.fails("delete-layer", "-j", "nope", "one")
        self.assertEqual((r.out, r.err), ('{"nope":"identifier is not a layer","one":""}\n', ""))

    def test_what_was_a_child_sets_its_parent_free(self):
        self.s.layer("-i", "one")
        self.s.layer("-i", "two", "one")
        self.s.silent("delete-layer", "two")
        self.s.silent("delete-layer", "one")
        self.assertEqual(self.left("layers"), [])

    def test_a_mounted_layer_goes(self):
        self.s.layer("-i", "one")
        self.write(self.s.mount("one"), "f")
        self.s.silent("delete-layer", "one")
        self.nothing_of_layer("one")
        self.assertNotIn("one", "".join(plumbing.mount_points(self.dir)))

    def test_a_layer_whose_files_cannot_be_removed_goes_once_they_can(self):
        self.s.layer("-i", "one")
        self.write(self.s.content("one"), "f")
        try:
            set_immutable(self.s.content("one", "f"), True)
        except OSError as e:
            self.skipTest(f"no immutable files here: {e}")
        r = self.s.run("delete-layer", "one")
        if r.status:
            self.assertIn("one: ", r.err)
        for base, _, names in os.walk(self.s.root):
            for name in names:
                if name == "f":
                    set_immutable(os.path.join(base, name), False)
        self.s.lines("layers")
        self.s.run("gc")
        self.s.silent("layers")
        self.nothing_of_layer("one")


class Images(Case):
    def setUp(self):
        super().setUp()
        for layer, parent in (("base", ""), ("mine", "base"), ("other", "base")):
            self.s.filled({layer: b"x"}, "-i", layer, parent)
        self.s.image("-i", "im", "-n", "name", "mine")

    def test_an_image_goes_with_its_layers_and_data(self):
        self.s.silent("set-image-data", "im", "item", stdin=b"data")
        self.s.silent("delete-layer", "other")
        r = self.s.run("delete-image", "im")
        self.assertEqual((r.status, r.out, sorted(r.err.splitlines())),
                         (0, "", ["im: base", "im: mine"]), r)
        self.assertEqual((self.left("images"), self.left("layers")), ([], []))
        self.assertFalse(os.path.exists(self.s.of("images", "im")))
        self.nothing_of_layer("mine")

    def test_layers_that_others_need_stay(self):
        r = self.s.run("delete-image", "name")
        self.assertEqual((r.status, r.err), (0, "name: mine\n"))
        self.assertEqual(self.left("layers"), ["base", "other"])

    def test_layers_of_another_image_stay(self):
        self.s.silent("delete-layer", "other")
        self.s.image("-i", "im2", "base")
        self.assertEqual(self.s.run("delete-image", "im").err, "im: mine\n")
        self.assertEqual(self.left("layers"), ["base"])

    def test_an_image_shared_by_another_leaves_all_layers(self):
        self.s.image("-i", "im2", "mine")
        self.s.silent("delete-image", "im")
        self.assertEqual(self.left("layers"), ["base", "mine", "other"])

    def test_an_image_of_a_container_stays(self):
        self.s.container("-i", "co", "im")
        for word in ("im", "name"):
            r = self.s.fails("delete-image", word, text="image is in use by a container")
            self.assertTrue(r.err.startswith(f"{word}: "), r)
        self.assertEqual(self.left("images"), ["im"])

    @plumbing.each("-t", "--test")
    def test_a_test_tells_what_would_go_and_keeps_it(self, word):
        r = self.s.run("delete-image", word, "im")
        self.assertEqual((r.status, r.err), (0, "im: mine\n"), r)
        self.assertEqual(len(self.left("layers")), 3)
        self.assertEqual(self.left("images"), ["im"])

    def test_as_json_the_layers_are_listed(self):
        self.assertEqual(self.s.ok("delete-image", "-j", "im").out,
                         '{"im":{"deleted-layers":["mine"]}}\n')

    def test_as_json_an_image_without_layers_of_its_own_is_empty(self):
        self.s.image("-i", "bare")
        self.assertEqual(self.s.ok("delete-image", "-j", "bare").out, '{"bare":{}}\n')

    def test_as_json_an_error_is_told(self):
        r = self.s.fails("delete-image", "-j", "nope")
        self.assertEqual((r.out, r.err), ('{"nope":{"error":"identifier is not an image"}}\n', ""))

    def test_an_unknown_image_is_an_error(self):
        self.s.fails("delete-image", "nope", text="nope: identifier is not an image\n")

    def test_a_layer_is_no_image(self):
        self.s.fails("delete-image", "mine", text="identifier is not an image")

    def test_one_that_fails_does_not_stop_the_others(self):
        r = self.s.fails("delete-image", "nope", "im")
        self.assertEqual(sorted(r.err.splitlines()),
                         ["im: mine", "nope: identifier is not an image"])
        self.assertEqual(self.left("images"), [])


class Containers(Case):
    def setUp(self):
        super().setUp()
        self.s.filled({"f": b"x"}, "-i", "la")
        self.s.image("-i", "im", "la")
        self.layer = self.s.json("create-container", "-j", "-i", "co", "-n", "name", "im")["layer"]

    def test_a_container_goes_with_its_layer_and_data(self):
        self.s.silent("set-container-data", "co", "item", stdin=b"data")
        self.s.silent("delete-container", "name")
        self.assertEqual(self.left("containers"), [])
        self.nothing_of_layer(self.layer)
        self.assertFalse(os.path.exists(self.s.of("containers", "co")))
        self.assertEqual((self.left("layers"), self.left("images")), (["la"], ["im"]))

    def test_a_mounted_container_goes(self):
        where = self.s.mount("co")
        self.s.silent("delete-container", "co")
        self.nothing_of_layer(self.layer)
        self.assertNotIn(where, plumbing.mount_points(self.dir))
        self.assertEqual(plumbing.read_records(self.s.run_of("layers", "mountpoints.json")), [])

    def test_an_unknown_container_is_an_error(self):
        for word in ("nope", "im", "la"):
            self.s.fails("delete-container", word,
                         text=f"{word}: identifier is not a container\n")

    def test_as_json_each_argument_has_its_error(self):
        r = self.s.fails("delete-container", "-j", "nope", "co")
        self.assertEqual(r.out, '{"co":"","nope":"identifier is not a container"}\n')

    def test_after_its_containers_an_image_can_go(self):
        self.s.silent("delete-container", "co")
        self.assertEqual(self.s.run("delete-image", "im").err, "im: la\n")
        self.assertEqual(self.left("layers"), [])


class Anything(Case):
    """`delete` takes whatever it is, without the checks."""

    def setUp(self):
        super().setUp()
        self.s.filled({"f": b"x"}, "-i", "la", "-n", "layer-name")
        self.s.image("-i", "im", "-n", "image-name", "la")
        self.layer = self.s.json("create-container", "-j", "-i", "co", "-n", "co-name",
                                 "im")["layer"]

    def test_a_container_goes_with_its_layer(self):
        self.s.silent("delete", "co-name")
        self.assertEqual((self.left("containers"), self.left("layers")), ([], ["la"]))
        self.nothing_of_layer(self.layer)

    def test_an_image_goes_and_its_layers_stay(self):
        self.s.silent("delete", "co")
        self.s.silent("delete", "image-name")
        self.assertEqual((self.left("images"), self.left("layers")), ([], ["la"]))

    def test_a_layer_goes(self):
        self.s.silent("delete", "co", "im")
        self.s.silent("delete", "la")
        self.nothing_of_layer("la")

    def test_an_image_that_a_container_uses_goes_too(self):
        self.s.silent("delete", "im")
        self.assertEqual((self.left("images"), self.left("containers")), ([], ["co"]))
        self.assertIn("Image: im\n", self.s.ok("container", "co").out)

    def test_what_is_not_there_is_an_error(self):
        self.s.fails("delete", "nope", text="nope: layer not known\n")
        self.assertEqual(self.s.fails("delete", "-j", "nope").out, '{"nope":"layer not known"}\n')


class Incomplete(Case):
    """A layer whose writer died, as a flag in its record tells."""

    def mark(self, *layers):
        def change(records):
            for record in records:
                if record["id"] in layers:
                    record["flags"] = {"incomplete": True}
        self.s.change_records("layers", change)

    def test_an_incomplete_layer_goes_when_layers_are_read(self):
        self.s.layer("-i", "one")
        self.s.layer("-i", "two")
        self.mark("one")
        self.assertEqual(self.s.lines("layers"), ["two"])
        self.nothing_of_layer("one")

    def test_an_incomplete_layer_without_its_files_goes_too(self):
        self.s.layer("-i", "one")
        self.mark("one")
        plumbing.remove_tree(self.s.home("one"))
        self.s.silent("layers")
        self.assertEqual(self.left("layers"), [])

    def test_an_incomplete_layer_on_a_parent_leaves_the_parent(self):
        self.s.filled({"f": b"x"}, "-i", "one")
        self.s.layer("-i", "two", "one")
        self.mark("two")
        self.assertEqual(self.s.lines("layers"), ["one"])
        self.assertEqual(self.read(self.s.mount("one"), "f"), b"x")

    def test_an_id_of_an_incomplete_layer_can_be_used_again(self):
        self.s.filled({"old": b"x"}, "-i", "one")
        self.mark("one")
        self.s.filled({"new": b"x"}, "-i", "one")
        self.assertEqual(os.listdir(self.s.mount("one")), ["new"])

    def test_a_flag_that_is_false_means_nothing(self):
        self.s.layer("-i", "one")
        self.s.change_records("layers", lambda r: r[0].update(flags={"incomplete": False}))
        self.assertEqual(self.s.lines("layers"), ["one"])


class Collecting(Case):
    def test_nothing_to_collect_is_no_word(self):
        self.s.layer("-i", "one")
        self.s.silent("gc")
        self.assertEqual(self.s.lines("layers"), ["one"])

    def test_gc_as_json_is_an_empty_string(self):
        self.assertEqual(self.s.ok("gc", "-j").out, '""\n')

    def test_layers_of_the_driver_alone_are_collected(self):
        self.s.layer("-i", "kept")
        lost = self.s.lines("create-storage-layer")[0]
        self.s.silent("gc")
        self.assertEqual(self.s.lines("storage-layers"), ["kept"])
        self.nothing_of_layer(lost)

    def test_directories_of_unknown_images_and_containers_are_collected(self):
        self.s.image("-i", "im")
        self.s.container("-i", "co", "")
        paths = [self.s.of("images", "a" * 64), self.s.of("containers", "b" * 64)]
        for path in paths:
            os.makedirs(path + "/userdata")
        self.s.ok("get-container-dir", "co")
        self.s.silent("gc")
        self.assertEqual([p for p in paths if os.path.exists(p)], [])
        self.assertTrue(os.path.isdir(self.s.of("containers", "co")))

    def test_what_has_a_record_stays(self):
        self.s.filled({"f": b"x"}, "-i", "la")
        self.s.image("-i", "im", "la")
        self.s.container("-i", "co", "im")
        self.s.silent("set-layer-data", "la", "item", stdin=b"data")
        self.s.silent("gc")
        self.assertEqual(self.read(self.s.mount("co"), "f"), b"x")
        self.assertEqual(self.s.ok("get-layer-data", "la", "item").out, "data")


class Wiping(Case):
    def test_everything_goes(self):
        self.s.filled({"f": b"x"}, "-i", "la")
        self.s.image("-i", "im", "la")
        self.s.container("-i", "co", "im")
        self.s.silent("wipe")
        for what in ("layers", "images", "containers"):
            self.s.silent(what)
            self.assertEqual(self.left(what), [])
        self.s.silent("storage-layers")

    def test_mounted_layers_go_too(self):
        self.s.layer("-i", "one")
        self.s.mount("one")
        self.s.silent("wipe")
        self.nothing_of_layer("one")

    def test_wiping_as_json_is_an_empty_string(self):
        self.assertEqual(self.s.ok("wipe", "-j").out, '""\n')

    def test_a_wiped_store_can_be_used_again(self):
        self.s.layer("-i", "one", "-n", "name")
        self.s.silent("wipe")
        self.s.layer("-i", "one", "-n", "name")
        self.assertEqual(self.s.lines("layers"), ["one", "\tname: name"])


if __name__ == "__main__":
    plumbing.main(__name__)
