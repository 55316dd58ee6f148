#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Words on the command line: commands, flags, numbers of arguments, help, exit codes, and what is
said of a store as a whole (status, version, config)."""
import json
import os
import re

import plumbing

# command: arguments it takes at least and at most (None: any number)
COUNTS = {
    "layers": (0, 0), "storage-layers": (0, 0), "layer": (1, None), "images": (0, 0),
    "images-by-digest": (1, 1), "image": (1, None), "containers": (0, 0), "container": (1, None),
    "create-layer": (0, 1), "import-layer": (0, 1), "create-storage-layer": (0, 1),
    "create-image": (0, 1), "create-container": (1, 1), "delete": (1, None),
    "delete-layer": (1, None), "delete-image": (1, None), "delete-container": (1, None),
    "exists": (1, None), "mount": (1, None), "unmount": (1, None), "mounted": (1, None),
    "metadata": (1, None), "set-metadata": (1, 1), "get-names": (1, 1), "add-names": (1, None),
    "remove-names": (1, None), "set-names": (1, None), "list-layer-data": (1, 1),
    "list-image-data": (1, 1), "list-container-data": (1, 1), "get-layer-data": (2, 2),
    "get-image-data": (2, 2), "get-container-data": (2, 2), "get-image-data-size": (2, 2),
    "get-container-data-size": (2, 2), "get-image-data-digest": (2, 2),
    "get-container-data-digest": (2, 2), "set-layer-data": (2, 2), "set-image-data": (2, 2),
    "set-container-data": (2, 2), "get-image-dir": (1, 1), "get-container-dir": (1, 1),
    "get-image-run-dir": (1, 1), "get-container-run-dir": (1, 1), "layer-parent-owners": (1, None),
    "container-parent-owners": (1, None), "changes": (1, 2), "diff": (1, 2), "diffsize": (1, 2),
    "applydiff": (1, 1), "applydiff-using-staging-dir": (2, 2), "copy": (2, None), "check": (0, 0),
    "dedup": (0, 0), "gc": (0, 0), "config": (0, 1), "status": (0, 0), "version": (0, 0),
    "shutdown": (0, 0), "wipe": (0, 0),
}
ALIASES = {
    "create-layer": "createlayer", "import-layer": "importlayer", "create-image": "createimage",
    "create-container": "createcontainer", "delete-layer": "deletelayer",
    "delete-image": "deleteimage", "delete-container": "deletecontainer", "unmount": "umount",
    "set-metadata": "setmetadata", "get-names": "getnames", "add-names": "addnames",
    "remove-names": "removenames", "set-names": "setnames", "diffsize": "diff-size",
    "applydiff": "apply-diff", "list-layer-data": "listlayerdata",
    "list-image-data": "listimagedata", "list-container-data": "listcontainerdata",
    "get-layer-data": "getlayerdata", "get-image-data": "getimagedata",
    "get-container-data": "getcontainerdata", "get-image-data-size": "getimagedatasize",
    "get-container-data-size": "getcontainerdatasize",
    "get-image-data-digest": "getimagedatadigest",
    "get-container-data-digest": "getcontainerdatadigest", "set-layer-data": "setlayerdata",
    "set-image-data": "setimagedata", "set-container-data": "setcontainerdata",
    "get-image-dir": "getimagedir", "get-container-dir": "getcontainerdir",
    "get-image-run-dir": "getimagerundir", "get-container-run-dir": "getcontainerrundir",
}
# What says that an option is unknown after a command.
UNDEFINED = "flag provided but not defined: "


class Commands(plumbing.Case):
    def test_no_command_prints_the_usage_on_stdout_and_exits_1(self):
        r = self.s.run(roots=[])
        self.assertEqual(r.status, 1, r)
        self.assertTrue(r.out.startswith("Usage: containers-storage command [options [...]]\n"), r)

    def test_an_unknown_command_is_told_on_stdout_and_exits_1(self):
        r = self.s.run("frobnicate")
        self.assertEqual((r.status, r.out, r.err),
                         (1, "frobnicate: unrecognized command.\n", ""))

    def test_help_prints_the_usage_and_exits_0(self):
        r = self.s.run("--help", roots=[])
        self.assertEqual(r.status, 0, r)
        self.assertIn("Commands:", r.out)

    def test_help_lists_every_command(self):
        listed = set(re.findall(r"^  ([a-z-]+) ", self.s.run("--help", roots=[]).out, re.M))
        self.assertEqual(set(COUNTS) - listed, set())

    def test_help_of_a_command_prints_its_usage_and_exits_125(self):
        for flag in ("--help", "-h"):
            r = self.s.run("layers", flag)
            self.assertEqual(r.status, 125, r)
            self.assertTrue(r.out.startswith("Usage: containers-storage layers [options"), r)
            self.assertIn("\nList layers\n", r.out)

    @plumbing.each(*(c for c, (least, _) in COUNTS.items() if least))
    def test_too_few_arguments_are_told_on_stdout_with_the_usage(self, command):
        r = self.s.run(command, *["x"] * (COUNTS[command][0] - 1))
        self.assertEqual(r.status, 1, r)
        self.assertTrue(r.out.startswith(
            f"{command}: more arguments required.\nUsage: containers-storage {command} "), r)

    @plumbing.each(*(c for c, (_, most) in COUNTS.items() if most is not None))
    def test_too_many_arguments_are_named_on_stdout_with_the_usage(self, command):
        words = [f"a{i}" for i in range(COUNTS[command][1] + 1)]
        r = self.s.run(command, *words)
        self.assertEqual(r.status, 1, r)
        self.assertTrue(r.out.startswith(
            f"{command}: too many arguments ([{' '.join(words)}]).\nUsage: "), r)

    def test_counting_arguments_opens_no_store(self):
        self.s.run("layer")
        # A dataset has its root directory from the beginning.
        self.assertFalse(os.path.exists(self.s.root) and os.listdir(self.s.root))

    @plumbing.each(*ALIASES)
    def test_an_alias_is_the_command(self, command):
        # One argument too many or too few: the command is found, nothing is done.
        words = ["x"] * 4 if COUNTS[command][1] is not None else []
        r = self.s.run(ALIASES[command], *words)
        self.assertEqual(r.status, 1)
        self.assertTrue(r.out.startswith(f"{ALIASES[command]}: "), r)
        self.assertIn(" arguments ", r.out)

    def test_a_link_called_containers_storage_is_this_face(self):
        self.ours_only("is about one program with several faces")
        link = os.path.join(self.dir, "containers-storage")
        os.symlink(self.tool.argv[0], link)
        r = self.execute([link, *self.s.globals(), "create-layer", "-i", "one"])
        self.assertEqual((r.status, r.out, r.err), (0, "one\n", ""))


class Flags(plumbing.Case):
    def setUp(self):
        super().setUp()
        self.s.layer("-i", "one")

    def made(self, *words):
        """The id of a layer made with these words."""
        return self.s.layer(*words)

    def test_a_value_may_be_the_next_word(self):
        self.assertEqual(self.made("--id", "a"), "a")
        self.assertEqual(self.made("-i", "b"), "b")

    def test_a_value_may_follow_an_equals_sign(self):
        self.assertEqual(self.made("--id=a"), "a")
        self.assertEqual(self.made("-i=b"), "b")

    def test_quotes_around_a_value_after_an_equals_sign_are_trimmed(self):
        self.assertEqual(self.made('--id="a"'), "a")
        self.assertEqual(self.made("-i='b'"), "b")

    def test_an_option_may_be_repeated(self):
        self.assertEqual(self.s.lines("create-layer", "-i", "a", "-n", "x", "--name=y", "-n=z"),
                         ["a", "\tx", "\ty", "\tz"])

    @plumbing.each("true", "True", "TRUE", "1", "t", "T", "false", "False", "FALSE", "0", "f", "F")
    def test_a_boolean_may_be_given_after_an_equals_sign(self, word):
        self.assertEqual(self.s.ok("layers", f"--json={word}").out.startswith("["),
                         word in ("true", "True", "TRUE", "1", "t", "T"))

    def test_the_word_after_a_boolean_is_an_argument(self):
        r = self.s.run("layers", "--json", "true")
        self.assertEqual(r.status, 1)
        self.assertTrue(r.out.startswith("layers: too many arguments ([true])."), r)

    def test_what_is_no_boolean_is_refused(self):
        r = self.s.fails("layers", "--json=maybe", status=125)
        self.assertIn('invalid boolean value "maybe" for  --json: strconv.ParseBool: '
                      'parsing "maybe": invalid syntax', r.err)

    def test_the_last_of_two_booleans_counts(self):
        self.assertEqual(self.s.ok("layers", "--json", "-j=false").out, "one\n")

    def test_letters_may_stand_together(self):
        r = self.s.ok("layers", "-tj")
        self.assertTrue(r.out.startswith("["), r)

    def test_a_letter_among_others_takes_the_next_word_as_its_value(self):
        self.assertEqual(self.made("-ri", "a"), "a")
        self.assertEqual(self.s.lines("create-layer", "-rin", "b", "bn"), ["b", "\tbn"])

    def test_an_undefined_letter_spoils_the_whole_word(self):
        r = self.s.fails("layers", "-jx", text=UNDEFINED + "-jx\n", status=125)
        self.assertEqual(r.out, "")

    def test_a_word_of_two_dashes_is_never_split(self):
        self.s.fails("layers", "--jt", text=UNDEFINED + "--jt\n", status=125)

    def test_a_long_option_needs_two_dashes(self):
        self.s.fails("create-layer", "-id", "a", text=UNDEFINED + "-id\n", status=125)

    def test_an_unknown_option_of_a_command_exits_125_and_points_to_its_help(self):
        r = self.s.run("layers", "--nope")
        self.assertEqual((r.status, r.out), (125, ""), r)
        self.assertRegex(r.err, rf"^{UNDEFINED}--nope\nSee '.*layers --help'\.\n$")

    def test_an_unknown_option_before_the_command_exits_1_and_is_told_twice(self):
        r = self.s.run("--nope", "layers")
        self.assertEqual(r.status, 1, r)
        self.assertTrue(r.out.startswith(UNDEFINED + "--nope while parsing arguments (1)\nUsage: "),
                        r)
        self.assertTrue(r.err.startswith(UNDEFINED + "--nope\n"), r)

    def test_an_option_without_its_value_exits_125(self):
        for word in ("-i", "--id"):
            r = self.s.fails("create-layer", word, status=125)
            self.assertTrue(r.err.startswith(f"flag needs an argument: {word}\n"), r)

    def test_a_global_option_without_its_value_exits_1(self):
        r = self.s.run("-g", roots=[])
        self.assertEqual(r.status, 1, r)
        self.assertTrue(r.out.startswith("flag needs an argument: -g while parsing arguments (1)"),
                        r)

    def test_options_end_at_the_first_argument(self):
        r = self.s.run("layer", "one", "-j")
        self.assertEqual((r.status, r.out), (1, "ID: one\n"), r)

    def test_two_dashes_end_the_options(self):
        r = self.s.run("layer", "--", "one", "-j")
        self.assertEqual((r.status, r.out), (1, "ID: one\n"), r)
        self.assertTrue(self.s.ok("layer", "-j", "--", "one").out.startswith("["))

    def test_a_lone_dash_is_an_argument(self):
        r = self.s.run("images", "-")
        self.assertTrue(r.out.startswith("images: too many arguments ([-])."), r)

    def test_global_options_may_follow_the_command(self):
        # Without any before it, the configuration comes first.
        conf = {"CONTAINERS_STORAGE_CONF": self.file(
            "bare.conf", f'[storage]\ndriver = "{self.driver}"\n'.encode())}
        r = self.s.run("layer", *self.s.globals(), "one", roots=[], env=conf)
        self.assertEqual((r.status, r.out, r.err), (0, "ID: one\n", ""))

    def test_a_global_option_after_the_command_wins(self):
        other = self.store("other")
        other.layer("-i", "two")
        r = self.s.ok("layer", "--graph", other.root, "--run", other.runroot, "two")
        self.assertEqual(r.out, "ID: two\n")

    def test_short_and_long_global_options_are_the_same(self):
        roots = [f"-g={self.s.root}", f"-R={self.s.runroot}", f"-s={self.s.driver}"]
        self.assertEqual(self.s.ok("layers", roots=roots + self.s.globals()[6:]).out, "one\n")

    def test_debugging_prints_lines_on_stderr_only(self):
        r = self.s.run("--debug", "layers")
        self.assertEqual((r.status, r.out), (0, "one\n"), r)
        self.assertRegex(r.err, r'(?m)^time="[^"]+" level=debug msg="')

    def test_debugging_can_be_turned_off_after_the_command(self):
        self.assertEqual(self.s.ok("--debug", "layers", "--debug=false").out, "one\n")


class Opening(plumbing.Case):
    def test_an_unknown_driver_is_told_on_stdout(self):
        r = self.s.run("layers", roots=["-g", self.s.root, "-R", self.s.runroot, "-s", "nope"])
        self.assertEqual(r.status, 1, r)
        self.assertTrue(r.out.startswith("error initializing: "), r)
        self.assertIn("driver not supported", r.out)

    def test_an_unknown_option_of_the_driver_is_told_on_stdout(self):
        r = self.s.run("--storage-opt", f"{self.driver}.nope=1", "layers")
        self.assertEqual(r.status, 1, r)
        self.assertTrue(r.out.startswith("error initializing: "), r)
        self.assertIn(f"{self.driver}.nope" if self.driver == "vfs" else "nope", r.out)

    def test_an_option_without_a_value_is_told_on_stdout(self):
        r = self.s.run("--storage-opt", "nope", "layers")
        self.assertEqual(r.status, 1, r)
        self.assertIn("nope", r.out)

    def test_vfs_has_no_mount_options(self):
        self.vfs_only()
        r = self.s.run("--storage-opt", "vfs.mountopt=nodev", "layers")
        self.assertEqual((r.status, r.out),
                         (1, "error initializing: vfs driver does not support mount options\n"), r)

    def test_an_option_of_another_driver_is_refused(self):
        other = "vfs" if self.driver == "overlay" else "overlay"
        r = self.s.run("--storage-opt", f"{other}.mountopt=nodev", "layers")
        self.assertEqual(r.status, 1, r)
        self.assertTrue(r.out.startswith("error initializing: "), r)

    def test_a_graph_root_that_cannot_be_made_is_told_on_stdout(self):
        self.file("plain")
        r = self.s.run("layers", roots=["-g", self.dir + "/plain/root", "-R", self.s.runroot, "-s",
                                        self.driver])
        self.assertEqual(r.status, 1, r)
        self.assertTrue(r.out.startswith("error initializing: "), r)

    def test_roots_are_made_with_their_parents_for_their_owner_only(self):
        s = self.store("a/b/c")
        s.lines("layers")
        self.assertEqual((self.mode(s.root), self.mode(s.runroot)), (0o700, 0o700))

    def test_opening_makes_the_directories_and_locks_of_a_store(self):
        self.s.lines("layers")
        names = {"storage.lock", "userns.lock", self.driver, self.driver + "-layers",
                 self.driver + "-images", self.driver + "-containers"}
        self.assertEqual(names - set(os.listdir(self.s.root)), set())
        locks = [self.s.of("layers", "layers.lock"), self.s.of("images", "images.lock"),
                 (self.s.run_of if self.transient else self.s.of)("containers", "containers.lock"),
                 self.s.run_of("layers", "mountpoints.lock")]
        for lock in locks:
            self.assertTrue(os.path.isfile(lock), lock)
            self.assertEqual(self.mode(lock), 0o644, lock)

    def test_an_empty_store_has_no_tables(self):
        self.s.lines("layers")
        for noun in ("layers", "images", "containers"):
            self.assertFalse(os.path.exists(self.s.of(noun, noun + ".json")))


class Status(plumbing.Case):
    def pairs(self, *args, **more):
        r = self.s.run("status", *args, **more)
        self.assertEqual((r.status, r.out), (0, ""), r)
        return [tuple(line.split(": ", 1)) for line in r.err.splitlines()]

    def test_status_begins_with_roots_driver_and_options_on_stderr(self):
        self.assertEqual(self.pairs()[:4], [
            ("Root", self.s.root), ("Run Root", self.s.runroot), ("Driver Name", self.driver),
            ("Driver Options", f"[{' '.join(self.driver_options)}]")])

    def test_status_as_json_is_pairs_on_stdout(self):
        self.assertEqual([tuple(p) for p in self.s.json("status", "-j")], self.pairs())

    def test_status_names_the_options_in_order(self):
        options = {"overlay": ["overlay.ignore_chown_errors=true", "overlay.mountopt=nodev"],
                   "vfs": ["vfs.ignore_chown_errors=true"], "btrfs": ["btrfs.min_space=0"],
                   "zfs": ["zfs.mountopt=nodev"]}[self.driver]
        self.s.options = options
        self.assertIn(("Driver Options", f"[{' '.join([*self.driver_options, *options])}]"), self.pairs())

    def test_status_of_overlay_tells_what_the_kernel_can(self):
        self.overlay_only()
        keys = [k for k, _ in self.pairs()][4:]
        self.assertEqual(keys, ["Backing Filesystem", "Supports d_type", "Native Overlay Diff",
                                "Using metacopy", "Supports shifting", "Supports volatile"])
        values = dict(self.pairs())
        self.assertEqual((values["Supports d_type"], values["Native Overlay Diff"],
                          values["Using metacopy"], values["Supports volatile"]),
                         ("true", "true", "false", "true"))

    def test_shifting_can_be_turned_off_by_the_environment(self):
        self.overlay_only()
        self.assertIn(("Supports shifting", "false"), self.pairs())

    def test_status_of_vfs_has_nothing_of_the_driver(self):
        self.vfs_only()
        self.assertEqual(len(self.pairs()), 4)

    def test_relative_roots_become_absolute(self):
        for rel in ("rel/deep", "./dot/deep"):
            roots = ["-g", rel + "/root", "-R", rel + "/run", "-s", self.driver]
            pairs = dict(self.pairs(roots=roots, cwd=self.dir))
            path = os.path.normpath(os.path.join(self.dir, rel))
            self.assertEqual((pairs["Root"], pairs["Run Root"]), (path + "/root", path + "/run"))
            self.assertTrue(os.path.isdir(path + "/root"))

    def test_the_version_is_told_on_stderr(self):
        r = self.s.run("version")
        self.assertEqual((r.status, r.out), (0, ""))
        self.assertRegex(r.err, r"^Version: \d+\.\d+\S*\n$")

    def test_the_version_as_json_is_a_pair(self):
        (key, value), = self.s.json("version", "-j")
        self.assertEqual((key, f"Version: {value}\n"), ("Version", self.s.run("version").err))


class Config(plumbing.Case):
    def conf(self, text):
        return {"CONTAINERS_STORAGE_CONF": self.file("storage.conf", text.encode())}

    def options(self, text, *args):
        r = self.s.ok("config", *args, env=self.conf(text))
        self.assertTrue(r.out.endswith("}\n"), r)
        return json.loads(r.out)

    def test_config_is_json_of_the_options_of_the_store(self):
        found = self.options(f'[storage]\ndriver = "{self.driver}"\ngraphroot = "{self.dir}/g"\n'
                             f'runroot = "{self.dir}/r"\n')
        self.assertEqual({k: found[k] for k in ("root", "runroot", "driver")},
                         {"root": self.dir + "/g", "runroot": self.dir + "/r",
                          "driver": self.driver})

    def test_config_tells_the_options_of_the_driver(self):
        found = self.options(f'[storage]\ndriver = "overlay"\ngraphroot = "{self.dir}/g"\n'
                             f'runroot = "{self.dir}/r"\n[storage.options.overlay]\n'
                             'mountopt = "nodev"\nignore_chown_errors = "true"\n')
        self.assertEqual(found["driver-options"],
                         ["overlay.ignore_chown_errors=true", "overlay.mountopt=nodev"])

    def test_config_of_a_file_tells_what_that_file_says(self):
        other = self.file("other.conf", f'[storage]\ndriver = "vfs"\ngraphroot = "{self.dir}/o"\n'
                                        f'runroot = "{self.dir}/or"\n'.encode())
        found = self.options(f'[storage]\ndriver = "overlay"\ngraphroot = "{self.dir}/g"\n'
                             f'runroot = "{self.dir}/r"\n', other)
        self.assertEqual((found["root"], found["runroot"], found["driver"]),
                         (self.dir + "/o", self.dir + "/or", "vfs"))

    def test_without_any_root_or_driver_the_configured_store_is_used(self):
        conf = self.conf(f'[storage]\ndriver = "{self.driver}"\ngraphroot = "{self.s.root}"\n'
                         f'runroot = "{self.s.runroot}"\n')
        r = self.s.ok("create-layer", "-i", "one", env=conf, roots=[])
        self.assertEqual(r.out, "one\n")
        self.assertEqual([x["id"] for x in self.s.records("layers")], ["one"])

    def test_roots_and_driver_on_the_command_line_leave_the_configuration_aside(self):
        conf = self.conf('[storage]\ndriver = "vfs"\ngraphroot = "/nowhere"\nrunroot = "/nowhere"\n'
                         '[storage.options.overlay]\nmountopt = "nodev"\n')
        r = self.s.run("status", env=conf)
        self.assertIn(f"Root: {self.s.root}\n", r.err)
        self.assertIn("Driver Options: []\n", r.err)


if __name__ == "__main__":
    plumbing.main(__name__)
