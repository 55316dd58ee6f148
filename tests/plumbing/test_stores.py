#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Several stores: additional ones that are only read, and images kept in a place of their own."""
import os

import plumbing


class Case(plumbing.Case):
    def additional(self, name="ro"):
        """A store that another one will read."""
        s = self.store(name)
        s.lines("layers")
        return s

    def use(self, *stores):
        self.s.options = [f"{self.driver}.imagestore={s.root}" for s in stores]


class Additional(Case):
    def setUp(self):
        super().setUp()
        if self.driver not in plumbing.READ_OTHERS:
            self.skipTest("the driver has no additional stores")
        self.ro = self.additional()
        self.ro.filled({"f": b"below"}, "-i", "rolow")
        self.ro.filled({"g": b"above"}, "-i", "rola", "-n", "layer-name", "rolow")
        self.ro.image("-i", "roim", "-n", "foo", "-n", "bar", "-m", "text", "rola")
        self.ro.silent("set-image-data", "roim", "item", stdin=b"data")
        self.ro.silent("shutdown")
        self.before = self.state()
        self.use(self.ro)

    def state(self):
        """What the additional store is; nobody may change it."""
        found = {}
        for base, dirs, files in os.walk(self.ro.root):
            for name in dirs + files:
                path = os.path.join(base, name)
                st = os.lstat(path)
                found[os.path.relpath(path, self.ro.root)] = (
                    st.st_mode, st.st_uid, st.st_gid,
                    self.read(path) if os.path.isfile(path) else None)
        return found

    def unchanged(self):
        after = self.state()
        self.assertEqual({k: v for k, v in after.items() if self.before.get(k) != v}, {})
        self.assertEqual(set(self.before) - set(after), set())

    def test_its_layers_and_images_are_listed(self):
        self.s.layer("-i", "mine")
        self.s.image("-i", "myim", "mine")
        self.assertEqual(sorted(self.s.lines("layers", "-q")), ["mine", "rola", "rolow"])
        self.assertEqual(sorted(self.s.lines("images", "-q")), ["myim", "roim"])
        self.unchanged()

    def test_its_objects_are_found_by_id_and_name(self):
        for word in ("rola", "rolow", "layer-name", "roim", "foo", "bar"):
            self.assertEqual(self.s.ok("exists", word).out, word + ": true\n")
        self.s.ok("exists", "-i", "foo")
        self.s.ok("exists", "-l", "layer-name")

    def test_its_objects_are_told_to_be_read_only(self):
        self.assertEqual(self.s.lines("layer", "rola")[-1], "Read Only: true")
        self.assertEqual(self.s.lines("image", "roim")[-1], "Read Only: true")
        self.s.layer("-i", "mine")
        self.assertNotIn("Read Only", self.s.ok("layer", "mine").out)

    def test_its_data_and_metadata_are_read(self):
        self.assertEqual(self.s.ok("get-image-data", "foo", "item").out, "data")
        self.assertEqual(self.s.lines("list-image-data", "roim"), ["item"])
        self.assertEqual(self.s.ok("metadata", "-q", "roim").out, "text\n")
        self.assertEqual(self.s.lines("get-names", "roim"), ["foo", "bar"])

    def test_its_layers_can_be_compared_and_exported(self):
        self.assertEqual(self.s.lines("changes", "rola"), ['Add "/g"'])
        self.assertEqual(self.s.ok("diff", "-u", "rola").raw, plumbing.tar({"g": b"above"}))
        self.unchanged()

    def test_a_layer_can_be_made_on_its_layers(self):
        self.s.layer("-i", "mine", "rola")
        where = self.s.mount("mine")
        self.assertEqual(sorted(os.listdir(where)), ["f", "g"])
        self.write(where, "new")
        self.s.umount("mine")
        self.assertEqual([x["id"] for x in self.s.records("layers")], ["mine"])
        self.unchanged()

    def test_an_image_can_be_made_of_its_layers(self):
        self.s.image("-i", "myim", "rola")
        self.assertEqual([x["layer"] for x in self.s.records("images")], ["rola"])

    def test_a_container_can_be_made_of_its_image(self):
        record = self.s.json("create-container", "-j", "-i", "co", "foo")
        self.assertEqual(record["image"], "roim")
        where = self.s.mount("co")
        self.assertEqual(self.read(where, "f"), b"below")
        os.unlink(where + "/g")
        self.write(where, "f", data=b"changed")
        self.s.umount("co")
        self.assertEqual(self.s.lines("changes", record["layer"]), ['Modify "/f"', 'Delete "/g"'])
        self.s.silent("delete-container", "co")
        self.unchanged()

    def test_its_objects_cannot_be_deleted(self):
        self.s.fails("delete-layer", "rolow")
        self.s.fails("delete-image", "roim")
        self.s.fails("delete", "rola")
        self.unchanged()

    def test_its_data_and_metadata_cannot_be_set(self):
        self.s.fails("set-image-data", "roim", "item", stdin=b"new")
        self.s.fails("set-layer-data", "rola", "item", stdin=b"new")
        self.s.fails("set-metadata", "-m", "new", "roim")
        self.unchanged()

    def test_names_of_its_layers_cannot_be_changed(self):
        self.s.fails("set-names", "-n", "new", "rola")
        self.unchanged()

    def test_an_image_that_gets_a_name_is_copied_from_it(self):
        self.s.silent("add-names", "-n", "new", "roim")
        record, = self.s.records("images")
        self.assertEqual((record["id"], record["layer"]), ("roim", "rola"))
        self.assertEqual(sorted(record["names"]), ["bar", "foo", "new"])
        for word in ("roim", "foo", "bar", "new"):
            self.s.ok("exists", "-i", word)
        self.unchanged()

    def test_an_image_that_loses_a_name_is_copied_from_it(self):
        self.s.silent("remove-names", "-n", "foo", "roim")
        self.s.fails("exists", "-i", "foo")
        for word in ("roim", "bar"):
            self.s.ok("exists", "-i", word)
        self.unchanged()

    def test_an_image_whose_names_are_set_is_copied_from_it(self):
        self.s.silent("set-names", "-n", "new", "roim")
        self.assertEqual(self.s.lines("get-names", "roim"), ["new"])
        self.assertEqual(self.s.ok("metadata", "-q", "new").out, "text\n")
        self.unchanged()

    def test_a_store_on_it_is_clean(self):
        self.s.container("-i", "co", "roim")
        self.s.silent("check")

    def test_wiping_leaves_it_alone(self):
        self.s.layer("-i", "mine", "rola")
        self.s.silent("wipe")
        self.assertEqual(sorted(self.s.lines("layers", "-q")), ["rola", "rolow"])
        self.unchanged()

    def test_two_are_searched_in_order(self):
        second = self.additional("ro2")
        second.image("-i", "roim", "-n", "shadowed")
        second.image("-i", "other", "-n", "second")
        second.silent("shutdown")
        self.use(self.ro, second)
        self.assertIn("Top Layer: rola\n", self.s.ok("image", "roim").out)
        self.assertEqual(self.s.lines("image", "second")[0], "ID: other")

    def test_one_that_is_missing_is_refused(self):
        self.overlay_only()
        self.s.options = [f"{self.driver}.imagestore={self.dir}/nope"]
        r = self.s.run("layers")
        self.assertEqual(r.status, 1, r)
        self.assertTrue(r.out.startswith("error initializing: "), r)

    def test_one_that_changes_is_read_anew(self):
        self.assertEqual(self.s.lines("images", "-q"), ["roim"])
        self.ro.image("-i", "later")
        self.assertEqual(self.s.lines("images", "-q"), ["roim", "later"])

    def test_status_names_it(self):
        self.assertIn(f"Driver Options: [{self.driver}.imagestore={self.ro.root}]\n",
                      self.s.run("status").err)


class Split(Case):
    """--image-store: images and their layers lie there, the rest in the graph root."""

    def setUp(self):
        super().setUp()
        if self.driver not in plumbing.READ_OTHERS:
            self.skipTest("the driver keeps all layers in one place")
        self.where = self.dir + "/imagestore"
        self.split = ["--image-store", self.where]

    def there(self, noun, *names):
        return os.path.join(self.where, f"{self.driver}-{noun}", *names)

    def run_split(self, *words, **more):
        r = self.s.run(*self.split, *words, **more)
        self.assertEqual((r.status, r.err), (0, ""), r)
        return r

    def furnish(self):
        self.run_split("import-layer", "-r", "-i", "la", stdin=plumbing.tar({"f": b"x"}))
        self.run_split("create-image", "-i", "im", "-n", "name", "la")

    def ids(self, path):
        return [x["id"] for x in plumbing.read_records(path)]

    def test_images_and_their_layers_lie_in_the_image_store(self):
        self.furnish()
        self.assertEqual(self.ids(self.there("images", "images.json")), ["im"])
        self.assertEqual(self.ids(self.there("layers", "layers.json")), ["la"])
        self.assertEqual(self.ids(self.s.of("layers", "layers.json")), [])
        self.assertFalse(os.path.exists(self.s.of("images", "images.json")))
        self.assertFalse(self.s.keeps("la"))

    def test_containers_lie_in_the_graph_root(self):
        self.furnish()
        record = self.run_split("create-container", "-j", "-i", "co", "im").json()
        self.assertIn("co", [x["id"] for x in self.s.records("containers")])
        self.assertTrue(self.s.keeps(record["layer"]))
        self.assertEqual(self.ids(self.there("layers", "layers.json")), ["la"])

    def test_a_container_shows_the_image(self):
        self.furnish()
        self.run_split("create-container", "-i", "co", "name")
        where = self.run_split("mount", "co").lines[0]
        self.assertEqual(self.read(where, "f"), b"x")
        self.write(where, "new")
        self.run_split("unmount", "co")
        self.assertEqual(self.run_split("changes", self.s.records("containers")[0]["layer"]).lines,
                         ['Add "/new"'])

    def test_everything_is_listed_together(self):
        self.furnish()
        record = self.run_split("create-container", "-j", "-i", "co", "im").json()
        self.assertEqual(set(self.run_split("layers", "-q").lines), {"la", record["layer"]})
        self.assertEqual(self.run_split("images", "-q").lines, ["im"])
        self.assertEqual(self.run_split("containers").lines, ["co"])

    def test_an_image_goes_from_the_image_store(self):
        self.furnish()
        r = self.s.run(*self.split, "delete-image", "im")
        self.assertEqual((r.status, r.err), (0, "im: la\n"), r)
        self.assertEqual((self.ids(self.there("images", "images.json")),
                          self.ids(self.there("layers", "layers.json"))), ([], []))
        home = os.path.join(self.where, *plumbing.HOMES[self.driver])
        self.assertFalse(os.path.exists(os.path.join(home, "la")))

    def test_a_container_goes_from_the_graph_root(self):
        self.furnish()
        record = self.run_split("create-container", "-j", "-i", "co", "im").json()
        self.assertEqual(self.run_split("delete-container", "co").out, "")
        self.assertFalse(self.s.keeps(record["layer"]))
        self.assertEqual(self.run_split("layers", "-q").lines, ["la"])

    def test_the_graph_root_is_not_allowed_as_image_store(self):
        r = self.s.run("--image-store", self.s.root, "layers")
        self.assertEqual(r.status, 1, r)
        self.assertTrue(r.out.startswith("error initializing: "), r)

    def test_images_of_the_graph_root_can_be_read_as_an_additional_store(self):
        self.s.filled({"f": b"old"}, "-i", "oldla")
        self.s.image("-i", "oldim", "-n", "old", "oldla")
        self.s.silent("shutdown")
        fresh = self.store("fresh")
        fresh.options = [f"{self.driver}.imagestore={self.s.root}"]
        r = fresh.run(*self.split, "create-container", "-i", "co", "old")
        self.assertEqual((r.status, r.err), (0, ""), r)
        where = fresh.run(*self.split, "mount", "co").lines[0]
        self.assertEqual(self.read(where, "f"), b"old")

    def test_a_split_store_is_clean(self):
        self.furnish()
        self.run_split("create-container", "-i", "co", "im")
        self.assertEqual(self.run_split("check").out, "")

    def test_wiping_empties_both(self):
        self.furnish()
        self.run_split("create-container", "-i", "co", "im")
        self.run_split("wipe")
        for what in ("layers", "images", "containers"):
            self.assertEqual(self.run_split(what).out, "")


if __name__ == "__main__":
    plumbing.main(__name__)
