#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Names and metadata of layers, images and containers; whether something exists."""
import plumbing

KINDS = ("layer", "image", "container")


class Case(plumbing.Case):
    def make(self, kind, *args):
        """An object of that kind; its id."""
        tail = [""] if kind == "container" else []
        return self.s.lines("create-" + kind, *args, *tail)[0]

    def names(self, what):
        return self.s.lines("get-names", what)


class Names(Case):
    @plumbing.each(*KINDS)
    def test_names_given_at_creation_are_there(self, kind):
        self.make(kind, "-i", kind, "-n", kind + "a", "-n", kind + "b")
        self.assertEqual(self.names(kind), [kind + "a", kind + "b"])
        for name in (kind + "a", kind + "b"):
            self.s.silent("exists", "-q", "-" + kind[0], name)

    @plumbing.each(*KINDS)
    def test_an_object_without_names_has_none(self, kind):
        self.make(kind, "-i", kind)
        self.s.silent("get-names", kind)
        self.assertEqual(self.s.ok("get-names", "-j", kind).out, "[]\n")

    @plumbing.each(*KINDS)
    def test_names_are_told_for_an_object_given_by_name(self, kind):
        self.make(kind, "-n", kind + "a", "-n", kind + "b")
        self.assertEqual(self.names(kind + "b"), [kind + "a", kind + "b"])

    @plumbing.each(*KINDS)
    def test_names_are_told_for_an_object_given_by_a_prefix_of_its_id(self, kind):
        thing = self.make(kind, "-n", kind + "a")
        self.assertEqual(self.names(thing[:20]), [kind + "a"])

    @plumbing.each(*KINDS)
    def test_names_that_are_added_stand_first(self, kind):
        self.make(kind, "-i", kind, "-n", kind + "a")
        self.s.silent("add-names", "-n", kind + "b", "-n", kind + "c", kind)
        self.assertEqual(self.names(kind), [kind + "b", kind + "c", kind + "a"])

    @plumbing.each(*KINDS)
    def test_a_name_that_is_added_again_is_kept_once(self, kind):
        self.make(kind, "-i", kind, "-n", kind + "a", "-n", kind + "b")
        self.s.silent("add-names", "-n", kind + "b", kind)
        self.assertEqual(sorted(self.names(kind)), [kind + "a", kind + "b"])

    @plumbing.each(*KINDS)
    def test_names_that_are_set_replace_the_others(self, kind):
        self.make(kind, "-i", kind, "-n", kind + "a")
        self.s.silent("set-names", "-n", kind + "b", "-n", kind + "c", kind)
        self.assertEqual(self.names(kind), [kind + "b", kind + "c"])
        self.assertEqual(self.s.fails("exists", kind + "a").out, kind + "a: false\n")

    @plumbing.each(*KINDS)
    def test_a_name_set_twice_is_kept_once(self, kind):
        self.make(kind, "-i", kind)
        self.s.silent("set-names", "-n", kind + "b", "-n", kind + "c", "-n", kind + "b", kind)
        self.assertEqual(self.names(kind), [kind + "b", kind + "c"])

    @plumbing.each(*KINDS)
    def test_setting_no_names_removes_all(self, kind):
        self.make(kind, "-i", kind, "-n", kind + "a")
        self.s.silent("set-names", kind)
        self.assertEqual(self.names(kind), [])

    @plumbing.each(*KINDS)
    def test_names_can_be_removed(self, kind):
        self.make(kind, "-i", kind, "-n", kind + "a", "-n", kind + "b", "-n", kind + "c")
        self.s.silent("remove-names", "-n", kind + "b", "-n", "nope", kind)
        self.assertEqual(self.names(kind), [kind + "a", kind + "c"])

    @plumbing.each(*KINDS)
    def test_a_name_can_be_removed_from_the_object_it_names(self, kind):
        self.make(kind, "-i", kind, "-n", kind + "a", "-n", kind + "b")
        self.s.silent("remove-names", "-n", kind + "a", kind + "a")
        self.assertEqual(self.names(kind), [kind + "b"])

    @plumbing.each(*KINDS)
    def test_a_name_that_is_set_leaves_the_object_that_had_it(self, kind):
        self.make(kind, "-i", kind + "1", "-n", kind + "a", "-n", kind + "b")
        self.make(kind, "-i", kind + "2", "-n", kind + "c")
        self.s.silent("set-names", "-n", kind + "a", kind + "2")
        self.assertEqual(self.names(kind + "1"), [kind + "b"])
        self.assertEqual(self.names(kind + "2"), [kind + "a"])

    @plumbing.each(*KINDS)
    def test_a_name_that_is_added_leaves_the_object_that_had_it(self, kind):
        self.make(kind, "-i", kind + "1", "-n", kind + "a", "-n", kind + "b")
        self.make(kind, "-i", kind + "2", "-n", kind + "c")
        self.s.silent("add-names", "-n", kind + "b", kind + "2")
        self.assertEqual(self.names(kind + "1"), [kind + "a"])
        self.assertEqual(self.names(kind + "2"), [kind + "b", kind + "c"])

    def test_objects_of_different_kinds_may_share_a_name(self):
        for kind in KINDS:
            self.make(kind, "-i", kind, "-n", "shared")
        for kind in KINDS:
            self.assertEqual(self.names(kind), ["shared"])

    @plumbing.each("set-names", "add-names")
    def test_a_shared_name_means_the_layer_then_the_image_then_the_container(self, verb):
        for kind in KINDS:
            self.make(kind, "-i", kind, "-n", "shared")
        for kind in KINDS:
            self.s.silent(verb, "-n", "new-" + kind, "shared")
            self.assertIn("new-" + kind, self.names(kind))
            self.s.silent("set-names", kind)

    def test_names_as_json_are_told_after_a_change(self):
        self.make("image", "-i", "im", "-n", "a")
        self.assertEqual(self.s.json("add-names", "-j", "-n", "b", "im"), ["b", "a"])
        self.assertEqual(self.s.json("remove-names", "-j", "-n", "a", "im"), ["b"])
        self.assertEqual(self.s.json("set-names", "-j", "-n", "c", "im"), ["c"])
        self.assertEqual(self.s.json("get-names", "-j", "im"), ["c"])

    def test_no_names_as_json_after_a_change_are_null(self):
        self.make("image", "-i", "im", "-n", "a")
        self.assertEqual(self.s.ok("set-names", "-j", "im").out, "null\n")

    def test_an_unknown_object_is_refused(self):
        for verb in ("get-names", "add-names", "remove-names", "set-names"):
            with self.subTest(verb):
                r = self.s.fails(verb, *([] if verb == "get-names" else ["-n", "a"]), "nope",
                                 text="layer not known")
                self.assertEqual(r.out, "")

    def test_a_name_may_hold_any_characters(self):
        odd = "registry.example:5000/na\u00efve/\u4e2d@sha256:" + "0" * 64
        self.make("image", "-i", "im", "-n", odd)
        self.assertEqual(self.names(odd), [odd])
        self.assertEqual(self.s.json("images", "-j")[0]["names"], [odd])


class Metadata(Case):
    def test_metadata_is_told_with_the_word_that_was_asked_for(self):
        self.make("image", "-i", "im", "-n", "name", "-m", "text")
        self.assertEqual(self.s.ok("metadata", "im", "name").out, "im: text\nname: text\n")

    def test_metadata_quietly_is_only_the_text(self):
        self.make("image", "-i", "im", "-m", "text")
        self.assertEqual(self.s.ok("metadata", "-q", "im").out, "text\n")

    def test_metadata_as_json_is_an_object(self):
        self.make("image", "-i", "im", "-m", "<text>")
        self.make("container", "-i", "co", "-m", "more")
        self.assertEqual(self.s.ok("metadata", "-j", "im", "co").out,
                         '{"co":"more","im":"\\u003ctext\\u003e"}\n')

    @plumbing.each(*KINDS)
    def test_without_metadata_the_text_is_empty(self, kind):
        self.make(kind, "-i", kind)
        self.assertEqual(self.s.ok("metadata", kind).out, kind + ": \n")

    @plumbing.each(*KINDS)
    def test_metadata_can_be_set(self, kind):
        self.make(kind, "-i", kind)
        self.s.silent("set-metadata", "-m", "danger", kind)
        self.assertEqual(self.s.ok("metadata", "-q", kind).out, "danger\n")
        self.s.silent("set-metadata", "-m", "thunder", kind)
        self.assertEqual(self.s.ok("metadata", "-q", kind).out, "thunder\n")

    @plumbing.each(*KINDS)
    def test_metadata_can_be_set_from_a_file(self, kind):
        path = self.file("text", b"line one\nline two\n\n")
        self.make(kind, "-i", kind)
        self.s.silent("set-metadata", "-f", path, kind)
        # One newline at the end is trimmed, and one is printed.
        self.assertEqual(self.s.ok("metadata", "-q", kind).out, "line one\nline two\n\n")
        self.assertEqual(self.s.records(kind + "s")[0]["metadata"], "line one\nline two\n\n")

    def test_a_file_wins_over_a_text(self):
        self.make("image", "-i", "im", "-m", "text", "-f", self.file("text", b"from the file"))
        self.assertEqual(self.s.ok("metadata", "-q", "im").out, "from the file\n")

    def test_metadata_survives_a_change_of_names(self):
        self.make("image", "-i", "im", "-m", "text")
        self.s.silent("add-names", "-n", "a", "im")
        self.assertEqual(self.s.ok("metadata", "-q", "a").out, "text\n")

    def test_of_a_shared_name_it_is_that_of_the_layer_then_the_image_then_the_container(self):
        for kind in KINDS:
            self.make(kind, "-i", kind, "-n", "shared")
        for kind in KINDS:
            self.s.silent("set-metadata", "-m", "of the " + kind, "shared")
            self.assertEqual(self.s.ok("metadata", "-q", "shared").out, f"of the {kind}\n")
            self.s.silent("set-names", kind)
        for kind in KINDS:
            self.assertEqual(self.s.ok("metadata", "-q", kind).out, f"of the {kind}\n")

    def test_setting_nothing_is_refused(self):
        self.make("image", "-i", "im", "-m", "text")
        self.s.fails("set-metadata", "im", text="no new metadata provided\n")
        self.assertEqual(self.s.ok("metadata", "-q", "im").out, "text\n")

    def test_setting_it_from_a_missing_file_is_refused(self):
        self.make("image", "-i", "im")
        self.s.fails("set-metadata", "-f", self.dir + "/nope", "im",
                     text="no such file or directory")

    def test_of_an_unknown_object_it_cannot_be_set(self):
        self.s.fails("set-metadata", "-m", "x", "nope",
                     text="identifier is not a layer, image, or container")

    def test_of_an_unknown_object_it_is_empty_and_the_exit_1(self):
        self.make("image", "-i", "im", "-m", "text")
        r = self.s.fails("metadata", "nope", "im")
        self.assertEqual((r.out, r.err), ("nope: \nim: text\n", ""))
        self.assertEqual(self.s.fails("metadata", "-j", "nope", "im").json(), {"im": "text"})


class Exists(Case):
    def setUp(self):
        super().setUp()
        for kind in KINDS:
            self.make(kind, "-i", kind + "-id", "-n", kind + "-name")

    def told(self, *args, status=0):
        r = self.s.run("exists", *args)
        self.assertEqual((r.status, r.err), (status, ""), r)
        return sorted(r.lines)

    def test_what_exists_is_true(self):
        words = [kind + end for kind in KINDS for end in ("-id", "-name")]
        self.assertEqual(self.told(*words), sorted(w + ": true" for w in words))

    def test_what_is_not_there_is_false_and_the_exit_1(self):
        self.assertEqual(self.told("nope", "layer-id", status=1), ["layer-id: true", "nope: false"])

    def test_quietly_only_the_exit_code_tells(self):
        self.assertEqual(self.told("-q", "layer-id"), [])
        self.assertEqual(self.told("-q", "nope", status=1), [])

    def test_as_json_it_is_an_object(self):
        self.assertEqual(self.s.fails("exists", "-j", "nope", "image-id").out,
                         '{"image-id":true,"nope":false}\n')

    def test_a_kind_decides_over_the_exit_code_only(self):
        for kind in KINDS:
            for other in KINDS:
                with self.subTest(f"{kind} {other}"):
                    self.assertEqual(self.told("-" + kind[0], other + "-name",
                                               status=int(kind != other)),
                                     [other + "-name: true"])

    def test_long_options_name_the_kinds_too(self):
        for kind in KINDS:
            self.told("--" + kind, kind + "-id")

    def test_a_prefix_of_an_id_is_enough(self):
        layer = self.s.layer()
        self.assertEqual(self.told("-l", layer[:8]), [layer[:8] + ": true"])


if __name__ == "__main__":
    plumbing.main(__name__)
