# SPDX-License-Identifier: Apache-2.0
"""A Docker Engine on a unix socket that misbehaves by name, and the archives that engines write."""
import gzip
import hashlib
import http.server
import io
import json
import os
import shutil
import socketserver
import subprocess
import tarfile
import threading
import urllib.parse

EMPTY_CONFIG = {
    "Hostname": "", "Domainname": "", "User": "", "AttachStdin": False, "AttachStdout": False,
    "AttachStderr": False, "Tty": False, "OpenStdin": False, "StdinOnce": False, "Env": None,
    "Cmd": None, "Image": "", "Volumes": None, "WorkingDir": "", "Entrypoint": None, "OnBuild": None,
    "Labels": None}
OCI = "application/vnd.oci.image."


def hexdigest(data):
    return hashlib.sha256(data).hexdigest()


def digest(data):
    return "sha256:" + hexdigest(data)


def compact(value):
    return json.dumps(value, separators=(",", ":")).encode()


def layer(name, size=200_000, seed=None):
    """A tar with one file that does not compress."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = size
        tar.addfile(info, io.BytesIO(hashlib.shake_128((seed or name).encode()).digest(size)))
    return out.getvalue()


def empty_layer():
    return bytes(1024)


def zstd(data):
    return subprocess.run(["zstd", "-q", "-3"], input=data, stdout=subprocess.PIPE, check=True).stdout


def has_zstd():
    return shutil.which("zstd") is not None


class Archive:
    """Members in the order in which they are added."""

    def __init__(self):
        self.members = []

    def add(self, name, data):
        self.members.append((name, data, None, tarfile.REGTYPE))
        return self

    def link(self, name, target, kind=tarfile.SYMTYPE):
        self.members.append((name, b"", target, kind))
        return self

    def names(self):
        return [m[0] for m in self.members]

    def replace(self, name, data):
        self.members = [(n, data, t, k) if n == name else (n, d, t, k) for n, d, t, k in self.members]

    def remove(self, name):
        self.members = [m for m in self.members if m[0] != name]

    def bytes(self):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for name, data, target, kind in self.members:
                info = tarfile.TarInfo(name)
                info.type, info.size, info.linkname = kind, len(data), target or ""
                tar.addfile(info, io.BytesIO(data))
        return out.getvalue()


class Image:
    def __init__(self, tars, tag="test/image:1", **config):
        self.tars, self.tag = tars, tag
        self.diff_ids = [digest(t) for t in tars]
        self.config = compact({"architecture": "amd64", "os": "linux", "config": config,
                               "rootfs": {"type": "layers", "diff_ids": self.diff_ids}})
        self.id = hexdigest(self.config)

    def layer_ids(self):
        ids = []
        for d in self.diff_ids:
            ids.append(d[7:] if not ids else hexdigest(f"{ids[-1]}+{d[7:]}".encode()))
        return ids

    def inspect(self, **more):
        return {"Id": "sha256:" + self.id, "RepoTags": [self.tag], "Os": "linux",
                "Architecture": "amd64", "RootFS": {"Type": "layers", "Layers": self.diff_ids}, **more}

    def saved(self, names, config):
        return compact([{"Config": config, "RepoTags": [self.tag], "Layers": names}])

    def v1_names(self):
        names, chain = [], None
        for i, d in enumerate(self.diff_ids):
            chain = d if chain is None else digest(f"{chain} {d}".encode())
            doc = {"container_config": EMPTY_CONFIG, "created": "1970-01-01T00:00:00Z",
                   "layer_id": chain}
            if names:
                doc["parent"] = "sha256:" + names[-1]
            if i == len(self.diff_ids) - 1:
                doc["config"] = "of the image"
            names.append(hexdigest(compact(doc)))
        return names

    def docker20(self, order=None):
        """A folder for each layer; equal layers are links to the first; documents last."""
        v1, first, folders = self.v1_names(), {}, {}
        for i, (name, data) in enumerate(zip(v1, self.tars)):
            folders[name] = folder = Archive().add(f"{name}/VERSION", b"1.0")
            about = {"id": name, **({"parent": v1[i - 1]} if i else {})}
            folder.add(f"{name}/json", compact(about))
            if data in first:
                folder.link(f"{name}/layer.tar", f"../{first[data]}/layer.tar")
            else:
                first[data] = name
                folder.add(f"{name}/layer.tar", data)
        archive = Archive()
        for name in sorted(v1) if order is None else [v1[i] for i in order]:
            archive.members += folders[name].members
        archive.add(self.id + ".json", self.config)
        archive.add("manifest.json", self.saved([n + "/layer.tar" for n in v1], self.id + ".json"))
        return archive

    def podman(self):
        archive = Archive()
        for d, data in dict(zip(self.diff_ids, self.tars)).items():
            archive.add(d[7:] + ".tar", data)
        archive.add(self.id + ".json", self.config)
        return archive.add("manifest.json", self.saved([d[7:] + ".tar" for d in self.diff_ids],
                                                       self.id + ".json"))

    def layout(self, pack=None, media="tar", order=None):
        """As docker since 25 writes it (pack None), or with containerd's store (packed blobs)."""
        blobs = [pack(t) if pack else t for t in self.tars]
        manifest = compact({
            "schemaVersion": 2, "mediaType": OCI + "manifest.v1+json",
            "config": {"mediaType": OCI + "config.v1+json", "digest": digest(self.config),
                       "size": len(self.config)},
            "layers": [{"mediaType": OCI + "layer.v1." + media, "digest": digest(b), "size": len(b)}
                       for b in blobs]})
        index = compact({"schemaVersion": 2, "manifests": [{
            "mediaType": OCI + "manifest.v1+json", "digest": digest(manifest), "size": len(manifest),
            "annotations": {"io.containerd.image.name": "docker.io/" + self.tag,
                            "org.opencontainers.image.ref.name": "1"}}]})
        files = {"blobs/sha256/" + hexdigest(b): b for b in [*blobs, self.config, manifest]}
        names = sorted(files) if order is None else (
            ["blobs/sha256/" + hexdigest(blobs[i]) for i in order])
        archive = Archive()
        for name in names + [n for n in sorted(files) if n not in names]:
            archive.add(name, files[name])
        archive.add("index.json", index)
        archive.add("manifest.json", self.saved(["blobs/sha256/" + hexdigest(b) for b in blobs],
                                                "blobs/sha256/" + self.id))
        archive.add("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        self.manifest_id = hexdigest(manifest)
        return archive

    def containerd(self, pack=gzip.compress, media="tar+gzip"):
        return self.layout(pack, media)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def address_string(self):
        return "local"

    def answer(self, status, body, length=None):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def hang(self):
        """Until the client has gone."""
        self.wfile.flush()
        self.close_connection = True
        while self.connection.recv(4096):
            pass

    def do_GET(self):
        engine = self.server.engine
        path = urllib.parse.unquote(self.path)
        engine.requests.append(path)
        kind = path.rsplit("/", 1)[1]
        name = path[len("/images/"):-len(kind) - 1]
        fault = engine.faults.get(kind)
        image = engine.images.get(name)
        try:
            if fault:
                fault(self)
            elif image is None:
                self.answer(404, compact({"message": f"No such image: {name}"}))
            else:
                self.answer(200, compact(image[0]) if kind == "json" else image[1])
        except OSError:
            self.close_connection = True


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Clients that hang up are what the tests are about."""


class Engine:
    """with Engine(path) as e: e.serve(image, archive)"""

    def __init__(self, path):
        self.path, self.faults, self.images, self.requests = path, {}, {}, []
        self.server = Server(path, Handler)
        self.server.engine = self
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))

    def serve(self, image, archive, **inspect):
        """Under its tag and its id."""
        about = image.inspect(**inspect)
        data = archive if isinstance(archive, bytes) else archive.bytes()
        for name in (image.tag, about["Id"]):
            self.images[name] = (about, data)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *args):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
        os.unlink(self.path)
