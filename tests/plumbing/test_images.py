#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Images and containers: creating them, what is told and recorded of them, and where."""
import hashlib
import json
import re

import plumbing

ID = re.compile(r"^[0-9a-f]{64}$")
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$")
DIGEST = "sha256:" + "5" * 64


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class CreatingImages(plumbing.Case):
    def setUp(self):
        super().setUp()
        self.s.layer("-i", "la", "-n", "layername")

    def test_an_image_gets_a_random_id_of_64_hex_digits(self):
        self.assertRegex(self.s.image("la"), ID)

    def test_the_id_and_the_names_are_printed(self):
        self.assertEqual(self.s.ok("create-image", "-i", "im", "-n", "a", "-n", "b", "la").out,
                         "im\n\ta\n\tb\n")

    def test_an_image_as_json_is_its_record(self):
        record = self.s.json("create-image", "-j", "-i", "im", "-n", "a", "-m", "text", "-d",
                             DIGEST, "la")
        self.assertEqual(self.s.records("images"), [record])
        self.assertRegex(record.pop("created"), TIME)
        self.assertEqual({k: record[k] for k in ("id", "digest", "names", "layer", "metadata")},
                         {"id": "im", "digest": DIGEST, "names": ["a"], "layer": "la",
                          "metadata": "text"})

    def test_names_that_are_set_are_remembered_with_the_latest_first(self):
        self.s.image("-i", "im", "-n", "a", "la")
        self.s.silent("set-names", "-n", "b", "im")
        self.s.silent("set-names", "-n", "c", "im")
        record, = self.s.records("images")
        self.assertEqual((record["names"], record["names-history"]), (["c"], ["c", "b"]))

    def test_a_layer_may_be_given_by_name(self):
        self.s.image("-i", "im", "layername")
        self.assertEqual(self.s.records("images")[0]["layer"], "la")

    def test_an_image_needs_no_layer(self):
        self.s.image("-i", "im")
        self.s.image("-i", "im2", "")
        self.assertNotIn("layer", self.s.records("images")[0])
        self.assertNotIn("layer", self.s.records("images")[1])

    def test_an_unknown_layer_is_refused(self):
        self.s.fails("create-image", "nope", text="layer not known")
        self.assertEqual(self.s.records("images"), [])

    def test_an_id_in_use_is_refused(self):
        self.s.image("-i", "im", "la")
        self.s.fails("create-image", "-i", "im", text="that ID is already in use")

    def test_a_name_in_use_is_refused(self):
        self.s.image("-i", "im", "-n", "a", "la")
        self.s.fails("create-image", "-n", "a", text="that name is already in use")
        self.assertEqual(len(self.s.records("images")), 1)

    def test_what_is_no_digest_is_refused(self):
        self.s.fails("create-image", "-d", "garbage", "la", text="invalid checksum digest format")
        self.assertEqual(self.s.records("images"), [])

    def test_metadata_may_come_from_a_file(self):
        self.s.image("-i", "im", "-f", self.file("meta", b"from a file\n"))
        self.assertEqual(self.s.records("images")[0]["metadata"], "from a file\n")

    def test_metadata_from_a_missing_file_is_refused(self):
        self.s.fails("create-image", "-f", self.dir + "/nope", text="no such file or directory")

    def test_each_writer_leaves_a_token_of_its_own(self):
        seen = set()
        for _ in range(3):
            self.s.image("la")
            seen.add(self.read(self.s.of("images", "images.lock")))
        self.assertEqual({len(token) for token in seen}, {64})
        self.assertEqual(len(seen), 3)


class ListingImages(plumbing.Case):
    def furnish(self):
        self.s.filled({"f": b"12345"}, "-i", "la")
        self.s.image("-i", "one", "-n", "a", "-n", "b", "-d", DIGEST, "la")
        self.s.silent("set-image-data", "-f", self.file("data", b"some data"), "one", "item")
        self.s.image("-i", "two")

    def test_no_images_are_no_lines(self):
        self.s.silent("images")

    def test_no_images_as_json_are_null(self):
        self.assertEqual(self.s.ok("images", "-j").out, "null\n")

    def test_images_tell_names_digests_and_data(self):
        self.furnish()
        self.assertEqual(self.s.ok("images").out,
                         f"one\n\tname: a\n\tname: b\n\tdigest: {DIGEST}\n\tdata: item\ntwo\n")

    def test_images_quietly_are_only_ids(self):
        self.furnish()
        self.assertEqual(self.s.lines("images", "-q"), ["one", "two"])

    def test_images_as_json_are_the_records(self):
        self.furnish()
        self.assertEqual(self.s.json("images", "-j"), self.s.records("images"))

    def test_an_image_tells_its_facts(self):
        self.furnish()
        data = plumbing.tar({"f": b"12345"})
        size = len(data) + len(b"some data")
        self.assertEqual(self.s.ok("image", "b", "two").out, f"""ID: one
Name: a
Name: b
Top Layer: la
Digest: {DIGEST}
Data: item
Size: {size}
ID: two
Top Layer:{" "}
Size: 0
""")

    def test_an_image_is_found_by_a_prefix_of_its_id(self):
        image = self.s.image()
        self.s.image()
        self.assertIn(f"ID: {image}\n", self.s.ok("image", image[:16]).out)

    def test_images_that_are_not_there_make_the_exit_1_and_the_others_are_told(self):
        self.furnish()
        r = self.s.fails("image", "nope", "two")
        self.assertEqual((r.out.splitlines()[0], r.err), ("ID: two", ""))
        self.assertEqual([x["id"] for x in self.s.fails("image", "-j", "nope", "two").json()],
                         ["two"])

    def test_an_image_that_is_not_there_as_json_is_an_empty_array(self):
        self.assertEqual(self.s.fails("image", "-j", "nope").out, "[]\n")

    def test_images_are_found_by_their_digest(self):
        self.furnish()
        self.s.image("-i", "three", "-d", DIGEST)
        self.assertEqual(self.s.lines("images-by-digest", "-q", DIGEST), ["one", "three"])
        self.assertEqual(self.s.ok("images-by-digest", DIGEST).out,
                         f"one\n\tname: a\n\tname: b\n\tdigest: {DIGEST}\n\tdata: item\n"
                         f"three\n\tdigest: {DIGEST}\n")
        self.assertEqual([x["id"] for x in self.s.json("images-by-digest", "-j", DIGEST)],
                         ["one", "three"])

    def test_an_unknown_digest_is_an_empty_list(self):
        self.s.silent("images-by-digest", DIGEST)
        self.assertEqual(self.s.ok("images-by-digest", "-j", DIGEST).out, "[]\n")

    def test_what_is_no_digest_is_refused(self):
        self.s.fails("images-by-digest", "garbage", text="invalid checksum digest format")


class Manifests(plumbing.Case):
    """Data items whose names begin with "manifest" give an image further digests."""

    def put(self, name, data, image="im"):
        self.s.silent("set-image-data", "-f", self.file("blob", data), image, name)

    def test_every_manifest_gives_the_image_a_digest(self):
        self.s.image("-i", "im")
        blobs = {"manifest": b"one", "manifest-second": b"two", "manifest-third": b"three"}
        for name, data in blobs.items():
            self.put(name, data)
        self.put("signatures", b"not a manifest")
        told = [x[8:] for x in self.s.lines("image", "im") if x.startswith("Digest: ")]
        self.assertEqual(sorted(told), sorted(digest(x) for x in blobs.values()))
        for data in blobs.values():
            self.assertEqual(self.s.lines("images-by-digest", "-q", digest(data)), ["im"])
        self.s.silent("images-by-digest", digest(b"not a manifest"))

    def test_a_manifest_that_is_replaced_gives_up_its_digest(self):
        self.s.image("-i", "im")
        self.put("manifest", b"first")
        self.put("manifest-second", b"one")
        self.put("manifest-second", b"two")
        self.assertEqual(self.s.lines("images-by-digest", "-q", digest(b"two")), ["im"])
        self.s.silent("images-by-digest", digest(b"one"))

    def test_the_first_manifest_stays_the_digest_of_the_image(self):
        self.s.image("-i", "im")
        self.put("manifest", b"one")
        self.put("manifest", b"two")
        self.assertEqual(self.s.records("images")[0]["digest"], digest(b"one"))
        for data in (b"one", b"two"):
            self.assertEqual(self.s.lines("images-by-digest", "-q", digest(data)), ["im"])

    def test_several_images_may_have_the_same_manifest(self):
        for image in ("one", "two"):
            self.s.image("-i", image)
            self.put("manifest", b"same", image)
        self.assertEqual(self.s.lines("images-by-digest", "-q", digest(b"same")), ["one", "two"])
        self.s.silent("delete-image", "one")
        self.assertEqual(self.s.lines("images-by-digest", "-q", digest(b"same")), ["two"])

    def test_the_digest_given_at_creation_stays_beside_those_of_manifests(self):
        self.s.image("-i", "im", "-d", DIGEST)
        self.put("manifest", b"one")
        for d in (DIGEST, digest(b"one")):
            self.assertEqual(self.s.lines("images-by-digest", "-q", d), ["im"])


class CreatingContainers(plumbing.Case):
    def setUp(self):
        super().setUp()
        self.s.filled({"f": b"from the image"}, "-i", "la")
        self.s.image("-i", "im", "-n", "imname", "la")

    def test_a_container_gets_a_random_id_of_64_hex_digits(self):
        self.assertRegex(self.s.container("im"), ID)

    def test_the_id_and_the_names_are_printed(self):
        self.assertEqual(self.s.ok("create-container", "-i", "co", "-n", "a", "-n", "b", "im").out,
                         "co\n\ta\n\tb\n")

    def test_a_container_as_json_is_its_record(self):
        record = self.s.json("create-container", "-j", "-i", "co", "-n", "a", "-m", "text", "im")
        self.assertEqual(self.s.records("containers"), [record])
        self.assertRegex(record.pop("created"), TIME)
        self.assertRegex(record.pop("layer"), ID)
        flags = {"MountLabel": "", "ProcessLabel": ""}
        if self.transient:
            flags["Volatile"] = True
        self.assertEqual(record, {"id": "co", "names": ["a"], "image": "im", "metadata": "text",
                                  "flags": flags})

    def test_its_layer_lies_on_that_of_the_image(self):
        record = self.s.json("create-container", "-j", "im")
        layer = next(x for x in self.s.records("layers") if x["id"] == record["layer"])
        self.assertRegex(layer.pop("created"), TIME)
        self.assertEqual(layer, {"id": record["layer"], "parent": "la"})

    def test_an_image_may_be_given_by_name(self):
        self.assertEqual(self.s.json("create-container", "-j", "imname")["image"], "im")

    def test_an_image_may_be_given_by_a_prefix_of_its_id(self):
        image = self.s.image()
        self.assertEqual(self.s.json("create-container", "-j", image[:20])["image"], image)

    def test_a_container_needs_no_image(self):
        record = self.s.json("create-container", "-j", "")
        self.assertEqual(record["image"], "")
        self.assertNotIn("parent", next(x for x in self.s.records("layers")
                                        if x["id"] == record["layer"]))

    def test_a_container_may_have_an_image_without_layers(self):
        self.s.image("-i", "bare")
        record = self.s.json("create-container", "-j", "bare")
        self.assertEqual(record["image"], "bare")

    def test_an_unknown_image_is_refused(self):
        self.s.fails("create-container", "nope", text="image not known")
        self.assertEqual(len(self.s.records("layers")), 1)

    def test_an_id_in_use_is_refused(self):
        self.s.container("-i", "co", "im")
        self.s.fails("create-container", "-i", "co", "im", text="that ID is already in use")
        self.assertEqual(len(self.s.lines("layers")), 5)

    def test_a_name_in_use_is_refused(self):
        self.s.container("-i", "co", "-n", "a", "im")
        self.s.fails("create-container", "-n", "a", "im", text="that name is already in use")
        self.assertEqual(len(self.s.records("containers")), 1)
        self.assertEqual(len(self.s.records("layers")), 2)

    def test_metadata_may_come_from_a_file(self):
        self.s.container("-i", "co", "-f", self.file("meta", b"from a file\n"), "im")
        self.assertEqual(self.s.records("containers")[0]["metadata"], "from a file\n")

    def test_what_a_container_writes_stays_in_it(self):
        for container in ("one", "two"):
            self.s.container("-i", container, "im")
        where = self.s.mount("one")
        self.write(where, "new")
        self.write(where, "f", data=b"changed")
        other = self.s.mount("two")
        self.assertEqual(self.read(other, "f"), b"from the image")
        self.assertRaises(FileNotFoundError, self.read, other, "new")

    def test_each_writer_leaves_a_token_of_its_own(self):
        seen = set()
        lock = (self.s.run_of if self.transient else self.s.of)("containers", "containers.lock")
        for _ in range(3):
            self.s.container("im")
            seen.add(self.read(lock))
        self.assertEqual({len(token) for token in seen}, {64})
        self.assertEqual(len(seen), 3)


class Volatile(plumbing.Case):
    def sync(self, container):
        """What the kernel says about syncing a mount: newer ones say fsync=volatile."""
        options = plumbing.mount_options(self.s.mount(container))
        return {x.replace("fsync=", "") for x in options if "volatile" in x}

    def test_a_volatile_container_is_flagged(self):
        record = self.s.json("create-container", "-j", "--volatile", "")
        self.assertEqual(record["flags"], {"MountLabel": "", "ProcessLabel": "", "Volatile": True})

    def test_volatile_records_have_a_table_of_their_own(self):
        self.s.container("-i", "lasting", "")
        record = self.s.json("create-container", "-j", "-i", "fleeting", "--volatile", "")
        self.assertIn(record, plumbing.read_records(self.s.volatile("containers")))
        stable = plumbing.read_records(self.s.of("containers", "containers.json"))
        self.assertEqual([x["id"] for x in stable], [] if self.transient else ["lasting"])
        layers = [x["id"] for x in plumbing.read_records(self.s.volatile("layers"))]
        self.assertIn(record["layer"], layers)

    def test_volatile_containers_are_listed_last(self):
        self.s.container("-i", "fleeting", "--volatile", "")
        self.s.container("-i", "lasting", "")
        want = ["fleeting", "lasting"] if self.transient else ["lasting", "fleeting"]
        self.assertEqual(self.s.lines("containers"), want)

    def test_a_volatile_container_is_mounted_so(self):
        self.overlay_only()
        self.s.container("-i", "co", "--volatile", "")
        self.assertIn("volatile", self.sync("co"))

    def test_a_lasting_container_is_not_mounted_so(self):
        self.overlay_only()
        if self.transient:
            self.skipTest("of a transient store all containers are volatile")
        self.s.container("-i", "co", "")
        self.assertEqual(self.sync("co"), set())

    def test_a_volatile_container_can_be_mounted_again(self):
        self.s.container("-i", "co", "--volatile", "")
        self.write(self.s.mount("co"), "f", data=b"kept")
        self.s.umount("co")
        self.assertEqual(self.read(self.s.mount("co"), "f"), b"kept")

    def test_a_volatile_container_goes_like_any_other(self):
        record = self.s.json("create-container", "-j", "-i", "co", "--volatile", "")
        self.s.silent("delete-container", "co")
        self.assertEqual(self.s.records("containers"), [])
        self.assertEqual(self.s.records("layers"), [])
        self.assertFalse(self.s.keeps(record["layer"]))


class Transient(plumbing.Case):
    def setUp(self):
        super().setUp()
        if not self.transient:
            self.skipTest("is about a transient store")
        self.s.filled({"f": b"x"}, "-i", "la")
        self.s.image("-i", "im", "la")

    def test_containers_are_recorded_in_the_run_root(self):
        self.s.container("-i", "co", "im")
        self.assertEqual([x["id"] for x in plumbing.read_records(self.s.run_of(
            "containers", "volatile-containers.json"))], ["co"])
        self.assertEqual(plumbing.read_records(self.s.of("containers", "containers.json")), [])

    def test_images_and_their_layers_are_recorded_in_the_graph_root(self):
        self.s.container("-i", "co", "im")
        self.assertEqual([x["id"] for x in plumbing.read_records(self.s.of(
            "layers", "layers.json"))], ["la"])
        self.assertEqual([x["id"] for x in plumbing.read_records(self.s.of(
            "images", "images.json"))], ["im"])

    def test_after_a_boot_there_are_images_and_no_containers(self):
        self.s.container("-i", "co", "im")
        plumbing.remove_tree(self.s.runroot)
        self.s.silent("containers")
        self.assertEqual(self.s.lines("images"), ["im"])
        self.assertEqual(self.s.lines("layers", "-q"), ["la"])

    def test_after_a_boot_gc_collects_what_containers_left(self):
        record = self.s.json("create-container", "-j", "-i", "co", "im")
        self.s.ok("get-container-dir", "co")
        plumbing.remove_tree(self.s.runroot)
        self.s.silent("gc")
        self.assertEqual(self.s.lines("storage-layers"), ["la"])
        self.assertFalse(self.s.keeps(record["layer"]))


class ListingContainers(plumbing.Case):
    def furnish(self):
        self.s.filled({"f": b"12345"}, "-i", "la")
        self.s.image("-i", "im", "-n", "imname", "la")
        record = self.s.json("create-container", "-j", "-i", "one", "-n", "a", "-n", "b", "im")
        self.s.silent("set-container-data", "-f", self.file("data", b"some data"), "one", "item")
        self.s.container("-i", "two", "")
        return record["layer"]

    def test_no_containers_are_no_lines(self):
        self.s.silent("containers")

    def test_no_containers_as_json_are_an_empty_array_or_null(self):
        self.assertIn(self.s.ok("containers", "-j").out, ("[]\n", "null\n"))

    def test_containers_tell_names_and_data(self):
        self.furnish()
        self.assertEqual(self.s.ok("containers").out,
                         "one\n\tname: a\n\tname: b\n\tdata: item\ntwo\n")

    def test_containers_as_json_are_the_records(self):
        self.furnish()
        self.assertEqual(self.s.json("containers", "-j"), self.s.records("containers"))

    def test_a_container_tells_its_facts(self):
        layer = self.furnish()
        self.write(self.s.mount("one"), "new", data=b"1234567890")
        self.s.umount("one")
        out = self.s.ok("container", "b").out
        size = int(re.search(r"^Size: (\d+)$", out, re.M).group(1))
        # Its files and its data; how directories count is the driver's matter.
        self.assertGreaterEqual(size, 10 + len(b"some data"))
        self.assertEqual(re.sub(r"Size: \d+", "Size: N", out), f"""ID: one
Name: a
Name: b
Image: im
Image name: imname
Size: N
Layer: {layer}
Data: item
""")

    def test_a_container_is_found_by_a_prefix_of_its_id_or_by_its_layer(self):
        record = self.s.json("create-container", "-j", "")
        self.s.container("")
        for word in (record["id"][:14], record["layer"]):
            self.assertEqual(self.s.lines("container", word)[0], "ID: " + record["id"])

    def test_containers_that_are_not_there_make_the_exit_1_and_the_others_are_told(self):
        self.furnish()
        r = self.s.fails("container", "nope", "two")
        self.assertEqual((r.out.splitlines()[0], r.err), ("ID: two", ""))
        self.assertEqual([x["id"] for x in self.s.fails("container", "-j", "nope", "two").json()],
                         ["two"])

    def test_a_container_that_is_not_there_as_json_is_an_empty_array(self):
        self.assertEqual(self.s.fails("container", "-j", "nope").out, "[]\n")


class Records(plumbing.Case):
    def test_a_large_table_is_read_and_written_whole(self):
        self.s.image("-i", "im")
        names = [f"registry.example/{i}/{'n' * 60}:tag" for i in range(500)]
        words = [w for n in names for w in ("-n", n)]
        self.s.silent("set-names", *words, "im")
        self.s.image("-i", "second")
        self.assertEqual(json.loads(self.read(self.s.of("images", "images.json")))[0]["names"],
                         names)
        self.assertEqual(self.s.lines("get-names", "im"), names)


if __name__ == "__main__":
    plumbing.main(__name__)
