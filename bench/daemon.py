#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An image from a Docker Engine into a store: in one pass, or by `docker save` and unpacking, or by
skopeo. How long, how much memory, and how much more disk than the result while it lasts?

usage: daemon.py IMBREX WORK [MIB]      (prints a table; bench.py has section())

A dockerd of our own builds the image: three layers of files of noise, MIB in all (512). It and the
results lie on two ext4 file systems in files, so that what is used at any moment is only what the
one that is measured uses; dockerd before 25 writes the archive to its own disk first, for everybody.
"""
import ctypes
import os
import random
import shutil
import statistics
import subprocess
import sys
import threading
import time

SAMPLE_SECONDS = 0.004
libc = ctypes.CDLL(None)


def call(argv, env=None):
    r = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    if r.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {r.stderr.strip()}")
    return r.stdout.strip()


def docker():
    """The real client: other programs go by that name, too."""
    return next((p for p in ("/usr/bin/docker", "/usr/local/bin/docker") if os.access(p, os.X_OK)
                 and "Docker version" in subprocess.run([p, "--version"], capture_output=True,
                                                        text=True, check=False).stdout), None)


class Disk:
    """A file system of our own."""

    def __init__(self, path, mib):
        self.path, self.image = path, path + ".img"
        os.makedirs(self.path)
        with open(self.image, "wb") as f:
            f.truncate(mib << 20)
        call(["mkfs.ext4", "-q", "-F", self.image])
        call(["mount", "-o", "loop", self.image, self.path])

    def used(self):
        s = os.statvfs(self.path)
        return (s.f_blocks - s.f_bfree) * s.f_frsize

    def sync(self):
        fd = os.open(self.path, os.O_RDONLY)
        libc.syncfs(fd)
        os.close(fd)

    def close(self):
        with open("/proc/self/mountinfo", encoding="utf-8") as f:
            points = [line.split()[4] for line in f]
        for point in reversed(points):
            if point == self.path or point.startswith(self.path + "/"):
                subprocess.run(["umount", "-l", point], check=False)


class Engine:
    def __init__(self, folder, mib):
        os.makedirs(folder)
        for name in ("daemon.json", "config.json"):
            with open(f"{folder}/{name}", "w", encoding="ascii") as f:
                f.write("{}")
        self.host = f"unix://{folder}/docker.sock"
        self.env = {**os.environ, "DOCKER_HOST": self.host, "DOCKER_BUILDKIT": "0", "DOCKER_CONFIG": folder}
        with open(folder + "/log", "wb") as log:
            self.process = subprocess.Popen(
                ["dockerd", "--config-file", folder + "/daemon.json", "--data-root", folder + "/data",
                 "--exec-root", folder + "/exec", "--pidfile", folder + "/pid", "-H", self.host,
                 "--storage-driver", "overlay2", "--iptables=false", "--ip6tables=false",
                 "--ip-forward=false", "--ip-masq=false", "--bridge=none"], stdout=log, stderr=log)
        try:
            self.wait()
            self.build(folder + "/context", mib)
        except BaseException:
            self.close()
            raise

    def wait(self):
        for _ in range(600):
            if subprocess.run([docker(), "version"], env=self.env, capture_output=True,
                              check=False).returncode == 0:
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError("dockerd does not start")

    def build(self, context, mib):
        noise = random.Random(1).randbytes(4 << 20)
        for layer in range(3):
            for i in range(mib * 1024 // 3 // 128):
                folder = f"{context}/l{layer}/d{i // 100}"
                os.makedirs(folder, exist_ok=True)
                at = (i * 7919 + layer * 31) % (3 << 20)
                with open(f"{folder}/f{i}", "wb") as f:
                    f.write(noise[at:at + 128 * 1024])
        with open(context + "/Dockerfile", "w", encoding="ascii") as f:
            f.write("FROM scratch\n" + "".join(f"COPY l{i} /l{i}\n" for i in range(3)))
        call([docker(), "build", "-q", "-t", "bench/daemon:1", context], self.env)
        shutil.rmtree(context)

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()


class Sampler(threading.Thread):
    def __init__(self, disk):
        super().__init__()
        self.disk, self.peak, self.stop = disk, 0, threading.Event()

    def run(self):
        while not self.stop.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, self.disk.used())


def once(disk, engine, argv, folder):
    """Seconds until the result is on disk, peak MiB of the largest process, MiB of disk beyond what
    is left at the end."""
    os.makedirs(folder + "/tmp")
    env = {**engine.env, "TMPDIR": folder + "/tmp"}
    disk.sync()
    sampler = Sampler(disk)
    sampler.start()
    start = time.monotonic()
    p = subprocess.Popen(["/usr/bin/time", "-q", "-f", "peak-kib %M", *argv], env=env,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    output, _ = p.communicate()
    disk.sync()
    seconds = time.monotonic() - start
    sampler.stop.set()
    sampler.join()
    if p.returncode:
        raise RuntimeError(f"{argv}: {output}")
    peak = int(output.rsplit("peak-kib ", 1)[1].split()[0]) / 1024
    extra = max(sampler.peak - disk.used(), 0) / (1 << 20)
    return seconds, peak, extra


def measure(imbrex, work, mib, rounds, say):
    folder = f"{work}/daemon-{os.getpid()}"
    os.makedirs(folder)
    engines = disk = engine = None
    try:
        engines, disk = Disk(folder + "/engine", mib * 5 + 1024), Disk(folder + "/results", mib * 4 + 1024)
        engine = Engine(engines.path + "/dockerd", mib)
        name = "bench/daemon:1"
        unpack = ("set -e; mkdir $1/saved $1/root; {docker} save {name} | tar x -C $1/saved; "
                  "for l in $1/saved/*/layer.tar; do tar x -f $l -C $1/root; done; rm -r $1/saved"
                  ).format(docker=docker(), name=name)
        ways = {
            "imbrex pull dockerd://": lambda to: [
                imbrex, "--root", to + "/root", "--runroot", to + "/run", "--driver", "overlay", "pull",
                "-q", "dockerd://" + name],
            "docker save \\| tar x, tar x of each layer": lambda to: ["sh", "-c", unpack, "sh", to],
            "skopeo copy docker-daemon: containers-storage:": lambda to: [
                "skopeo", "copy", "-q", "--insecure-policy", "--src-daemon-host", engine.host,
                "docker-daemon:" + name,
                f"containers-storage:[overlay@{to}/root+{to}/run]localhost/bench/daemon:1"],
        }
        runs = {way: [] for way in ways}
        for n in range(rounds):
            for i, (way, argv) in enumerate(ways.items()):
                to = f"{disk.path}/{n}-{i}"
                runs[way].append(once(disk, engine, argv(to), to))
                say(f"{way}: {runs[way][-1][0]:.2f} s, {runs[way][-1][1]:.0f} MiB, "
                    f"{runs[way][-1][2]:.0f} MiB more disk")
                subprocess.run(["umount", "-l", to + "/root/overlay"], stderr=subprocess.DEVNULL, check=False)
                shutil.rmtree(to)
        to = f"{disk.path}/engine-alone"
        alone = once(disk, engine, ["sh", "-c", f"{docker()} save {name} >/dev/null"], to)
        return {w: [statistics.median(x) for x in zip(*r)] for w, r in runs.items()}, alone
    finally:
        if engine:
            engine.close()
        for d in (engines, disk):
            if d:
                d.close()
        shutil.rmtree(folder, ignore_errors=True)


def table(found, alone):
    """Lines of Markdown."""
    lines = ["| way | s | memory MiB | more disk MiB |", "|---|---|---|---|"]
    for way, (seconds, peak, extra) in found.items():
        lines.append(f"| {way} | {seconds:.2f} | {peak:.0f} | {extra:.0f} |")
    lines.append(f"| `docker save` to /dev/null, for the engine's own part | {alone[0]:.2f} | "
                 f"{alone[1]:.0f} | {alone[2]:.0f} |")
    return lines


def section(bench):
    """The part of bench.py's report."""
    title = ["## From a Docker Engine", ""]
    mib = 64 if bench.options.quick else 512
    if not shutil.which("dockerd") or not docker():
        return title + ["Not measured: no dockerd."]
    try:
        found, alone = measure(os.path.abspath(bench.options.imbrex), bench.work, mib,
                               1 if bench.options.quick else 3, lambda text: None)
    except RuntimeError as e:
        return title + [f"Not measured: {e}"]
    return title + [f"An image of {mib} MiB in three layers. More disk: at the worst moment, beyond what is left at "
                    "the end, the engine's own disk not counted. Results synced.", "",
                    *table(found, alone)]


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    os.makedirs(sys.argv[2], exist_ok=True)
    found, alone = measure(os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]),
                           int(sys.argv[3]) if len(sys.argv) > 3 else 512, 3,
                           lambda text: print(text, file=sys.stderr))
    print("\n".join(table(found, alone)))


if __name__ == "__main__":
    main()
