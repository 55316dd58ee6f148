#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check: every kind of damage is named, in stores of one's own and in read-only ones, and repaired
where that is possible; dedup."""
import os
import re
import shutil
import subprocess
import tarfile

import plumbing

NOTHING = {"Layers": {}, "ROLayers": {}, "Images": {}, "ROImages": {}, "Containers": {}}


class Case(plumbing.Case):
    def clean(self, store=None, *words):
        (store or self.s).silent("check", *words)

    def told(self, *words, status=1, store=None):
        """What check says: the lines on stdout."""
        r = (store or self.s).run("check", *words)
        self.assertEqual(r.status, status, r)
        return r.out.splitlines()

    def damage(self, name, text, *words, status=1, store=None):
        """check says `text` below the heading `name`."""
        lines = self.told(*words, status=status, store=store)
        self.assertIn(name + ":", lines)
        below = []
        for line in lines[lines.index(name + ":") + 1:]:
            if not line.startswith(" "):
                break
            below.append(line[1:])
        self.assertTrue(any(re.search(text, line) for line in below), lines)

    def repaired(self, name, text, *words):
        """check -r says `text` of `name`, succeeds, and then all is well."""
        self.damage(name, text, "-r", *words, status=0)
        self.clean(None, *words)

    def refused(self, name, text):
        """check -r cannot repair it; check -r -f does."""
        self.damage(name, text, "-r")
        self.damage(name, text)
        self.damage(name, text, "-r", "-f", status=0)
        self.clean()

    def filled(self, *args):
        """A layer with content of an image."""
        layer = self.s.filled({"d": None, "d/one": plumbing.noise(1, 256),
                               "two": plumbing.noise(2, 256)}, *args)
        self.s.image("-i", "im", layer)
        return layer


class Clean(Case):
    def test_an_empty_store_is_clean(self):
        self.clean()

    def test_a_store_of_everything_is_clean(self):
        self.filled("-i", "la")
        self.s.container("-i", "co", "im")
        self.write(self.s.mount("co"), "f")
        self.s.umount("co")
        for kind, what in (("layer", "la"), ("image", "im"), ("container", "co")):
            self.s.silent(f"set-{kind}-data", what, "item", stdin=b"data")
        self.clean()
        self.clean(None, "-q")
        self.clean(None, "-r")
        self.assertEqual((self.s.lines("images"), self.s.lines("containers")),
                         (["im", "\tdata: item"], ["co", "\tdata: item"]))

    def test_a_clean_store_as_json(self):
        self.filled("-i", "la")
        self.assertEqual(self.s.json("check", "-j"), NOTHING)

    def test_layers_with_devices_links_and_xattrs_are_clean(self):
        special = {"link": (tarfile.SYMTYPE, "x"), "fifo": (tarfile.FIFOTYPE, ""),
                   "null": (tarfile.CHRTYPE, "")}
        files = {"d": None, "d/x": b"x"}
        for name, (kind, target) in special.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.devmajor, info.devminor = kind, target, 1, 3
            info.mtime = 1_000_000_000
            info.mode = 0o777 if kind == tarfile.SYMTYPE else 0o644
            files[name] = info
        hard = tarfile.TarInfo("hard")
        hard.type, hard.linkname, hard.mtime, hard.mode = (tarfile.LNKTYPE, "d/x", 1_000_000_000,
                                                           0o644)
        files["hard"] = hard
        noted = tarfile.TarInfo("noted")
        noted.pax_headers["SCHILY.xattr.user.note"] = "hello"
        noted.mtime, noted.mode = 1_000_000_000, 0o600
        files["noted"] = noted
        self.s.image("-i", "im", self.s.filled(files))
        self.clean()

    def test_chains_with_whiteouts_are_clean(self):
        self.s.filled({"d": None, "d/f": b"1", "d/g": b"2", "e": None, "e/f": b"3"}, "-i", "one")
        self.s.filled({"d": None, "d/.wh.f": b"", ".wh.e": b"", "h": b"4"}, "-i", "two", "one")
        self.s.image("-i", "im", "two")
        self.clean()

    def test_an_age_that_is_none_is_refused(self):
        self.s.fails("check", "-m", "nope", text='time: invalid duration "nope"')

    def test_the_summary_counts_what_is_damaged(self):
        layer = self.s.lines("create-storage-layer")[0]
        r = self.s.fails("check")
        self.assertEqual(r.out, f"layer {layer}:\n layer {layer}: layer in lower level storage "
                                "driver not accounted for\n")
        self.assertEqual(r.err, "1 layer errors, 0 read-only layer errors, 0 image errors, "
                                "0 read-only image errors, 0 container errors\n")

    def test_damage_as_json_is_an_object_for_each_error(self):
        layer = self.s.lines("create-storage-layer")[0]
        r = self.s.fails("check", "-j")
        self.assertEqual(r.json(), {**NOTHING, "Layers": {layer: [{}]}})


class Layers(Case):
    def test_layers_of_the_driver_alone_are_named_and_removed(self):
        one = self.s.lines("create-storage-layer")[0]
        self.s.lines("create-storage-layer", one)
        self.s.lines("create-storage-layer")
        self.damage(f"layer {one}", f"^layer {one}: layer in lower level storage driver not "
                                    "accounted for$")
        self.repaired(f"layer {one}", "not accounted for")
        self.s.silent("storage-layers")

    def test_a_layer_that_nobody_needs_is_named_once_it_is_old(self):
        self.s.layer("-i", "one")
        self.clean()
        self.damage("layer one", "^layer one: layer not referenced by any images or containers$",
                    "-m", "0")

    def test_a_layer_that_nobody_needs_is_removed_once_it_is_old(self):
        self.s.layer("-i", "one")
        self.clean(None, "-r")
        self.assertEqual(self.s.lines("layers"), ["one"])
        self.repaired("layer one", "not referenced", "--max", "0")
        self.s.silent("layers")

    def test_an_age_has_a_unit(self):
        self.s.layer("-i", "one")
        self.clean(None, "-m", "1h30m")
        self.told("-m", "1ns")

    def test_content_that_is_not_what_the_digest_says(self):
        layer = self.filled("-i", "la")
        with open(self.s.content(layer, "two"), "ab") as f:
            f.write(b"more")
        self.repaired("layer la", "^layer la: (layer content incorrect digest"
                                  "|file integrity checksum failed.*)$")
        self.assertEqual((self.s.ok("layers").out, self.s.ok("images").out), ("", ""))

    def test_content_of_the_same_size_that_is_not_what_the_digest_says(self):
        layer = self.filled("-i", "la")
        with open(self.s.content(layer, "two"), "r+b") as f:
            f.write(b"other")
        self.damage("layer la", "layer content incorrect digest"
                                '|file integrity checksum failed for "two"')

    def test_a_file_that_is_gone(self):
        layer = self.filled("-i", "la")
        os.unlink(self.s.content(layer, "two"))
        self.repaired("layer la", "^layer la: ")
        self.s.silent("layers")

    def test_a_file_that_was_added(self):
        layer = self.filled("-i", "la")
        self.s.silent("copy", self.file("extra", b"x"), f"{layer}:/extra")
        self.repaired("layer la", r"^layer la: \+/extra, layer content modified$")
        # All that it came with is there, so it is made again, and not removed.
        self.assertEqual(self.s.lines("layers"), ["la", "\timage: im"])
        self.assertFalse(os.path.exists(self.s.content(layer, "extra")))

    def test_a_mode_that_was_changed(self):
        layer = self.filled("-i", "la")
        os.chmod(self.s.content(layer, "two"), 0o600)
        self.damage("layer la", "^layer la: .*/two.*, layer content modified$")

    def test_an_owner_that_was_changed(self):
        layer = self.filled("-i", "la")
        os.chown(self.s.content(layer, "two"), 5, 5)
        self.damage("layer la", "^layer la: .*/two.*, layer content modified$")

    def test_quickly_content_is_not_compared(self):
        layer = self.filled("-i", "la")
        os.chmod(self.s.content(layer, "two"), 0o600)
        self.clean(None, "-q")
        self.clean(None, "--quick")

    def test_the_damage_of_a_layer_is_that_of_its_image_and_containers(self):
        layer = self.filled("-i", "la")
        self.s.container("-i", "co", "im")
        os.chmod(self.s.content(layer, "two"), 0o600)
        for name in ("layer la", "image im", "container co"):
            self.damage(name, "layer la: .*layer content modified")

    def test_a_parent_that_is_gone(self):
        self.filled("-i", "la")
        self.s.layer("-i", "above", "la")
        self.s.image("-i", "im2", "above")
        self.s.change_records("layers", lambda r: r.pop(0))
        self.damage("layer above", "^layer la: layer is missing$")

    def test_a_layer_whose_directory_is_gone(self):
        self.filled("-i", "la")
        plumbing.remove_tree(self.s.home("la"))
        self.damage("layer la", "^layer la: ")

    def test_an_item_of_a_layer_that_is_gone(self):
        self.filled("-i", "la")
        self.s.silent("set-layer-data", "la", "datafile", stdin=b"data")
        self.clean()
        os.unlink(self.s.of("layers", "la", "datafile"))
        self.repaired("layer la", '^layer la: data item "datafile": layer data item is missing$')
        self.s.silent("images")


class Images(Case):
    def setUp(self):
        super().setUp()
        self.filled("-i", "la")
        self.s.silent("set-image-data", "im", "datafile", stdin=b"data")
        self.clean()

    def test_an_item_of_an_image_that_is_gone(self):
        os.unlink(self.s.of("images", "im", "datafile"))
        self.repaired("image im", '^image im: data item "datafile": image data item is missing$')
        self.s.silent("images")

    def test_an_item_of_an_image_of_another_size(self):
        self.write(self.s.of("images", "im", "datafile"), data=b"longer than before")
        self.repaired("image im",
                      '^image im: data item "datafile": image data item has incorrect size$')
        self.s.silent("images")

    def test_a_layer_of_an_image_that_is_gone(self):
        self.s.silent("delete", "la")
        self.repaired("image im", "^image im: layer la: image layer is missing$")
        self.s.silent("images")


class Containers(Case):
    def test_an_image_of_a_container_that_is_gone(self):
        self.filled("-i", "la")
        self.s.container("-i", "co", "im")
        self.s.silent("delete", "im")
        self.refused("container co", "^image im: image missing$")
        self.s.silent("containers")

    def test_an_item_of_a_container_that_is_gone(self):
        self.s.container("-i", "co", "")
        self.s.silent("set-container-data", "co", "datafile", stdin=b"data")
        self.clean()
        os.unlink(self.s.of("containers", "co", "datafile"))
        self.refused("container co",
                     '^container co: data item "datafile": container data item is missing$')
        self.s.silent("containers")

    def test_an_item_of_a_container_of_another_size(self):
        self.s.container("-i", "co", "")
        self.s.silent("set-container-data", "co", "datafile", stdin=b"data")
        self.write(self.s.of("containers", "co", "datafile"), data=b"longer than before")
        self.refused("container co",
                     '^container co: data item "datafile": container data item has incorrect size$')
        self.s.silent("containers")


class ReadOnly(Case):
    """Damage in an additional store is named, and cannot be repaired from here."""

    def setUp(self):
        super().setUp()
        if self.driver not in plumbing.READ_OTHERS:
            self.skipTest("the driver has no additional stores")
        self.ro = self.store("ro")
        self.ro.filled({"two": plumbing.noise(2, 256)}, "-i", "rola")
        self.ro.image("-i", "roim", "rola")
        for kind, what in (("layer", "rola"), ("image", "roim")):
            self.ro.silent(f"set-{kind}-data", what, "datafile", stdin=b"data")
        self.ro.silent("shutdown")
        self.alone = self.store("store")
        self.s.options = [f"{self.driver}.imagestore={self.ro.root}"]
        self.s.image("-i", "im", self.s.layer("-i", "la"))
        self.clean()

    def lasting(self, name, text):
        """Repairing fails, the damage stays, and the store alone is clean."""
        self.damage(name, text, "-r")
        self.damage(name, text)
        self.alone.silent("check")

    def test_content_that_is_not_what_the_digest_says(self):
        with open(self.ro.content("rola", "two"), "ab") as f:
            f.write(b"more")
        self.lasting("read-only layer rola", "read-only layer rola: (layer content incorrect digest"
                                             "|file integrity checksum failed)")

    def test_an_item_of_a_layer_that_is_gone(self):
        os.unlink(self.ro.of("layers", "rola", "datafile"))
        self.lasting("read-only layer rola",
                     'layer rola: data item "datafile": layer data item is missing')

    def test_an_item_of_an_image_that_is_gone(self):
        os.unlink(self.ro.of("images", "roim", "datafile"))
        self.lasting("read-only image roim",
                     'image roim: data item "datafile": image data item is missing')

    def test_an_item_of_an_image_of_another_size(self):
        self.write(self.ro.of("images", "roim", "datafile"), data=b"longer than before")
        self.lasting("read-only image roim",
                     'image roim: data item "datafile": image data item has incorrect size')

    def test_a_layer_that_is_gone_below_an_image_of_ones_own(self):
        self.s.image("-i", "mine", self.s.layer("-i", "above", "rola"))
        self.ro.silent("delete", "roim", "rola")
        self.damage("image mine", "image mine: layer rola: image layer is missing")
        self.s.run("check", "-r")
        self.clean()
        self.assertNotIn("mine", self.s.lines("images"))

    def test_an_image_that_is_gone_above_it_a_container(self):
        self.s.container("-i", "co", "roim")
        self.ro.silent("delete", "roim")
        self.damage("container co", "image roim: image missing", "-r")
        self.damage("container co", "image roim: image missing")
        self.damage("container co", "image roim: image missing", "-r", "-f", status=0)
        self.clean()

    def test_layers_of_the_driver_alone_are_no_damage_there(self):
        self.ro.lines("create-storage-layer")
        self.ro.silent("shutdown")
        self.clean()

    def test_layers_that_nobody_needs_are_no_damage_there(self):
        self.ro.layer("-i", "idle")
        self.ro.silent("shutdown")
        self.clean(None, "-m", "0")

    def test_layers_of_the_driver_alone_are_removed_here(self):
        lost = self.s.lines("create-storage-layer")[0]
        self.repaired(f"layer {lost}", "not accounted for")

    def test_layers_that_nobody_needs_are_removed_here(self):
        self.s.layer("-i", "idle")
        self.repaired("layer idle", "not referenced", "-m", "0")


class Dedup(plumbing.Case):
    def test_an_empty_store_saves_nothing(self):
        self.assertEqual(self.s.ok("dedup").out, "Deduplicated 0 bytes\n")
        self.assertEqual(self.s.ok("dedup", "-j").out, '{"Deduped":0}\n')

    def test_an_unknown_method_is_refused(self):
        self.s.fails("dedup", "--hash-method", "nope", text="invalid hash method: nope")

    @plumbing.each("crc", "size", "sha256")
    def test_files_stay_as_they_are(self, method):
        data = plumbing.noise(1, 100_000)
        for layer in ("one", "two"):
            self.s.image(self.s.filled({"f": data}, "-i", layer))
        found = self.s.json("dedup", "-j", f"--hash-method={method}")
        self.assertGreaterEqual(found["Deduped"], 0)
        for layer in ("one", "two"):
            self.assertEqual(self.read(self.s.content(layer, "f")), data)
        self.s.silent("check")

    def reflinks(self):
        self.file("from", b"x" * 8192)
        return not subprocess.run(["cp", "--reflink=always", self.dir + "/from", self.dir + "/to"],
                                  check=False, capture_output=True).returncode

    def disk(self):
        """A file system on which files can share their bytes."""
        if not shutil.which("mkfs.xfs") and not shutil.which("mkfs.btrfs"):
            self.skipTest("not installed: mkfs.xfs")
        disk, where = self.file("disk"), os.path.join(self.dir, "mnt")
        os.truncate(disk, 400 << 20)
        os.mkdir(where)
        for make in (["mkfs.xfs", "-q", disk], ["mkfs.btrfs", "-q", disk]):
            if shutil.which(make[0]) and not subprocess.run(
                    make, check=False, capture_output=True).returncode and not subprocess.run(
                    ["mount", "-o", "loop", disk, where], check=False,
                    capture_output=True).returncode:
                return where
        self.skipTest("no file system that shares bytes can be mounted here")
        return None

    def test_equal_files_share_their_bytes(self):
        where = None if self.reflinks() else self.disk()
        s = self.store(place=where + "/store") if where else self.s
        data = plumbing.noise(1, 400_000)
        for layer in ("one", "two"):
            s.image(s.filled({"f": data}, "-i", layer))
        self.assertGreater(s.json("dedup", "-j")["Deduped"], 0)
        for layer in ("one", "two"):
            self.assertEqual(self.read(s.content(layer, "f")), data)


if __name__ == "__main__":
    plumbing.main(__name__)
