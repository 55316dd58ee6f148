#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Is the store where podman has it, whatever environment and storage.conf say?

usage: test_places.py IMBREX PROBE
"""
import json
import os
import subprocess
import unittest

import lane
from lane import ONE_ID, WITH_IDS, Case

ROOTS = ("/var/lib/containers", "/run/containers", "/run/libpod")
BOTH = 'graphroot="@H/g"\nrunroot="@R/r"\n'

# name, environment (None: unset), CONTAINERS_STORAGE_CONF, file in the configuration folder, options
CASES = (
    ("nothing said", {}, None, None, ()),
    ("XDG_DATA_HOME", {"XDG_DATA_HOME": "@H/data"}, None, None, ()),
    ("no XDG_RUNTIME_DIR", {"XDG_RUNTIME_DIR": None}, None, None, ()),
    ("no HOME", {"HOME": None}, None, None, ()),
    ("STORAGE_DRIVER", {"STORAGE_DRIVER": "vfs"}, None, None, ()),
    ("an option beats STORAGE_DRIVER", {"STORAGE_DRIVER": "vfs"}, None, None,
     ("--driver", "overlay")),
    ("STORAGE_OPTS", {"STORAGE_OPTS": "overlay.mountopt=nodev"}, None, None, ()),
    ("STORAGE_OPTS, empty", {"STORAGE_OPTS": ""}, None, None, ()),
    ("CONTAINERS_STORAGE_CONF", {}, 'driver="overlay"\n' + BOTH, None, ()),
    ("CONTAINERS_STORAGE_CONF, vfs", {}, 'driver="vfs"\n' + BOTH, None, ()),
    ("overlay2", {}, 'driver="overlay2"\n' + BOTH, None, ()),
    ("CONTAINERS_STORAGE_CONF and a user's file", {}, 'driver="overlay"\n' + BOTH,
     'driver="vfs"\ngraphroot="@H/mine"\n', ()),
    ("rootless_storage_path", {}, 'driver="overlay"\nrootless_storage_path="@H/x-$UID"\n' + BOTH,
     None, ()),
    ("variables in paths", {"PLACE": "p"}, None,
     'driver="overlay"\ngraphroot="$HOME/$PLACE-$UID"\nrunroot="@R/${PLACE}r"\n', ()),
    ("a user's file", {}, None, 'driver="overlay"\n' + BOTH, ()),
    ("a user's file, only a driver", {}, None, 'driver="vfs"\n', ()),
    ("a user's file, only a graphroot", {}, None, 'driver="overlay"\ngraphroot="@H/g"\n', ()),
    ("a user's file with rootless_storage_path", {}, None,
     'driver="overlay"\nrootless_storage_path="@H/own"\n', ()),
    ("XDG_CONFIG_HOME", {"XDG_CONFIG_HOME": "@H/cfg"}, None, 'driver="vfs"\n' + BOTH, ()),
    ("--root and --runroot", {}, None, None, ("--root", "@H/a", "--runroot", "@R/b")),
    ("--root", {}, None, None, ("--root", "@H/a")),
    ("--runroot", {}, None, None, ("--runroot", "@R/b")),
    ("--root beats a file", {}, 'driver="overlay"\n' + BOTH, None,
     ("--root", "@H/a", "--runroot", "@R/b")),
)
# Each start of podman takes its time: what differs between root and users, and one of each kind.
FOR_ROOT = ("nothing said", "XDG_DATA_HOME", "STORAGE_DRIVER", "CONTAINERS_STORAGE_CONF",
            "rootless_storage_path", "a user's file", "XDG_CONFIG_HOME", "--root and --runroot",
            "--root beats a file")


class Places(Case):
    @classmethod
    def setUpClass(cls):
        if not lane.have("podman"):
            raise unittest.SkipTest("podman is not installed")
        r = subprocess.run(["podman", "version", "--format", "{{.Client.Version}}"], check=False,
                           capture_output=True, text=True)
        if not r.stdout.startswith("4."):
            raise unittest.SkipTest(f"the table is that of podman 4, not {r.stdout.strip()}")
        for d in ROOTS:
            if not os.path.isdir(d):
                raise unittest.SkipTest(f"there is no {d} that could be hidden")
        cls.n = 0
        # podman waits for the disk a lot. Overlay for users needs tmpfs with user xattrs.
        cls.base = cls.lane.path("m")
        os.mkdir(cls.base)
        if tuple(int(n) for n in os.uname().release.split(".")[:2]) >= (6, 6):
            lane.mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", cls.base)

    def scene(self, uid, env, conf, own):
        """Fresh folders; the environment; what to write for @H and @R."""
        Places.n += 1
        home, run, tmp = (f"{self.base}/{k}{self.n}" for k in "hut")
        for d in (home, run, tmp):
            os.mkdir(d, 0o700)
        if uid == 0:
            for i, d in enumerate(ROOTS):
                os.mkdir(f"{self.base}/z{self.n}{i}")
                lane.mount("--bind", f"{self.base}/z{self.n}{i}", d)
                self.addCleanup(subprocess.run, ["umount", "-l", d], check=True)

        def fill(text):
            return text.replace("@H", home).replace("@R", run)

        def write(path, text):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as f:
                f.write("[storage]\n" + fill(text))
            os.chmod(path, 0o644)

        whole = {"HOME": home, "TMPDIR": tmp, "XDG_RUNTIME_DIR": run if uid else None}
        whole.update({k: v and fill(v) for k, v in env.items()})
        if conf is not None:
            whole["CONTAINERS_STORAGE_CONF"] = self.lane.path(f"c{self.n}")
            write(self.lane.path(f"c{self.n}"), conf)
        if own is not None:
            write(whole.get("XDG_CONFIG_HOME", home + "/.config") + "/containers/storage.conf", own)
        for d in (home, run, tmp):
            subprocess.run(["chown", "-R", f"{uid}:{uid}", d], check=True)
        return self.lane.environment(uid, **whole), fill, (run, f"{tmp}/podman-run-{uid}")

    def compare(self, who, case):
        name, env, conf, own, options = case
        uid = who[1] if who else 0
        environment, fill, runs = self.scene(uid, env, conf, own)
        options = [fill(o) for o in options]
        theirs = self.lane.run([*lane.PODMAN, *[o.replace("--driver", "--storage-driver")
                                                for o in options], "info", "--format", "json"],
                               uid, environment)
        for run in runs:
            lane.end_pause(run + "/libpod/tmp/pause.pid")
        self.ok(theirs)
        store = json.loads(theirs.out)["store"]
        r = self.ok(self.lane.run([self.lane.imbrex, *options, "info", "--json"], uid, environment))
        ours = json.loads(r.out)
        self.assertEqual((ours["Graph Root"], ours["Run Root"], ours["Driver"]),
                         (store["graphRoot"], store["runRoot"], store["graphDriverName"]), r)

    def all_cases(self, who, cases):
        for case in cases:
            with self.subTest(case[0]):
                self.compare(who, case)

    def test_a_user_with_ids(self):
        self.all_cases(WITH_IDS, CASES)

    def test_a_user_with_one_id(self):
        self.all_cases(ONE_ID, CASES[:3])

    def test_root(self):
        self.all_cases(None, [case for case in CASES if case[0] in FOR_ROOT])


if __name__ == "__main__":
    lane.main(__name__)
