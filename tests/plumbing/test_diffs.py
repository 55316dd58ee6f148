#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Differences between layers: listed, exported, measured and applied."""
import bz2
import gzip
import hashlib
import lzma
import os
import shutil
import subprocess
import tarfile

import plumbing
import tree

TEXT = b"This text is long enough to be taken for the header of an archive, were it one. " * 20
SHORT = b"not even enough for the header of an archive\n"
PACKERS = {
    "none": lambda data: data, "gzip": lambda data: gzip.compress(data, mtime=0),
    "bzip2": bz2.compress, "xz": lzma.compress,
    "zstd": lambda data: subprocess.run(["zstd", "-q", "-c"], input=data, check=True,
                                        stdout=subprocess.PIPE).stdout,
}
# As records number them.
NUMBERS = {"none": 0, "bzip2": 1, "gzip": 2, "xz": 3, "zstd": 4}


def pack(case, how, data):
    if how == "zstd" and not shutil.which("zstd"):
        case.skipTest("not installed: zstd")
    return PACKERS[how](data)


class Changes(plumbing.Case):
    def told(self, *words):
        return tree.sort_changes(self.s.lines("changes", *words))

    def test_changes_of_layers_made_through_mounts(self):
        tree.make(self, self.s)
        for name in tree.LAYERS:
            with self.subTest(name):
                self.assertEqual(self.told(name), tree.CHANGES[name])

    def test_changes_are_the_same_while_layers_are_mounted(self):
        tree.make(self, self.s)
        for name in tree.LAYERS:
            self.s.mount(name)
        for name in tree.LAYERS:
            with self.subTest(name):
                self.assertEqual(self.told(name), tree.CHANGES[name])

    def test_changes_to_another_layer_than_the_parent(self):
        tree.make(self, self.s)
        self.assertEqual(self.told("upper", "middle"), tree.CHANGES["upper"])
        far = self.told("upper", "lower")
        for line in ('Add "/new/sub/file"', 'Add "/away/other"', 'Delete "/away/deep"',
                     'Delete "/link"', 'Modify "/file"', 'Modify "/dir/stays"'):
            self.assertIn(line, far)
        self.assertNotIn("quiet", "".join(far))

    def test_changes_backwards_undo(self):
        tree.make(self, self.s)
        back = self.told("lower", "middle")
        for line in ('Delete "/new"', 'Add "/away/deep/file"', 'Modify "/file"', 'Add "/dir/goes"'):
            self.assertIn(line, back)

    def test_a_layer_without_changes_has_none(self):
        self.s.filled({"f": b"x"}, "-i", "one")
        self.s.layer("-i", "two", "one")
        self.s.silent("changes", "two")

    def test_changes_as_json_number_their_kinds(self):
        tree.make(self, self.s)
        kinds = ("Modify", "Add", "Delete")
        found = self.s.json("changes", "-j", "middle")
        self.assertEqual({frozenset(x) for x in found}, {frozenset({"Path", "Kind"})})
        self.assertEqual(tree.sort_changes(f'{kinds[x["Kind"]]} "{x["Path"]}"' for x in found),
                         tree.CHANGES["middle"])

    def test_odd_names_are_quoted(self):
        self.s.layer("-i", "one")
        where = self.s.mount("one")
        for name in (b'quo"te', b"new\nline", b"tab\t", b"back\\slash", "na\u00efve".encode(),
                     b"bad\xff", b"sp ace"):
            self.write(os.fsencode(where), name)
        self.assertEqual(sorted(self.s.lines("changes", "one")), sorted([
            'Add "/quo\\"te"', 'Add "/new\\nline"', 'Add "/tab\\t"', 'Add "/back\\\\slash"',
            'Add "/na\u00efve"', 'Add "/bad\\xff"', 'Add "/sp ace"']))

    def test_layers_may_be_given_by_name(self):
        self.s.layer("-i", "one", "-n", "below")
        self.s.layer("-i", "two", "-n", "above", "below")
        self.write(self.s.mount("two"), "f")
        self.assertEqual(self.told("above", "below"), ['Add "/f"'])

    def test_an_unknown_layer_is_refused(self):
        self.s.layer("-i", "one")
        self.s.fails("changes", "nope", text="layer not known")
        self.s.fails("changes", "one", "nope")

    def test_the_layer_of_a_container_can_be_compared(self):
        self.s.filled({"f": b"x"}, "-i", "la")
        self.s.image("-i", "im", "la")
        layer = self.s.json("create-container", "-j", "-i", "co", "im")["layer"]
        os.unlink(self.s.mount("co") + "/f")
        self.assertEqual(self.told(layer), ['Delete "/f"'])


class Diff(plumbing.Case):
    FILES = {"d": None, "d/f": b"hello", "g": b"world"}

    def test_diffs_of_layers_made_through_mounts(self):
        tree.make(self, self.s)
        for name in tree.LAYERS:
            with self.subTest(name):
                data = self.s.ok("diff", "-u", name).raw
                self.assertEqual(sorted(plumbing.members(data)), tree.MEMBERS[name])

    def test_a_diff_holds_modes_owners_times_contents_and_links(self):
        tree.make(self, self.s)
        path = self.dir + "/x.tar"
        self.s.silent("diff", "-u", "-f", path, "lower")
        with tarfile.open(path) as t:
            found = {m.name: m for m in t}
            self.assertEqual(t.extractfile("dir/stays").read(), b"dir/stays" * 10)
            link = found["link"]
            self.assertEqual((link.type, link.linkname), (tarfile.SYMTYPE, "file"))
            hard = {found["hard1"].type, found["hard2"].type}
            self.assertEqual(hard, {tarfile.REGTYPE, tarfile.LNKTYPE})
            self.assertEqual((found["file"].mode & 0o7777, found["file"].uid, found["file"].gid,
                              found["file"].mtime), (0o644, 0, 0, 0))
        self.s.silent("diff", "-u", "-f", path, "upper")
        with tarfile.open(path) as t:
            self.assertEqual(t.getmember("dir/stays").mode & 0o7777, 0o600)
            self.assertEqual(t.getmember(".wh.link").size, 0)

    def test_a_diff_may_go_to_a_file(self):
        self.s.filled(self.FILES, "-i", "one")
        path = self.dir + "/x.tar"
        self.s.silent("diff", "-u", "-f", path, "one")
        self.assertEqual(self.read(path), plumbing.tar(self.FILES))

    def test_the_diff_of_an_imported_layer_is_the_archive_byte_for_byte(self):
        data = plumbing.tar(self.FILES, uid=12, gid=34) + bytes(5120)
        self.s.ok("import-layer", "-i", "one", stdin=data)
        self.assertEqual(self.s.ok("diff", "one").raw, data)
        self.assertEqual(self.s.ok("diff", "-u", "one", "").raw, data)

    def test_a_diff_is_packed_as_the_layer_came(self):
        data = plumbing.tar(self.FILES)
        self.s.ok("import-layer", "-i", "one", stdin=gzip.compress(data))
        packed = self.s.ok("diff", "one").raw
        self.assertEqual(packed[:2], b"\x1f\x8b")
        self.assertEqual(gzip.decompress(packed), data)

    def test_a_diff_can_be_unpacked_or_packed_on_request(self):
        data = plumbing.tar(self.FILES)
        self.s.ok("import-layer", "-i", "one", stdin=gzip.compress(data))
        self.s.ok("import-layer", "-i", "two", stdin=data)
        for word in ("-u", "--uncompressed"):
            self.assertEqual(self.s.ok("diff", word, "one").raw, data)
        for word in ("-c", "--gzip"):
            self.assertEqual(gzip.decompress(self.s.ok("diff", word, "two").raw), data)

    @plumbing.each("-b", "--bzip2", "--bz2", "-x", "--xz")
    def test_bzip2_and_xz_cannot_be_written(self, word):
        self.s.filled(self.FILES, "-i", "one")
        r = self.s.fails("diff", word, "one")
        self.assertEqual(r.out, "")
        self.assertIn("nsupported compression format", r.err)

    def test_a_diff_to_another_layer_than_the_parent(self):
        tree.make(self, self.s)
        names = plumbing.members(self.s.ok("diff", "-u", "upper", "lower").raw)
        for name in ("new/sub/file", "away/other", "dir/stays", ".wh.link"):
            self.assertIn(name, names)
        self.assertNotIn("quiet/", names)

    def test_an_unknown_layer_is_refused(self):
        self.assertEqual(self.s.fails("diff", "nope", text="layer not known").out, "")

    def test_a_layer_replaced_behind_the_back_of_the_store_is_noticed(self):
        self.s.filled(self.FILES, "-i", "one")
        with open(self.s.content("one", "g"), "wb") as f:
            f.write(b"WORLD")
        r = self.s.fails("diff", "-u", "one", text="file integrity checksum failed")
        self.assertRegex(r.err, "['\"]g['\"]")

    def test_an_opaque_directory_comes_out_as_one(self):
        self.s.filled({"d": None, "d/f": b"x"}, "-i", "one")
        self.s.layer("-i", "two", "one")
        where = self.s.mount("two")
        shutil.rmtree(where + "/d")
        os.mkdir(where + "/d")
        self.write(where, "d/g")
        self.s.umount("two")
        names = plumbing.members(self.s.ok("diff", "-u", "two").raw)
        self.assertIn("d/g", names)
        hides = {"d/.wh..wh..opq", "d/.wh.f"}
        self.assertTrue(hides & set(names), names)
        # And applied to another layer it hides what is below.
        self.s.ok("import-layer", "-i", "three", "one", stdin=self.s.ok("diff", "-u", "two").raw)
        self.assertEqual(os.listdir(self.s.mount("three") + "/d"), ["g"])


class DiffSize(plumbing.Case):
    def size(self, *words):
        return int(self.s.ok("diffsize", *words).out)

    def test_the_size_of_an_imported_layer_is_that_of_its_files(self):
        data = plumbing.tar({"d": None, "d/f": plumbing.noise(1, 5000), "g": b"12345"})
        self.s.ok("import-layer", "-i", "one", stdin=gzip.compress(data))
        self.assertEqual(self.size("one"), 5005)

    def test_the_size_of_a_written_layer_counts_its_files(self):
        self.s.filled({"f": plumbing.noise(1, 5000)}, "-i", "one")
        self.s.layer("-i", "two", "one")
        self.write(self.s.mount("two"), "new", data=bytes(3000))
        self.s.umount("two")
        self.assertGreaterEqual(self.size("two"), 3000)
        self.assertLess(self.size("two"), 5000)

    def test_the_size_to_another_layer_than_the_parent(self):
        tree.make(self, self.s)
        for words in (("upper", "middle"), ("upper", "lower")):
            self.assertGreater(self.size(*words), 0)

    def test_an_unknown_layer_is_refused(self):
        self.s.fails("diffsize", "nope", text="layer not known")


class Applying(plumbing.Case):
    def apply(self, layer, files, parent=""):
        self.s.layer("-i", layer, parent)
        self.s.silent("applydiff", layer, stdin=plumbing.tar(files))

    def test_what_is_applied_is_in_the_layer(self):
        self.apply("one", {"d": None, "d/f": b"hello"})
        self.assertEqual(self.read(self.s.mount("one"), "d/f"), b"hello")

    def test_a_diff_may_be_applied_from_a_file(self):
        self.s.layer("-i", "one")
        self.s.silent("applydiff", "-f", self.file("x.tar", plumbing.tar({"f": b"x"})), "one")
        self.assertEqual(self.read(self.s.mount("one"), "f"), b"x")

    def test_exported_layers_can_be_applied_to_new_ones(self):
        tree.make(self, self.s)
        parent = ""
        for name in tree.LAYERS:
            data = self.s.ok("diff", "-c", name).raw
            self.s.layer("-i", name + "2", parent)
            self.s.silent("applydiff", name + "2", stdin=data)
            parent = name + "2"
        for name in tree.LAYERS:
            self.assertEqual(tree.sort_changes(self.s.lines("changes", name + "2")),
                             tree.CHANGES[name])
            self.assertEqual(sorted(plumbing.members(self.s.ok("diff", "-u", name + "2").raw)),
                             tree.MEMBERS[name])

    def test_sizes_and_digests_are_recorded(self):
        data = plumbing.tar({"f": b"x"}, uid=5, gid=6)
        packed = gzip.compress(data)
        self.s.layer("-i", "one")
        self.s.silent("applydiff", "one", stdin=packed)
        record, = self.s.records("layers")
        del record["created"]
        self.assertEqual(record, {
            "id": "one", "compressed-diff-digest": "sha256:" + hashlib.sha256(packed).hexdigest(),
            "compressed-size": len(packed),
            "diff-digest": "sha256:" + hashlib.sha256(data).hexdigest(), "diff-size": len(data),
            "compression": 2, "uidset": [5], "gidset": [6]})

    @plumbing.each(*PACKERS)
    def test_a_diff_of_any_compression_is_applied(self, how):
        data = plumbing.tar({"f": b"hello"})
        self.s.layer("-i", "one")
        self.s.silent("applydiff", "one", stdin=pack(self, how, data))
        self.assertEqual(self.read(self.s.content("one", "f")), b"hello")
        self.assertEqual(self.s.records("layers")[0].get("compression", 0), NUMBERS[how])

    def test_whiteouts_hide_what_is_below(self):
        self.apply("one", {"d": None, "d/f": b"1", "d/g": b"2", "e": None, "e/f": b"3"})
        self.apply("two", {"d": None, "d/.wh.f": b"", ".wh.e": b"", "h": b"4"}, "one")
        where = self.s.mount("two")
        self.assertEqual((sorted(os.listdir(where)), os.listdir(where + "/d")), (["d", "h"], ["g"]))

    def test_overlay_keeps_whiteouts_as_devices(self):
        self.overlay_only()
        self.apply("one", {"f": b"1"})
        self.apply("two", {".wh.f": b""}, "one")
        st = os.lstat(self.s.content("two", "f"))
        self.assertEqual((st.st_mode, st.st_rdev), (0o020000, 0))

    def test_overlay_marks_opaque_directories(self):
        self.overlay_only()
        self.apply("one", {"d": None, "d/f": b"1"})
        self.apply("two", {"d": None, "d/.wh..wh..opq": b"", "d/g": b"2"}, "one")
        self.assertEqual(os.getxattr(self.s.content("two", "d"), "trusted.overlay.opaque"), b"y")
        self.assertEqual(os.listdir(self.s.content("two", "d")), ["g"])
        self.assertEqual(os.listdir(self.s.mount("two") + "/d"), ["g"])

    def test_an_archive_changes_the_mode_of_the_root_only_where_it_is_whole(self):
        self.s.layer("-i", "one")
        data = plumbing.tar({"./": None, "f": b"x"}, mode=0o700)
        self.s.silent("applydiff", "one", stdin=data)
        self.assertEqual(self.mode(self.s.content("one")),
                         0o700 if self.whole else 0o555)

    def test_modes_owners_and_times_are_those_of_the_archive(self):
        self.s.layer("-i", "one")
        data = plumbing.tar({"f": b"x"}, mode=0o4751, uid=1234, gid=70000, mtime=1234567890)
        self.s.silent("applydiff", "one", stdin=data)
        st = os.stat(self.s.content("one", "f"))
        self.assertEqual((st.st_mode & 0o7777, st.st_uid, st.st_gid, st.st_mtime),
                         (0o4751, 1234, 70000, 1234567890))

    def test_an_archive_cannot_write_outside_its_layer(self):
        self.s.layer("-i", "one")
        for name in ("../escape", "d/../../escape"):
            self.s.run("applydiff", "one", stdin=plumbing.tar({name: b"x"}))
        link = tarfile.TarInfo("up")
        link.type, link.linkname = tarfile.SYMTYPE, "../../../.."
        self.s.run("applydiff", "one", stdin=plumbing.tar({"up": link, "up/escape": b"x"}))
        found = [base for base, _, names in os.walk(self.dir) if "escape" in names]
        self.assertEqual([b for b in found if not b.startswith(self.s.content("one"))], [])

    def test_an_unknown_layer_is_refused(self):
        self.s.fails("applydiff", "nope", stdin=plumbing.tar({}), text="layer not known")

    def test_a_missing_file_is_refused(self):
        self.s.layer("-i", "one")
        self.s.fails("applydiff", "-f", self.dir + "/nope", "one",
                     text="no such file or directory")

    def test_a_mounted_layer_can_be_filled(self):
        self.s.layer("-i", "one")
        self.s.mount("one")
        self.s.silent("applydiff", "one", stdin=plumbing.tar({"f": b"x"}))
        self.s.umount("one")
        self.assertEqual(self.read(self.s.mount("one"), "f"), b"x")


class Junk(plumbing.Case):
    """Garbage in any compression fails cleanly."""

    def refuse(self, data, pattern):
        self.s.layer("-i", "one")
        r = self.s.run("applydiff", "one", stdin=data)
        self.assertEqual((r.status, r.out), (1, ""), r)
        self.assertRegex(r.err, pattern)
        # The layer is as good as new.
        self.assertEqual(self.s.lines("layers"), ["one"])
        self.s.silent("applydiff", "one", stdin=plumbing.tar({"f": b"x"}))
        where = self.s.mount("one")
        self.assertEqual(os.listdir(where), ["f"])

    @plumbing.each(*PACKERS)
    def test_a_text_is_no_archive(self, how):
        self.refuse(pack(self, how, TEXT), "invalid tar header|unexpected EOF")

    @plumbing.each(*PACKERS)
    def test_a_short_text_is_no_archive(self, how):
        self.refuse(pack(self, how, SHORT), "unexpected EOF")

    @plumbing.each(*PACKERS)
    def test_an_archive_that_is_cut_off_is_refused(self, how):
        data = pack(self, how, plumbing.tar({"f": plumbing.noise(1, 50_000)}))
        self.refuse(data[:len(data) // 2], "EOF|invalid|truncated|corrupt|premature end")


class Staging(plumbing.Case):
    def setUp(self):
        super().setUp()
        if self.lane != "overlay":
            self.skipTest("is about overlay, which can stage a layer")
        self.source = os.path.join(self.dir, "source")
        os.makedirs(self.source + "/sub")
        for name in ("a", "b", "sub/c"):
            self.write(self.source, name, data=plumbing.noise(name, 4000))
        conf = self.file("storage.conf", f"""[storage]
driver = "overlay"
graphroot = "{self.s.root}"
runroot = "{self.s.runroot}"
[storage.options.pull_options]
enable_partial_images = "true"
""".encode())
        self.conf = {"env": {"CONTAINERS_STORAGE_CONF": conf}, "roots": []}

    def test_a_layer_can_be_filled_from_a_directory_through_staging(self):
        self.s.ok("create-layer", "-i", "one", **self.conf)
        self.s.silent("applydiff-using-staging-dir", "one", self.source, **self.conf)
        self.s.ok("create-image", "-i", "im", "-n", "name", "one", **self.conf)
        self.s.ok("create-container", "-i", "co", "name", **self.conf)
        where = self.s.mount("co")
        for name in ("a", "b", "sub/c"):
            self.assertEqual(self.read(where, name), plumbing.noise(name, 4000))
        self.assertEqual(self.s.records("layers")[0]["id"], "one")

    def test_nothing_staged_is_left(self):
        self.s.ok("create-layer", "-i", "one", **self.conf)
        self.s.silent("applydiff-using-staging-dir", "one", self.source, **self.conf)
        staging = self.s.path("overlay", "staging")
        left = [n for _, _, names in os.walk(staging) for n in names if n != "staging.lock"]
        self.assertEqual(left, [])

    def test_a_missing_directory_is_refused(self):
        self.s.ok("create-layer", "-i", "one", **self.conf)
        self.s.fails("applydiff-using-staging-dir", "one", self.dir + "/nope", **self.conf)


if __name__ == "__main__":
    plumbing.main(__name__)
