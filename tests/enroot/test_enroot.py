#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does the enroot face say and do what enroot does?

usage: test_enroot.py IMBREX words|root|user|btrfs [CLASS...]

words: parsing, settings, messages; needs nothing. root, user: images of a registry become files and
containers, as root and as an unprivileged user (of this machine, or one that root becomes).
"""
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

import fixture
from fixture import Case, tree

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "registry"))
import engine  # noqa: E402

IMBREX, LANE = os.path.abspath(sys.argv[1]), sys.argv[2]
ONLY = sys.argv[3:]
RC = """\
# enroot-provenance: docker://{host}#team/app:1
# org.z last line
# a.first 1

mkdir -p "/srv/app" 2> /dev/null
cd "/srv/app" && unset OLDPWD || exit 1

if [ -s /etc/rc.local ]; then
    . /etc/rc.local
fi

if [ $# -gt 0 ]; then
    exec '/bin/echo' 'it'\\''s' "$@"
else
    exec '/bin/echo' 'it'\\''s' 'a b' '$HOME'
fi
"""
RC_LOCAL = """\
# This file is sourced by /etc/rc when the container starts.
# It can be used to manipulate the entrypoint or the command of the container.
"""
FSTAB = """\
${ENROOT_ROOTFS}/a\\040vol /a\\040vol none x-create=dir,bind,rw,nosuid,nodev
${ENROOT_ROOTFS}/data /data none x-create=dir,bind,rw,nosuid,nodev
"""
ENVIRONMENT = "PATH=/usr/bin:/bin\nGREETING=hello world\n"
ABSENT = "No such file or directory"


class Words(Case):
    # argv, status, stdout, stderr; {root} is the folder of the test
    TABLE = [
        (["version"], 0, "4.1.2\n", ""),
        (["list"], 0, "", ""),
        (["list", "-f"], 0, None, ""),
        (["list", "--fancy", "whatever"], 0, None, ""),
        (["import", ""], 1, "", "[ERROR] Invalid argument\n"),
        (["import", "ftp://x"], 1, "", "[ERROR] Invalid argument: ftp://x\n"),
        (["import", "docker://"], 1, "", "[ERROR] Invalid image reference: docker://\n"),
        (["import", "docker:///abs"], 1, "", "[ERROR] Invalid image reference: docker:///abs\n"),
        (["import", "docker://nvcr.io#Nvidia/x"], 1, "",
         "[ERROR] Invalid image reference: docker://nvcr.io#Nvidia/x\n"),
        (["import", "dockerd://a@b"], 1, "", "[ERROR] Invalid image reference: dockerd://a@b\n"),
        (["import", "-a", "mips", "docker://x"], 1, "",
         "[ERROR] Unsupported architecture: mips\n"),
        (["import", "-o", "/nonexist/dir/x.sqsh", "docker://x"], 1, "",
         f"[ERROR] {ABSENT}: /nonexist/dir\n"),
        (["import", "-f", "tar", "docker://x"], 1, "",
         "[ERROR] ENROOT_ZFS_IMPORT_FORMAT must be 'pointer' or 'squashfs', not 'tar'\n"),
        (["import", "zfs://host/x"], 1, "",
         "[ERROR] zfs:// URIs require ENROOT_STORAGE_BACKEND=zfs\n"),
        (["import", "-o", "there", "docker://x"], 1, "",
         "[ERROR] File already exists: {root}/work/there\n"),
        (["load", "-n", "a/b", "docker://x"], 1, "", "[ERROR] Invalid argument: a/b\n"),
        (["load", "ftp://x"], 1, "", "[ERROR] Invalid argument: ftp://x\n"),
        (["load", "podman://a@b"], 1, "", "[ERROR] Invalid image reference: podman://a@b\n"),
        (["load", "zfs://host/x"], 1, "",
         "[ERROR] zfs:// URIs require ENROOT_STORAGE_BACKEND=zfs\n"),
        (["digest", "podman://x"], 1, "", "[ERROR] Invalid argument: podman://x\n"),
        (["create", "nothing"], 1, "", f"[ERROR] {ABSENT}: {{root}}/work/nothing\n"),
        (["create", ""], 1, "", "[ERROR] Invalid argument\n"),
        (["create", "there"], 1, "", "[ERROR] Invalid image format: {root}/work/there\n"),
        (["create", "-n", "a/b", "image.sqsh"], 1, "", "[ERROR] Invalid argument: a/b\n"),
        (["create", "pointer"], 1, "", "[ERROR] {root}/work/pointer is a ZFS pointer file; "
         "ENROOT_STORAGE_BACKEND=zfs (or store) is required to use it\n"),
        (["create", "stream.sqsh"], 1, "",
         "[ERROR] .zfs images require ENROOT_STORAGE_BACKEND=zfs\n"),
        (["import", "--zfs-recv"], 1, "", "[ERROR] --zfs-recv requires -n NAME\n"),
        (["import", "--zfs-recv", "-n", "box"], 1, "",
         "[ERROR] --zfs-recv requires ENROOT_STORAGE_BACKEND=zfs\n"),
        (["import", "--zfs-status", "-n", "box"], 1, "",
         "[ERROR] --zfs-status requires ENROOT_STORAGE_BACKEND=zfs\n"),
        (["export", "--zfs-send", "box"], 1, "",
         "[ERROR] --zfs-send requires ENROOT_STORAGE_BACKEND=zfs\n"),
        (["export", "nobody"], 1, "", f"[ERROR] {ABSENT}: {{root}}/data/nobody\n"),
        (["export", "a/b"], 1, "", "[ERROR] Invalid argument: a/b\n"),
        (["export", "--format", "iso", "box"], 1, "", "[ERROR] Invalid format: iso\n"),
        (["export", "--format=zfs", "box"], 1, "",
         "[ERROR] --format=zfs requires ENROOT_STORAGE_BACKEND=zfs\n"),
        (["export", "-o", "zfs://h", "box"], 1, "",
         "[ERROR] zfs:// destinations require ENROOT_STORAGE_BACKEND=zfs\n"),
        (["export", "-o", "there", "box"], 1, "",
         "[ERROR] File already exists: {root}/work/there\n"),
        (["remove", "nobody"], 1, "", f"[ERROR] {ABSENT}: {{root}}/data/nobody\n"),
        (["remove", "-f", "nobody"], 1, "", f"[ERROR] {ABSENT}: {{root}}/data/nobody\n"),
        (["remove", "../data"], 1, "", "[ERROR] Invalid argument: ../data\n"),
        (["remove", "box"], 1, "", ""),
        (["start", "box"], 1, "", "[ERROR] start is not part of this version; 'imbrex run' and "
         "'imbrex start' run programs in containers\n"),
        (["exec", "1", "true"], 1, "", None),
        (["batch", "x"], 1, "", None),
        (["bundle", "x"], 1, "", None),
    ]
    # argv whose answer is the command's usage, on stdout
    USAGES = [
        (["import"], 1), (["import", "a", "b"], 1), (["import", "-x", "a"], 1),
        (["import", "--zfs-recv", "-n", "x", "zfs://h/x"], 1), (["import", "-o"], 1), (["import", "--output=", "a"], 1), (["import", "-oname", "a"], 1),
        (["import", "--help"], 0), (["list", "-h"], 0), (["list", "-ff"], 1), (["info", "x"], 1),
        (["remove"], 1), (["remove", "--force=y", "box"], 1), (["export", "-f"], 1),
        (["export", "a", "b"], 1), (["create", "-n", "", "x"], 1), (["load", "-nf", "x"], 1),
        (["digest"], 1), (["digest", "-o", "x", "y"], 1),
    ]
    # lines of a configuration, value or None; {root} is the folder of the test
    VALUES = [
        ("ENROOT_A 1", "1"), ("ENROOT_A=1", "1"), ("ENROOT_A = 1", "1"), ("  ENROOT_A\t= 1 ", "1"),
        ("ENROOT_A -3   --long", "-3 --long"), ('ENROOT_A "-3   --long"', "-3   --long"),
        ("ENROOT_A a # comment", "a"), ("ENROOT_A a#b", "a#b"), ("ENROOT_A '$HOME'", "$HOME"),
        ("ENROOT_A ${HOME}/x", "{root}/home/x"), ("ENROOT_A $HOME", "{root}/home"),
        ("ENROOT_A ~/x", "{root}/home/x"), ("ENROOT_A ${NOT_SET:-y z}", "y z"),
        ("ENROOT_A ${HOME:+y}", "y"), ("ENROOT_A \"${NOT_SET-'q'}\"", "'q'"),
        ("ENROOT_A ${NOT_SET:-${HOME}}/$(id -u)", "{root}/home/{uid}"),
        ("ENROOT_A ${UID}", "{uid}"), ("ENROOT_A a\\ b\\$", "a b$"), ("ENROOT_A $NOT_SET", None),
        ("ENROOT_A", None), ("#ENROOT_A 1", None), ("ENROOT_a 1", None), ("ENROOT_A1 1", None),
        ("PATH /x", None), ("ENROOT_A no", None), ("ENROOT_A False", None), ("ENROOT_A 0", "0"),
        ("ENROOT_A first\nENROOT_A second", "first"),
    ]
    REFUSED = ["$(rm -rf /)", "`id`", "a; b", "a | b", "a > b", "a & b", "(a)", "'open", '"open',
               "${x!}", "${HOME", "${HOME/a/b}"]
    NAMES = [
        ("docker://ubuntu", "ubuntu+latest"), ("docker://library/ubuntu:1", "ubuntu+1"),
        ("docker://docker.io/ubuntu", "ubuntu+latest"),
        ("docker://nvcr.io#nvidia/cuda:12", "nvidia+cuda+12"),
        ("docker://nvcr.io/nvidia/cuda:12", "nvidia+cuda+12"),
        ("docker://$oauthtoken@nvcr.io#nvidia/x:1", "nvidia+x+1"),
        ("docker://me@x.y@nvcr.io#a/b", "a+b+latest"), ("docker://a/b/c:d", "a+b+c+d"),
        ("docker://localhost:5000/a/b:c", "a+b+c"), ("docker://u#b", "b+latest"),
        ("docker://x:1@sha256:abc", "x+sha256:abc"), ("dockerd://a/b:c", "a+b+c"),
        ("podman://a", "a"),
    ]

    def setUp(self):
        super().setUp()
        for name, data in (("there", b"x"), ("image.sqsh", b"hsqs"),
                           # Told by content; cut behind it.
                           ("stream.sqsh", bytes(8) + bytes.fromhex("accbbaf502000000"))):
            with open(self.path("work", name), "wb") as f:
                f.write(data)
        self.pointer()
        os.mkdir(self.path("data", "box"))

    def pointer(self, **more):
        lines = {"image-config-sha256": "a" * 64, "manifest-digest": "sha256:" + "b" * 64,
                 "arch": "amd64", "uri": "docker://nvcr.io#a/b:c",
                 "imported": "2026-01-02T03:04:05Z", "unknown": "x", **more}
        with open(self.path("work", "pointer"), "w", encoding="ascii") as f:
            f.write("enroot-zfs-image:v1\n" +
                    "".join(f"{k}={v}\n" for k, v in lines.items() if v is not None))

    def test_each_command_answers_as_enroot_does(self):
        shutil.rmtree(self.path("data", "box"))
        for args, status, out, err in self.TABLE:
            if "box" in args:
                os.makedirs(self.path("data", "box"), exist_ok=True)
            r = self.enroot(*args)
            root = os.path.realpath(self.root)
            got = (r.status, r.out if out is not None else None,
                   r.err if err is not None else None)
            want = (status, out, err.replace("{root}", root) if err is not None else None)
            self.assertEqual(got, want, args)

    def test_wrong_words_show_the_usage_of_the_command(self):
        for args, status in self.USAGES:
            r = self.enroot(*args)
            self.assertEqual((r.status, r.err), (status, ""), args)
            self.assertTrue(r.out.startswith(f"Usage: imbrex enroot {args[0]}") or
                            r.out.startswith(f"Usage: enroot {args[0]}"), r)

    def test_without_a_command_the_usage_lists_all(self):
        for args, status in (([], 1), (["help"], 0), (["frobnicate"], 1), (["--help"], 1)):
            r = self.enroot(*args)
            self.assertEqual((r.status, r.err), (status, ""), args)
            self.assertRegex(r.out, r"^Usage: enroot COMMAND \[ARG\.\.\.\]\n")
            for name in ("import", "load", "create", "export", "list", "remove", "digest", "info",
                         "version"):
                self.assertRegex(r.out, rf"(?m)^    {name} ")

    def test_the_link_and_the_verb_are_the_same(self):
        a = subprocess.run([IMBREX, "enroot", "version"], env=self.env(), capture_output=True,
                           check=False)
        self.assertEqual((a.returncode, a.stdout), (0, b"4.1.2\n"))

    def configure(self, text, name="enroot.conf"):
        path = self.path("etc", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)

    def settings(self, **env):
        r = self.good("info", env=env)
        self.assertTrue(r.out.startswith(
            f"Enroot version: 4.1.2\nConfig file: {self.path('etc')}/enroot.conf\n\n"
            "Environment variables:\n"), r)
        lines = r.out.split("Environment variables:\n")[1].splitlines()
        self.assertEqual(lines, sorted(lines))
        return dict(line.strip().split("=", 1) for line in lines)

    def test_values_are_read_as_a_shell_would(self):
        for line, want in self.VALUES:
            self.configure(line + "\n")
            got = self.settings().get("ENROOT_A")
            want = want and want.replace("{root}", self.root).replace("{uid}", str(os.geteuid()))
            self.assertEqual(got, want, line)

    DEFAULTS = {
        "ENROOT_LIBRARY_PATH": "/usr/lib/enroot", "ENROOT_SYSCONF_PATH": "{root}/etc",
        "ENROOT_GZIP_PROGRAM": "gzip", "ENROOT_ZSTD_OPTIONS": "-1",
        "ENROOT_SQUASH_OPTIONS": "-comp lzo -noD -exit-on-error",
        "ENROOT_MAX_PROCESSORS": str(len(os.sched_getaffinity(0))), "ENROOT_MAX_CONNECTIONS": "10",
        "ENROOT_CONNECT_TIMEOUT": "30", "ENROOT_TRANSFER_TIMEOUT": "0", "ENROOT_TRANSFER_RETRIES": "0",
        "ENROOT_LOGIN_SHELL": "true", "ENROOT_NATIVE_OVERLAYFS": "true",
        "ENROOT_STORAGE_BACKEND": "dir", "ENROOT_TEMPLATE_WARM_SECONDS": "604800",
        "ENROOT_TEMPLATE_PRESSURE_THRESHOLD": "80",
        "ENROOT_RUNTIME_PATH": "/run/enroot", "ENROOT_CONFIG_PATH": "{root}/home/.config/enroot",
        "ENROOT_CACHE_PATH": "{root}/home/.cache/enroot",
        "ENROOT_DATA_PATH": "{root}/home/.local/share/enroot", "ENROOT_TEMP_PATH": "/tmp",
    }

    def test_defaults_are_enroots(self):
        """All of its table; what is false is not there."""
        paths = {f"ENROOT_{n}_PATH": "" for n in ("DATA", "CACHE", "CONFIG", "TEMP", "RUNTIME")}
        got = self.settings(**paths, ENROOT_ALLOW_HTTP="")
        self.assertEqual(got, {k: v.replace("{root}", self.root) for k, v in self.DEFAULTS.items()})
        xdg = {f"XDG_{n}_HOME": f"{self.root}/x{n}" for n in ("CONFIG", "CACHE", "DATA")}
        got = self.settings(**paths, **xdg, XDG_RUNTIME_DIR=self.root + "/run", TMPDIR="/var/tmp")
        self.assertEqual([got[f"ENROOT_{n}_PATH"] for n in ("CONFIG", "CACHE", "DATA", "RUNTIME", "TEMP")],
                         [f"{self.root}/xCONFIG/enroot", f"{self.root}/xCACHE/enroot",
                          f"{self.root}/xDATA/enroot", f"{self.root}/run/enroot", "/var/tmp"])

    def test_force_override_is_force_everywhere_but_for_import(self):
        env = {"ENROOT_FORCE_OVERRIDE": "y"}
        self.check(["import", "-o", "there", "docker://x"], 1, "",
                   "[ERROR] File already exists: {root}/work/there\n", env=env)
        self.good("export", "-o", "there", "box", env=env)
        self.good("create", "-n", "box", "there", env=env)
        self.good("remove", "box", env=env)
        self.check(["list"], 0, "")

    def test_names_of_containers_follow_from_files(self):
        self.good("export", "-o", "there", "-f", "box")
        for file, name in (("a.sqsh", "a"), ("b.squashfs", "b.squashfs"), ("c", "c"), ("d.sqsh.sqsh", "d.sqsh"),
                           ("e.zfs.sqsh", "e.zfs")):
            shutil.copy(self.path("work", "there"), self.path("work", file))
            self.good("create", file)
            self.assertTrue(os.path.isdir(self.path("data", name)), file)

    def test_what_a_shell_would_execute_is_refused(self):
        for value in self.REFUSED:
            self.configure(f"\nENROOT_A {value}\n")
            r = self.enroot("version")
            self.assertEqual((r.status, r.out), (
                1, f"Invalid configuration file: {self.path('etc')}/enroot.conf\n"), value)
            self.assertRegex(r.err, r"enroot\.conf: line 2: the value of ENROOT_A \w+ ")

    def test_the_first_that_says_something_wins(self):
        self.configure("ENROOT_A 1\nENROOT_MOUNT_HOME yes\n")
        self.configure("ENROOT_A 2\nENROOT_B 2\n", "enroot.conf.d/10.conf")
        self.configure("ENROOT_B 3\nENROOT_C 3\n", "enroot.conf.d/20.conf")
        self.configure("ENROOT_D 4\n", "enroot.conf.d/30.txt")
        got = self.settings(ENROOT_MOUNT_HOME="n")
        self.assertEqual([got.get("ENROOT_" + x) for x in "ABCD"], ["1", "2", "3", None])
        self.assertNotIn("ENROOT_MOUNT_HOME", got)
        self.assertEqual(self.settings(ENROOT_A="")["ENROOT_A"], "1")
        # Hooks may lie elsewhere; the file does not.
        self.assertEqual(self.settings(ENROOT_SYSCONF_PATH="/else")["ENROOT_SYSCONF_PATH"], "/else")
        self.assertEqual(self.settings(ENROOT_A="env")["ENROOT_A"], "env")
        self.assertEqual(got["ENROOT_SQUASH_OPTIONS"], "-comp lzo -noD -exit-on-error")
        self.assertEqual(got["ENROOT_NATIVE_OVERLAYFS"], "true")
        self.assertNotIn("ENROOT_REMAP_ROOT", got)

    def test_file_names_follow_from_uris(self):
        for uri, name in self.NAMES:
            path = self.path("work", name + ".sqsh")
            with open(path, "wb"):
                pass
            self.check(["import", uri], 1, "",
                       f"[ERROR] File already exists: {{root}}/work/{name}.sqsh\n")
            os.unlink(path)

    def test_pointers_that_are_not_whole_are_refused(self):
        where = "[ERROR] Pointer {root}/work/pointer "
        for change, message in (
                ({"image-config-sha256": None}, where + "missing/invalid image-config-sha256\n"),
                ({"image-config-sha256": "A" * 64},
                 where + "missing/invalid image-config-sha256\n"),
                ({"manifest-digest": "md5:x"}, where + "invalid manifest-digest\n"),
                ({"arch": "AMD"}, where + "missing/invalid arch\n"),
                ({"uri": "http://x"}, where + "missing/invalid uri\n"),
                ({"imported": "today"}, where + "missing/invalid imported timestamp\n")):
            self.pointer(**change)
            self.check(["create", "pointer"], 1, "", message)
        with open(self.path("work", "pointer"), "w", encoding="ascii") as f:
            f.write("enroot-zfs-image:v1\r\n")
        self.check(["create", "pointer"], 1, "",
                   "[ERROR] Not a ZFS pointer file: {root}/work/pointer\n")

    def test_the_backend_zfs_wants_a_dataset(self):
        with open(self.path("work", "p.sqsh"), "w", encoding="ascii") as f:
            f.write(f"enroot-zfs-image:v1\nimage-config-sha256={'a' * 64}\narch=amd64\n"
                    "uri=docker://x:1\nimported=2026-01-31T12:00:00Z\n")
        before = os.listdir(self.path("data"))
        for args in (["import", "docker://x"], ["load", "docker://x"], ["create", "p.sqsh"],
                     ["export", "x"], ["remove", "x"]):
            self.check(args, 1, "", "[ERROR] ENROOT_DATA_PATH ({root}/data) is not a ZFS dataset "
                       "mountpoint\n", env={"ENROOT_STORAGE_BACKEND": "zfs"})
        self.assertEqual(os.listdir(self.path("data")), before)

    def test_remove_asks_and_only_y_removes(self):
        for answer, status, there in (("n\n", 0, True), ("yes\n", 0, True), ("\n", 0, True),
                                      ("", 1, True), ("y\n", 0, False)):
            r = self.enroot("remove", "box", stdin=answer)
            self.assertEqual((r.status, r.out, r.err), (status, "", ""), answer)
            self.assertEqual(os.path.isdir(self.path("data", "box")), there, answer)

    def test_names_are_listed_in_order_without_hidden_ones(self):
        for name in ("b", "a", ".hidden"):
            os.mkdir(self.path("data", name))
        with open(self.path("data", "file"), "wb"):
            pass
        self.check(["list"], 0, "a\nb\nbox\nfile\n")
        r = self.good("list", "-f")
        self.assertEqual([line.split()[0] for line in r.out.splitlines()][:4],
                         ["NAME", "a", "b", "box"])
        self.assertEqual(r.out.splitlines()[0].split(), [
            "NAME", "PID", "COMM", "STATE", "STARTED", "TIME", "MNTNS", "USERNS", "COMMAND"])

    def test_places_that_cannot_be_made_are_told(self):
        r = self.enroot("version", env={"ENROOT_DATA_PATH": "/proc/nowhere/x"})
        self.assertEqual((r.status, r.out), (1, ""))
        self.assertIn("mkdir: cannot create directory '/proc/nowhere/x': ", r.err)
        self.good("version", env={"ENROOT_RUNTIME_PATH": "/proc/nowhere/x"})


class Images(Case):
    @classmethod
    def setUpClass(cls):
        cls.base = tempfile.mkdtemp(prefix="imbrex-registry-")
        os.chmod(cls.base, 0o755)
        cls.registry = fixture.Registry(cls.base)
        cls.digest, cls.config = fixture.layout(f"{cls.base}/app", fixture.LAYERS, fixture.CONFIG)
        cls.registry.push(f"{cls.base}/app", "team/app:1")
        fixture.layout(f"{cls.base}/bare", fixture.LAYERS[:1], {})
        cls.registry.push(f"{cls.base}/bare", "team/bare:1")
        cls.uri = f"docker://{cls.registry.host}/team/app:1"

    @classmethod
    def tearDownClass(cls):
        cls.registry.stop()
        shutil.rmtree(cls.base)

    def read(self, *names):
        with open(self.path(*names), encoding="utf-8") as f:
            return f.read()

    def check_rootfs(self, root, setid=True):
        found, links = tree(root)
        self.assertEqual(sorted(found), sorted([
            ".", "a", "a/three", "big", "bin", "bin/bash", "bin/sh", "dev", "etc",
            "etc/environment", "etc/fstab", "etc/passwd", "etc/rc", "etc/rc.local", "etc/secret",
            "lib", "locked", "locked/in", "pipe", "srv", "srv/app", "usr", "usr/lib",
            "usr/lib/implicit", "usr/lib/implicit/deep"]))
        self.assertEqual(links, [["bin/bash", "bin/sh"]])
        mode = {k: int(v[0], 8) for k, v in found.items()}
        self.assertEqual(mode["bin/sh"], stat.S_IFREG | (0o4755 if setid else 0o755))
        self.assertEqual(mode["locked"], stat.S_IFDIR | 0o700)
        self.assertEqual(mode["etc/secret"], stat.S_IFREG | 0o400)
        self.assertEqual(found["bin/sh"][1], 1600000000)
        self.assertEqual(found["etc/rc"][1], fixture.CREATED)
        self.assertEqual(found["lib"][2], "usr/lib")
        with open(os.path.join(root, "etc/rc"), encoding="utf-8") as f:
            self.assertEqual(f.read(), RC.format(host=self.registry.host))
        for name, text in (("rc.local", RC_LOCAL), ("fstab", FSTAB), ("environment", ENVIRONMENT)):
            self.assertEqual(found["etc/" + name][2].decode(), text)

    def test_import_makes_an_image_that_unsquashfs_reads(self):
        r = self.good("import", self.uri)
        self.assertEqual((r.out, r.err.splitlines()), ("", [
            "[INFO] Querying registry for permission grant", "[INFO] Permission granted",
            "[INFO] Fetching image manifest list", "[INFO] Fetching image manifest",
            "[INFO] Downloading 3 missing layers...", "[INFO] Extracting image layers...",
            "[INFO] Converting whiteouts...", "[INFO] Creating squashfs filesystem..."]))
        image = self.path("work", "team+app+1.sqsh")
        out = self.path("tmp", "out")
        subprocess.run(["unsquashfs", "-n", "-d", out, image], check=True, stdout=subprocess.PIPE)
        self.check_rootfs(out, setid=os.geteuid() == 0)
        said = subprocess.run(["unsquashfs", "-lln", image], check=True, text=True,
                              stdout=subprocess.PIPE).stdout
        self.assertEqual(set(re.findall(r"(?m)^\S{10} (\d+/\d+) ", said)), {"0/0"})
        self.assertFalse([n for n in os.listdir(self.path("tmp")) if n.startswith("enroot.")])
        self.check(["import", self.uri], 1, "",
                   "[ERROR] File already exists: {root}/work/team+app+1.sqsh\n")

    def test_the_same_image_gives_the_same_bytes(self):
        images = []
        for options in ({}, {}, {"ENROOT_MAX_PROCESSORS": "1"}, {"TMPDIR": "/"}):
            name = f"{len(images)}.sqsh"
            r = self.good("import", "-o", name, self.uri, env=options)
            with open(self.path("work", name), "rb") as f:
                images.append(f.read())
            if len(images) > 1:
                self.assertIn("[INFO] Found all layers in cache\n", r.err)
        self.assertEqual(len(set(images)), 1)
        self.good("import", "-o", "epoch.sqsh", self.uri, env={"SOURCE_DATE_EPOCH": "86400"})
        said = subprocess.run(["unsquashfs", "-lln", self.path("work", "epoch.sqsh")], check=True,
                              text=True, stdout=subprocess.PIPE, env={"TZ": "UTC", **os.environ})
        self.assertEqual(set(re.findall(r" (\d{4}-\d\d-\d\d) ", said.stdout)), {"1970-01-02"})

    def test_a_damaged_cache_is_noticed(self):
        self.good("import", self.uri)
        names = [n for n in os.listdir(self.path("cache")) if re.fullmatch(r"[0-9a-f]{64}", n)]
        self.assertEqual(len(names), 3)
        for name in names:
            path = self.path("cache", name)
            # What a registry of any origin might have served under this digest before.
            zstd = subprocess.run(["zstd", "-q", "-c"], input=fixture.tar(("evil", b"x")),
                                  stdout=subprocess.PIPE, check=True).stdout
            with open(path, "wb") as f:
                f.write(zstd)
        r = self.enroot("import", "-o", "2.sqsh", self.uri)
        self.assertEqual(r.status, 1)
        self.assertRegex(r.err, r"\[ERROR\] import .*: layer sha256:\w+: its copy in the cache, "
                                r"which is removed: content is sha256:\w+ but sha256:\w+ was")
        self.assertFalse(os.path.exists(self.path("work", "2.sqsh")))

    def test_create_list_export_remove(self):
        self.good("import", self.uri)
        r = self.good("create", "team+app+1.sqsh")
        self.assertEqual(r.err, "[INFO] Extracting squashfs filesystem...\n")
        self.good("create", "--name=box", "team+app+1.sqsh")
        self.check(["list"], 0, "box\nteam+app+1\n")
        self.check_rootfs(self.path("data", "box"))
        st = os.stat(self.path("data", "box", "bin/sh"))
        self.assertEqual(st.st_uid, fixture.USER if LANE == "user" else 0)
        self.check(["create", "-n", "box", "team+app+1.sqsh"], 1, "",
                   "[ERROR] File already exists: {root}/data/box\n")
        with open(self.path("data", "box", "mine"), "wb"):
            pass
        self.good("create", "-f", "-n", "box", "team+app+1.sqsh")
        self.assertFalse(os.path.exists(self.path("data", "box", "mine")))
        self.export_leaves_placeholders_out()
        self.good("remove", "-f", "box", "team+app+1")
        self.check(["list"], 0, "")

    def export_leaves_placeholders_out(self):
        box = self.path("data", "box")
        os.makedirs(f"{box}/.enroot/x")
        os.mkdir(f"{box}/mnt", 0o700)
        for path, data in ((f"{box}/.lock", b""), (f"{box}/dev/made", b""),
                           (f"{box}/mnt/file", b""), (f"{box}/kept", b"data")):
            with open(path, "wb") as f:
                f.write(data)
            os.chmod(path, 0o000)
        os.mkdir(f"{box}/mnt/empty")
        os.chmod(f"{box}/mnt/empty", 0)
        if os.geteuid() == 0 and LANE == "user":
            subprocess.run(["chown", "-R", f"{fixture.USER}:{fixture.USER}", box], check=True)
            os.chmod(f"{box}/kept", 0o400)
        self.good("export", "box")
        said = subprocess.run(["unsquashfs", "-l", "-d", "", self.path("work", "box.sqsh")],
                              check=True, text=True, stdout=subprocess.PIPE).stdout.split("\n")
        self.assertIn("/kept", said)
        self.assertIn("/mnt", said)
        self.assertIn("/dev", said)
        for name in ("/.lock", "/.enroot", "/dev/made", "/mnt/file", "/mnt/empty"):
            self.assertNotIn(name, said)
        self.check(["export", "box"], 1, "",
                   "[ERROR] File already exists: {root}/work/box.sqsh\n")
        self.good("export", "-f", "-o", "box.sqsh", "box")
        self.good("create", "-n", "again", "box.sqsh")
        self.good("remove", "--force", "again")

    def test_load_makes_a_container_with_opaque_directories_and_modes_right(self):
        r = self.good("load", self.uri)
        self.assertTrue(r.err.endswith("[INFO] Converting whiteouts...\n"
                                       "[INFO] Loading container root filesystem...\n"), r)
        self.check(["list"], 0, "team+app+1\n")
        self.check_rootfs(self.path("data", "team+app+1"), setid=False)
        self.check(["load", self.uri], 1, "",
                   "[ERROR] File already exists: {root}/data/team+app+1\n")
        self.good("load", "--force", self.uri)
        self.assertEqual([n for n in os.listdir(self.path("data")) if not n.startswith(".")],
                         ["team+app+1"])

    def test_an_image_that_says_nothing_gets_a_shell(self):
        self.good("load", "-n", "bare", f"docker://{self.registry.host}#team/bare:1")
        rc = self.read("data", "bare", "etc/rc")
        self.assertTrue(rc.endswith("    exec  \"$@\"\nelse\n    exec  '/bin/sh'\nfi\n"), rc)
        self.assertTrue(rc.startswith(
            f"# enroot-provenance: docker://{self.registry.host}#team/bare:1\n\n"
            'mkdir -p "/" 2> /dev/null\ncd "/" && unset OLDPWD || exit 1\n'), rc)
        self.assertEqual(self.read("data", "bare", "etc/fstab"), "")
        self.assertEqual(self.read("data", "bare", "etc/environment"), "")

    def test_words_of_an_image_are_quoted(self):
        fixture.layout(self.path("tmp", "evil"), fixture.LAYERS[:1], {
            "WorkingDir": '/w$(touch /tmp/x)"`id`',
            "Env": ["A=1\nLD_PRELOAD=/evil"], "Entrypoint": ["a\nb", "'; id; '"], "Cmd": ["$(id)"],
            "Labels": {"k\nid": "v\r\nid"},
            "Volumes": {"/../../etc": {}, "/x /etc none bind": {}, "/${HOME}": {}, "rel": {}}})
        self.registry.push(self.path("tmp", "evil"), "team/evil:1")
        self.good("load", "-n", "evil", f"docker://{self.registry.host}/team/evil:1")
        self.assertEqual(self.read("data", "evil", "etc/fstab"), "".join(
            f"${{ENROOT_ROOTFS}}{v} {v} none x-create=dir,bind,rw,nosuid,nodev\n"
            for v in ("/etc", "/x\\040/etc\\040none\\040bind", "/rel")))
        self.assertEqual(self.read("data", "evil", "etc/environment"), "A=1 LD_PRELOAD=/evil\n")
        rc = self.read("data", "evil", "etc/rc")
        self.assertIn("\n# k id v  id\n\nmkdir -p ", rc)
        self.assertIn('cd "/w\\$(touch /tmp/x)\\"\\`id\\`" && ', rc)
        # What a shell makes of it: one word each.
        shown = subprocess.run(
            ["sh", "-c", rc.replace("mkdir -p", ":").replace("cd ", "printf '%s|' ", 1)
             .replace("/etc/rc.local", "/nowhere").replace("exec ", "printf '%s|' ")],
            stdout=subprocess.PIPE, check=True, text=True).stdout
        self.assertEqual(shown, '/w$(touch /tmp/x)"`id`|a\nb|\'; id; \'|$(id)|')
        self.assertTrue(os.path.isdir(self.path(
            "data", "evil", 'w$(touch ', 'tmp', 'x)"`id`')))

    def test_digest(self):
        self.check(["digest", self.uri], 0, self.digest + "\n",
                   "[INFO] Querying registry for permission grant\n[INFO] Permission granted\n")
        r = self.good("import", "-o", "d.sqsh", f"{self.uri}@{self.digest}")
        self.assertIn("Downloading 3 missing layers", r.err)
        self.good("load", f"docker://{self.registry.host}/team/app@{self.digest}")
        self.check(["list"], 0, f"team+app+{self.digest}\n")

    def test_failures_leave_nothing(self):
        for args in (["import", f"docker://{self.registry.host}/team/none"],
                     ["load", f"docker://{self.registry.host}/team/none"],
                     ["digest", f"docker://{self.registry.host}/team/none"]):
            r = self.enroot(*args)
            self.assertEqual((r.status, r.out), (1, ""), r)
            self.assertRegex(r.err, r"(?m)^\[ERROR\] URL http://\S+/v2/team/none/manifests/latest returned "
                             r"error code: 404 Not Found$")
        self.assertEqual(os.listdir(self.work), [])
        self.check(["list"], 0, "")

    def test_credentials_are_told_apart_from_commands(self):
        with open(self.path("conf", ".credentials"), "w", encoding="ascii") as f:
            f.write("machine 127.0.0.1 login me password $(id)\n")
        os.chmod(self.path("conf", ".credentials"), 0o644)
        r = self.enroot("import", self.uri)
        self.assertEqual((r.status, r.out), (1, ""))
        self.assertIn("[ERROR] Commands in", r.err)
        with open(self.path("conf", ".credentials"), "w", encoding="ascii") as f:
            f.write("machine other login x password y\nmachine 127.0.0.1 login me password $S\n")
        r = self.good("import", self.uri, env={"S": "secret"})
        self.assertIn("[INFO] Permission granted\n", r.err)
        r = self.enroot("import", "-o", "2", f"docker://you@{self.registry.host}/team/app:1")
        self.assertEqual(r.status, 1)
        self.assertIn("[ERROR] No password for user you at ", r.err)

    def test_images_of_mksquashfs_become_containers(self):
        source = self.path("tmp", "src")
        os.makedirs(f"{source}/d/e")
        os.chmod(source, 0o755)
        for name, data in (("small", b"x" * 10), ("d/large", os.urandom(700000)),
                           ("d/zeros", bytes(400000)), ("empty", b"")):
            with open(os.path.join(source, name), "wb") as f:
                f.write(data)
        os.link(f"{source}/small", f"{source}/d/e/link")
        os.symlink("../small", f"{source}/d/sym")
        os.mkfifo(f"{source}/fifo")
        want = tree(source)
        for number, words in enumerate((
                ["-comp", "gzip"], ["-comp", "lzo"], ["-comp", "xz"], ["-comp", "lz4"],
                ["-comp", "zstd"], ["-comp", "lzo", "-noD"], ["-noI", "-noD", "-noF", "-noX"],
                ["-no-fragments", "-b", "4096"], ["-comp", "lzma"])):
            image = self.path("tmp", f"{number}.sqsh")
            made = subprocess.run(["mksquashfs", source, image, "-no-progress", "-quiet", *words],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
            if words == ["-comp", "lzma"] and made.returncode:
                continue
            self.assertEqual(made.returncode, 0, made.stdout)
            self.good("create", "-n", f"c{number}", image)
            self.assertEqual(tree(self.path("data", f"c{number}")), want, words)
            self.good("export", "-o", "back.sqsh", f"c{number}",
                      env={"ENROOT_SQUASH_OPTIONS": " ".join(words)})
            out = self.path("tmp", f"out{number}")
            subprocess.run(["unsquashfs", "-n", "-d", out, self.path("work", "back.sqsh")],
                           stdout=subprocess.PIPE, check=True)
            self.assertEqual(tree(out), want, words)
            os.unlink(self.path("work", "back.sqsh"))

    def test_damaged_images_give_one_error_and_no_container(self):
        self.good("import", self.uri, env={"ENROOT_SQUASH_OPTIONS": "-comp zstd"})
        path = self.path("work", "team+app+1.sqsh")
        with open(path, "rb") as f:
            data = bytearray(f.read())
        for at, value in ((64, 255), (len(data) // 2, 0)):
            bad = bytearray(data)
            bad[at:at + 64] = bytes([value]) * 64
            with open(path, "wb") as f:
                f.write(bad)
            r = self.enroot("create", path)
            self.assertEqual((r.status, r.out), (1, ""))
            self.assertRegex(r.err, r"^\[INFO\] .*\n\[ERROR\] .*squashfs: .*\n$")
        self.check(["list"], 0, "")

    def test_what_runs_in_a_container_is_shown(self):
        if os.geteuid() != 0 or LANE != "root":
            self.skipTest("only root can enter a directory as a root file system")
        box = self.path("data", "box")
        os.makedirs(self.path("data", "idle"))
        for path in ["/bin/sleep"] + re.findall(r"(/\S+) \(0x", subprocess.run(
                ["ldd", "/bin/sleep"], stdout=subprocess.PIPE, text=True, check=True).stdout):
            os.makedirs(box + os.path.dirname(path), exist_ok=True)
            shutil.copy(path, box + path)
        with open(f"{box}/.lock", "wb"):
            pass
        with subprocess.Popen(["unshare", "-m", "chroot", box, "/bin/sleep", "100"]) as p:
            try:
                while os.readlink(f"/proc/{p.pid}/root") != os.path.realpath(box):
                    os.sched_yield()
                while open(f"/proc/{p.pid}/comm", encoding="ascii").read() != "sleep\n":
                    os.sched_yield()
                spaces = [str(os.stat(f"/proc/{p.pid}/ns/{n}").st_ino) for n in ("mnt", "user")]
                lines = self.good("list", "--fancy").out.splitlines()
            finally:
                p.kill()
        rows = [re.split(r" {2,}", line.rstrip()) for line in lines]
        self.assertEqual(rows[0], ["NAME", "PID", "COMM", "STATE", "STARTED", "TIME", "MNTNS",
                                   "USERNS", "COMMAND"])
        mine = [row for row in rows if row[0] == "box"]
        self.assertEqual(len(mine), 1, lines)
        row = mine[0]
        self.assertEqual([row[1], row[2], *row[6:]],
                         [str(p.pid), "sleep", *spaces, "/bin/sleep 100"])
        self.assertRegex(row[3], r"^[SR][<NLsl+]*$")
        self.assertRegex(row[4], r"^\d\d:\d\d$")
        self.assertRegex(row[5], r"^\d\d:\d\d$")
        self.assertIn(["idle"], rows)

    def test_words_of_mksquashfs_are_refused_by_name(self):
        r = self.enroot("import", self.uri, env={"ENROOT_SQUASH_OPTIONS": "-comp zstd -ef list"})
        self.assertEqual(r.status, 1)
        self.assertTrue(r.err.endswith(
            "[ERROR] mksquashfs option '-ef' is not supported\n"), r)
        self.assertEqual(os.listdir(self.work), [])


class Engines(Case):
    def test_an_image_of_a_docker_engine_is_read_in_place(self):
        image = engine.Image([fixture.tar(("etc", fixture.D, 0o755), ("one", b"1"), ("two", b"2")),
                              fixture.tar((".wh.one", b""), ("three", b"3"))])
        for number, archive in enumerate((image.docker20(), image.containerd())):
            with engine.Engine(self.path("tmp", f"{number}.sock")) as e:
                os.chmod(e.path, 0o666)
                e.serve(image, archive)
                r = self.good("import", "-o", f"{number}.sqsh", f"dockerd://{image.tag}",
                              env={"DOCKER_HOST": "unix://" + e.path})
            self.assertEqual(r.err.splitlines(), [
                "[INFO] Fetching image", "[INFO] Extracting image content...",
                "[INFO] Creating squashfs filesystem..."])
            self.good("create", "-n", f"c{number}", f"{number}.sqsh")
            box = self.path("data", f"c{number}")
            self.assertEqual(sorted(os.listdir(box)), ["etc", "three", "two"])
            with open(f"{box}/etc/rc", encoding="utf-8") as f:
                self.assertEqual(f.readline(), f"# enroot-provenance: dockerd://{image.tag}\n")
        with open(self.path("work", "0.sqsh"), "rb") as a, \
                open(self.path("work", "1.sqsh"), "rb") as b:
            self.assertEqual(a.read(), b.read())

    def test_without_an_engine_it_says_so(self):
        r = self.enroot("import", "dockerd://x", env={"DOCKER_HOST": "unix:///nowhere"})
        self.assertEqual((r.status, r.out), (1, ""))
        self.assertRegex(r.err, r"(?m)^\[ERROR\] import dockerd://x: .*unix:///nowhere")
        self.assertEqual(os.listdir(self.work), [])


class Real(Case):
    """An image of Debian packages, from a registry, by the tools of others beside it."""

    def test_a_real_image_is_what_its_layers_make(self):
        base = self.path("tmp", "real")
        os.mkdir(base)
        made = subprocess.run([os.path.join(TOP, "tools/make-image"), f"{base}/layout:1"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if made.returncode:
            self.skipTest("tools/make-image: " + made.stdout.decode()[-200:])
        registry = fixture.Registry(base)
        self.addCleanup(registry.stop)
        registry.push(f"{base}/layout", "real:1")
        uri = f"docker://{registry.host}/real:1"
        self.good("import", uri)
        self.good("import", "-o", "again.sqsh", uri)
        with open(self.path("work", "real+1.sqsh"), "rb") as a, \
                open(self.path("work", "again.sqsh"), "rb") as b:
            self.assertEqual(a.read(), b.read())
        self.good("create", "-n", "box", "again.sqsh")
        self.good("load", "-n", "loaded", uri)
        subprocess.run(["unsquashfs", "-n", "-d", f"{base}/out", self.path("work", "again.sqsh")],
                       check=True, stdout=subprocess.PIPE)
        box, links = tree(self.path("data", "box"))
        out = tree(f"{base}/out")
        if os.geteuid() == 0:
            self.assertEqual((box, links), out)
        loaded = tree(self.path("data", "loaded"))
        self.assertEqual(loaded[1], links)
        self.assertEqual(sorted(loaded[0]), sorted(box))
        for path in box:
            self.assertEqual(loaded[0][path][2], box[path][2], path)
        # As umoci unpacks it, but for what is ours.
        if os.geteuid() == 0 and shutil.which("umoci"):
            subprocess.run(["umoci", "raw", "unpack", "--image", f"{base}/layout:1",
                            f"{base}/umoci"], check=True, stdout=subprocess.PIPE)
            theirs, _ = tree(f"{base}/umoci")
            ours = {"etc/rc", "etc/rc.local", "etc/environment", "etc/fstab"}
            self.assertEqual({p for p in box if p not in ours},
                             {p for p in theirs if not p.startswith("dev/") and p not in ours})
            for path, (_, _, what, *_) in theirs.items():
                if path in box and path not in ours:
                    self.assertEqual(box[path][2], what, path)


class Store:
    """The backend that keeps containers in a store; below for each driver."""
    setUpClass = classmethod(Images.setUpClass.__func__)
    tearDownClass = classmethod(Images.tearDownClass.__func__)
    driver = None

    def setUp(self):
        super().setUp()
        conf = self.path("etc", "storage.conf")
        with open(conf, "w", encoding="ascii") as f:
            f.write(f'[storage]\ndriver = "{self.driver}"\ngraphroot = "{self.root}/data/graph"\n'
                    f'runroot = "{self.root}/tmp/runroot"\n')
        self.addCleanup(self.unmount)

    def unmount(self):
        """The driver's home, which is bound onto itself as podman does it."""
        home = os.path.join(os.path.realpath(self.root), "data/graph", self.driver)
        with open("/proc/self/mountinfo", encoding="utf-8") as f:
            if any(line.split()[4] == home for line in f):
                subprocess.run(["umount", home], check=True)

    def env(self, **more):
        return super().env(ENROOT_STORAGE_BACKEND="store",
                           CONTAINERS_STORAGE_CONF=self.path("etc", "storage.conf"),
                           XDG_RUNTIME_DIR=self.path("tmp"), **more)

    def test_import_writes_a_pointer_and_create_uses_it(self):
        r = self.good("import", self.uri)
        self.assertIn("[INFO] Downloading 3 missing layers...\n", r.err)
        with open(self.path("work", "team+app+1.sqsh"), encoding="ascii") as f:
            lines = f.read().splitlines()
        self.assertEqual(lines[:5], [
            "enroot-zfs-image:v1", f"image-config-sha256={self.config[7:]}",
            f"manifest-digest={self.digest}", "arch=amd64", f"uri={self.uri}"])
        self.assertRegex(lines[5], r"^imported=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        r = self.good("import", "-o", "again.sqsh", self.uri)
        self.assertIn("[INFO] Found all layers in cache\n", r.err)
        self.good("create", "-n", "one", "team+app+1.sqsh")
        self.good("create", "-n", "two", "again.sqsh")
        self.check(["create", "-n", "two", "again.sqsh"], 1, "",
                   "[ERROR] Container already exists: two\n")
        self.good("create", "-f", "-n", "two", "again.sqsh")
        self.check(["list"], 0, "one\ntwo\n")
        self.good("export", "one")
        out = self.path("tmp", "out")
        subprocess.run(["unsquashfs", "-n", "-d", out, self.path("work", "one.sqsh")],
                       stdout=subprocess.PIPE, check=True)
        with open(f"{out}/etc/rc", encoding="utf-8") as f:
            self.assertEqual(f.read(), RC.format(host=self.registry.host))
        self.assertEqual(sorted(os.listdir(f"{out}/a")), ["three"])
        self.good("remove", "-f", "one")
        self.check(["remove", "-f", "one"], 1, "", "[ERROR] No such container: one\n")
        self.check(["list"], 0, "two\n")

    def test_an_image_that_is_gone_is_pulled_again(self):
        self.good("import", self.uri)
        r = subprocess.run([IMBREX, "rmi", self.config[7:]], env=self.env(), check=False,
                           capture_output=True, preexec_fn=self.become if
                           self.lane == "user" and os.geteuid() == 0 else None)
        self.assertEqual(r.returncode, 0, r)
        r = self.good("create", "team+app+1.sqsh")
        self.assertIn(f"[INFO] Template {self.config[7:19]} evicted; re-pulling from {self.uri}\n",
                      r.err)
        with open(self.path("work", "team+app+1.sqsh"), encoding="ascii") as f:
            text = f.read()
        with open(self.path("work", "other.sqsh"), "w", encoding="ascii") as f:
            f.write(text.replace(self.config[7:], "c" * 64))
        r = self.enroot("create", "other.sqsh")
        self.assertEqual(r.status, 1)
        self.assertTrue(r.err.endswith(
            f"[ERROR] Pointer {os.path.realpath(self.work)}/other.sqsh references "
            f"image-config-sha256 {'c' * 64}, but URI now resolves to {self.config[7:]}. "
            "Delete and re-import.\n"), r)

    def test_load_and_squashfs_images(self):
        self.good("load", "-n", "box", self.uri)
        self.check(["list"], 0, "box\n")
        self.good("import", "-f", "squashfs", "-o", "plain.sqsh", self.uri)
        r = self.good("create", "plain.sqsh")
        self.assertEqual(r.err, "[INFO] Extracting squashfs filesystem...\n")
        self.check(["list"], 0, "box\nplain\n")
        # The same file again is no work, another with the same content no room.
        self.check(["create", "-n", "second", "plain.sqsh"], 0)
        self.check(["create", "-n", "second", "plain.sqsh"], 1, "",
                   "[ERROR] Container already exists: second\n")
        layers = self.imbrex("layers", "-q")
        shutil.copy(self.path("work", "plain.sqsh"), self.path("tmp", "copy.sqsh"))
        os.chmod(self.path("tmp", "copy.sqsh"), 0o644)
        r = self.good("create", self.path("tmp", "copy.sqsh"))
        self.assertEqual(r.err, "[INFO] Extracting squashfs filesystem...\n")
        self.assertEqual(len(self.imbrex("layers", "-q").split()), len(layers.split()) + 1)
        # What comes out is what went in, whichever way.
        trees = {}
        for name in ("second", "copy", "box"):
            self.good("export", name)
            out = self.path("tmp", "out-" + name)
            subprocess.run(["unsquashfs", "-n", "-d", out, self.path("work", name + ".sqsh")],
                           stdout=subprocess.PIPE, check=True)
            trees[name] = tree(out)
        out = self.path("tmp", "out-plain")
        subprocess.run(["unsquashfs", "-n", "-d", out, self.path("work", "plain.sqsh")],
                       stdout=subprocess.PIPE, check=True)
        for name in ("second", "copy"):
            # The root of a writable layer is a directory of its own.
            different = [p for p, v in trees[name][0].items() if tree(out)[0].get(p) != v and p != "."]
            self.assertEqual((different, sorted(trees[name][0])), ([], sorted(tree(out)[0])), name)
            self.assertEqual(trees[name][1], tree(out)[1])
        self.assertEqual({k: v[2] for k, v in trees["box"][0].items() if not k.startswith("dev/")},
                         {k: v[2] for k, v in tree(out)[0].items()})

    def imbrex(self, *args):
        r = subprocess.run([IMBREX, *args], env=self.env(), check=False, capture_output=True, text=True,
                           preexec_fn=self.become if self.lane == "user" and os.geteuid() == 0 else None)
        self.assertEqual(r.returncode, 0, r)
        return r.stdout

    def test_a_file_that_changed_is_another_image(self):
        for number in (1, 2):
            os.makedirs(self.path("tmp", "src"), exist_ok=True)
            with open(self.path("tmp", "src", "file"), "w", encoding="ascii") as f:
                f.write(f"{number}")
            subprocess.run(["mksquashfs", self.path("tmp", "src"), self.path("tmp", "x.sqsh"), "-noappend",
                            "-no-progress", "-quiet", "-all-root"], check=True, stdout=subprocess.PIPE)
            os.chmod(self.path("tmp", "x.sqsh"), 0o644)
            self.good("create", "-n", f"c{number}", self.path("tmp", "x.sqsh"))
            self.good("export", f"c{number}")
            said = subprocess.run(["unsquashfs", "-cat", self.path("work", f"c{number}.sqsh"), "file"],
                                  check=True, stdout=subprocess.PIPE)
            self.assertEqual(said.stdout, b"%d" % number)

    def test_damaged_files_leave_nothing_in_the_store(self):
        self.good("import", "-f", "squashfs", "-o", "plain.sqsh", self.uri,
                  env={"ENROOT_SQUASH_OPTIONS": "-comp zstd"})
        path = self.path("work", "plain.sqsh")
        with open(path, "rb") as f:
            data = bytearray(f.read())
        data[len(data) // 2:len(data) // 2 + 64] = bytes(64)
        with open(path, "wb") as f:
            f.write(data)
        r = self.enroot("create", path)
        self.assertEqual((r.status, r.out), (1, ""))
        self.assertRegex(r.err, r"^\[INFO\] .*\n\[ERROR\] pull squashfs:.*: squashfs: .*\n$")
        self.check(["list"], 0, "")
        self.assertEqual(self.imbrex("layers", "-q") + self.imbrex("images", "-q"), "")

    def test_names_that_no_layer_can_hold_are_refused(self):
        os.makedirs(self.path("tmp", "src", "d"))
        with open(self.path("tmp", "src", "d", ".wh.x"), "wb"):
            pass
        subprocess.run(["mksquashfs", self.path("tmp", "src"), self.path("tmp", "x.sqsh"), "-no-progress",
                        "-quiet"], check=True, stdout=subprocess.PIPE)
        os.chmod(self.path("tmp", "x.sqsh"), 0o644)
        r = self.enroot("create", self.path("tmp", "x.sqsh"))
        self.assertEqual(r.status, 1)
        self.assertRegex(r.err, r"'d/\.wh\.x': a layer cannot hold names that begin with '\.wh\.'\n$")

    def test_remove_asks(self):
        self.good("load", "-n", "box", self.uri)
        for answer, status, left in (("n\n", 0, "box\n"), ("", 1, "box\n"), ("Y\n", 0, "")):
            r = self.enroot("remove", "box", stdin=answer)
            self.assertEqual((r.status, r.out, r.err), (status, "", ""), answer)
            self.check(["list"], 0, left)
        self.check(["remove", "box"], 1, "", "[ERROR] No such container: box\n")
        self.check(["export", "box"], 1, "", "[ERROR] No such container: box\n")
        self.assertEqual(self.imbrex("ps", "-q"), "")

    def test_containers_keep_what_is_written_to_them(self):
        self.good("load", "-n", "box", self.uri)
        code = ('m=$("$0" mount enroot/box) && echo mine >"$m/mine" && rm "$m/a/three" && '
                '"$0" umount enroot/box >/dev/null')
        become = self.become if self.lane == "user" and os.geteuid() == 0 else None
        inside = [IMBREX, "unshare"] if os.geteuid() or self.lane == "user" else []
        r = subprocess.run([*inside, "sh", "-ec", code, IMBREX], env=self.env(), capture_output=True, text=True, check=False,
                           preexec_fn=become)
        self.assertEqual(r.returncode, 0, r)
        self.good("export", "box")
        said = subprocess.run(["unsquashfs", "-l", "-d", "", self.path("work", "box.sqsh")],
                              check=True, text=True, stdout=subprocess.PIPE).stdout.split("\n")
        self.assertIn("/mine", said)
        self.assertNotIn("/a/three", said)
        # And no other container of the image has it.
        self.good("load", "-n", "other", self.uri)
        self.good("export", "other")
        said = subprocess.run(["unsquashfs", "-l", "-d", "", self.path("work", "other.sqsh")],
                              check=True, text=True, stdout=subprocess.PIPE).stdout.split("\n")
        self.assertNotIn("/mine", said)
        self.assertIn("/a/three", said)


class StoreVfs(Store, Case):
    driver = "vfs"


class StoreOverlay(Store, Case):
    driver = "overlay"


class StoreBtrfs(Store, Case):
    """Below tests/loopfs btrfs."""
    driver = "btrfs"


def main():
    usual = [Images, Engines, Real, StoreVfs, StoreOverlay]
    lanes = {"words": [Words], "root": usual, "user": usual, "btrfs": [StoreBtrfs]}
    if LANE not in lanes:
        sys.exit(__doc__)
    Case.lane = "user" if LANE == "user" else "root"
    if LANE in ("root", "btrfs") and os.geteuid() != 0:
        print("skipped: not root")
        sys.exit(77)
    if LANE != "words":
        fixture.need("docker-registry", "skopeo", "mksquashfs", "unsquashfs", "zstd")
    with tempfile.TemporaryDirectory(prefix="imbrex-link-") as links:
        os.chmod(links, 0o755)
        Case.program = os.path.join(links, "enroot")
        os.symlink(IMBREX, Case.program)
        suite = unittest.TestSuite(unittest.defaultTestLoader.loadTestsFromTestCase(c)
                                   for c in lanes[LANE] if not ONLY or c.__name__ in ONLY)
        sys.exit(not unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful())


main()
