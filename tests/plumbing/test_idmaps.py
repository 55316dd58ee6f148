#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Identity maps: who owns what on the disk of mapped layers and containers, images with copies for
other maps, owners of parent directories."""
import io
import os
import subprocess
import tarfile

import plumbing

N = 5
RANGES = [(2147483648 + i * 65536 + 1000, 2147483648 + i * 131072 + 2000) for i in range(N + 2)]


def words(i, size=N + 1):
    return ("--uidmap", f"0:{RANGES[i][0]}:{size}", "--gidmap", f"0:{RANGES[i][1]}:{size}")


HOST = ("--hostuidmap", "--hostgidmap")


class Case(plumbing.Case):
    def files(self):
        """An archive of file0, file1…, each owned by its number."""
        parts = [plumbing.tar({f"file{i}": b"%d" % i}, uid=i, gid=i)[:1024] for i in range(N + 1)]
        return b"".join(parts) + bytes(1024)

    def base(self, *args):
        return self.s.lines("import-layer", *args, stdin=self.files())[0]

    def owners(self, where):
        return [self.owner(where, f"file{i}") for i in range(N + 1)]

    def mapped(self, i):
        return [(RANGES[i][0] + j, RANGES[i][1] + j) for j in range(N + 1)]

    def plain(self):
        return [(j, j) for j in range(N + 1)]


class Syntax(Case):
    @plumbing.each("--uidmap", "--gidmap")
    def test_a_map_is_threes_of_numbers(self, word):
        for value in ("x", "0:1", "0:1:2:3", "a:1:2", "0:-1:2", "0:1:4294967296", "0:1:"):
            with self.subTest(value):
                self.s.fails("create-layer", word, value, text="initializing ID mappings: "
                             f'{word[2:5]} setting is malformed expected ["uint32:uint32:uint32"]: '
                             f'["{value}"]')
        self.s.silent("layers")

    def test_the_map_of_the_host_goes_with_no_other(self):
        self.s.fails("create-layer", "--hostuidmap", "--uidmap", "0:1:2",
                     text="host uid map specified along with UID mapping")
        self.s.fails("create-layer", "--hostgidmap", "--gidmap", "0:1:2",
                     text="host gid map specified along with GID mapping")

    def test_an_unknown_user_has_no_subordinate_ids(self):
        self.s.fails("create-layer", "--subuidmap", "nosuchuser", text="nosuchuser")

    def test_subordinate_ids_of_a_user_make_a_map(self):
        for name, first in (("subuid", 300000), ("subgid", 400000)):
            path = self.file(name, f"someone:{first}:65536\n".encode())
            subprocess.run(["mount", "--bind", path, "/etc/" + name], check=True)
            self.addCleanup(subprocess.run, ["umount", "/etc/" + name], check=False)
        record = self.s.json("create-layer", "-j", "--subuidmap", "someone")
        self.assertEqual(record["uidmap"], [{"container_id": 0, "host_id": 300000, "size": 65536}])
        self.assertEqual(record["gidmap"], [{"container_id": 0, "host_id": 400000, "size": 65536}])


class Layers(Case):
    def test_maps_are_recorded(self):
        record = self.s.json("create-layer", "-j", *words(0))
        self.assertEqual(record["uidmap"],
                         [{"container_id": 0, "host_id": RANGES[0][0], "size": N + 1}])
        self.assertEqual(record["gidmap"],
                         [{"container_id": 0, "host_id": RANGES[0][1], "size": N + 1}])

    def test_without_a_map_none_is_recorded(self):
        for args in ((), HOST):
            record = self.s.json("create-layer", "-j", *args)
            self.assertEqual({"uidmap", "gidmap"} & set(record), set())

    def test_a_child_has_the_map_of_its_parent(self):
        parent = self.s.layer(*words(0))
        record = self.s.json("create-layer", "-j", parent)
        self.assertEqual(record["uidmap"][0]["host_id"], RANGES[0][0])

    def test_the_root_of_a_mapped_layer_belongs_to_its_root(self):
        self.s.layer("-i", "one", *words(0))
        self.assertEqual(self.owner(self.s.content("one")), RANGES[0])

    def test_what_is_applied_is_owned_as_the_map_says(self):
        self.s.layer("-i", "one", *words(0))
        self.s.silent("applydiff", "one", stdin=self.files())
        self.assertEqual(self.owners(self.s.mount("one")), self.mapped(0))

    def test_what_is_imported_is_owned_as_the_map_says(self):
        self.base("-i", "one", *words(0))
        self.assertEqual(self.owners(self.s.mount("one")), self.mapped(0))
        self.assertEqual(self.s.records("layers")[0]["uidset"], list(range(N + 1)))

    def test_an_exported_layer_has_the_owners_inside(self):
        data = self.files()
        self.s.ok("import-layer", "-i", "one", *words(0), stdin=data)
        self.assertEqual(self.s.ok("diff", "-u", "one").raw, data)
        self.s.layer("-i", "two", "one")
        where = self.s.mount("two")
        self.write(where, "new")
        os.chown(where + "/new", RANGES[0][0] + 3, RANGES[0][1] + 4)
        self.s.umount("two")
        with tarfile.open(fileobj=io.BytesIO(self.s.ok("diff", "-u", "two").raw)) as t:
            self.assertEqual((t.getmember("new").uid, t.getmember("new").gid), (3, 4))

    def test_a_child_with_another_map_shows_the_content_of_its_parent_so(self):
        self.base("-i", "l0", *HOST)
        for i in range(1, N):
            if i == 2:
                self.s.layer("-i", f"l{i}", *HOST, f"l{i - 1}")
            else:
                self.s.layer("-i", f"l{i}", *words(i), f"l{i - 1}")
            where = self.s.mount(f"l{i}")
            self.assertEqual(self.owners(where), self.plain() if i == 2 else self.mapped(i))
        self.assertEqual(self.owners(self.s.mount("l0")), self.plain())

    def test_hard_links_stay_links_under_another_map(self):
        self.base("-i", "one", *HOST)
        where = self.s.mount("one")
        os.link(where + "/file1", where + "/link1")
        self.s.umount("one")
        self.s.layer("-i", "two", *words(1), "one")
        where = self.s.mount("two")
        self.assertTrue(os.path.samefile(where + "/file1", where + "/link1"))

    def test_another_map_alone_is_no_change(self):
        self.base("-i", "one", *words(0))
        for i, args in ((1, words(1)), (2, HOST)):
            layer = self.s.layer(*args, "one")
            self.assertEqual(self.s.ok("changes", layer).out, "", i)

    def test_a_changed_owner_is_the_only_change(self):
        self.base("-i", "one", *words(0))
        self.s.layer("-i", "two", *words(1), "one")
        os.chown(self.s.mount("two") + "/file3", *RANGES[1])
        self.assertEqual(self.s.ok("changes", "two").out, 'Modify "/file3"\n')
        data = self.s.ok("diff", "-u", "two").raw
        self.assertEqual(plumbing.members(data), ["file3"])
        with tarfile.open(fileobj=io.BytesIO(data)) as t:
            self.assertEqual((t.getmember("file3").uid, t.getmember("file3").gid), (0, 0))

    def test_an_owner_outside_the_map_cannot_be_applied(self):
        self.s.layer("-i", "one", "--uidmap", "0:100000:3", "--gidmap", "0:100000:3")
        self.s.fails("applydiff", "one", stdin=self.files())


class Containers(Case):
    def setUp(self):
        super().setUp()
        self.base("-i", "la", *HOST)
        self.s.image("-i", "im", "-n", "name", "la")

    def container(self, *args):
        record = self.s.json("create-container", "-j", *args, "im")
        return record

    def parent(self, record):
        return next(x for x in self.s.records("layers") if x["id"] == record["layer"])["parent"]

    def test_a_container_shows_the_image_as_its_map_says(self):
        for i in range(3):
            args = HOST if i == 1 else words(i)
            where = self.s.mount(self.container(*args)["id"])
            self.assertEqual(self.owners(where), self.plain() if i == 1 else self.mapped(i))

    def test_the_map_of_a_container_is_recorded(self):
        record = self.container(*words(0))
        self.assertEqual((record["uidmap"], record["gidmap"]),
                         ([{"container_id": 0, "host_id": RANGES[0][0], "size": N + 1}],
                          [{"container_id": 0, "host_id": RANGES[0][1], "size": N + 1}]))

    def test_a_copy_for_another_map_is_recorded_with_the_image(self):
        record = self.container(*words(0))
        image, = self.s.records("images")
        self.assertEqual(image["mapped-layers"], [self.parent(record)])
        self.assertIn(f"Top Layer: la\nTop Layer: {self.parent(record)}\n",
                      self.s.ok("image", "im").out)

    def test_a_copy_is_used_again(self):
        first, second = self.container(*words(0)), self.container(*words(0))
        self.assertEqual(self.parent(first), self.parent(second))
        self.assertEqual(len(self.s.records("images")[0]["mapped-layers"]), 1)

    def test_each_map_has_a_copy_of_its_own(self):
        parents = {self.parent(self.container(*words(i))) for i in range(3)}
        self.assertEqual(len(parents), 3)
        self.assertEqual(set(self.s.records("images")[0]["mapped-layers"]), parents)
        self.assertEqual(self.parent(self.container(*HOST)), "la")

    def test_a_copy_is_like_its_original(self):
        copy = self.parent(self.container(*words(0)))
        layers = {x["id"]: x for x in self.s.records("layers")}
        for key in ("diff-digest", "diff-size", "compressed-diff-digest", "uidset"):
            self.assertEqual(layers[copy][key], layers["la"][key])
        self.assertEqual(self.s.ok("diff", "-u", copy).raw, self.files())

    def test_copies_go_with_their_image(self):
        for i in range(2):
            self.s.silent("delete-container", self.container(*words(i))["id"])
        self.assertEqual(self.s.run("delete-image", "im").status, 0)
        self.assertEqual(self.s.records("layers"), [])
        self.s.silent("storage-layers")

    def test_a_copy_that_a_container_uses_stays(self):
        copy = self.parent(self.container(*words(0)))
        self.s.fails("delete-layer", copy, text="layer has children")

    def test_a_container_has_the_map_of_its_image_if_none_is_asked_for(self):
        self.base("-i", "mapped", *words(0))
        self.s.image("-i", "im2", "mapped")
        where = self.s.mount(self.s.container("im2"))
        self.assertEqual(self.owners(where), self.plain())

    def test_the_size_of_a_mapped_image_is_told(self):
        self.container(*words(0))
        self.assertRegex(self.s.ok("image", "im").out, r"(?m)^Size: [1-9]\d*$")

    def test_a_store_with_copies_is_clean(self):
        for i in range(2):
            self.container(*words(i))
        self.s.silent("check")

    def test_what_a_mapped_container_writes_is_exported_with_the_owners_inside(self):
        record = self.container(*words(0))
        where = self.s.mount(record["id"])
        self.write(where, "new")
        os.chown(where + "/new", RANGES[0][0] + 2, RANGES[0][1] + 1)
        self.s.umount(record["id"])
        with tarfile.open(fileobj=io.BytesIO(self.s.ok("diff", "-u", record["layer"]).raw)) as t:
            self.assertEqual((t.getmember("new").uid, t.getmember("new").gid), (2, 1))


class Applying(Case):
    """New content for a copy of an image's layer under other owners."""

    def setUp(self):
        super().setUp()
        self.s.ok("import-layer", "-i", "low", stdin=plumbing.tar({"below": b"0", "d": None}))
        self.s.ok("import-layer", "-i", "la", "low", stdin=plumbing.tar(
            {"old": b"1", "changed": b"2", "d": None, "d/gone": b"3"}, uid=2, gid=2))
        self.s.image("-i", "im", "la")
        record = self.s.json("create-container", "-j", *words(0), "im")
        self.copy = next(x for x in self.s.records("layers") if x["id"] == record["layer"])["parent"]
        self.s.ok("delete-container", record["id"])
        self.diff = plumbing.tar({"new": b"4", ".wh.old": b"", "changed": b"55", "d": None,
                                  "d/.wh.gone": b""}, uid=3, gid=4)

    def tree(self):
        where = self.s.mount(self.copy)
        found = {}
        for at, dirs, files in os.walk(where):
            for name in dirs + files:
                path = os.path.join(at, name)
                found[os.path.relpath(path, where)] = (
                    self.owner(path), self.read(path) if name in files else None)
        self.s.umount(self.copy)
        return found

    def owned(self, uid, gid):
        return (RANGES[0][0] + uid, RANGES[0][1] + gid)

    def before(self):
        return {"below": (self.owned(0, 0), b"0"), "old": (self.owned(2, 2), b"1"),
                "changed": (self.owned(2, 2), b"2"), "d": (self.owned(2, 2), None),
                "d/gone": (self.owned(2, 2), b"3")}

    def after(self):
        return {"below": (self.owned(0, 0), b"0"), "new": (self.owned(3, 4), b"4"),
                "changed": (self.owned(3, 4), b"55"), "d": (self.owned(3, 4), None)}

    def test_a_difference_lies_over_what_the_copy_shows(self):
        self.assertEqual(self.tree(), self.before())
        self.s.silent("applydiff", self.copy, stdin=self.diff)
        self.assertEqual(self.tree(), self.after())

    def test_the_copy_stays_on_its_template(self):
        self.overlay_only()
        lower = self.read(self.s.home(self.copy, "lower"))
        self.assertEqual(lower[:28], b"l/" + self.read(self.s.home("la", "link")))
        self.s.silent("applydiff", self.copy, stdin=self.diff)
        self.assertEqual(self.read(self.s.home(self.copy, "lower")), lower)
        self.assertEqual(sorted(os.listdir(self.s.home(self.copy, "diff"))),
                         ["changed", "d", "new", "old"])
        self.assertTrue(os.path.isfile(self.s.home(self.copy, "diff1", "old")))

    def test_the_store_is_clean_and_the_template_as_it_was(self):
        self.s.silent("applydiff", self.copy, stdin=self.diff)
        self.ours_only("1.43 has no check")
        self.s.silent("check")
        self.assertEqual(self.owner(self.s.content("la", "old")), (2, 2))
        self.assertEqual(self.read(self.s.content("la", "old")), b"1")

    def test_a_second_difference_lies_over_the_first(self):
        self.s.silent("applydiff", self.copy, stdin=self.diff)
        self.s.silent("applydiff", self.copy, stdin=plumbing.tar({"old": b"6"}, uid=1, gid=1))
        self.assertEqual(self.tree(), {**self.after(), "old": (self.owned(1, 1), b"6")})

    def test_the_bytes_of_what_was_applied_come_out_again(self):
        self.s.silent("applydiff", self.copy, stdin=self.diff)
        self.assertEqual(self.s.ok("diff", "-u", self.copy).raw, self.diff)

    def test_a_small_difference_leaves_the_store_clean(self):
        self.s.silent("applydiff", self.copy, stdin=plumbing.tar({"new": b"4"}))
        self.assertEqual(self.tree(), {**self.before(), "new": (self.owned(0, 0), b"4")})
        self.ours_only("1.43 has no check")
        self.s.silent("check")

    def test_a_directory_takes_the_place_of_what_was_written_to_the_copy(self):
        self.ours_only("1.43 has no applydiff-using-staging-dir")
        source = os.path.join(self.dir, "source")
        os.makedirs(source)
        self.write(source, "new", data=b"4")
        if self.whole:
            self.s.fails("applydiff-using-staging-dir", self.copy, source,
                         text=f"the {self.driver} driver cannot replace its content: what it shows of the "
                         "layers below has other owners there")
            self.assertEqual(self.tree(), self.before())
            return
        self.s.silent("applydiff", self.copy, stdin=self.diff)
        root = self.owner(self.s.home(self.copy, "diff"))
        self.s.silent("applydiff-using-staging-dir", self.copy, source)
        self.assertEqual(root, self.owned(0, 0))
        self.assertEqual(self.owner(self.s.home(self.copy, "diff")), root)
        self.assertEqual(self.tree(), {**self.before(), "new": (self.owned(0, 0), b"4")})
        self.s.silent("check")


class Shifting(Case):
    """With mounts that the kernel maps, nothing is copied."""

    def setUp(self):
        super().setUp()
        if self.lane != "overlay":
            self.skipTest("is about overlay")
        self.env = {"_CONTAINERS_OVERLAY_DISABLE_IDMAP": ""}
        status = dict(self.s.json("status", "-j", env=self.env))
        if status["Supports shifting"] != "true":
            self.skipTest("the kernel does not map mounts of overlay's lower directories")
        self.base("-i", "la")
        self.s.image("-i", "im", "la")

    def test_a_container_is_mapped_by_its_mount(self):
        record = self.s.json("create-container", "-j", *words(0), "im", env=self.env)
        where = self.s.lines("mount", record["id"], env=self.env)[0]
        self.assertEqual(self.owners(where), self.mapped(0))
        self.assertEqual(self.owners(self.s.content("la")), self.plain())

    def test_no_copy_is_recorded(self):
        record = self.s.json("create-container", "-j", *words(0), "im", env=self.env)
        self.assertNotIn("mapped-layers", self.s.records("images")[0])
        self.assertEqual(record["uidmap"][0]["host_id"], RANGES[0][0])
        layer = next(x for x in self.s.records("layers") if x["id"] == record["layer"])
        self.assertEqual(layer["parent"], "la")
        self.assertNotIn("uidmap", layer)

    def test_unmounting_leaves_no_mount_of_its_parts(self):
        record = self.s.json("create-container", "-j", *words(0), "im", env=self.env)
        self.s.lines("mount", record["id"], env=self.env)
        self.s.ok("unmount", record["id"], env=self.env)
        self.assertEqual([p for p in plumbing.mount_points(self.dir)
                          if p != self.s.path("overlay")], [])


class Owners(Case):
    def told(self, verb, what):
        return self.s.ok(verb, what).out

    def test_the_owners_above_a_mapped_layer_are_those_outside_its_map(self):
        self.s.layer("-i", "one", *words(0))
        self.s.mount("one")
        self.assertEqual(self.told("layer-parent-owners", "one"), "ID: one\nUIDs: [0]\nGIDs: [0]\n")

    def test_of_an_unmapped_layer_only_the_id_is_told(self):
        self.s.layer("-i", "one")
        self.s.mount("one")
        self.assertEqual(self.told("layer-parent-owners", "one"), "ID: one\n")

    def test_the_owners_above_a_container(self):
        self.s.image("-i", "im", self.s.layer(*words(0)))
        self.s.container("-i", "co", "im")
        self.s.mount("co")
        self.assertEqual(self.told("container-parent-owners", "co"), "ID: co\nUIDs: []\nGIDs: []\n")
        self.s.container("-i", "co2", *words(1), "im")
        self.s.mount("co2")
        self.assertEqual(self.told("container-parent-owners", "co2"),
                         "ID: co2\nUIDs: [0]\nGIDs: [0]\n")

    def test_owners_as_json_are_an_object_for_each(self):
        for layer in ("one", "two"):
            self.s.layer("-i", layer, *words(0))
            self.s.mount(layer)
        self.assertEqual(self.told("layer-parent-owners", "one"), "ID: one\nUIDs: [0]\nGIDs: [0]\n")
        self.assertEqual(self.s.ok("layer-parent-owners", "-j", "one", "two").out,
                         '{"ID":"one","UIDs":[0],"GIDs":[0]}\n{"ID":"two","UIDs":[0],"GIDs":[0]}\n')

    def test_what_is_not_there_makes_the_exit_1(self):
        for verb in ("layer-parent-owners", "container-parent-owners"):
            r = self.s.fails(verb, "nope")
            self.assertEqual((r.out, r.err), ("", ""))


class Copying(Case):
    def setUp(self):
        super().setUp()
        os.makedirs(self.dir + "/from/sub")
        for i in range(N + 1):
            for name in (f"from/f{i}", f"from/sub/f{i}"):
                self.write(self.dir, name)
                os.chown(os.path.join(self.dir, name), i, i)
        self.s.layer("-i", "one", *words(0, 101))
        self.where = self.s.mount("one")

    def test_a_file_gets_the_owner_that_the_map_makes_of_it(self):
        for i in range(N + 1):
            self.s.silent("copy", f"{self.dir}/from/f{i}", f"one:/f{i}")
            self.assertEqual(self.owner(self.where, f"f{i}"), (RANGES[0][0] + i, RANGES[0][1] + i))

    def test_a_directory_gets_the_owners_that_the_map_makes_of_them(self):
        self.s.silent("copy", self.dir + "/from", "one:/to")
        for name, i in (("f3", 3), ("sub/f5", 5), ("sub", 0)):
            self.assertEqual(self.owner(self.where, "to", name),
                             (RANGES[0][0] + i, RANGES[0][1] + i))

    def test_an_owner_that_is_given_is_mapped_too(self):
        self.s.silent("copy", "--chown", "100:99", self.dir + "/from/f2", "one:/f")
        self.assertEqual(self.owner(self.where, "f"), (RANGES[0][0] + 100, RANGES[0][1] + 99))

    def test_from_layer_to_layer_both_maps_count(self):
        self.s.silent("copy", self.dir + "/from", "one:/to")
        self.s.layer("-i", "two", *words(1, 101))
        self.s.silent("copy", "one:/to", "two:/to")
        where = self.s.mount("two")
        for name, i in (("f3", 3), ("sub/f5", 5)):
            self.assertEqual(self.owner(where, "to", name), (RANGES[1][0] + i, RANGES[1][1] + i))


if __name__ == "__main__":
    plumbing.main(__name__)
