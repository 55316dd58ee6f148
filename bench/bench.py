#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measure imbrex beside its peers, in one run on one machine, and write docs/BENCHMARKS.md.

usage: bench/bench.py [--imbrex PROGRAM] [--floor PROGRAM] [--work DIR] [--rounds N] [--quick]
                      [--growth N,N,...] [--containers N,N,...] [--only-growth] [--only PART]
                      [--output DIR]

With --only-growth it prints what grows and how, with --only one part (waiting, …), and writes
nothing.

Needs root, a few gigabytes below DIR, and the peers (tools/setup). It makes its images from Debian
packages and starts a registry on a free port of the loopback interface by itself. Stores are
removed at the end only: ext4 searches longer for inodes that were freed seconds ago, which would be
charged to whoever comes next.
"""
import argparse
import base64
import gzip
import hashlib
import importlib
import io
import json
import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tarfile
import threading
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(HERE)
BIG = ["gcc", "g++", "make", "git", "libc6-dev", "ca-certificates"]
SIBLING = ["python3", "ca-certificates"]
PATIENCE = 25  # seconds for one command on a store that has grown
MANY = 58      # layers of the image whose removal is measured
# Parts of the report beside the rows: modules of this folder with section(bench), which returns
# lines of Markdown.
SECTIONS = ["waiting", "daemon", "enroot", "btrfs", "creating"]


def say(text):
    print(text, file=sys.stderr, flush=True)


def die(text):
    sys.exit(f"bench: {text}")


class Run:
    """One finished command: wall seconds, core seconds, peak memory of its largest process.

    A child starts with the peak of whoever forked it, so memory is only right while `small_parent`
    is set: then time(1), which is small, stands between, and the times are not.
    With a limit in seconds it may also be one that was stopped there: then .stopped is true."""

    small_parent = False

    def __init__(self, command, limit=None):
        if Run.small_parent:
            command = ["/usr/bin/time", "-q", "-f", "peak-kib %M"] + command
        start = time.monotonic()
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT) as child:
            timer = threading.Timer(limit or 3600, child.kill)
            timer.start()
            self.output = child.stdout.read().decode(errors="replace")
            _, status, usage = os.wait4(child.pid, 0)
            timer.cancel()
            child.returncode = os.waitstatus_to_exitcode(status)
        self.wall = time.monotonic() - start
        self.stopped = bool(limit) and child.returncode == -signal.SIGKILL
        self.cpu = usage.ru_utime + usage.ru_stime
        found = re.findall(r"^peak-kib ([0-9]+)$", self.output, re.MULTILINE)
        self.peak_kib = int(found[-1]) if found else 0
        if child.returncode != 0 and not self.stopped:
            die(f"{' '.join(command)} failed with {child.returncode}:\n{self.output}")


class Median:
    def __init__(self, runs, peak_kib):
        self.wall = statistics.median(r.wall for r in runs)
        self.cpu = statistics.median(r.cpu for r in runs)
        self.peak_mib = peak_kib / 1024
        self.stopped = any(r.stopped for r in runs)

    def ms(self):
        return f"{'over ' if self.stopped else ''}{self.wall * 1000:.1f}"


class Bench:
    run_class = Run  # for parts that cannot import this script

    def __init__(self, options):
        self.options = options
        self.work = os.path.abspath(options.work)
        self.rounds = options.rounds
        self.stores = 0
        self.rows = []
        self.sections = []
        self.registry = None
        self.port = None
        os.makedirs(self.work, exist_ok=True)

    # ---- commands of each program ------------------------------------------------------

    def fresh(self):
        """A new place for a store. Never one that was used before."""
        self.stores += 1
        path = f"{self.work}/stores/{os.getpid()}-{self.stores}"
        os.makedirs(path)
        return path

    def imbrex(self, store, *words):
        return [self.options.imbrex, "--root", f"{store}/root", "--runroot", f"{store}/run",
                "--driver", "overlay", "--quiet"] + list(words)

    def podman(self, store, *words):
        return ["podman", "--root", f"{store}/root", "--runroot", f"{store}/run",
                "--storage-driver", "overlay", "--cgroup-manager", "cgroupfs",
                "--events-backend", "file"] + list(words)

    def storage(self, store, *words):
        return ["containers-storage", "--graph", f"{store}/root", "--run", f"{store}/run",
                "--storage-driver", "overlay"] + list(words)

    # ---- images and registry -----------------------------------------------------------

    def images(self):
        layout = f"{self.work}/images/gzip"
        if not os.path.exists(f"{self.work}/images/done"):
            shutil.rmtree(f"{self.work}/images", ignore_errors=True)
            os.makedirs(f"{self.work}/images")
            for tag, packages in (("big", BIG), ("sibling", SIBLING), ("small", [])):
                say(f"making image {tag}")
                Run([f"{TOP}/tools/make-image", f"{layout}-{tag}:{tag}"] + packages)
                Run(["skopeo", "copy", "-q", "--insecure-policy", "--dest-compress-format", "zstd",
                     "--dest-compress-level", "3", f"oci:{layout}-{tag}:{tag}",
                     f"oci:{self.work}/images/zstd-{tag}:{tag}"])
            with open(f"{self.work}/images/done", "w", encoding="ascii"):
                pass

    def image_of_many_layers(self):
        """A layout with an image of MANY small layers; its place."""
        layout = f"{self.work}/images/many"
        if os.path.isdir(layout):
            return layout
        blobs = f"{layout}.new/blobs/sha256"
        os.makedirs(blobs)
        kind = "application/vnd.oci.image"

        def blob(data, media_type):
            digest = hashlib.sha256(data).hexdigest()
            with open(f"{blobs}/{digest}", "wb") as f:
                f.write(data)
            return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

        layers, diff_ids = [], []
        for n in range(MANY):
            plain = io.BytesIO()
            with tarfile.open(fileobj=plain, mode="w") as t:
                t.addfile(tarfile.TarInfo(f"file{n}"))
            diff_ids.append("sha256:" + hashlib.sha256(plain.getvalue()).hexdigest())
            layers.append(blob(gzip.compress(plain.getvalue(), mtime=0),
                               f"{kind}.layer.v1.tar+gzip"))
        config = blob(json.dumps({"architecture": "amd64", "os": "linux", "config": {},
                                  "rootfs": {"type": "layers", "diff_ids": diff_ids}}).encode(),
                      f"{kind}.config.v1+json")
        manifest = blob(json.dumps({"schemaVersion": 2, "config": config, "layers": layers,
                                    "mediaType": f"{kind}.manifest.v1+json"}).encode(),
                        f"{kind}.manifest.v1+json")
        manifest["annotations"] = {"org.opencontainers.image.ref.name": "many"}
        for name, data in (("index.json", {"schemaVersion": 2, "manifests": [manifest]}),
                           ("oci-layout", {"imageLayoutVersion": "1.0.0"})):
            with open(f"{layout}.new/{name}", "w", encoding="ascii") as f:
                json.dump(data, f)
        os.rename(f"{layout}.new", layout)
        return layout

    def start_registry(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        conf = f"{self.work}/registry.yml"
        with open(conf, "w", encoding="ascii") as f:
            f.write("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
                    f"storage: {{filesystem: {{rootdirectory: {self.work}/registry}}}}\n"
                    f"http: {{addr: 127.0.0.1:{self.port}}}\n")
        self.registry = subprocess.Popen(["docker-registry", "serve", conf],
                                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL)
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v2/", timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        else:
            die("the registry did not start")
        for kind in ("gzip", "zstd"):
            for tag in ("big", "sibling", "small"):
                Run(["skopeo", "copy", "-q", "--insecure-policy", "--dest-tls-verify=false",
                     "--preserve-digests", f"oci:{self.work}/images/{kind}-{tag}:{tag}",
                     f"docker://127.0.0.1:{self.port}/bench/{tag}:{kind}"])

    def reference(self, tag, kind):
        return f"docker://127.0.0.1:{self.port}/bench/{tag}:{kind}"

    # ---- measuring ---------------------------------------------------------------------

    def interleaved(self, contenders, rounds=None, peaks=True):
        """contenders: name -> function that returns a Run. Rounds go around, so that a slow
        minute of the machine is everybody's."""
        runs = {name: [] for name in contenders}
        for _ in range(rounds or self.rounds):
            for name, once in contenders.items():
                os.sync()
                runs[name].append(once())
        Run.small_parent = peaks
        peak = {name: once().peak_kib if peaks else 0 for name, once in contenders.items()}
        Run.small_parent = False
        return {name: Median(r, peak[name]) for name, r in runs.items()}

    def row(self, title, medians, unit="s", target=""):
        ours = medians["imbrex"]
        peers = {n: m for n, m in medians.items() if n != "imbrex"}
        self.rows.append((title, ours, peers, unit, target))
        scale = 1000 if unit == "ms" else 1
        say(f"{title}: imbrex {ours.wall * scale:.2f} {unit}, " + ", ".join(
            f"{n} {m.wall * scale:.2f} {unit} ({m.wall / ours.wall:.1f} x)"
            for n, m in peers.items()))

    def cold(self, kind):
        ref = self.reference("big", kind)
        contenders = {
            "imbrex": lambda: Run(self.imbrex(self.fresh(), "pull", "--tls-verify=false", ref)),
            "podman": lambda: Run(self.podman(self.fresh(), "pull", "-q", "--tls-verify=false",
                                              ref)),
        }
        if kind == "gzip":
            contenders["skopeo"] = self.skopeo_once
            contenders["umoci (no network)"] = lambda: Run(
                ["umoci", "unpack", "--image", f"{self.work}/images/gzip-big:big",
                 f"{self.fresh()}/bundle"])
            contenders["gzip -dc, tar x (no network, no hash)"] = self.floor_by_tools
        self.row(f"cold pull, {kind}", self.interleaved(contenders),
                 target="podman / 4" if kind == "gzip" else "podman / 5")

    def skopeo_once(self):
        store = self.fresh()
        return Run(["skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false",
                    self.reference("big", "gzip"),
                    f"containers-storage:[overlay@{store}/root+{store}/run]localhost/big:1"])

    def layers(self, tag, kind):
        layout = f"{self.work}/images/{kind}-{tag}"
        with open(f"{layout}/index.json", encoding="utf-8") as f:
            digest = json.load(f)["manifests"][0]["digest"]
        with open(f"{layout}/blobs/{digest.replace(':', '/')}", encoding="utf-8") as f:
            return [(f"{layout}/blobs/{d['digest'].replace(':', '/')}", d["size"])
                    for d in json.load(f)["layers"]]

    def floor_by_tools(self):
        base = self.fresh()
        script = ""
        for i, (path, _) in enumerate(self.layers("big", "gzip")):
            os.mkdir(f"{base}/{i}")
            script += f"gzip -dc {path} | tar x -C {base}/{i} & "
        return Run(["sh", "-c", script + "wait"])

    def warm(self):
        store = {n: self.fresh() for n in ("imbrex", "podman")}
        big, sibling = self.reference("big", "gzip"), self.reference("sibling", "gzip")
        pulls = {
            "imbrex": lambda ref: Run(self.imbrex(store["imbrex"], "pull", "--tls-verify=false",
                                                  ref)),
            "podman": lambda ref: Run(self.podman(store["podman"], "pull", "-q",
                                                  "--tls-verify=false", ref)),
        }
        for pull in pulls.values():
            pull(big)
        self.row("pull again, all layers present",
                 self.interleaved({n: (lambda p=p: p(big)) for n, p in pulls.items()}),
                 target="podman / 10")
        self.row("pull of a sibling with a shared base", self.interleaved(
            {n: (lambda p=p: p(sibling)) for n, p in pulls.items()}, rounds=1))

    def small_store(self):
        store = self.fresh()
        Run(self.imbrex(store, "pull", f"oci:{self.work}/images/gzip-small:small", "small"))
        return store

    def small_operations(self):
        store = self.small_store()
        many = max(self.rounds * 6, 12)
        self.row("create a container", self.interleaved({
            "imbrex": lambda: Run(self.imbrex(store, "create", "small")),
            "containers-storage": lambda: Run(self.storage(store, "create-container",
                                                           "localhost/small:latest")),
            "podman": lambda: Run(self.podman(store, "create", "-q", "--ulimit",
                                              "nofile=1024:1024", "small", "true")),
        }, many), unit="ms", target="3 ms; containers-storage / 3")
        store = self.small_store()
        self.row("list images", self.interleaved({
            "imbrex": lambda: Run(self.imbrex(store, "images")),
            "containers-storage": lambda: Run(self.storage(store, "images")),
            "podman": lambda: Run(self.podman(store, "images")),
        }, many), unit="ms", target="2 ms")
        self.row("start-up (version)", self.interleaved({
            "imbrex": lambda: Run([self.options.imbrex, "version"]),
            "containers-storage": lambda: Run(["containers-storage", "version"]),
            "podman": lambda: Run(["podman", "--version"]),
        }, many), unit="ms", target="2 ms, 6 MiB")
        self.run_rows(store, many)

    def run_rows(self, store, many):
        name = Run(self.imbrex(store, "create", "small")).output.strip()
        tree = Run(self.imbrex(store, "mount", name)).output.strip()
        self.row("run /bin/true in an existing container", self.interleaved({
            "imbrex": lambda: Run(self.imbrex(store, "start", name, "/bin/true")),
            "bwrap": lambda: Run(["bwrap", "--unshare-all", "--bind", tree, "/", "--proc", "/proc",
                                  "--dev", "/dev", "/bin/true"]),
            "chroot": lambda: Run(["chroot", tree, "/bin/true"]),
        }, many), unit="ms", target="bwrap x 2")
        self.row("run /bin/true in a new container", self.interleaved({
            "imbrex": lambda: Run(self.imbrex(store, "run", "small", "/bin/true")),
            "podman": lambda: Run(self.podman(store, "--runtime", "runc", "run", "--rm",
                                              "--network", "none", "--ulimit", "nofile=1024:1024",
                                              "--ulimit", "nproc=1024:1024", "small",
                                              "/bin/true")),
        }, many), unit="ms")
        Run(self.imbrex(store, "umount", name))

    # ---- growth ------------------------------------------------------------------------

    @staticmethod
    def made_up_image(folder, n, layer, created):
        """Documents of an image, as podman wants to read them, and the image's record."""
        config = json.dumps({"created": created, "architecture": "amd64", "os": "linux",
                             "config": {"Labels": {"n": str(n)}},
                             "rootfs": {"type": "layers", "diff_ids": []}}).encode()
        image = hashlib.sha256(config).hexdigest()
        key = f"sha256:{image}"
        kind = "application/vnd.oci.image"
        manifest = json.dumps({"schemaVersion": 2, "mediaType": f"{kind}.manifest.v1+json",
                               "config": {"mediaType": f"{kind}.config.v1+json", "digest": key,
                                          "size": len(config)}, "layers": []}).encode()
        digest = "sha256:" + hashlib.sha256(manifest).hexdigest()
        os.mkdir(f"{folder}/{image}", 0o700)
        name = "=" + base64.b64encode(key.encode()).decode()
        for file, data in ((name, config), ("manifest", manifest)):
            with open(f"{folder}/{image}/{file}", "wb") as f:
                f.write(data)
        return {"id": image, "digest": digest, "names": [f"localhost/made-up:{n}"],
                "layer": layer, "metadata": "{}", "big-data-names": [key, "manifest"],
                "big-data-sizes": {key: len(config), "manifest": len(manifest)},
                "big-data-digests": {key: key, "manifest": digest}, "created": created}

    def grow(self, store, n_layers):
        """Add made-up records, ten layers an image, until there are n_layers of them."""
        layers_file = f"{store}/root/overlay-layers/layers.json"
        images_file = f"{store}/root/overlay-images/images.json"
        with open(layers_file, encoding="utf-8") as f:
            layers = json.load(f)
        with open(images_file, encoding="utf-8") as f:
            images = json.load(f)
        now = "2026-01-02T03:04:05.678901234Z"
        n = 0
        while len(layers) < n_layers:
            parent = None
            for _ in range(min(10, n_layers - len(layers))):
                name = hashlib.sha256(f"layer {n}".encode()).hexdigest()
                n += 1
                record = {"id": name}
                if parent:
                    record["parent"] = parent
                digest = "sha256:" + hashlib.sha256(name.encode()).hexdigest()
                record.update({"created": now, "compressed-diff-digest": digest,
                               "compressed-size": 1234567, "diff-digest": digest,
                               "diff-size": 2345678, "compression": 2, "uidset": [0],
                               "gidset": [0]})
                layers.append(record)
                parent = name
            images.append(self.made_up_image(f"{store}/root/overlay-images", n, parent, now))
        for path, records in ((layers_file, layers), (images_file, images)):
            with open(path, "w", encoding="utf-8") as f:
                json.dump(records, f, separators=(",", ":"))
            # A stamp that nobody has seen, so that everybody reads anew.
            lock = path.replace(".json", ".lock")
            with open(lock, "wb") as f:
                f.write(os.urandom(64))

    def grow_containers(self, store, n_containers):
        """Add made-up containers of the small image, each with its layer."""
        with open(f"{store}/root/overlay-layers/layers.json", encoding="utf-8") as f:
            layers = json.load(f)
        with open(f"{store}/root/overlay-images/images.json", encoding="utf-8") as f:
            image = [i for i in json.load(f) if "small" in "".join(i["names"])][0]
        now = "2026-01-02T03:04:05.678901234Z"
        containers = []
        for n in range(n_containers):
            layer = hashlib.sha256(f"container layer {n}".encode()).hexdigest()
            layers.append({"id": layer, "parent": image["layer"], "created": now})
            os.makedirs(f"{store}/root/overlay/{layer}/diff")
            containers.append({
                "id": hashlib.sha256(f"container {n}".encode()).hexdigest(),
                "names": [f"box{n}"], "image": image["id"], "layer": layer,
                "metadata": json.dumps({"image-name": image["names"][0], "image-id": image["id"],
                                        "name": f"box{n}"}),
                "created": now, "flags": {"MountLabel": "", "ProcessLabel": ""}})
        for kind, records in (("layers", layers), ("containers", containers)):
            with open(f"{store}/root/overlay-{kind}/{kind}.json", "w", encoding="utf-8") as f:
                json.dump(records, f, separators=(",", ":"))
            with open(f"{store}/root/overlay-{kind}/{kind}.lock", "wb") as f:
                f.write(os.urandom(64))

    def seen(self, store, *words):
        """Our command on a store whose tables we have seen since a peer wrote them."""
        Run(self.imbrex(store, "info"))
        return self.imbrex(store, *words)

    def parsing(self, store, *words):
        """Our command as the first after a peer has written."""
        shutil.rmtree(f"{store}/run/imbrex/index", ignore_errors=True)
        return self.imbrex(store, *words)

    def cell(self, rounds, ours, theirs, podman=None, more=None):
        """One operation by all: commands, or functions that return one. Each has PATIENCE."""
        contenders = {"imbrex": ours, "containers-storage": theirs}
        if podman:
            contenders["podman"] = podman
        make = {n: (c if callable(c) else lambda c=c: c) for n, c in contenders.items()}
        if more:
            make.update(more)
        return self.interleaved({n: (lambda m=m: Run(m(), PATIENCE)) for n, m in make.items()},
                                rounds, peaks=False)

    def operations(self, store, rounds):
        """name -> medians of what must not grow with the store."""
        small = "localhost/small:latest"

        def seen(*words):
            return lambda: self.seen(store, *words)

        def made():
            return Run(self.imbrex(store, "create", small)).output.strip()

        def pulled(command):
            def once():
                Run(self.imbrex(store, "pull", f"oci:{self.image_of_many_layers()}:many", "many"))
                return command
            return once

        podman_create = self.podman(store, "create", "-q", "--ulimit", "nofile=1024:1024", small,
                                    "true")
        return {
            "create": self.cell(rounds, seen("create", small),
                                self.storage(store, "create-container", small), podman_create),
            "list images": self.cell(rounds, seen("images", "--json"),
                                     self.storage(store, "images"), self.podman(store, "images"),
                                     {"imbrex after a peer":
                                      lambda: self.parsing(store, "images", "--json")}),
            "list containers": self.cell(rounds, seen("ps", "--json"),
                                         self.storage(store, "containers"),
                                         self.podman(store, "ps", "-a")),
            "look up by name": self.cell(rounds, seen("inspect", small),
                                         self.storage(store, "image", small),
                                         self.podman(store, "image", "inspect", small)),
            "remove a container": self.cell(
                rounds, lambda: self.imbrex(store, "rm", made()),
                lambda: self.storage(store, "delete-container", made())),
            f"remove an image of {MANY} layers": self.cell(
                rounds, pulled(self.imbrex(store, "rmi", "many")),
                pulled(self.storage(store, "delete-image", "localhost/many:latest")),
                pulled(self.podman(store, "rmi", "many"))),
        }

    def growth(self):
        """[(title of the axis, [(size, operations)])]"""
        layers, containers = [], []
        for n in self.options.growth:
            store = self.small_store()
            self.grow(store, n)
            layers.append((n, self.operations(store, 5 if n < 10000 else 1)))
            self.tell_growth("layers", *layers[-1])
        for n in self.options.containers:
            store = self.small_store()
            self.grow_containers(store, n)
            containers.append((n, self.operations(store, 5 if n < 10000 else 1)))
            self.tell_growth("containers", *containers[-1])
        return [("layers", layers), ("containers", containers)]

    @staticmethod
    def tell_growth(what, n, operations):
        for name, medians in operations.items():
            say(f"{n} {what}: {name} " + ", ".join(f"{k} {m.ms()} ms" for k, m in medians.items()))

    def plot(self, what, rows, output):
        data = f"{self.work}/growth-{what}.dat"
        names = [f"{op}, {k}" for op, medians in rows[0][1].items() for k in medians]
        with open(data, "w", encoding="ascii") as f:
            for n, operations in rows:
                f.write(f"{n} " + " ".join(
                    f"{m.wall * 1000:.3f}" for medians in operations.values()
                    for m in medians.values()) + "\n")
        lines = ", ".join(f"'{data}' using 1:{i + 2} with linespoints title '{name}'"
                          for i, name in enumerate(names))
        script = ("set terminal svg size 900,600\nset logscale xy\nset key outside\n"
                  f"set xlabel '{what} in the store'\nset ylabel 'milliseconds'\nset grid\n"
                  f"set output '{output}'\nplot {lines}\n")
        subprocess.run(["gnuplot"], input=script, text=True, check=True)

    # ---- report ------------------------------------------------------------------------

    def more(self):
        for name in SECTIONS:
            if self.options.only in ("", name):
                say(f"measuring: {name}")
                self.sections.append(importlib.import_module(name).section(self))

    def floor(self):
        layers = [path for path, _ in self.layers("big", "gzip")]
        return json.loads(Run([self.options.floor, self.fresh()] + layers).output)

    def report(self, floor, table):
        out = ["# Benchmarks", "",
               "Written by `make bench` (`bench/bench.py`); every figure below comes from one run "
               "of it, all programs side by side, rounds interleaved, medians.", ""]
        layers = self.layers("big", "gzip")
        out += [f"* machine: {os.cpu_count()} CPUs, {machine()}, Linux {platform.release()}",
                f"* peers: {', '.join(versions())}",
                f"* rounds: {self.rounds} for pulls; image `big`: {len(layers)} layers, "
                f"{sum(s for _, s in layers) / 1e6:.0f} MB gzip, {floor['tar_bytes'] / 1e6:.0f} MB "
                f"tar, {floor['entries']} entries, from a registry on loopback", "",
                "| work | imbrex | core s | peak MiB | peers (their time / ours; core s; peak MiB) "
                "| target |", "|---|---|---|---|---|---|"]
        for title, ours, peers, unit, target in self.rows:
            scale, digits = (1000, 1) if unit == "ms" else (1, 2)
            out.append(
                f"| {title} | {ours.wall * scale:.{digits}f} {unit} | {ours.cpu:.2f} | "
                f"{ours.peak_mib:.1f} | " + "; ".join(
                    f"{n} {m.wall * scale:.{digits}f} {unit} (**{m.wall / ours.wall:.1f} x**; "
                    f"{m.cpu:.2f}; {m.peak_mib:.1f})" for n, m in peers.items()) +
                f" | {target} |")
        out += ["", "## The floor of a cold pull", "",
                "What the bytes of `big` cost on one core, measured stage by stage by "
                "`bench/floor.c` on data in memory:", "",
                "| stage | core seconds |", "|---|---|"]
        for key in ("inflate", "hash_blob", "hash_tar", "write", "sync"):
            out.append(f"| {key.replace('_', ' ')} | {floor[key]:.2f} |")
        cold = self.rows[0][1].wall
        cores = os.cpu_count()
        bound = (floor["inflate"] + floor["hash_blob"] + floor["hash_tar"] +
                 floor["write"]) / cores + floor["sync"]
        out += ["", "Inflating and writing are most of it. `perf record` of a pull shows the writing "
                    "inside the kernel, in copy_folio_from_iter_atomic, filling page cache pages "
                    "for the first time: on a virtual machine that gets its memory from the host "
                    "page by page this costs more than on one that has it already, and `tar x` "
                    "above pays the same.", "", f"Spread over {cores} cores, plus the sync at the end: {bound:.2f} s. "
                    f"The cold pull above took {cold:.2f} s, {cold / bound:.2f} times that.", ""]
        if table:
            out += ["## Growth with the store", "",
                    "Every tenth layer has an image with its documents; made-up containers are all of "
                    "one image. Milliseconds; from 10,000 on each figure is one run. \"over\": stopped "
                    f"after {PATIENCE} s.", ""]
            for what, rows in table:
                plot = "bench-growth.svg" if what == "layers" else f"bench-growth-{what}.svg"
                columns = [f"{op}, {k}" for op, medians in rows[0][1].items() for k in medians]
                out += [f"![growth with {what}]({plot})", "",
                        f"| {what} | " + " | ".join(columns) + " |",
                        "|---" * (1 + len(columns)) + "|"]
                for n, operations in rows:
                    out.append(f"| {n} | " + " | ".join(
                        m.ms() for medians in operations.values()
                        for m in medians.values()) + " |")
                out.append("")
                self.plot(what, rows, f"{self.options.output}/{plot}")
            out.pop()
        for lines in self.sections:
            out += ["", *lines]
        path = f"{self.options.output}/BENCHMARKS.md"
        with open(path, "w", encoding="utf-8") as f:
            f.write("\n".join(out) + "\n")
        say(f"wrote {path}")

    def close(self):
        if self.registry:
            self.registry.send_signal(signal.SIGTERM)
            self.registry.wait()
        stores = f"{self.work}/stores"
        if os.path.isdir(stores):
            with open("/proc/self/mountinfo", encoding="utf-8") as f:
                mounts = [line.split()[4] for line in f if f" {stores}/" in line]
            for mount in sorted(mounts, reverse=True):
                subprocess.run(["umount", "-l", mount], check=False)
            shutil.rmtree(stores, ignore_errors=True)


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def versions():
    for name, words in (("podman", ["podman", "--version"]), ("skopeo", ["skopeo", "--version"]),
                        ("umoci", ["umoci", "--version"]), ("bwrap", ["bwrap", "--version"])):
        got = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False).stdout
        yield f"{name} {got.split()[-1] if name != 'skopeo' else got.split()[2]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--imbrex", default=f"{TOP}/build/imbrex")
    parser.add_argument("--floor", default=f"{TOP}/build/bench/floor")
    parser.add_argument("--work", default=f"{TOP}/build/bench-work")
    parser.add_argument("--output", default=f"{TOP}/docs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--growth", default="1,100,10000,50000")
    parser.add_argument("--containers", default="1,100,1000,10000")
    parser.add_argument("--only-growth", action="store_true", help="print it, write nothing")
    parser.add_argument("--only", default="", choices=["", *SECTIONS],
                        help="print one part of the report, write nothing")
    parser.add_argument("--quick", action="store_true", help="one round, little growth")
    options = parser.parse_args()
    options.growth = [int(n) for n in options.growth.split(",")]
    options.containers = [int(n) for n in options.containers.split(",")]
    if options.quick:
        options.rounds, options.growth, options.containers = 1, [1, 1000], [1, 1000]
    if os.geteuid() != 0:
        die("needs root: podman and the overlay driver are measured as root")
    bench = Bench(options)
    try:
        bench.images()
        if options.only:
            bench.more()
            print("\n".join(bench.sections[0]))
            return
        if options.only_growth:
            bench.growth()
            return
        bench.start_registry()
        bench.cold("gzip")
        bench.cold("zstd")
        bench.warm()
        bench.small_operations()
        bench.more()
        table = bench.growth()
        bench.report(bench.floor(), table)
    finally:
        bench.close()


if __name__ == "__main__":
    main()
