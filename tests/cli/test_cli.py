#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does the command line say and do what its man pages promise?

usage: test_cli.py IMBREX PROBE words|root|user

words: parsing, help, errors; needs nothing. root, user: every verb on a real store, as root and as
an unprivileged user (of this machine, or one that root becomes).
"""
import gzip
import hashlib
import io
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import unittest

IMBREX, PROBE, LANE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), sys.argv[3]
USER = 64322
OCI = "application/vnd.oci.image."


def become_user():
    os.setgroups([])
    os.setresgid(USER, USER, USER)
    os.setresuid(USER, USER, USER)


class Result:
    def __init__(self, p):
        self.status, self.out, self.err = p.returncode, p.stdout, p.stderr

    def __repr__(self):
        return f"status {self.status}\n{self.out}\n{self.err}"


def environment(**more):
    env = {k: v for k, v in os.environ.items() if k not in (
        "STORAGE_DRIVER", "STORAGE_OPTS", "CONTAINERS_STORAGE_CONF", "NO_COLOR", "LC_ALL",
        "XDG_RUNTIME_DIR", "LANG", "LC_CTYPE")}
    return {**env, **more}


class Case(unittest.TestCase):
    maxDiff = None

    def run_it(self, *args, env=None, **more):
        become = become_user if LANE == "user" and os.geteuid() == 0 else None
        return Result(subprocess.run(
            [IMBREX, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=environment(**(env or {})), preexec_fn=become, stdin=subprocess.DEVNULL,
            check=False, timeout=120, **more))


class Words(Case):
    # argv, status, first line of stderr, hint
    USAGE = [
        (["pul", "x"], 2, "unknown verb 'pul'", "did you mean 'pull'?"),
        (["iamges"], 2, "unknown verb 'iamges'", "did you mean 'images'?"),
        (["push"], 2, "unknown verb 'push'", "'imbrex help' lists the verbs"),
        (["foo"], 2, "unknown verb 'foo'", "'imbrex help' lists the verbs"),
        (["kill"], 2, "unknown verb 'kill'", "'imbrex help' lists the verbs"),
        (["strt"], 2, "unknown verb 'strt'", "did you mean 'start'?"),
        (["frobnicate"], 2, "unknown verb 'frobnicate'", "'imbrex help' lists the verbs"),
        (["images", "--jsno"], 2, "unknown option '--jsno'", "did you mean '--json'?"),
        (["--rot", "/x", "images"], 2, "unknown option '--rot'", "did you mean '--root'?"),
        (["images", "-x"], 2, "unknown option '-x'", "'imbrex help images' shows how it is used"),
        (["images", "-qx"], 2, "unknown option '-x'", None),
        (["images", "--root"], 2, "option --root needs a value: DIR", None),
        (["images", "--json=yes"], 2, "option --json takes no value", None),
        (["--progress", "fancy", "images"], 2,
         "option --progress is one of auto, tty, plain, json, none, not 'fancy'", None),
        (["images", "--color=alwayz"], 2,
         "option --color is one of auto, always, never, not 'alwayz'", "did you mean 'always'?"),
        (["pull"], 2, "'pull' needs SRC", "imbrex pull [OPTIONS] SRC [NAME]"),
        (["tag", "x"], 2, "'tag' needs IMAGE NAME...", "imbrex tag [OPTIONS] IMAGE NAME..."),
        (["pull", "a", "b", "c"], 2, "'pull' takes only SRC [NAME]; 'c' is too many", None),
        (["images", "x"], 2, "'images' takes no operands; 'x' is too many", None),
        (["pull", "--jobs", "0", "x"], 2, "option --jobs takes a number from 1 on, not '0'", None),
        (["pull", "--jobs=-3", "x"], 2, "option --jobs takes a number from 1 on, not '-3'", None),
        (["pull", "--jobs=99999999999", "x"], 2,
         "option --jobs takes a number from 1 on, not '99999999999'", None),
        (["pull", "--tls-verify=maybe", "x"], 2,
         "option --tls-verify is true or false, not 'maybe'", None),
        (["pull", "--json", "x"], 2, "'pull' prints no records: --json has no meaning", None),
        (["rm"], 2, "'rm' needs CONTAINER..., or --all without any", None),
        (["rmi", "--all", "x"], 2, "'rmi' needs IMAGE..., or --all without any", None),
        (["completion", "tcsh"], 2,
         "no completion for shell 'tcsh': there is bash, zsh and fish", None),
        (["help", "pul"], 2, "unknown verb 'pul'", "did you mean 'pull'?"),
        (["run"], 125, "'run' needs IMAGE", "imbrex run [OPTIONS] IMAGE [CMD [ARG...]]"),
        (["start"], 125, "'start' needs CONTAINER",
         "imbrex start [OPTIONS] CONTAINER [CMD [ARG...]]"),
        (["start", "--pull", "x"], 125, "unknown option '--pull'", None),
        (["start", "--nmae", "x"], 125, "unknown option '--nmae'", None),
        (["run", "--nmae", "x", "y"], 125, "unknown option '--nmae'", "did you mean '--name'?"),
        (["x\x1b[31m\n"], 2, "unknown verb 'x?[31m?'", None),
    ]

    def test_wrong_usage_is_one_line_and_a_hint(self):
        for argv, status, message, hint in self.USAGE:
            with self.subTest(argv):
                r = self.run_it(*argv)
                self.assertEqual(r.status, status, r)
                self.assertEqual(r.out, "")
                lines = r.err.splitlines()
                self.assertEqual(lines[0], f"imbrex: {message}")
                self.assertEqual(len(lines), 2, "a hint is missing or too much is said")
                self.assertTrue(lines[1].startswith("hint: "))
                if hint:
                    self.assertEqual(lines[1], f"hint: {hint}")

    def verbs(self):
        return re.findall(r"^  ([a-z]+) +\w", self.run_it("--help").out, re.M)

    def test_every_verb_has_help(self):
        self.assertGreater(len(self.verbs()), 20)
        for verb in set(self.verbs()) - {"enroot", "storage"}:  # command lines of their own
            with self.subTest(verb):
                r = self.run_it(verb, "--help")
                self.assertEqual((r.status, r.err), (0, ""))
                self.assertTrue(r.out.startswith(f"Usage: imbrex {verb} [OPTIONS]"), r)
                self.assertEqual(r.out, self.run_it("help", verb).out)
                self.assertEqual(r.out, self.run_it("--help", verb).out)
                self.assertEqual(r.out, self.run_it(verb, "-h").out)

    def test_help_without_a_verb_lists_them(self):
        self.assertEqual(self.run_it("help").out, self.run_it("--help").out)
        r = self.run_it()
        self.assertEqual((r.status, r.out), (2, ""))
        self.assertEqual(r.err, self.run_it("--help").out)

    def test_help_begins_with_examples_that_exist(self):
        text = self.run_it("--help").out
        self.assertLess(text.index("Examples:"), text.index("Images:"))
        lines = re.findall(r"^    imbrex ([a-z]+) ", text, re.M)
        self.assertGreater(len(lines), 3)
        self.assertEqual(set(lines) - set(self.verbs()), set())

    def test_help_keeps_to_the_width_of_a_terminal(self):
        for args in [["help"]] + [["help", verb] for verb in self.verbs()]:
            for line in self.run_it(*args).out.splitlines():
                self.assertLessEqual(len(line), 100, line)

    def test_the_version_is_told_in_every_way(self):
        r = self.run_it("version")
        self.assertRegex(r.out, r"^imbrex \d+\.\d+\.\d+\n$")
        self.assertEqual(self.run_it("--version").out, r.out)
        self.assertEqual(self.run_it("images", "--version").out, r.out)
        record = json.loads(self.run_it("version", "--json").out)
        self.assertEqual(f"imbrex {record['version']}\n", r.out)
        self.assertEqual(record["library"], record["version"])

    def test_colour_is_for_terminals_only_or_when_asked_for(self):
        self.assertNotIn("\x1b", self.run_it("pul").err)
        self.assertIn("\x1b[1;31mimbrex:\x1b[0m", self.run_it("--color=always", "pul").err)

    def test_two_dashes_end_the_options(self):
        r = self.run_it("help", "--", "--json")
        self.assertIn("unknown verb '--json'", r.err)

    def test_a_full_disk_on_stdout_is_a_failure(self):
        with open("/dev/full", "w") as full:
            p = subprocess.run([IMBREX, "help"], stdout=full, stderr=subprocess.PIPE, text=True,
                               check=False)
        self.assertEqual(p.returncode, 1)
        self.assertEqual(p.stderr, "imbrex: write to stdout: No space left on device\n")

    def test_a_link_of_any_name_is_the_same_program(self):
        with tempfile.TemporaryDirectory() as d:
            os.symlink(IMBREX, d + "/other")
            p = subprocess.run([d + "/other", "version"], stdout=subprocess.PIPE, text=True,
                               check=False)
        self.assertRegex(p.stdout, "^imbrex ")

    def as_storage(self, *args, called="containers-storage"):
        return Result(subprocess.run([called, *args], executable=IMBREX, stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, text=True, env=environment(),
                                     stdin=subprocess.DEVNULL, check=False, timeout=120))

    def test_the_name_it_is_called_by_chooses_the_command_line(self):
        version = self.run_it("version").out.split()[-1]
        for r in (self.as_storage("version"), self.as_storage("version", called="./x/containers-storage"),
                  self.run_it("storage", "version"), self.run_it("--debug", "storage", "version")):
            self.assertEqual((r.status, r.out), (0, ""), r)
            self.assertEqual(r.err.splitlines()[-1], f"Version: {version}")
        r = self.as_storage("version", called="containers-storage2")
        self.assertEqual((r.status, r.out.split()[-1]), (0, version))
        self.assertEqual(self.run_it("help", "storage").status, 0)

    def test_plumbing_says_where_its_help_is(self):
        # called, arguments, status, end of stderr before the list of flags
        for called, args, status, see in [
                ("containers-storage", ["layers", "-jx"], 125,
                 "flag provided but not defined: -jx\nSee 'containers-storage layers --help'.\n"),
                ("/x/containers-storage", ["--nope"], 1,
                 "flag provided but not defined: --nope\n"
                 "See '/x/containers-storage containers-storage --help'.\n"),
                ("containers-storage", ["-D=maybe", "layers"], 1,
                 'invalid boolean value "maybe" for  -D: strconv.ParseBool: parsing "maybe": '
                 "invalid syntax\nSee 'containers-storage --help'.\n")]:
            with self.subTest(args):
                r = self.as_storage(*args, called=called)
                self.assertEqual(r.status, status, r)
                self.assertTrue(r.err.startswith(see), r)
                self.assertEqual("while parsing arguments (1)" in r.out, status == 1)
        self.assertTrue(self.run_it("storage", "--nope").err.startswith(
            "flag provided but not defined: --nope\nSee 'imbrex storage --help'.\n"))

    def test_completion_scripts_are_scripts(self):
        for shell in ("bash", "zsh", "fish"):
            with self.subTest(shell):
                script = self.run_it("completion", shell).out
                for word in self.verbs() + ["platform", "no-trunc"]:
                    self.assertIn(word, script)
                if shutil.which(shell):
                    subprocess.run([shell, "-n"], input=script, text=True, check=True)

    def complete(self, *words):
        script = self.run_it("completion", "bash").out + (
            'compopt() { :; }\nCOMP_WORDS=("$@")\nCOMP_CWORD=$(($# - 1))\n_imbrex\n'
            'printf "%s\\n" "${COMPREPLY[@]}"\n')
        p = subprocess.run(["bash", "-c", script, "-", *words], stdout=subprocess.PIPE, text=True,
                           env=environment(PATH=os.path.dirname(IMBREX) + ":/usr/bin:/bin"),
                           check=True)
        return p.stdout.split()

    def test_bash_completes_verbs_options_and_choices(self):
        self.assertEqual(self.complete("imbrex", "unt"), ["untag"])
        self.assertEqual(self.complete("imbrex", "pull", "--pl"), ["--platform="])
        self.assertEqual(self.complete("imbrex", "images", "--progress", "=", "p"), ["plain"])
        self.assertEqual(self.complete("imbrex", "run", "--network", ""), ["host", "none"])
        self.assertEqual(self.complete("imbrex", "start", "--network", "n"), ["none"])
        self.assertEqual(self.complete("imbrex", "start", "--ent"), ["--entrypoint="])
        self.assertEqual(self.complete("imbrex", "completion", "z"), ["zsh"])
        self.assertEqual(self.complete("imbrex", "storage", "create-l"), ["create-layer"])


# ---- a store ------------------------------------------------------------------------------------

def tar(members):
    """A tar of (name, content or None for a folder, mode)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for name, content, mode in members:
            info = tarfile.TarInfo(name)
            info.mode = mode
            info.mtime = 1_000_000_000
            if content is None:
                info.type = tarfile.DIRTYPE
            else:
                info.size = len(content)
            t.addfile(info, io.BytesIO(content or b""))
    return out.getvalue()


class Layout:
    """An OCI layout under construction."""

    def __init__(self, root):
        self.root, self.manifests = root, []
        os.makedirs(root + "/blobs/sha256")

    def put(self, kind, data):
        name = hashlib.sha256(data).hexdigest()
        with open(f"{self.root}/blobs/sha256/{name}", "wb") as f:
            f.write(data)
        return {"mediaType": OCI + kind, "digest": "sha256:" + name, "size": len(data)}

    def image(self, tag, tars, **config):
        layers = [self.put("layer.v1.tar+gzip", gzip.compress(t, mtime=0)) for t in tars]
        diff_ids = ["sha256:" + hashlib.sha256(t).hexdigest() for t in tars]
        document = self.put("config.v1+json", json.dumps({
            "created": "2020-01-02T03:04:05Z", "architecture": "amd64", "os": "linux",
            "config": config, "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [{"created": "2020-01-02T03:04:05Z", "created_by": f"step {i}"}
                        for i in range(len(tars))]}).encode())
        manifest = self.put("manifest.v1+json", json.dumps({
            "schemaVersion": 2, "mediaType": OCI + "manifest.v1+json", "config": document,
            "layers": layers}).encode())
        manifest["annotations"] = {"org.opencontainers.image.ref.name": tag}
        self.manifests.append(manifest)
        with open(self.root + "/index.json", "w") as f:
            json.dump({"schemaVersion": 2, "manifests": self.manifests}, f)
        with open(self.root + "/oci-layout", "w") as f:
            f.write('{"imageLayoutVersion":"1.0.0"}')
        return document["digest"][7:]


class Store(Case):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="imbrex-cli-")
        os.chmod(cls.dir, 0o755)
        cls.layout = cls.dir + "/layout"
        layout = Layout(cls.layout)
        with open(PROBE, "rb") as f:
            probe = f.read()
        base = tar([("bin", None, 0o755), ("bin/probe", probe, 0o755), ("etc", None, 0o755),
                    ("etc/passwd", b"root:x:0:0::/root:/bin/sh\nbob:x:1000:1000::/:/x\n", 0o644),
                    ("etc/group", b"root:x:0:\nbob:x:1000:\n", 0o644),
                    ("plain", b"text", 0o644)])
        process = {"Env": ["PATH=/bin", "COLOR=blue"], "Entrypoint": ["probe"], "Cmd": ["cwd"],
                   "WorkingDir": "/etc"}
        cls.base = layout.image("base", [base], **process)
        cls.one = layout.image("one", [base, tar([("one", b"1", 0o644)])], **process)
        cls.two = layout.image("two", [base, tar([("two", b"2", 0o644)])],
                               Env=["PATH=/bin"], User="bob")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dir, ignore_errors=True)

    def setUp(self):
        self.store = tempfile.mkdtemp(dir=self.dir)
        if LANE == "user" and os.geteuid() == 0:
            os.chown(self.store, USER, USER)
        self.at = ["--root", self.store + "/root", "--runroot", self.store + "/run"]
        self.env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": self.store,
                    "XDG_RUNTIME_DIR": self.store}

    def tearDown(self):
        self.cli("rm", "--all", "--force")
        subprocess.run(["umount", "-R", self.store + "/root/overlay"], stderr=subprocess.DEVNULL,
                       check=False)

    def cli(self, *args, **more):
        return self.run_it(*self.at, *args, env=self.env, **more)

    def ok(self, *args, **more):
        r = self.cli(*args, **more)
        self.assertEqual(r.status, 0, r)
        return r.out

    def records(self, *args):
        return json.loads(self.ok(*args, "--json"))

    def pull(self, tag="base", name=None):
        return self.ok("pull", "--progress=none", f"oci:{self.layout}:{tag}", name or tag).strip()

    def fails(self, r, status, message, hint=None):
        self.assertEqual(r.status, status, r)
        lines = r.err.splitlines()
        self.assertRegex(lines[0], "^imbrex: " + message)
        self.assertTrue(len(lines) == 1 or lines[1].startswith("hint: "), r)
        if hint:
            self.assertIn(hint, lines[1])


class Listings(Store):
    def test_an_empty_store_lists_nothing(self):
        for verb in ("images", "layers", "ps", "mount", "check"):
            self.assertEqual(self.records(verb), [], verb)
        self.assertEqual(self.ok("images").split(), ["NAME", "IMAGE", "ID", "CREATED", "LAYERS",
                                                     "SIZE"])
        self.assertEqual(self.ok("images", "-q"), "")

    def test_pull_prints_the_id_and_images_shows_it(self):
        self.assertEqual(self.pull(), self.base)
        record = self.records("images")[0]
        self.assertEqual(record["id"], self.base)
        self.assertEqual(record["names"], ["localhost/base:latest"])
        self.assertEqual(record["layers"], 1)
        self.assertRegex(record["digest"], "^sha256:[0-9a-f]{64}$")
        self.assertGreater(record["size_bytes"], 1000)
        row = self.ok("images").splitlines()[1]
        self.assertTrue(row.startswith("localhost/base:latest  " + self.base[:12]), row)
        self.assertIn(" ago", row)
        self.assertIn(self.base, self.ok("images", "--no-trunc"))
        self.assertEqual(self.ok("images", "-q"), self.base + "\n")

    def test_global_options_may_stand_behind_the_verb(self):
        self.pull()
        r = self.run_it("images", "--json", *self.at, env=self.env)
        self.assertEqual(len(json.loads(r.out)), 1)

    def test_the_tree_shows_who_shares_what(self):
        for tag in ("base", "one", "two"):
            self.pull(tag)
        lines = self.ok("layers", "--tree").splitlines()
        self.assertEqual(len(lines), 3)
        self.assertRegex(lines[0], r"^\* [0-9a-f]{12}  .*B  localhost/base:latest$")
        self.assertRegex(lines[1], r"^\|-\* [0-9a-f]{12}  .*B  localhost/(one|two):latest$")
        self.assertRegex(lines[2], r"^`-\* [0-9a-f]{12}  .*B  localhost/(one|two):latest$")
        self.env["LANG"] = "C.UTF-8"
        self.assertIn("├─●", self.ok("layers", "--tree"))
        layers = self.records("layers")
        self.assertEqual(sum(l["parent"] == "" for l in layers), 1)
        self.assertEqual({l["compression"] for l in layers}, {"gzip"})

    def test_names_come_and_go(self):
        self.pull()
        self.ok("tag", "base", "app:1", "app:2")
        self.assertEqual(len(self.records("images")[0]["names"]), 3)
        self.assertEqual(len(self.ok("images").splitlines()), 4)
        self.ok("untag", "base", "app:1")
        self.assertEqual(len(self.records("images")[0]["names"]), 2)
        self.ok("untag", "app:2")
        self.assertEqual(self.records("images")[0]["names"], [])
        self.assertIn("<none>", self.ok("images"))

    def test_inspect_prints_records_and_documents(self):
        self.pull("one")
        records = json.loads(self.ok("inspect", "one", self.one[:12]))
        self.assertEqual([r["id"] for r in records], [self.one, self.one])
        config = self.ok("inspect", "--document", "config", "one")
        self.assertEqual(hashlib.sha256(config.encode()).hexdigest(), self.one)
        manifest = json.loads(self.ok("inspect", "--document=manifest", "one"))
        self.assertEqual(len(manifest["layers"]), 2)

    def test_history_has_the_newest_step_first(self):
        self.pull("one")
        steps = self.records("history", "one")
        self.assertEqual([s["created_by"] for s in steps], ["step 1", "step 0"])
        self.assertEqual(self.ok("history", "one").splitlines()[1].split()[-3:-2], ["1"])

    def test_df_info_and_gc_have_something_to_say(self):
        self.pull("one")
        df = self.records("df")
        self.assertEqual((df["images"], df["layers"], df["containers"]), (1, 2, 0))
        self.assertIn("image layers", self.ok("df"))
        box = self.ok("create", "one").strip()
        df = self.records("df")
        self.assertEqual((df["images"], df["layers"], df["containers"]), (1, 2, 1))
        self.ok("rm", box)
        self.assertEqual(self.records("info")["Graph Root"], self.store + "/root")
        self.assertEqual(self.records("gc", "--dry-run"), [])

    def test_rmi_says_what_went(self):
        self.pull("one")
        self.ok("tag", "one", "more")
        out = self.records("rmi", "more")
        self.assertEqual(out, [{"untagged": ["localhost/more:latest"], "images": [], "layers": []}])
        out = self.records("rmi", "one")
        self.assertEqual(out[0]["images"], [self.one])
        self.assertEqual(len(out[0]["layers"]), 2)
        self.fails(self.cli("rmi", "one"), 1, ".*one.*")

    def test_a_missing_image_is_named(self):
        self.fails(self.cli("inspect", "nowhere"), 1, ".*nowhere")
        self.fails(self.cli("create", "nowhere"), 1, ".*nowhere", "imbrex pull nowhere")
        self.fails(self.cli("pull", f"oci:{self.layout}:wrong"), 1, ".*wrong")

    def test_check_finds_damage_and_exits_1(self):
        self.pull("one")
        self.assertEqual(self.ok("check"), "")
        damaged = [l for l in self.records("layers") if l["parent"]][0]["id"]
        driver = self.records("info")["Driver"]
        top = f"{self.store}/root/{driver}/{damaged}" if driver == "overlay" else \
            f"{self.store}/root/{driver}/dir/{damaged}"
        shutil.rmtree(top)
        r = self.cli("check", "--quick", "--json")
        self.assertEqual(r.status, 1, r)
        problems = json.loads(r.out)
        self.assertTrue(any(damaged in p["object"] for p in problems), problems)
        self.assertFalse(problems[0]["repaired"])
        self.assertIn("hint: imbrex check --repair", r.err)

    def test_nothing_is_coloured_in_a_pipe(self):
        self.pull("one")
        for args in (["images"], ["layers", "--tree"], ["ps"], ["history", "one"], ["df"]):
            r = self.cli(*args)
            self.assertNotIn("\x1b", r.out + r.err)
            for line in r.out.splitlines():
                self.assertEqual(line, line.rstrip())

    def test_a_name_for_completion_is_a_line(self):
        self.assertEqual(self.cli("__names", "images").out, "")
        self.assertFalse(os.path.exists(self.store + "/root"), "completion made a store")
        self.pull("one")
        self.assertEqual(self.ok("__names", "images"), "localhost/one:latest\n")


class Progress(Store):
    def pull_with(self, style):
        return self.cli("pull", f"--progress={style}", f"oci:{self.layout}:one", "one")

    def test_json_events_are_one_object_a_line(self):
        events = [json.loads(line) for line in self.pull_with("json").err.splitlines()]
        self.assertEqual([e["event"] for e in events].count("done"), 2)
        self.assertEqual({e["event"] for e in events} - {"start", "bytes", "done", "note"}, set())
        again = [json.loads(line) for line in self.pull_with("json").err.splitlines()]
        self.assertNotIn("start", [e["event"] for e in again])

    def test_plain_lines_begin_and_end_every_layer(self):
        r = self.pull_with("plain")
        self.assertEqual(len(re.findall(r"^[0-9a-f]{12}: fetching \d", r.err, re.M)), 2)
        self.assertEqual(len(re.findall(r"^[0-9a-f]{12}: done$", r.err, re.M)), 2)
        self.assertNotIn("\x1b", r.err)
        self.assertIn("already here", self.pull_with("plain").err)

    def test_quiet_and_none_say_nothing(self):
        self.assertEqual(self.pull_with("none").err, "")
        self.assertEqual(self.cli("pull", "-q", f"oci:{self.layout}:two", "two").err, "")

    def test_the_terminal_is_clean_afterwards(self):
        r = self.pull_with("tty")
        self.assertIn("of 2 ready", r.err)
        self.assertTrue(r.err.endswith("\x1b[J"), repr(r.err[-40:]))
        self.assertEqual(r.out, self.one + "\n")


class Terminal(Store):
    def on_terminal(self, columns, *args):
        become = become_user if LANE == "user" and os.geteuid() == 0 else None
        parent, child = pty.openpty()
        subprocess.run(["stty", "cols", str(columns)], stdin=child, check=True)
        p = subprocess.Popen([IMBREX, *self.at, *args], stdin=child, stdout=child, stderr=child,
                             env=environment(TERM="xterm", **self.env), preexec_fn=become)
        os.close(child)
        out = b""
        while True:
            try:
                data = os.read(parent, 65536)
            except OSError:
                break
            if not data:
                break
            out += data
        os.close(parent)
        p.wait()
        return out.decode()

    def test_rows_are_cut_at_the_width(self):
        self.pull("one", "localhost/a-rather-long-name-of-an-image/with-parts:and-a-tag")
        for columns in (20, 40, 60, 80, 200):
            for line in self.on_terminal(columns, "images").splitlines():
                self.assertLessEqual(len(line), columns)
        self.assertIn("~", self.on_terminal(70, "images"))

    def test_an_empty_list_says_how_to_begin(self):
        self.assertIn("no images yet: 'imbrex pull SRC' fetches one", self.on_terminal(80, "images"))
        self.assertIn("no containers yet: 'imbrex create IMAGE'", self.on_terminal(80, "ps"))
        self.assertNotIn("yet", self.on_terminal(80, "images", "-q"))
        self.assertNotIn("yet", self.on_terminal(80, "images", "--json"))
        self.assertEqual(self.cli("images").err, "")
        self.pull()
        self.assertNotIn("yet", self.on_terminal(80, "images"))

    def test_errors_have_colour(self):
        self.assertIn("\x1b[1;31mimbrex:", self.on_terminal(80, "pul"))


class Containers(Store):
    def test_create_ps_rm(self):
        self.pull()
        first = self.ok("create", "base", "--name", "work").strip()
        self.assertRegex(first, "^[0-9a-f]{64}$")
        record = self.records("ps")[0]
        self.assertEqual((record["id"], record["names"]), (first, ["work"]))
        self.assertEqual(record["image"], self.base)
        self.assertIn("work", self.ok("ps"))
        self.assertIn("container work", self.ok("layers"))
        self.fails(self.cli("create", "base", "--name", "work"), 1, ".*work")
        self.fails(self.cli("rmi", self.base), 1, ".*" + self.base[:12], "--force")
        self.assertEqual(self.ok("rm", "work"), first + "\n")
        self.assertEqual(self.records("ps"), [])
        self.fails(self.cli("rm", "work"), 1, ".*work")

    def test_mounts_are_counted(self):
        self.pull()
        self.ok("create", "base", "--name", "work")
        if LANE == "user" and self.records("info")["Driver"] != "vfs":
            self.fails(self.cli("mount", "work"), 1, "mount 'work': .*ends with the command",
                       "imbrex unshare")
            self.skipTest("an unprivileged user mounts inside imbrex unshare")
        path = self.ok("mount", "work").strip()
        self.assertEqual(self.ok("mount", "work").strip(), path)
        with open(path + "/plain") as f:
            self.assertEqual(f.read(), "text")
        self.assertEqual(self.records("mount")[0]["mount_path"], path)
        self.assertIn("still mounted: 1 more", self.cli("umount", "work").err)
        self.assertEqual(self.cli("umount", "work").err, "")
        self.assertEqual(self.records("mount"), [])

    def test_rm_all_force_removes_what_is_mounted(self):
        self.pull()
        self.ok("create", "base")
        self.ok("create", "base")
        if LANE == "root":
            self.ok("mount", self.records("ps")[0]["id"])
        self.assertEqual(len(self.ok("rm", "--all", "--force").splitlines()), 2)


class Run(Store):
    def probe(self, *args, **more):
        return self.cli("run", "--progress=none", *args, **more)

    def test_the_image_says_what_runs_and_where(self):
        self.pull()
        r = self.probe("base")
        self.assertEqual((r.status, r.out.strip()), (0, "cwd: /etc"), r)
        self.assertEqual(self.records("ps"), [])

    def test_the_command_line_has_the_last_word(self):
        self.pull()
        self.assertEqual(self.probe("-w", "/bin", "base", "cwd").out.strip(), "cwd: /bin")
        out = self.probe("-e", "COLOR=red", "--env=A=b", "-e", "NOT_SET", "base", "env").out
        self.assertIn("COLOR=red", out)
        self.assertNotIn("COLOR=blue", out)
        self.assertIn("A=b", out)
        self.assertNotIn("NOT_SET", out)
        r = self.cli("run", "--entrypoint", "", "base", "/bin/probe", "exit", "7")
        self.assertEqual(r.status, 7, r)

    def test_options_behind_the_image_are_the_programs(self):
        self.pull()
        self.assertEqual(self.probe("base", "--help").status, 99)

    def test_statuses_pass_through(self):
        self.pull()
        self.assertEqual(self.probe("base", "exit", "42").status, 42)
        self.fails(self.probe("--entrypoint", "nothing", "base"), 127, ".*nothing")
        self.fails(self.probe("--entrypoint", "/plain", "base"), 126, ".*plain")
        self.fails(self.probe("--pull=never", "nowhere"), 125, ".*nowhere")
        self.fails(self.probe("-v", "relative:other", "base"), 125, "option --mount takes SRC:DST")
        self.fails(self.probe("-v", "/nowhere:/x", "base"), 125, "mount '/nowhere:/x': .*No such")
        self.fails(self.probe("-v", "/:/x:rx", "base"), 125, "mount '/:/x:rx': unknown option 'rx'")
        self.assertEqual(self.records("ps"), [])

    def test_an_image_without_a_program_asks_for_one(self):
        self.pull("two")
        self.fails(self.probe("two"), 125, "image 'two' names no program to run",
                   "imbrex run two CMD")

    def test_a_source_is_fetched_first(self):
        r = self.probe(f"oci:{self.layout}:base", "exit", "3")
        self.assertEqual(r.status, 3, r)
        self.assertEqual(self.records("images")[0]["id"], self.base)

    def test_a_slip_in_a_mount_fetches_nothing(self):
        r = self.probe("-v", "/nowhere:/x", f"oci:{self.layout}:base")
        self.fails(r, 125, "mount '/nowhere:/x': .*No such")
        self.assertEqual(self.records("images"), [])

    def test_keep_keeps_what_was_written(self):
        self.pull()
        r = self.probe("--keep", "--name", "kept", "base", "put", "/new")
        self.assertEqual(r.status, 0, r)
        self.assertEqual(self.records("ps")[0]["names"], ["kept"])

    def test_read_only_is_read_only(self):
        self.pull()
        self.assertNotIn("ok", self.probe("--read-only", "base", "put", "/new").out)
        self.assertNotIn("Read-only", self.probe("--read-only", "--rw", "base", "put", "/n").out)

    def test_binds_show_files_of_this_machine(self):
        self.pull()
        with open(self.store + "/secret", "w") as f:
            f.write("from outside")
        r = self.probe("-v", f"{self.store}/secret:/inside:ro", "base", "cat", "/inside")
        self.assertIn("from outside", r.out, r)

    def test_a_signal_ends_the_program_and_the_container_goes(self):
        self.pull()
        become = become_user if LANE == "user" and os.geteuid() == 0 else None
        p = subprocess.Popen([IMBREX, *self.at, "run", "base", "wait"], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, env=environment(**self.env),
                             preexec_fn=become)
        self.assertTrue(select.select([p.stdout], [], [], 60)[0])
        p.stdout.readline()
        p.send_signal(signal.SIGTERM)
        p.communicate(timeout=60)
        self.assertEqual(self.records("ps"), [])


class Start(Store):
    def setUp(self):
        super().setUp()
        self.pull()
        self.id = self.ok("create", "base", "--name", "box").strip()

    def start(self, *args, **more):
        return self.cli("start", *args, **more)

    def test_without_a_command_the_image_says_what_runs(self):
        r = self.start("box")
        self.assertEqual((r.status, r.out.strip(), r.err), (0, "cwd: /etc", ""), r)

    def test_a_container_is_found_by_id_and_by_its_beginning(self):
        for name in (self.id, self.id[:12]):
            self.assertEqual(self.start(name, "exit", "5").status, 5)

    def test_what_is_written_stays_and_nothing_stays_mounted(self):
        self.assertEqual(self.start("box", "put", "/new").status, 0)
        self.assertEqual(self.start("box", "cat", "/new").status, 0)
        record = self.records("ps")[0]
        self.assertEqual((record["id"], record["mount_count"]), (self.id, 0))
        r = self.cli("run", "base", "cat", "/new")
        self.assertIn("No such file", r.out + r.err, "the image was written to")

    def test_options_hold_for_one_program(self):
        out = self.start("-e", "COLOR=red", "-w", "/bin", "box", "env", "cwd").out
        self.assertIn("COLOR=red", out)
        self.assertIn("cwd: /bin", out)
        self.assertIn("COLOR=blue", self.start("box", "env").out)
        r = self.start("--entrypoint", "/bin/probe", "box", "exit", "7")
        self.assertEqual(r.status, 7, r)
        self.assertNotIn("ok", self.start("--read-only", "box", "put", "/x").out)
        self.assertEqual(self.start("box", "--help").status, 99)
        with open(self.store + "/secret", "w") as f:
            f.write("from outside")
        r = self.start("-v", f"{self.store}/secret:/inside:ro", "box", "cat", "/inside")
        self.assertIn("from outside", r.out, r)

    def test_statuses_are_those_of_run(self):
        self.fails(self.start("--entrypoint", "nothing", "box"), 127, ".*nothing")
        self.fails(self.start("--entrypoint", "/plain", "box"), 126, ".*plain")
        self.fails(self.start("nowhere"), 125, ".*'nowhere'", "imbrex ps")
        self.fails(self.start("base"), 125, ".*'base'", "imbrex run base")
        self.fails(self.start("-v", "relative:other", "box"), 125, "option --mount takes SRC:DST")
        self.assertEqual(self.records("ps")[0]["mount_count"], 0)

    def test_an_image_without_a_program_asks_for_one(self):
        self.pull("two")
        self.ok("create", "two", "--name", "bare")
        self.fails(self.start("bare"), 125, "image 'localhost/two:latest' names no program to run",
                   "imbrex start bare CMD")

    def test_a_container_without_an_image_needs_a_program(self):
        driver = self.records("info")["Driver"]
        path = f"{self.store}/root/{driver}-containers/containers.json"
        with open(path, encoding="utf-8") as f:
            records = json.load(f)
        records[0]["image"] = ""
        with open(path, "w", encoding="utf-8") as f:
            json.dump(records, f)
        self.fails(self.start("box"), 125, "container 'box' has no image that names a program",
                   "imbrex start box CMD")
        self.assertEqual(self.start("box", "/bin/probe", "exit", "6").status, 6)

    def private_mounts(self):
        return LANE == "user" and self.records("info")["Driver"] != "vfs"

    def begin(self, *args):
        become = become_user if LANE == "user" and os.geteuid() == 0 else None
        p = subprocess.Popen([IMBREX, *self.at, "start", *args], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, env=environment(**self.env),
                             preexec_fn=become)
        self.assertTrue(select.select([p.stdout], [], [], 60)[0])
        p.stdout.readline()
        return p

    def test_a_signal_ends_the_program_and_the_mount_goes(self):
        p = self.begin("box", "wait")
        p.send_signal(signal.SIGTERM)
        p.communicate(timeout=60)
        self.assertNotEqual(p.returncode, 125)
        record = self.records("ps")[0]
        self.assertEqual((record["names"], record["mount_count"]), (["box"], 0))

    def test_two_programs_share_a_container(self):
        p = self.begin("box", "wait")
        r = self.start("box", "put", "/from-the-second")
        if self.private_mounts():
            self.fails(r, 125, "container 'box' is in use", "imbrex umount box")
        else:
            self.assertEqual((r.status, r.err), (0, ""), r)
        p.send_signal(signal.SIGTERM)
        self.assertEqual(p.communicate(timeout=60)[1], "")
        self.assertEqual(self.records("ps")[0]["mount_count"], 0)
        found = self.start("box", "cat", "/from-the-second").status
        self.assertEqual(found, 1 if self.private_mounts() else 0)

    def test_after_a_kill_the_container_is_usable_again(self):
        p = self.begin("box", "wait")
        p.kill()
        p.communicate(timeout=60)
        if self.private_mounts():
            self.fails(self.start("box"), 125, "container 'box' is in use", "imbrex umount box")
        self.ok("umount", "box")
        self.assertEqual(self.start("box", "exit", "3").status, 3)
        self.assertEqual(self.records("ps")[0]["mount_count"], 0)


class User(Store):
    @unittest.skipUnless(LANE == "user", "for unprivileged users")
    def test_unshare_runs_a_program_as_root_of_a_namespace(self):
        self.assertEqual(self.ok("unshare", "id", "-u"), "0\n")
        self.assertEqual(self.cli("unshare", "sh", "-c", "exit 9").status, 9)
        self.assertEqual(self.ok("unshare", "sh", "-c", "echo $_CONTAINERS_ROOTLESS_UID").strip(),
                         str(USER if os.geteuid() == 0 else os.geteuid()))
        self.fails(self.cli("unshare", "no-such-program"), 127, "execute 'no-such-program'")

    @unittest.skipUnless(LANE == "root", "for root")
    def test_root_is_told_that_it_needs_no_unshare(self):
        self.fails(self.cli("unshare", "true"), 125, "unshare is for unprivileged users")


def prepare():
    """Exit 77 where the lane cannot run."""
    if LANE == "root" and os.geteuid() != 0:
        print("skipped: needs root")
        sys.exit(77)
    if LANE == "user":
        for p in (IMBREX, PROBE):
            become = become_user if os.geteuid() == 0 else None
            if subprocess.run(["test", "-x", p], preexec_fn=become, check=False).returncode:
                print(f"skipped: an unprivileged user cannot reach {p}")
                sys.exit(77)
        become = become_user if os.geteuid() == 0 else None
        if subprocess.run(["unshare", "-Ur", "true"], preexec_fn=become, check=False,
                          stderr=subprocess.DEVNULL).returncode:
            print("skipped: no user namespaces for unprivileged users here")
            sys.exit(77)


if __name__ == "__main__":
    prepare()
    cases = [Words] if LANE == "words" else [
        Listings, Progress, Terminal, Containers, Run, Start, User]
    suite = unittest.TestSuite(
        unittest.defaultTestLoader.loadTestsFromTestCase(c) for c in cases)
    sys.exit(not unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful())
