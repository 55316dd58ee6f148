# SPDX-License-Identifier: Apache-2.0
"""What the tests of the enroot face stand on: images in a registry, places, trees as data."""
import gzip
import hashlib
import io
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest

USER = 64322
KIND = "application/vnd.oci.image."
CREATED = 1672531200
CONFIG = {
    "WorkingDir": "/srv/app",
    "Env": ["PATH=/usr/bin:/bin", "GREETING=hello world"],
    "Entrypoint": ["/bin/echo", "it's"],
    "Cmd": ["a b", "$HOME"],
    "Labels": {"org.z": "last\nline", "a.first": "1"},
    "Volumes": {"/data": {}, "/a vol": {}},
}


def tar(*members):
    """Of (name, type or content, mode, link), as a layer's bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as t:
        for name, what, *more in members:
            info = tarfile.TarInfo(name)
            info.mode = more[0] if more else 0o644
            info.mtime = 1600000000
            info.uid = info.gid = 33
            data = b""
            if isinstance(what, bytes):
                data, info.size = what, len(what)
            else:
                info.type = TYPES[what]
                info.linkname = more[1] if len(more) > 1 else ""
                info.devmajor, info.devminor = 1, 3
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


D, L, H, C, P = "dir", "symlink", "hardlink", "char", "fifo"
TYPES = {D: tarfile.DIRTYPE, L: tarfile.SYMTYPE, H: tarfile.LNKTYPE, C: tarfile.CHRTYPE,
         P: tarfile.FIFOTYPE}
LAYERS = [
    tar(("bin", D, 0o755), ("bin/sh", b"#!shell\n", 0o4755), ("bin/bash", H, 0o4755, "bin/sh"),
        ("etc", D, 0o755), ("etc/passwd", b"root:x:0:0::/:/bin/sh\n"), ("etc/secret", b"s", 0o000),
        ("etc/fstab", b"the image's own\n"), ("a", D, 0o755), ("a/one", b"1"), ("a/two", b"2"),
        ("dev", D, 0o755), ("dev/null", C, 0o666), ("dev/x", b"left out"), ("gone", b"x"),
        ("locked", D, 0o500), ("locked/in", b"inside"), ("lib", L, 0o777, "usr/lib"),
        ("usr/lib/implicit/deep", b"no entry names my parents"), ("pipe", P, 0o600)),
    tar(("a", D, 0o755), ("a/.wh..wh..opq", b""), ("a/three", b"3"), (".wh.gone", b""),
        ("big", bytes(range(256)) * 5000)),
    tar(),
]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def layout(folder, layers, config, tag="1", architecture="amd64"):
    blobs = os.path.join(folder, "blobs", "sha256")
    os.makedirs(blobs)

    def put(media, data):
        name = hashlib.sha256(data).hexdigest()
        with open(os.path.join(blobs, name), "wb") as f:
            f.write(data)
        return {"mediaType": KIND + media, "digest": "sha256:" + name, "size": len(data)}

    document = put("config.v1+json", json.dumps({
        "architecture": architecture, "os": "linux", "created": "2023-01-01T00:00:00Z",
        "config": config, "rootfs": {"type": "layers", "diff_ids": [
            "sha256:" + hashlib.sha256(t).hexdigest() for t in layers]}}).encode())
    manifest = put("manifest.v1+json", json.dumps({
        "schemaVersion": 2, "mediaType": KIND + "manifest.v1+json", "config": document,
        "layers": [put("layer.v1.tar+gzip", gzip.compress(t, mtime=0)) for t in layers],
    }).encode())
    manifest["annotations"] = {"org.opencontainers.image.ref.name": tag}
    with open(os.path.join(folder, "index.json"), "w", encoding="ascii") as f:
        json.dump({"schemaVersion": 2, "manifests": [manifest]}, f)
    with open(os.path.join(folder, "oci-layout"), "w", encoding="ascii") as f:
        f.write('{"imageLayoutVersion":"1.0.0"}')
    return manifest["digest"], document["digest"]


class Registry:
    """docker-registry on a port of the loopback."""

    def __init__(self, root):
        self.root = root
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        conf = os.path.join(root, "registry.yml")
        with open(conf, "w", encoding="ascii") as f:
            f.write(f"version: 0.1\nlog: {{level: error}}\n"
                    f"storage: {{filesystem: {{rootdirectory: {root}/data}}}}\n"
                    f"http: {{addr: {self.host}}}\n")
        with open(os.path.join(root, "policy.json"), "w", encoding="ascii") as f:
            f.write('{"default":[{"type":"insecureAcceptAnything"}]}')
        self.log = open(os.path.join(root, "log"), "wb")
        self.process = subprocess.Popen(["docker-registry", "serve", conf], stdout=self.log,
                                        stderr=self.log)
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise

    def push(self, folder, name):
        subprocess.run(["skopeo", "--policy", f"{self.root}/policy.json", "copy", "-q",
                        "--dest-tls-verify=false", f"oci:{folder}:1",
                        f"docker://{self.host}/{name}"], check=True)

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()


def tree(root, owners=False):
    """{path: (type and mode, seconds, what it holds, [owner])} and groups of hard links."""
    found, inodes = {}, {}
    for base, dirs, files in os.walk(root):
        for name in [""] * (base == root) + dirs + files:
            path = os.path.join(base, name) if name else base
            st = os.lstat(path)
            inside = os.path.relpath(path, root)
            what = None
            if stat.S_ISREG(st.st_mode):
                with open(path, "rb") as f:
                    what = f.read()
            elif stat.S_ISLNK(st.st_mode):
                what = os.readlink(path)
            elif not stat.S_ISDIR(st.st_mode):
                what = st.st_rdev
            found[inside] = (oct(st.st_mode), int(st.st_mtime), what) + (
                (st.st_uid, st.st_gid) if owners else ())
            if not stat.S_ISDIR(st.st_mode):
                inodes.setdefault(st.st_ino, []).append(inside)
    return found, sorted(sorted(v) for v in inodes.values() if len(v) > 1)


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            print(f"skipped: {program} is not installed")
            sys.exit(77)


class Result:
    def __init__(self, p):
        self.status, self.out, self.err = p.returncode, p.stdout, p.stderr

    def __repr__(self):
        return f"status {self.status}\n{self.out}\n{self.err}"


class Case(unittest.TestCase):
    """Places of one's own, and the program as root or as an unprivileged user."""
    maxDiff = None
    program = None
    lane = "root"

    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="imbrex-enroot-")
        os.chmod(self.root, 0o755)
        self.work = self.path("work")
        for name in ("work", "data", "cache", "conf", "tmp", "etc", "home"):
            os.mkdir(self.path(name))
            if self.lane == "user" and os.geteuid() == 0:
                os.chown(self.path(name), USER, USER)
        self.addCleanup(subprocess.run, ["rm", "-rf", self.root], check=False)

    def path(self, *names):
        return os.path.join(self.root, *names)

    def become(self):
        os.setgroups([])
        os.setresgid(USER, USER, USER)
        os.setresuid(USER, USER, USER)

    def env(self, **more):
        return {
            "PATH": os.environ["PATH"], "HOME": self.path("home"), "TERM": "dumb", "LC_ALL": "C",
            "ENROOT_DATA_PATH": self.path("data"), "ENROOT_CACHE_PATH": self.path("cache"),
            "ENROOT_CONFIG_PATH": self.path("conf"), "ENROOT_TEMP_PATH": self.path("tmp"),
            "ENROOT_RUNTIME_PATH": self.path("tmp", "run"), "ENROOT_ALLOW_HTTP": "y",
            "IMBREX_ENROOT_CONF_DIR": self.path("etc"),
            **{k: os.environ[k] for k in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS")
               if k in os.environ}, **more}

    def enroot(self, *args, env=None, stdin=None, cwd=None, text=True):
        become = self.become if self.lane == "user" and os.geteuid() == 0 else None
        more = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
        return Result(subprocess.run(
            [self.program, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=text,
            env=self.env(**(env or {})), preexec_fn=become, cwd=cwd or self.work, check=False,
            timeout=300, executable=self.program, **more))

    def good(self, *args, **more):
        r = self.enroot(*args, **more)
        self.assertEqual(r.status, 0, r)
        return r

    def check(self, args, status, out="", err="", **more):
        r = self.enroot(*args, **more)
        fill = {"root": os.path.realpath(self.root)}
        self.assertEqual((r.status, r.out, r.err),
                         (status, out.format(**fill), err.format(**fill)), args)
