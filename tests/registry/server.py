#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A registry that misbehaves by name, on 127.0.0.1 only.

As a program:  server.py LAYOUT [FAULT...]   serves an OCI layout, prints its port, runs until killed.
As a module:   Server(image, {fault: argument}) for test_faults.py.

Faults act on blobs unless their name says otherwise. A fault whose argument is a number happens
that many times and then stops; True means for ever.
"""
import base64
import hashlib
import json
import os
import re
import socket
import ssl
import struct
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
INDEX = 'application/vnd.oci.image.index.v1+json'
CONFIG = 'application/vnd.oci.image.config.v1+json'
LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip'
DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json'
DOCKER_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json'
DOCKER_CONFIG = 'application/vnd.docker.container.image.v1+json'
DOCKER_LAYER = 'application/vnd.docker.image.rootfs.diff.tar.gzip'

USER, PASSWORD = 'anna', 's3cr3t-password'
TOKEN, IDENTITY = 's3cr3t-token', 's3cr3t-identity'


def digest(data):
    return 'sha256:' + hashlib.sha256(data).hexdigest()


def noise(seed, size):
    """Bytes that look random and are the same every time."""
    return hashlib.shake_128(seed.encode()).digest(size)


class Image:
    """Documents and blobs: what one registry holds."""

    def __init__(self):
        self.blobs = {}
        self.manifests = {}  # tag or digest -> (media type, bytes)

    def add_blob(self, data):
        self.blobs[digest(data)] = data
        return digest(data)

    def add_manifest(self, media_type, data, *tags):
        for name in (digest(data), *tags):
            self.manifests[name] = (media_type, data)
        return {'mediaType': media_type, 'digest': digest(data), 'size': len(data)}

    def make(self, seed, tag, docker=False, sizes=(200_000, 1_000)):
        config = json.dumps({'architecture': 'amd64', 'os': 'linux', 'seed': seed}).encode()
        layers = [noise(f'{seed}{i}', size) for i, size in enumerate(sizes)]
        types = (DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER) if docker else (MANIFEST, CONFIG, LAYER)
        document = {
            'schemaVersion': 2, 'mediaType': types[0],
            'config': {'mediaType': types[1], 'digest': self.add_blob(config), 'size': len(config)},
            'layers': [{'mediaType': types[2], 'digest': self.add_blob(d), 'size': len(d)}
                       for d in layers],
        }
        return self.add_manifest(types[0], json.dumps(document).encode(), tag)

    def make_index(self, tag, entries, media_type=INDEX):
        document = {'schemaVersion': 2, 'mediaType': media_type, 'manifests': [
            dict(d, platform=dict(zip(('os', 'architecture', 'variant'), p.split('/')))) if p else d
            for p, d in entries]}
        return self.add_manifest(media_type, json.dumps(document).encode(), tag)


def load_layout(path):
    image = Image()
    folder = os.path.join(path, 'blobs', 'sha256')
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), 'rb') as f:
            image.blobs['sha256:' + name] = f.read()
    with open(os.path.join(path, 'index.json'), 'rb') as f:
        index = json.load(f)
    for d in index['manifests']:
        tag = d.get('annotations', {}).get('org.opencontainers.image.ref.name', 'latest')
        image.add_manifest(d['mediaType'], image.blobs[d['digest']], tag)
    return image


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def fault(self, name):
        """The argument of a fault that is to happen now, or None."""
        with self.server.lock:
            value = self.server.faults.get(name)
            if isinstance(value, int) and value is not True:
                if value <= 0:
                    return None
                self.server.faults[name] = value - 1
            return value

    def reply(self, status, body=b'', media_type='application/json', **headers):
        self.send_response(status)
        for key, value in headers.items():
            for v in value if isinstance(value, list) else [value]:
                self.send_header(key.replace('_', '-'), v)
        if 'Content_Length' not in headers and 'Transfer_Encoding' not in headers:
            self.send_header('Content-Length', str(len(body)))
        if media_type:
            self.send_header('Content-Type', media_type)
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(body)

    def problem(self, status, code, message, **headers):
        self.reply(status, json.dumps({'errors': [{'code': code, 'message': message}]}).encode(),
                   **headers)

    def hang_up(self, reset=False):
        self.wfile.flush()
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self.close_connection = True

    def send_chunked(self, body, **headers):
        self.reply(200, b'', Transfer_Encoding='chunked', **headers)
        for i in range(0, len(body), 50_000):
            piece = body[i:i + 50_000]
            self.wfile.write(b'%x\r\n%s\r\n' % (len(piece), piece))
        self.wfile.write(b'0\r\n\r\n')

    # --- authorization ---

    def challenge(self):
        custom = self.server.faults.get('challenge')
        realm = self.server.faults.get('realm') or self.server.url + '/token'
        text = custom or f'Bearer realm="{realm}",service="test",scope="repository:a/b:pull"'
        headers = {} if self.server.faults.get('no-challenge') else {'WWW_Authenticate': text}
        self.problem(401, 'UNAUTHORIZED', 'authentication required', **headers)

    def may_pass(self):
        """True if the request is allowed; else a 401 was sent."""
        given = self.headers.get('Authorization', '')
        faults = self.server.faults
        if self.fault('401-forever'):
            self.challenge()
            return False
        if 'basic' in faults:
            want = 'Basic ' + base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()
            if given == want:
                return True
            faults.setdefault('challenge', 'Basic realm="test"')
            self.challenge()
            return False
        if '401-token' in faults:
            with self.server.lock:
                good = given in ['Bearer ' + t for t in self.server.tokens]
            if not good:
                self.challenge()
                return False
            if '/blobs/' in self.path and self.fault('token-expires'):
                with self.server.lock:
                    self.server.tokens.clear()
                self.challenge()
                return False
        return True

    def token(self, form):
        faults = self.server.faults
        if self.fault('token-500'):
            return self.reply(500)
        if self.fault('token-redirect'):
            return self.reply(302, Location=self.server.url + '/stolen')
        if 'token-body' in faults:
            return self.reply(200, faults['token-body'])
        if faults.get('token-needs-login'):
            want = 'Basic ' + base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()
            identity = form.get('refresh_token') == [IDENTITY] and \
                form.get('grant_type') == ['refresh_token'] and form.get('service') == ['test']
            if self.headers.get('Authorization') != want and not identity:
                return self.problem(401, 'UNAUTHORIZED', 'incorrect username or password')
        with self.server.lock:
            token = f'{TOKEN}-{self.server.n_tokens}'
            self.server.n_tokens += 1
            self.server.tokens.append(token)
        key = 'access_token' if self.command == 'POST' or 'access-token' in faults else 'token'
        return self.reply(200, json.dumps({key: token, 'expires_in': 300}).encode())

    # --- documents and blobs ---

    def manifest(self, name):
        faults = self.server.faults
        if name not in self.server.image.manifests:
            return self.problem(404, 'MANIFEST_UNKNOWN', 'manifest unknown')
        media_type, data = self.server.image.manifests[name]
        headers = {'Docker_Content_Digest': faults.get('announce-digest') or digest(data)}
        if faults.get('manifest-type'):
            media_type = faults['manifest-type']
        if self.fault('manifest-no-type'):
            media_type = None
        if self.fault('manifest-changed'):
            data = data.replace(b'{', b'{ ', 1)
            headers = {}
        if self.fault('manifest-child-changed') and name.startswith('sha256:'):
            data = data.replace(b'{', b'{ ', 1)
            headers = {}
        if self.fault('manifest-huge'):
            data += b' ' * (5 * 1024 * 1024)
            headers = {}
        if self.fault('manifest-204'):
            return self.reply(204, media_type=None)
        if self.fault('set-cookie'):
            headers['Set_Cookie'] = 'session=1; Path=/'
        if self.fault('link-loop'):
            headers['Link'] = f'<{self.path}>; rel="next"'
        if self.fault('huge-headers'):
            for i in range(40):
                headers[f'X_Filler_{i}'] = 'x' * 8000
        if self.fault('long-header'):
            headers['X_Long'] = 'x' * 200_000
        if self.fault('drip-headers'):
            self.wfile.write(b'HTTP/1.1 200 OK\r\n')
            while not self.server.stopping.wait(0.02):
                try:
                    self.wfile.write(b'X-Drip: 1\r\n')
                except OSError:
                    break
            return self.hang_up()
        if self.fault('drip-body'):
            self.reply(200, media_type=media_type, Content_Length='1000')
            while not self.server.stopping.wait(0.02):
                try:
                    self.wfile.write(b' ')
                except OSError:
                    break
            return self.hang_up()
        if self.fault('not-http'):
            self.wfile.write(b'this is no answer\r\n\r\n')
            return self.hang_up()
        if self.fault('silent'):
            return self.hang_up()
        if self.fault('interim'):
            self.wfile.write(b'HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\n')
        return self.reply(200, data, media_type, **headers)

    def redirect(self):
        """True if a fault sent the blob request elsewhere."""
        for name, status in (('redirect', 307), ('redirect-301', 301), ('redirect-302', 302)):
            target = self.server.faults.get(name)
            if target is not None:
                headers = {'Location': target + self.path} if target else {}
                self.reply(status, **headers)
                return True
        if 'redirect-raw' in self.server.faults:
            self.reply(302, Location=self.server.faults['redirect-raw'])
            return True
        return False

    def blob(self, name):
        data = self.server.image.blobs.get(name)
        if data is None:
            return self.problem(404, 'BLOB_UNKNOWN', 'blob unknown to registry')
        faults = self.server.faults
        large = len(data) > 100_000
        if not large and not faults.get('all-blobs'):
            return self.reply(200, data, 'application/octet-stream')
        if self.redirect():
            return None
        range_text = self.headers.get('Range')
        if range_text and not self.fault('no-range'):
            return self.ranged(data, int(re.match(r'bytes=(\d+)-$', range_text).group(1)))
        if self.fault('wrong-bytes'):
            data = data[:-1] + bytes([data[-1] ^ 1])
        if self.fault('short'):
            data = data[:-10]
        if self.fault('long'):
            data += b'0123456789'
        if self.fault('chunked-short'):
            return self.send_chunked(data[:-10])
        if self.fault('chunked-long'):
            return self.send_chunked(data + b'0123456789')
        if self.fault('chunked'):
            return self.send_chunked(data)
        if self.fault('empty-206'):
            return self.reply(206, data)
        if self.fault('content-gzip'):
            return self.reply(200, data, Content_Encoding='gzip')
        if self.fault('transfer-gzip'):
            self.reply(200, b'', Transfer_Encoding='gzip, chunked')
            return self.hang_up()
        return self.whole(data)

    def whole(self, data):
        half = len(data) // 2
        cut = 'truncate' if self.fault('truncate') else 'reset' if self.fault('reset') else None
        if cut:
            self.reply(200, data[:half], Content_Length=str(len(data)))
            return self.hang_up(reset=cut == 'reset')
        if self.fault('stall'):
            self.reply(200, data[:half], Content_Length=str(len(data)))
            self.wfile.flush()
            self.server.stopping.wait(30)
            return self.hang_up()
        return self.reply(200, data, 'application/octet-stream')

    def ranged(self, data, start):
        end, total, body = len(data) - 1, str(len(data)), data[start:]
        if self.fault('416'):
            return self.reply(416)
        if self.fault('range-wrong-start'):
            return self.reply(206, data[start - 1:], Content_Range=f'bytes {start - 1}-{end}/{total}')
        if self.fault('range-no-header'):
            return self.reply(206, body)
        if self.fault('range-wrong-total'):
            return self.reply(206, body, Content_Range=f'bytes {start}-{end}/{len(data) + 5}')
        if self.fault('range-garbage'):
            return self.reply(206, body, Content_Range='bytes 99999999999999999999999-1/*')
        if self.fault('range-long'):
            body += b'more'
        if self.fault('range-wrong-bytes'):
            body = body[:-1] + bytes([body[-1] ^ 1])
        if self.fault('range-star'):
            total = '*'
        if self.fault('range-truncate'):
            self.reply(206, body[:1000], Content_Range=f'bytes {start}-{end}/{total}',
                       Content_Length=str(len(body)))
            return self.hang_up()
        return self.reply(206, body, Content_Range=f'bytes {start}-{end}/{total}')

    def overloaded(self, kind):
        for status in ('429', '500', '502', '503', '408'):
            if self.fault(f'{kind}-{status}'):
                after = self.server.faults.get('retry-after')
                headers = {'Retry_After': str(after)} if after is not None else {}
                self.problem(int(status), 'TOOMANYREQUESTS' if status == '429' else 'UNKNOWN',
                             'try later', **headers)
                return True
        for status in ('403', '404', '405'):
            if self.fault(f'{kind}-{status}'):
                self.problem(int(status), 'DENIED', 'requested access is denied')
                return True
        if self.fault(f'{kind}-page'):
            self.reply(500, b'<html>' + b'x' * 3_000_000, 'text/html')
            return True
        return False

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
        with self.server.lock:
            self.server.log.append((self.command, self.path, dict(self.headers), body))
        url = urllib.parse.urlsplit(self.path)
        try:
            if url.path.endswith('/token'):
                return self.token(urllib.parse.parse_qs(body.decode()))
            m = re.match(r'/v2/(.+)/(manifests|blobs)/([^/]+)$', url.path)
            if not m:
                return self.reply(404)
            kind = m.group(2)[:-1]
            if self.overloaded(kind) or not self.may_pass():
                return None
            return self.manifest(m.group(3)) if kind == 'manifest' else self.blob(m.group(3))
        except OSError:
            self.close_connection = True
            return None

    do_POST = do_GET
    do_HEAD = do_GET


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, image, faults=None, tls=None):
        super().__init__(('127.0.0.1', 0), Handler)
        self.image = image
        self.faults = dict(faults or {})
        self.lock = threading.Lock()
        self.log = []
        self.tokens = []
        self.n_tokens = 0
        self.stopping = threading.Event()
        self.tls = tls
        self.host = f'127.0.0.1:{self.server_address[1]}'
        self.url = ('https://' if tls else 'http://') + self.host
        self.thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def finish_request(self, request, client_address):
        if self.tls:
            try:
                request = self.tls.wrap_socket(request, server_side=True)
            except (ssl.SSLError, OSError):
                return
        super().finish_request(request, client_address)

    def handle_error(self, request, client_address):
        pass

    def asked(self, part, method=None):
        """Requests whose path holds `part`."""
        with self.lock:
            return [e for e in self.log if part in e[1] and method in (None, e[0])]

    def stop(self):
        self.stopping.set()
        self.shutdown()
        self.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.stop()


def main():
    faults = {}
    for word in sys.argv[2:]:
        name, _, value = word.partition('=')
        faults[name] = int(value) if value.isdigit() else value or True
    server = Server(load_layout(sys.argv[1]), faults)
    print(server.server_address[1], flush=True)
    server.thread.join()


if __name__ == '__main__':
    main()
