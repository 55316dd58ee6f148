#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write an OCI layout with small images that have some of everything: make_layouts.py FOLDER.

one  three layers: hard links, xattrs, modes, a fifo, whiteouts, an opaque directory
two  the lower two layers of `one`, and another third
big  the lowest layer of `one`, and one of six megabytes that do not compress
"""
import gzip
import hashlib
import io
import json
import os
import sys
import tarfile

KIND = 'application/vnd.oci.image.'


def node(name, kind=tarfile.REGTYPE, mode=0o644, data=b'', link='', xattrs=()):
    info = tarfile.TarInfo(name)
    info.type = kind
    info.mode = mode
    info.mtime = 1700000000
    info.linkname = link
    info.size = len(data)
    info.pax_headers = {'SCHILY.xattr.' + k: v for k, v in xattrs}
    return info, data


def tar(*nodes):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w', format=tarfile.PAX_FORMAT) as t:
        for info, data in nodes:
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def directory(name, mode=0o755, **more):
    return node(name, tarfile.DIRTYPE, mode, **more)


def noise(name, size):
    return hashlib.shake_128(name.encode()).digest(size)


BASE = tar(
    directory('etc'), node('etc/passwd', data=b'root:x:0:0::/:/bin/sh\n'),
    directory('bin'), node('bin/sh', mode=0o4755, data=noise('sh', 70000)),
    node('bin/ash', tarfile.LNKTYPE, link='bin/sh'),
    node('bin/bash', tarfile.SYMTYPE, mode=0o777, link='sh'),
    directory('var', xattrs=[('user.kind', 'directory')]),
    node('var/tagged', data=b'tagged', xattrs=[('user.kind', 'file')]),
    node('var/gone', data=b'gone'), node('var/pipe', tarfile.FIFOTYPE),
    directory('opt'), node('opt/old', data=b'old'))
MIDDLE = tar(
    directory('var', xattrs=[('user.kind', 'directory')]), node('var/.wh.gone'),
    directory('opt'), node('opt/.wh..wh..opq'), node('opt/new', data=b'new'))
TOP_ONE = tar(directory('etc'), node('etc/one', data=noise('one', 9000)))
TOP_TWO = tar(directory('etc'), node('etc/two', data=noise('two', 5000)),
              node('etc/.wh.passwd'))
LARGE = tar(directory('data'), node('data/large', data=noise('large', 6_000_000)))


def main():
    root = sys.argv[1]
    folder = os.path.join(root, 'blobs', 'sha256')
    os.makedirs(folder)

    def put(media_type, data):
        name = hashlib.sha256(data).hexdigest()
        with open(os.path.join(folder, name), 'wb') as f:
            f.write(data)
        return {'mediaType': media_type, 'digest': 'sha256:' + name, 'size': len(data)}

    def image(tag, tars):
        layers = [put(KIND + 'layer.v1.tar+gzip', gzip.compress(t, mtime=0)) for t in tars]
        config = put(KIND + 'config.v1+json', json.dumps({
            'architecture': 'amd64', 'os': 'linux', 'config': {'Cmd': [tag]},
            'rootfs': {'type': 'layers', 'diff_ids': [
                'sha256:' + hashlib.sha256(t).hexdigest() for t in tars]}}).encode())
        manifest = put(KIND + 'manifest.v1+json', json.dumps({
            'schemaVersion': 2, 'mediaType': KIND + 'manifest.v1+json', 'config': config,
            'layers': layers}).encode())
        manifest['annotations'] = {'org.opencontainers.image.ref.name': tag}
        return manifest

    manifests = [image('one', [BASE, MIDDLE, TOP_ONE]), image('two', [BASE, MIDDLE, TOP_TWO]),
                 image('big', [BASE, LARGE])]
    with open(os.path.join(root, 'index.json'), 'w') as f:
        json.dump({'schemaVersion': 2, 'manifests': manifests}, f)
    with open(os.path.join(root, 'oci-layout'), 'w') as f:
        f.write('{"imageLayoutVersion":"1.0.0"}')


if __name__ == '__main__':
    main()
