#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write a small OCI layout with the tag 1: make_layout.py FOLDER. Layers are real tars, one large."""
import gzip
import hashlib
import io
import json
import os
import sys
import tarfile


def tar(name, size):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w') as t:
        info = tarfile.TarInfo(name)
        info.size = size
        t.addfile(info, io.BytesIO(hashlib.shake_128(name.encode()).digest(size)))
    return out.getvalue()


def main():
    root = sys.argv[1]
    folder = os.path.join(root, 'blobs', 'sha256')
    os.makedirs(folder)

    def put(media_type, data):
        name = hashlib.sha256(data).hexdigest()
        with open(os.path.join(folder, name), 'wb') as f:
            f.write(data)
        return {'mediaType': media_type, 'digest': 'sha256:' + name, 'size': len(data)}

    tars = [tar('small', 10), tar('large', 5_000_000), tar('middle', 70_000)]
    kind = 'application/vnd.oci.image.'
    layers = [put(kind + 'layer.v1.tar+gzip', gzip.compress(t, mtime=0)) for t in tars]
    config = put(kind + 'config.v1+json', json.dumps({
        'architecture': 'amd64', 'os': 'linux', 'rootfs': {'type': 'layers', 'diff_ids': [
            'sha256:' + hashlib.sha256(t).hexdigest() for t in tars]}}).encode())
    manifest = put(kind + 'manifest.v1+json', json.dumps({
        'schemaVersion': 2, 'mediaType': kind + 'manifest.v1+json', 'config': config,
        'layers': layers}).encode())
    manifest['annotations'] = {'org.opencontainers.image.ref.name': '1'}
    with open(os.path.join(root, 'index.json'), 'w') as f:
        json.dump({'schemaVersion': 2, 'manifests': [manifest]}, f)
    with open(os.path.join(root, 'oci-layout'), 'w') as f:
        f.write('{"imageLayoutVersion":"1.0.0"}')


if __name__ == '__main__':
    main()
