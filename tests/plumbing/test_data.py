#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Data items of layers, images and containers, and the directories of images and containers."""
import base64
import hashlib
import os

import plumbing

KINDS = ("layer", "image", "container")


class Data(plumbing.Case):
    def setUp(self):
        super().setUp()
        self.s.layer("-i", "layer", "-n", "layer-name")
        self.s.image("-i", "image", "-n", "image-name")
        self.s.container("-i", "container", "-n", "container-name", "")

    def put(self, kind, key, data, what=None):
        self.s.silent(f"set-{kind}-data", what or kind, key, stdin=data)

    def get(self, kind, key, what=None):
        return self.s.ok(f"get-{kind}-data", what or kind, key).raw

    @plumbing.each(*KINDS)
    def test_an_object_begins_without_data(self, kind):
        self.s.silent(f"list-{kind}-data", kind)

    @plumbing.each(*KINDS)
    def test_an_item_comes_back_byte_for_byte(self, kind):
        data = plumbing.noise("item", 123_456)
        self.put(kind, "item", data)
        self.assertEqual(self.get(kind, "item"), data)

    @plumbing.each(*KINDS)
    def test_an_item_may_come_from_a_file_and_go_to_one(self, kind):
        data = plumbing.noise("item", 1234)
        path = self.file("in", data)
        out = os.path.join(self.dir, kind + ".out")
        self.s.silent(f"set-{kind}-data", "-f", path, kind, "item")
        self.s.silent(f"get-{kind}-data", "-f", out, kind, "item")
        self.assertEqual(self.read(out), data)

    @plumbing.each(*KINDS)
    def test_an_object_may_be_given_by_name(self, kind):
        self.put(kind, "item", b"data", kind + "-name")
        self.assertEqual(self.get(kind, "item", kind + "-name"), b"data")
        self.assertEqual(self.s.lines(f"list-{kind}-data", kind + "-name"), ["item"])

    @plumbing.each(*KINDS)
    def test_items_are_listed_in_the_order_of_their_setting(self, kind):
        for key in ("zebra", "ant", "mouse"):
            self.put(kind, key, b"x")
        self.put(kind, "zebra", b"y")
        self.assertEqual(self.s.lines(f"list-{kind}-data", kind), ["zebra", "ant", "mouse"])
        self.assertEqual(self.s.json(f"list-{kind}-data", "-j", kind),
                         ["zebra", "ant", "mouse"])

    @plumbing.each(*KINDS)
    def test_an_item_can_be_replaced(self, kind):
        self.put(kind, "item", b"a longer first text")
        self.put(kind, "item", b"second")
        self.assertEqual(self.get(kind, "item"), b"second")

    @plumbing.each(*KINDS)
    def test_an_empty_item_is_an_item(self, kind):
        self.put(kind, "item", b"")
        self.assertEqual(self.s.lines(f"list-{kind}-data", kind), ["item"])
        self.assertEqual(self.get(kind, "item"), b"")

    @plumbing.each("image", "container")
    def test_sizes_and_digests_are_told(self, kind):
        for key, size in (("one", 1234), ("two", 5678)):
            data = plumbing.noise(key, size)
            self.put(kind, key, data)
            self.assertEqual(self.s.ok(f"get-{kind}-data-size", kind, key).out, f"{size}\n")
            self.assertEqual(self.s.ok(f"get-{kind}-data-digest", kind, key).out,
                             f"sha256:{hashlib.sha256(data).hexdigest()}\n")

    @plumbing.each("image", "container")
    def test_sizes_and_digests_are_recorded(self, kind):
        self.put(kind, "item", b"data")
        record, = self.s.records(kind + "s")
        self.assertEqual({k: record[k] for k in record if k.startswith("big-data")}, {
            "big-data-names": ["item"], "big-data-sizes": {"item": 4},
            "big-data-digests": {"item": "sha256:" + hashlib.sha256(b"data").hexdigest()}})

    def test_of_a_layer_only_the_names_are_recorded(self):
        self.put("layer", "item", b"data")
        record = self.s.records("layers")[0]
        self.assertEqual({k: record[k] for k in record if k.startswith("big-data")},
                         {"big-data-names": ["item"]})

    @plumbing.each(*KINDS)
    def test_the_file_of_an_item_is_called_after_it_where_that_is_safe(self, kind):
        self.put(kind, "manifest.v2", b"x")
        path = self.s.of(kind + "s", kind, "manifest.v2")
        self.assertEqual(self.read(path), b"x")
        self.assertEqual(self.mode(path), 0o600)
        self.assertEqual(self.mode(os.path.dirname(path)), 0o700)

    @plumbing.each(*KINDS)
    def test_the_file_of_an_item_has_an_encoded_name_elsewhere(self, kind):
        for key in ("manifest-sha256:0123", "Upper", "a/b", "../../escape", "\u00e9t\u00e9"):
            self.put(kind, key, key.encode())
            name = "=" + base64.b64encode(key.encode()).decode()
            self.assertEqual(self.read(self.s.of(kind + "s", kind, name)), key.encode())
            self.assertEqual(self.get(kind, key), key.encode())

    @plumbing.each(*KINDS)
    def test_only_the_last_character_does_not_count_for_encoding(self, kind):
        # A mistake of upstream that became the format.
        self.put(kind, "item-", b"x")
        self.assertEqual(self.read(self.s.of(kind + "s", kind, "item-")), b"x")

    @plumbing.each(*KINDS)
    def test_an_item_without_a_name_is_refused(self, kind):
        self.s.fails(f"set-{kind}-data", kind, "", text="not a valid name for a big data item")

    @plumbing.each(*KINDS)
    def test_an_item_that_is_not_there_is_an_error(self, kind):
        r = self.s.fails(f"get-{kind}-data", kind, "nope")
        self.assertEqual(r.out, "")
        self.assertRegex(r.err, "does not exist|no such file or directory")

    @plumbing.each(*KINDS)
    def test_an_unknown_object_is_an_error_of_its_own(self, kind):
        for argv in (["list-{}-data", "nope"], ["get-{}-data", "nope", "item"],
                     ["set-{}-data", "nope", "item"]):
            self.s.fails(argv[0].format(kind), *argv[1:], text=kind + " not known")

    @plumbing.each("image", "container")
    def test_size_and_digest_of_a_missing_item_are_unknown(self, kind):
        self.s.fails(f"get-{kind}-data-size", kind, "nope", text="size is not known")
        self.s.fails(f"get-{kind}-data-digest", kind, "nope",
                     text="could not compute digest of item")

    @plumbing.each(*KINDS)
    def test_data_from_a_missing_file_is_refused(self, kind):
        self.s.fails(f"set-{kind}-data", "-f", self.dir + "/nope", kind, "item",
                     text="no such file or directory")
        self.s.silent(f"list-{kind}-data", kind)

    @plumbing.each(*KINDS)
    def test_data_goes_with_its_object(self, kind):
        self.put(kind, "item", b"x")
        self.s.silent("delete-" + kind, kind)
        self.assertFalse(os.path.exists(self.s.of(kind + "s", kind)))

    @plumbing.each(*KINDS)
    def test_a_list_as_json_without_items_is_empty_or_null(self, kind):
        self.assertIn(self.s.ok(f"list-{kind}-data", "-j", kind).out, ("[]\n", "null\n"))


class Directories(plumbing.Case):
    PLACES = ("image", "image-run", "container", "container-run")

    def setUp(self):
        super().setUp()
        self.s.image("-i", "image", "-n", "image-name")
        self.s.container("-i", "container", "-n", "container-name", "")

    def path(self, place, *names):
        kind, _, run = place.partition("-")
        return (self.s.run_of if run else self.s.of)(kind + "s", *names)

    @plumbing.each(*PLACES)
    def test_a_directory_lies_below_its_root_and_is_made(self, place):
        kind = place.partition("-")[0]
        path = self.path(place, kind, "userdata")
        self.assertEqual(self.s.ok(f"get-{place}-dir", kind).out, path + "\n")
        self.assertEqual(self.mode(path), 0o700)

    @plumbing.each(*PLACES)
    def test_a_directory_keeps_what_is_put_into_it(self, place):
        kind = place.partition("-")[0]
        self.write(self.s.lines(f"get-{place}-dir", kind)[0], "f")
        self.assertEqual(self.read(self.s.lines(f"get-{place}-dir", kind)[0], "f"), b"x")

    @plumbing.each(*PLACES)
    def test_a_directory_is_that_of_the_object_a_name_means(self, place):
        kind = place.partition("-")[0]
        self.assertEqual(self.s.lines(f"get-{place}-dir", kind + "-name"),
                         [self.path(place, kind, "userdata")])

    @plumbing.each(*PLACES)
    def test_an_unknown_object_has_no_directory(self, place):
        kind = place.partition("-")[0]
        self.s.fails(f"get-{place}-dir", "nope", text=kind + " not known")
        self.assertFalse(os.path.exists(self.path(place, "nope")))

    @plumbing.each(*PLACES)
    def test_a_directory_goes_with_its_object(self, place):
        kind = place.partition("-")[0]
        path = self.s.lines(f"get-{place}-dir", kind)[0]
        self.write(path, "f")
        self.s.silent("delete-" + kind, kind)
        self.assertFalse(os.path.exists(path), path)


if __name__ == "__main__":
    plumbing.main(__name__)
