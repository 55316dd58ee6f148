#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Layers: creating, importing and listing them, what is recorded of them, and the driver's own."""
import gzip
import hashlib
import os
import re

import plumbing

ID = re.compile(r"^[0-9a-f]{64}$")
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$")
DEPTH = 200


class Creating(plumbing.Case):
    def test_a_layer_gets_a_random_id_of_64_hex_digits(self):
        first, second = self.s.layer(), self.s.layer()
        self.assertRegex(first, ID)
        self.assertRegex(second, ID)
        self.assertNotEqual(first, second)

    def test_the_id_and_the_names_are_printed(self):
        self.assertEqual(self.s.ok("create-layer", "-i", "one", "-n", "a", "-n", "b").out,
                         "one\n\ta\n\tb\n")

    def test_a_layer_as_json_is_its_record(self):
        r = self.s.ok("create-layer", "-j", "-i", "one", "-n", "a")
        self.assertTrue(r.out.endswith("}\n"), r)
        record = r.json()
        self.assertRegex(record.pop("created"), TIME)
        self.assertEqual(record, {"id": "one", "names": ["a"]})

    def test_the_record_on_disk_is_what_is_printed(self):
        self.s.layer("-i", "one")
        printed = self.s.json("create-layer", "-j", "-i", "two", "-n", "b", "one")
        self.assertEqual(self.s.records("layers")[1], printed)
        self.assertEqual(printed["parent"], "one")

    def test_keys_of_a_record_stand_in_the_usual_order(self):
        self.s.layer("-i", "one")
        out = self.s.ok("create-layer", "-j", "-i", "two", "-n", "b", "-l", "", "one").out
        self.assertRegex(out, r'^{"id":"two","names":\["b"\],"parent":"one","created":"[^"]+"}\n$')

    def test_a_parent_may_be_given_by_name(self):
        self.s.layer("-i", "one", "-n", "base")
        self.s.layer("-i", "two", "base")
        self.assertEqual(self.s.records("layers")[1]["parent"], "one")

    def test_a_parent_may_be_given_by_a_prefix_of_its_id(self):
        parent = self.s.layer()
        self.s.layer("-i", "two", parent[:12])
        self.assertEqual(self.s.records("layers")[1]["parent"], parent)

    def test_an_unknown_parent_is_refused(self):
        self.s.fails("create-layer", "nope", text="layer not known")
        self.assertEqual(self.s.records("layers"), [])

    def test_an_id_in_use_is_refused(self):
        self.s.layer("-i", "one")
        self.s.fails("create-layer", "-i", "one", text="that ID is already in use")
        self.assertEqual(len(self.s.records("layers")), 1)

    def test_a_name_in_use_is_refused(self):
        self.s.layer("-i", "one", "-n", "a")
        self.s.fails("create-layer", "-i", "two", "-n", "a", text="that name is already in use")
        self.assertEqual(len(self.s.records("layers")), 1)
        self.assertFalse(self.s.keeps("two"))

    def test_a_name_given_twice_is_kept_once(self):
        self.s.layer("-i", "one", "-n", "a", "-n", "b", "-n", "a")
        self.assertEqual(self.s.records("layers")[0]["names"], ["a", "b"])

    def test_the_layer_of_a_container_cannot_be_a_parent(self):
        container = self.s.json("create-container", "-j", "")
        self.s.fails("create-layer", container["layer"],
                     text="would-be parent layer is a container")

    def test_a_label_is_recorded(self):
        self.s.layer("-i", "one", "-l", "system_u:object_r:container_file_t:s0:c1,c2")
        self.assertEqual(self.s.records("layers")[0]["mountlabel"],
                         "system_u:object_r:container_file_t:s0:c1,c2")

    def test_a_read_only_layer_looks_like_any_other(self):
        self.s.layer("-i", "one", "-r")
        record, = self.s.records("layers")
        self.assertEqual(set(record), {"id", "created"})

    def test_each_writer_leaves_a_token_of_its_own(self):
        seen = set()
        for _ in range(3):
            self.s.layer()
            seen.add(self.read(self.s.of("layers", "layers.lock")))
        self.assertEqual({len(token) for token in seen}, {64})
        self.assertEqual(len(seen), 3)

    def test_listing_leaves_the_token_alone(self):
        self.s.layer()
        before = self.read(self.s.of("layers", "layers.lock"))
        self.s.lines("layers")
        self.assertEqual(self.read(self.s.of("layers", "layers.lock")), before)

    def test_tables_are_for_their_owner_only_and_end_without_a_newline(self):
        self.s.mount(self.s.layer())
        for path in (self.s.of("layers", "layers.json"),
                     self.s.run_of("layers", "mountpoints.json")):
            self.assertEqual(self.mode(path), 0o600)
            self.assertEqual(self.read(path)[-1:], b"]")

    def test_nothing_temporary_is_left(self):
        self.s.layer("-i", "one")
        self.s.filled({"f": b"x"}, "-i", "two", "one")
        left = [n for n in os.listdir(self.s.of("layers")) if n.startswith((".tmp", "tmp."))]
        self.assertEqual(left, [])
        for staging in (self.s.of("layers", "tmp"), self.s.path(self.driver, "tempdirs"),
                        self.s.path(self.driver, "staging")):
            self.assertEqual(os.listdir(staging) if os.path.isdir(staging) else [], [])


class Disk(plumbing.Case):
    def test_overlay_makes_a_base_layer(self):
        self.overlay_only()
        self.s.layer("-i", "one")
        self.assertEqual(sorted(os.listdir(self.s.home("one"))),
                         ["diff", "empty", "link", "merged", "work"])
        self.assertEqual({n: self.mode(self.s.home("one", n)) for n in
                          ("", "diff", "empty", "link", "merged", "work")},
                         {"": 0o700, "diff": 0o555, "empty": 0o700, "link": 0o644,
                          "merged": 0o700, "work": 0o700})

    def test_overlay_makes_a_layer_on_others(self):
        self.overlay_only()
        for layer, parent in (("one", ""), ("two", "one"), ("three", "two")):
            self.s.layer("-i", layer, parent)
        self.assertEqual(sorted(os.listdir(self.s.home("three"))),
                         ["diff", "link", "lower", "merged", "work"])
        links = [self.read(self.s.home(x, "link")).decode() for x in ("two", "one")]
        self.assertEqual(self.read(self.s.home("three", "lower")).decode(),
                         ":".join("l/" + x for x in links))

    def test_overlay_names_a_layer_by_a_short_link(self):
        self.overlay_only()
        self.s.layer("-i", "one")
        link = self.read(self.s.home("one", "link")).decode()
        self.assertRegex(link, "^[A-Z2-7]{26}$")
        self.assertEqual(os.readlink(self.s.path("overlay", "l", link)), "../one/diff")

    def test_vfs_makes_a_directory(self):
        self.vfs_only()
        self.s.layer("-i", "one")
        self.assertEqual(self.mode(self.s.home("one")), 0o555)
        self.assertEqual(os.listdir(self.s.home("one")), [])

    def test_a_layer_begins_with_the_mode_and_owner_of_its_parent(self):
        self.s.layer("-i", "one")
        os.chmod(self.s.content("one"), 0o711)
        os.chown(self.s.content("one"), 3, 4)
        self.s.layer("-i", "two", "one")
        self.assertEqual(self.mode(self.s.content("two")), 0o711)
        self.assertEqual(self.owner(self.s.content("two")), (3, 4))

    def test_a_layer_that_is_whole_begins_as_its_parent(self):
        if not self.whole:
            self.skipTest("overlay stacks them")
        self.s.filled({"d": None, "d/f": b"content"}, "-i", "one")
        os.link(self.s.content("one", "d/f"), self.s.content("one", "d/g"))
        os.setxattr(self.s.content("one", "d/f"), "user.note", b"n")
        os.symlink("f", self.s.content("one", "d/s"))
        os.mkfifo(self.s.content("one", "d/p"))
        self.s.layer("-i", "two", "one")
        there = self.s.content("two", "d")
        self.assertEqual(sorted(os.listdir(there)), ["f", "g", "p", "s"])
        self.assertEqual(self.read(there, "f"), b"content")
        self.assertTrue(os.path.samefile(there + "/f", there + "/g"))
        self.assertFalse(os.path.samefile(there + "/f", self.s.content("one", "d/f")))
        self.assertEqual(os.getxattr(there + "/f", "user.note"), b"n")
        self.assertEqual(os.readlink(there + "/s"), "f")
        self.assertEqual(os.stat(there + "/f").st_mtime, 1_000_000_000)


class Importing(plumbing.Case):
    FILES = {"d": None, "d/f": b"hello", "g": b"world"}

    def test_an_imported_layer_holds_the_files(self):
        self.s.filled(self.FILES, "-i", "one")
        where = self.s.mount("one")
        self.assertEqual(self.read(where, "d/f"), b"hello")
        self.assertEqual(self.read(where, "g"), b"world")

    def test_a_layer_may_be_imported_from_a_file(self):
        path = self.file("x.tar", plumbing.tar(self.FILES))
        self.assertEqual(self.s.ok("import-layer", "-f", path, "-i", "one", "-n", "a").out,
                         "one\n\ta\n")
        self.assertEqual(self.read(self.s.content("one", "g")), b"world")

    def test_sizes_digests_and_owners_are_recorded(self):
        data = plumbing.tar(self.FILES, uid=7, gid=8)
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        record = self.s.json("import-layer", "-j", "-i", "one", stdin=data)
        self.assertRegex(record.pop("created"), TIME)
        self.assertEqual(record, {
            "id": "one", "compressed-diff-digest": digest, "compressed-size": len(data),
            "diff-digest": digest, "diff-size": len(data), "uidset": [7], "gidset": [8]})

    def test_of_a_compressed_layer_both_digests_are_recorded(self):
        data = plumbing.tar(self.FILES)
        packed = gzip.compress(data, mtime=0)
        record = self.s.json("import-layer", "-j", "-i", "one", stdin=packed)
        self.assertEqual({k: record[k] for k in ("compressed-diff-digest", "compressed-size",
                                                 "diff-digest", "diff-size", "compression")},
                         {"compressed-diff-digest": "sha256:" + hashlib.sha256(packed).hexdigest(),
                          "compressed-size": len(packed),
                          "diff-digest": "sha256:" + hashlib.sha256(data).hexdigest(),
                          "diff-size": len(data), "compression": 2})

    def test_the_owners_are_sorted_and_whiteouts_do_not_count(self):
        data = plumbing.tar({"a": b"a"}, uid=9, gid=5)[:1024]
        data += plumbing.tar({"b": b"b"}, uid=3, gid=70)[:1024]
        data += plumbing.tar({".wh.c": b""}, uid=1, gid=1)[:512] + bytes(1024)
        self.s.filled({"c": b"c"}, "-i", "below")
        record = self.s.json("import-layer", "-j", "below", stdin=data)
        self.assertEqual((record["uidset"], record["gidset"]), ([3, 9], [5, 70]))

    def test_an_imported_layer_has_a_tar_split_file(self):
        self.s.filled(self.FILES, "-i", "one")
        path = self.s.of("layers", "one.tar-split.gz")
        self.assertEqual(self.mode(path), 0o600)
        self.assertTrue(gzip.decompress(self.read(path)).startswith(b"{"))

    def test_an_import_that_fails_leaves_nothing(self):
        r = self.s.run("import-layer", "-i", "one", stdin=b"this is no archive" * 100)
        self.assertEqual((r.status, r.out), (1, ""), r)
        self.assertNotEqual(r.err, "")
        self.assertEqual(self.s.records("layers"), [])
        self.assertFalse(self.s.keeps("one"))
        self.assertEqual(self.s.ok("layers").out, "")

    def test_an_import_that_is_cut_off_leaves_nothing(self):
        data = plumbing.tar({"a": b"a", "b": plumbing.noise(1, 100_000)})
        r = self.s.run("import-layer", "-i", "one", stdin=data[:60_000])
        self.assertEqual(r.status, 1, r)
        self.assertIn("unexpected EOF", r.err)
        self.assertEqual(self.s.ok("layers").out, "")

    def test_an_import_is_refused_an_id_in_use(self):
        self.s.layer("-i", "one")
        self.s.fails("import-layer", "-i", "one", stdin=plumbing.tar({"a": b"a"}),
                     text="that ID is already in use")
        self.assertEqual(os.listdir(self.s.content("one")), [])

    def test_an_import_from_a_missing_file_is_refused(self):
        self.s.fails("import-layer", "-f", self.dir + "/nope",
                     text="no such file or directory")


class Listing(plumbing.Case):
    def furnish(self):
        self.s.layer("-i", "one", "-n", "a", "-n", "b")
        self.s.layer("-i", "two", "one")
        self.s.layer("-i", "three", "one")
        self.s.image("-i", "im", "-n", "imname", "two")
        record = self.s.json("create-container", "-j", "-i", "co", "-n", "coname", "im")
        return record["layer"]

    def test_no_layers_are_no_lines(self):
        self.s.silent("layers")

    def test_no_layers_as_json_are_an_empty_array_or_null(self):
        self.assertIn(self.s.ok("layers", "-j").out, ("[]\n", "null\n"))

    def test_layers_tell_names_images_and_containers(self):
        top = self.furnish()
        self.assertEqual(self.s.ok("layers").out, f"""one
\tname: a
\tname: b
two
\timage: im
\t\tname: imname
three
{top}
\tcontainer: co
\t\tname: coname
""")

    def test_layers_quickly_are_only_ids(self):
        top = self.furnish()
        self.assertEqual(self.s.lines("layers", "-q"), ["one", "two", "three", top])

    def test_layers_as_json_are_the_records(self):
        self.furnish()
        r = self.s.ok("layers", "-j")
        self.assertTrue(r.out.endswith("]\n"), r)
        self.assertEqual(r.json(), self.s.records("layers"))

    def test_layers_as_a_tree(self):
        top = self.furnish()
        self.assertEqual(self.s.ok("layers", "-t").out, f"""(base)
└─one
  name: a
  name: b
  ├─two
  │ image: im
  │ image name: imname
  │ └─{top}
  │   container: co
  │   container name: coname
  └─three
""")

    def test_a_tree_shows_what_is_mounted(self):
        self.s.layer("-i", "one")
        where = self.s.mount("one")
        self.assertEqual(self.s.ok("layers", "--tree").out,
                         f"(base)\n└─one\n  mount: {where}\n")

    def test_a_tree_has_all_base_layers_at_its_root(self):
        for layer in ("one", "two"):
            self.s.layer("-i", layer)
        self.assertEqual(self.s.ok("layers", "-t").out, "(base)\n├─one\n└─two\n")

    def test_layers_stand_in_the_order_of_their_making(self):
        ids = [self.s.layer() for _ in range(5)]
        self.s.silent("delete-layer", ids.pop(2))
        ids.append(self.s.layer())
        self.assertEqual(self.s.lines("layers"), ids)

    def test_a_layer_tells_its_parent_and_names(self):
        self.s.layer("-i", "one", "-n", "a", "-n", "b")
        self.s.layer("-i", "two", "one")
        self.assertEqual(self.s.ok("layer", "b", "two").out,
                         "ID: one\nName: a\nName: b\nID: two\nParent: one\n")

    def test_a_layer_tells_its_maps(self):
        self.s.layer("-i", "one", "--uidmap", "0:1000:10:10:2000:5", "--gidmap", "0:3000:20")
        self.assertEqual(self.s.ok("layer", "one").out, """ID: one
UID mapping: (container=0, host=1000, size=10)
UID mapping: (container=10, host=2000, size=5)
GID mapping: (container=0, host=3000, size=20)
""")

    def test_a_layer_is_found_by_a_prefix_of_its_id(self):
        layer = self.s.layer()
        self.s.layer()
        self.assertEqual(self.s.lines("layer", layer[:20]), ["ID: " + layer])

    def test_a_prefix_of_several_ids_finds_none(self):
        self.s.layer("-i", "one1")
        self.s.layer("-i", "one2")
        r = self.s.fails("layer", "one")
        self.assertEqual((r.out, r.err), ("", ""))

    def test_layers_that_are_not_there_make_the_exit_1_and_the_others_are_told(self):
        self.s.layer("-i", "one")
        r = self.s.fails("layer", "nope", "one")
        self.assertEqual((r.out, r.err), ("ID: one\n", ""))
        r = self.s.fails("layer", "-j", "nope", "one")
        self.assertEqual([x["id"] for x in r.json()], ["one"])

    def test_a_layer_that_is_not_there_as_json_is_an_empty_array(self):
        self.assertEqual(self.s.fails("layer", "-j", "nope").out, "[]\n")

    def test_odd_characters_are_escaped_in_json(self):
        self.s.layer("-i", "one", "-n", "<a&b>")
        self.assertIn(b'"names":["\\u003ca\\u0026b\\u003e"]',
                      self.s.ok("layers", "-j").raw)
        self.assertIn(b'\\u003ca\\u0026b\\u003e', self.read(self.s.of("layers", "layers.json")))


class OfTheDriver(plumbing.Case):
    def test_the_driver_lists_its_layers(self):
        for layer in ("one", "two"):
            self.s.layer("-i", layer)
        self.assertEqual(sorted(self.s.lines("storage-layers")), ["one", "two"])
        self.assertEqual(sorted(self.s.json("storage-layers", "-j")), ["one", "two"])

    def test_the_driver_without_layers_lists_none(self):
        self.s.silent("storage-layers")

    def test_a_layer_of_the_driver_alone_has_no_record(self):
        self.assertEqual(self.s.ok("create-storage-layer", "-i", "one").out, "one\n")
        self.assertEqual(self.s.ok("create-storage-layer", "-j", "-i", "two", "one").out, '"two"\n')
        self.assertEqual(sorted(self.s.lines("storage-layers")), ["one", "two"])
        self.assertEqual(self.s.ok("layers").out, "")
        self.assertTrue(os.path.isdir(self.s.content("two")))

    def test_a_layer_of_the_driver_alone_gets_a_random_id(self):
        self.assertRegex(self.s.lines("create-storage-layer")[0], ID)


class Deep(plumbing.Case):
    def test_an_image_of_200_layers_can_be_made_and_mounted(self):
        self.overlay_only()
        parent = ""
        for i in range(DEPTH):
            parent = self.s.filled({f"f{i}": b"%d" % i}, "-i", f"layer{i}", parent)
        self.s.image("-i", "im", parent)
        self.s.container("-i", "co", "im")
        where = self.s.mount("co")
        self.assertEqual(len(os.listdir(where)), DEPTH)
        for i in (0, DEPTH // 2, DEPTH - 1):
            self.assertEqual(self.read(where, f"f{i}"), b"%d" % i)


if __name__ == "__main__":
    plumbing.main(__name__)
