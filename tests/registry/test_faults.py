#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What does the registry client do when a registry, a network or a configuration misbehaves?

usage: test_faults.py REGISTRY-CLIENT [http|credentials|config] [NAME...]

Every case runs the client program against a server of its own and asserts what it printed. No
output of any case may hold a secret: all secrets begin with "s3cr3t".
"""
import base64
import json
import os
import re
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import tempfile

from server import (DOCKER_LIST, DOCKER_MANIFEST, IDENTITY, INDEX, MANIFEST, PASSWORD, USER, Image,
                    Server, digest, noise)

CLIENT = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else None
TMP = tempfile.mkdtemp(prefix='imbrex-registry-')
CASES = []

IMAGE = Image()
SINGLE = IMAGE.make('single', '1')
DOCKER = IMAGE.make('docker', 'docker', docker=True)
ARM = IMAGE.make('arm', 'arm')
IMAGE.make_index('index', [('linux/amd64', SINGLE), ('linux/arm64', ARM)])
IMAGE.make_index('list', [('linux/amd64', DOCKER), ('linux/arm64', SINGLE)], DOCKER_LIST)
LARGE = max(IMAGE.blobs, key=lambda d: len(IMAGE.blobs[d]) if noise('single0', 200_000) == IMAGE.blobs[d] else 0)
LARGE_SHORT = LARGE[:19]
SIZE = len(IMAGE.blobs[LARGE])


class Failure(Exception):
    pass


class Result:
    def __init__(self, process):
        self.status = process.returncode
        self.out = process.stdout.decode(errors='replace')
        self.err = process.stderr.decode(errors='replace')

    def lines(self, word):
        return [l[len(word) + 1:] for l in self.out.splitlines() if l.startswith(word + ' ')]


def check(condition, text):
    if not condition:
        raise Failure(text)


def run(reference, *options, env=None, conf='', scheme='-i', stdin=None):
    """Run the client with nothing of this machine's configuration."""
    home = tempfile.mkdtemp(dir=TMP)
    conf_path = os.path.join(home, 'registries.conf')
    with open(conf_path, 'w') as f:
        f.write(conf)
    environment = {'HOME': home, 'XDG_RUNTIME_DIR': os.path.join(home, 'run'), 'PATH': '/usr/bin:/bin',
                   'ASAN_OPTIONS': os.environ.get('ASAN_OPTIONS', '')}
    environment.update(env(home) if callable(env) else env or {})
    command = [CLIENT, *([scheme] if scheme else []), '-R', conf_path, '-w', '20', *options, reference]
    result = Result(subprocess.run(command, env=environment, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, timeout=60, check=False))
    check('s3cr3t' not in result.out + result.err, 'a secret was printed: ' + result.out + result.err)
    check('Sanitizer' not in result.err, result.err)
    check(result.status in (0, 1), f'exit {result.status}: {result.out}{result.err}')
    result.home = home
    return result


def good(result, n_blobs=3):
    check(result.status == 0, 'failed: ' + result.out + result.err)
    check(len(result.lines('blob')) == n_blobs, f'not {n_blobs} blobs: ' + result.out)
    return result


def bad(result, message, hint=None):
    """`message` is a regular expression for the whole error line."""
    check(result.status == 1, 'did not fail: ' + result.out)
    errors = result.lines('error')
    check(len(errors) == 1, f'not one error line: {result.out}')
    check(re.fullmatch(message, errors[0]), f'\n  want {message}\n  have {errors[0]}')
    if hint:
        check(any(re.fullmatch(hint, h) for h in result.lines('hint')),
              f'\n  want hint {hint}\n  have {result.lines("hint")}')
    return result


def case(group):
    def add(function):
        CASES.append((group, function))
        return function
    return add


http, credentials, config = case('http'), case('credentials'), case('config')


def table(group, rows):
    """Cases that differ in data only: name, faults, options, message (None: must work)."""
    for row in rows:
        name, faults, options, message = row[:4]
        extra = row[4] if len(row) > 4 else None

        def function(faults=faults, options=options, message=message, extra=extra):
            with Server(IMAGE, faults) as s:
                r = run(s.host + '/a/b:1', *options)
                if message is None:
                    good(r)
                else:
                    bad(r, message.replace('HOST', re.escape(s.host)).replace('BLOB', 'blob ' + LARGE_SHORT))
                if extra:
                    extra(s, r)
        function.__name__ = name.replace(' ', '_')
        function.__doc__ = name
        CASES.append((group, function))


def n_asked(part, n):
    def look(s, r):
        check(len(s.asked(part)) == n, f'{len(s.asked(part))} requests for {part}, not {n}')
    return look


def n_notes(n):
    def look(s, r):
        check(len(r.lines('note')) == n, f'not {n} notes: {r.out}')
    return look


def note_matches(pattern):
    def look(s, r):
        check(any(re.fullmatch(pattern, n) for n in r.lines('note')), f'no note {pattern}: {r.out}')
    return look


def resumed_from(offset):
    def look(s, r):
        ranges = [e[2].get('Range') for e in s.asked(LARGE)]
        check(ranges[-1] == f'bytes={offset}-', f'ranges {ranges}')
    return look


def no_authorization_at(part):
    def look(s, r):
        check(all('Authorization' not in e[2] for e in s.asked(part)), 'credentials leaked')
    return look


HALF = SIZE // 2

table('http', [
    # name, faults, options, message, extra check
    ('an honest registry works', {}, [], None, n_notes(0)),
    ('blobs come in parallel', {}, ['-j', '3'], None),
    ('a docker registry with 500 once is asked again', {'manifest-500': 1}, [], None, n_notes(1)),
    ('a blob with 502 twice is asked again', {'blob-502': 2}, [], None, n_notes(2)),
    ('500 for ever ends after the tries', {'manifest-500': True}, ['-n', '3'],
     r"network failure: registry HOST: manifest '1': status 500 \(UNKNOWN: try later\)", n_asked('manifests', 3)),
    ('an error page of 3 MB is cut', {'manifest-page': True}, ['-n', '1'],
     r"network failure: registry HOST: manifest '1': status 500"),
    ('429 is asked again after the pause it names', {'manifest-429': 1, 'retry-after': 0}, [], None, n_notes(1)),
    ('a long Retry-After is cut to the limit', {'manifest-503': 1, 'retry-after': 999999}, [], None,
     note_matches(r'.*status 503 .*; trying again in 20 ms')),
    ('a Retry-After that is no number is passed over', {'manifest-429': 1, 'retry-after': 'Fri, 31 Dec'}, [], None),
    ('429 for ever says so', {'manifest-429': True}, ['-n', '2'],
     r"network failure: registry HOST: manifest '1': too many requests \(TOOMANYREQUESTS: try later\)"),
    ('408 is asked again', {'manifest-408': 1}, [], None, n_notes(1)),
    ('403 is not asked again', {'manifest-403': True}, [],
     r"not permitted: registry HOST: manifest '1': access denied \(DENIED: requested access is denied\)",
     n_asked('manifests', 1)),
    ('404 of a blob names it', {'blob-404': True}, [],
     r'not found: registry HOST: blob sha256:[0-9a-f]{12} not found \(DENIED: requested access is denied\)'),
    ('405 is not asked again', {'manifest-405': True}, [],
     r"network failure: registry HOST: manifest '1': status 405 .*", n_asked('manifests', 1)),
    ('a truncated blob is resumed', {'truncate': 1}, [], None, resumed_from(HALF)),
    ('a reset connection is resumed', {'reset': 1}, [], None,
     lambda s, r: check(s.asked(LARGE)[-1][2].get('Range', '').startswith('bytes='), 'not resumed')),
    ('a blob is resumed many times', {'truncate': 1, 'range-truncate': 3}, [], None, n_notes(4)),
    ('truncation for ever ends after the tries', {'truncate': True, 'no-range': True}, ['-n', '3'],
     r'network failure: HOST: connection lost after 100000 bytes', n_asked(LARGE, 3)),
    ('a server without Range is read again from the start', {'truncate': 1, 'no-range': True}, [], None,
     resumed_from(HALF)),
    ('206 for other bytes is refused', {'truncate': 1, 'range-wrong-start': True}, [],
     f"malformed input: registry HOST: BLOB: asked for bytes from {HALF} of {SIZE}, was sent 'bytes {HALF - 1}-{SIZE - 1}/{SIZE}'"),
    ('206 without Content-Range is refused', {'truncate': 1, 'range-no-header': True}, [],
     f"malformed input: registry HOST: BLOB: asked for bytes from {HALF} of {SIZE}, was sent ''"),
    ('206 of another total is refused', {'truncate': 1, 'range-wrong-total': True}, [],
     f"malformed input: registry HOST: BLOB: asked for bytes .* was sent 'bytes {HALF}-{SIZE - 1}/{SIZE + 5}'"),
    ('206 with a number beyond 64 bits is refused', {'truncate': 1, 'range-garbage': True}, [],
     "malformed input: registry HOST: BLOB: asked for bytes .*"),
    ('206 with an unknown total is taken', {'truncate': 1, 'range-star': True}, [], None),
    ('206 that nobody asked for is refused', {'empty-206': True}, [],
     f"malformed input: registry HOST: BLOB: asked for bytes from 0 of {SIZE}, was sent ''"),
    ('more bytes than the range are refused', {'truncate': 1, 'range-long': True}, [],
     f'digest mismatch: registry HOST: BLOB is longer than the {SIZE} bytes of the manifest'),
    ('a resumed blob with other bytes fails its digest', {'truncate': 1, 'range-wrong-bytes': True}, [],
     r'digest mismatch: BLOB: the bytes are sha256:[0-9a-f]{12}'),
    ('416 names the byte', {'truncate': 1, '416': True}, [],
     f'network failure: registry HOST: BLOB: cannot resume at byte {HALF}'),
    ('a short Content-Length is a wrong size', {'short': True}, [],
     f'digest mismatch: registry HOST: BLOB has {SIZE - 10} bytes there, the manifest says {SIZE}', n_asked(LARGE, 1)),
    ('a long Content-Length is a wrong size', {'long': True}, [],
     f'digest mismatch: registry HOST: BLOB has {SIZE + 10} bytes there, the manifest says {SIZE}'),
    ('a chunked blob works', {'chunked': True}, [], None),
    ('a chunked blob that ends early once is resumed', {'chunked-short': 1}, [], None, resumed_from(SIZE - 10)),
    ('a chunked blob that is short for ever fails', {'chunked-short': True, 'no-range': True}, ['-n', '2'],
     f'network failure: registry HOST: BLOB ended after {SIZE - 10} of {SIZE} bytes'),
    ('a chunked blob that is longer is refused', {'chunked-long': True}, [],
     f'digest mismatch: registry HOST: BLOB is longer than the {SIZE} bytes of the manifest'),
    ('wrong bytes fail the digest and are not tried again', {'wrong-bytes': True}, [],
     r'digest mismatch: BLOB: the bytes are sha256:[0-9a-f]{12}', n_asked(LARGE, 1)),
    ('a content coding nobody asked for is refused', {'content-gzip': True}, [],
     r"malformed input: HOST: sent a body with Content-Encoding 'gzip', which was not asked for"),
    ('a transfer coding nobody asked for is refused', {'transfer-gzip': True}, [],
     r"(malformed input: HOST: sent a body with Transfer-Encoding 'gzip, chunked', which was not asked for)"),
    ('a stalled blob is resumed', {'stall': 1}, ['-t', '100'], None, resumed_from(HALF)),
    ('a stalled blob says so', {'stall': True, 'no-range': True}, ['-t', '50', '-n', '1'],
     r'network failure: HOST: no data for 50 ms after 100000 bytes'),
    ('headers that drip are cut off', {'drip-headers': True}, ['-t', '100', '-c', '50', '-n', '1', '-d', '100'],
     r'network failure: HOST: answer not complete after \d+ ms'),
    ('a document that drips is cut off', {'drip-body': True}, ['-t', '2000', '-d', '150', '-n', '1'],
     r'network failure: HOST: answer not complete after \d+ ms'),
    ('headers beyond the limit are refused', {'huge-headers': True}, [],
     r'limit exceeded: HOST: response headers exceed 262144 bytes'),
    ('one endless header is refused', {'long-header': True}, [],
     r'limit exceeded: HOST: (a response header is too long|response headers exceed 262144 bytes)'),
    ('a cookie is not sent back', {'set-cookie': True}, [], None,
     lambda s, r: check(all('Cookie' not in e[2] for e in s.log), 'sent a cookie')),
    ('a Link header is not followed', {'link-loop': True}, [], None, n_asked('manifests', 1)),
    ('an interim response is passed over', {'interim': True}, [], None),
    ('no answer is asked again', {'silent': 1}, [], None, n_notes(1)),
    ('no answer for ever says so', {'silent': True}, ['-n', '2'],
     r'network failure: HOST: (connection lost after 0 bytes|no answer)'),
    ('what is not HTTP is refused', {'not-http': True}, ['-n', '1'],
     r'network failure: HOST: .*(HTTP/0.9|not valid).*'),
    ('a manifest beyond the limit is refused', {'manifest-huge': True}, [],
     r'limit exceeded: HOST: document exceeds 4194304 bytes'),
    ('a manifest with status 204 is refused', {'manifest-204': True}, [],
     r"network failure: registry HOST: manifest '1': status 204"),
    ('an announced digest that is wrong is refused', {'announce-digest': 'sha256:' + '0' * 64}, [],
     r"digest mismatch: registry HOST: manifest '1': the bytes are sha256:[0-9a-f]{12}, but were announced as sha256:000000000000"),
    ('an announced digest that is none is refused', {'announce-digest': 'sha256:../../etc'}, [],
     r'malformed input: registry HOST: Docker-Content-Digest: .*'),
    ('a manifest announced as an index is refused', {'manifest-type': INDEX}, [], r'malformed input: .*'),
    ('a manifest announced as a picture is refused', {'manifest-type': 'image/png'}, [],
     r"malformed input: manifest: announced as 'image/png', but its mediaType is .*"),
    ('a schema 1 manifest is refused', {'manifest-type': 'application/vnd.docker.distribution.manifest.v1+prettyjws'},
     [], r'not supported: .*[Ss]chema 1.*'),
    ('a manifest without type is read by its own', {'manifest-no-type': True}, [], None),
    ('a manifest of type json is read by its own', {'manifest-type': 'application/json; charset=utf-8'}, [], None),
    ('the receiver that refuses is not asked again', {}, ['-f', '50000'],
     r'no space: the disk is full', n_asked(LARGE, 1)),
    # authorization
    ('a token is fetched when asked for', {'401-token': True}, [], None, n_asked('/token', 1)),
    ('one token serves parallel blobs', {'401-token': True}, ['-j', '3'], None, n_asked('/token', 1)),
    ('an access_token is a token', {'401-token': True, 'access-token': True}, [], None),
    ('a token that expires is renewed once', {'401-token': True, 'token-expires': 1}, [], None, n_asked('/token', 2)),
    ('401 for ever ends', {'401-forever': True}, [],
     r"not permitted: registry HOST says: unauthorized \(manifest '1'\)", n_asked('manifests', 2)),
    ('401 without a challenge', {'401-forever': True, 'no-challenge': True}, [],
     r'not permitted: registry HOST says: unauthorized'),
    ('basic without credentials', {'basic': True}, [], r'not permitted: registry HOST says: unauthorized',
     lambda s, r: check(f'the image may not exist, or log in with: podman login {s.host}' in r.lines('hint'), r.out)),
    ('an unknown scheme is named', {'401-forever': True, 'challenge': 'Negotiate'}, [],
     r"not supported: registry HOST: asks for authentication by 'negotiate', which is not supported"),
    ('a malformed challenge is refused', {'401-forever': True, 'challenge': 'Bearer realm="http://x'}, [],
     r'malformed input: HOST: WWW-Authenticate at byte \d+: a quoted string does not end'),
    ('a challenge without realm is refused', {'401-forever': True, 'challenge': 'Bearer service="x"'}, [],
     r'malformed input: registry HOST: asks for a token but does not say where \(no realm\)'),
    ('a realm at the metadata service is refused', {'401-forever': True, 'realm': 'http://169.254.169.254/token'}, [],
     r'not permitted: registry HOST: token server 169.254.169.254: an address that a registry at 127.0.0.1 may not send us to'),
    ('a realm at an IPv6 link address is refused', {'401-forever': True, 'realm': 'http://[fe80::1]/token'}, [],
     r'not permitted: registry HOST: token server \[fe80::1\]: an address .*'),
    ('a realm of another kind is refused', {'401-forever': True, 'realm': 'ftp://127.0.0.1/token'}, [],
     r'invalid argument: registry HOST: token server: not an http or https URL'),
    ('a realm that is a file is refused', {'401-forever': True, 'realm': 'file:///etc/passwd'}, [],
     r'invalid argument: registry HOST: token server: not an http or https URL'),
    ('a realm with a user is refused', {'401-forever': True, 'realm': 'http://a:b@127.0.0.1/token'}, [],
     r'invalid argument: registry HOST: token server: URL with a user name'),
    ('a token request follows no redirect', {'401-token': True, 'token-redirect': True}, ['-u', USER, '-p', PASSWORD],
     r'not permitted: token server HOST: redirects are refused there', n_asked('stolen', 0)),
    ('a token server with 500 once is asked again', {'401-token': True, 'token-500': 1}, [], None, n_notes(1)),
    ('a token that is not JSON', {'401-token': True, 'token-body': b'<html>'}, [],
     r'malformed input: token server HOST: token.*'),
    ('a token answer without one', {'401-token': True, 'token-body': b'{}'}, [],
     r'malformed input: token server HOST: the answer holds no usable token'),
    ('a token with a line end is refused', {'401-token': True, 'token-body': b'{"token":"a\\r\\nX-Evil: 1"}'}, [],
     r'malformed input: token server HOST: the answer holds no usable token'),
    ('a token beyond the limit is refused',
     {'401-token': True, 'token-body': b'{"token":"' + b'a' * 70000 + b'"}'}, [],
     r'malformed input: token server HOST: the answer holds no usable token'),
    ('a token answer beyond the limit is refused', {'401-token': True, 'token-body': b' ' * 2_000_000}, [],
     r'limit exceeded: HOST: document exceeds 1048576 bytes'),
])


@http
def a_tag_that_is_not_there_is_named():
    with Server(IMAGE) as s:
        bad(run(s.host + '/a/b:nope'), f"not found: registry {s.host}: manifest 'nope' not found "
            r'\(MANIFEST_UNKNOWN: manifest unknown\)')


@http
def a_manifest_by_digest_is_hashed():
    with Server(IMAGE) as s:
        good(run(f'{s.host}/a/b@{SINGLE["digest"]}'))
        s.faults['manifest-changed'] = True
        bad(run(f'{s.host}/a/b@{SINGLE["digest"]}'),
            rf'digest mismatch: registry {s.host}: manifest {SINGLE["digest"][:19]}: the bytes are sha256:[0-9a-f]{{12}}')


@http
def an_index_gives_the_platform_asked_for():
    with Server(IMAGE) as s:
        for tag, platform, want in (('index', 'linux/amd64', SINGLE), ('index', 'linux/arm64', ARM),
                                    ('list', 'linux/amd64', DOCKER)):
            r = good(run(f'{s.host}/a/b:{tag}', '-F', platform))
            check(r.lines('manifest')[0].startswith(want['digest']), r.out)
            check(len(r.lines('list')) == 1, r.out)


@http
def an_index_without_the_platform_lists_what_it_has():
    with Server(IMAGE) as s:
        bad(run(s.host + '/a/b:index', '-F', 'linux/riscv64'), r'not found: .*linux/amd64.*linux/arm64.*')


@http
def a_child_manifest_that_changed_is_refused():
    with Server(IMAGE, {'manifest-child-changed': True}) as s:
        bad(run(s.host + '/a/b:index', '-F', 'linux/amd64'), rf'digest mismatch: registry {s.host}: manifest .*')


@http
def a_child_size_that_lies_is_refused():
    image = Image()
    child = image.make('x', 'x')
    image.make_index('less', [('linux/amd64', dict(child, size=child['size'] - 1))])
    image.make_index('more', [('linux/amd64', dict(child, size=child['size'] + 1))])
    with Server(image) as s:
        for tag in ('less', 'more'):
            bad(run(f'{s.host}/a/b:{tag}', '-F', 'linux/amd64'), r'digest mismatch: .* were announced|digest mismatch: manifest sha256:\w+ has .* bytes, the index says .*')


@http
def indexes_nested_too_deep_are_refused():
    image = Image()
    d = image.make('x', 'x')
    for i in range(6):
        d = image.make_index(f'n{i}', [('linux/amd64', d)])
    with Server(image) as s:
        bad(run(s.host + '/a/b:n5', '-F', 'linux/amd64'), r'limit exceeded: .*')


@http
def a_document_that_is_both_manifest_and_index_is_refused():
    image = Image()
    d = image.make('x', 'x')
    both = dict(json.loads(image.manifests['x'][1]), manifests=[d])
    image.add_manifest(MANIFEST, json.dumps(both).encode(), 'both')
    with Server(image) as s:
        bad(run(s.host + '/a/b:both'), r'malformed input: .*')


@http
def a_redirected_blob_carries_no_credentials_to_another_origin():
    with Server(IMAGE) as other, Server(IMAGE, {'401-token': True, 'redirect': other.url}) as s:
        good(run(s.host + '/a/b:1'))
        check(len(other.asked(LARGE)) == 1, 'not redirected')
        no_authorization_at('')(other, None)


@http
def a_redirect_to_the_same_origin_keeps_the_credentials():
    with Server(IMAGE, {'401-token': True}) as s:
        s.faults['redirect-raw'] = '/elsewhere'
        bad(run(s.host + '/a/b:1'), rf'not found: registry {s.host}: blob {LARGE_SHORT} not found')
        check('Authorization' in s.asked('elsewhere')[0][2], 'credentials were lost')


@http
def a_redirect_there_and_back_does_not_regain_the_credentials():
    with Server(IMAGE, {'401-token': True}) as s, Server(IMAGE, {'redirect': s.url + '/back'}) as other:
        s.faults['redirect-raw'] = f'{other.url}/v2/a/b/blobs/{LARGE}'
        bad(run(s.host + '/a/b:1'), rf'not found: registry {s.host}: .*')
        check(s.asked('/back'), 'did not come back')
        no_authorization_at('/back')(s, None)


@http
def a_401_behind_a_redirect_is_not_answered():
    with Server(IMAGE, {'401-forever': True}) as other, Server(IMAGE, {'redirect-302': other.url}) as s:
        bad(run(s.host + '/a/b:1', '-u', USER, '-p', PASSWORD),
            rf'not permitted: registry {other.host}: blob {LARGE_SHORT}: access denied .*')
        check(not other.asked('/token'), 'the challenge was answered')


@http
def a_redirect_loop_ends():
    with Server(IMAGE, {'redirect-301': ''}) as s:
        s.faults['redirect-301'] = s.url
        bad(run(s.host + '/a/b:1'), rf'limit exceeded: {s.host}: more than 10 redirects')
        check(len(s.asked(LARGE)) == 11, 'not the limit')


@http
def redirects_to_forbidden_places_are_refused():
    rows = [
        ('', r'malformed input: HOST: redirect without a Location'),
        ('file:///etc/passwd', r'invalid argument: HOST: redirect: not an http or https URL'),
        ('ftp://127.0.0.1/x', r'invalid argument: HOST: redirect: not an http or https URL'),
        ('http://u:p@127.0.0.1/x', r'invalid argument: HOST: redirect: URL with a user name'),
        ('http://169.254.169.254/latest/', r'not permitted: HOST: redirect to an address of this machine or link '
                                           r'is refused \(to 169.254.169.254\)'),
        ('http://[::ffff:169.254.169.254]/', r'not permitted: HOST: redirect to an address of this machine or link .*'),
        ('http://a b/', r'malformed input: HOST: redirect to what is not a URL'),
    ]
    for target, message in rows:
        faults = {'redirect-raw': target} if target else {'redirect-302': ''}
        with Server(IMAGE, faults) as s:
            bad(run(s.host + '/a/b:1'), message.replace('HOST', re.escape(s.host)))


@http
def a_signed_url_is_not_printed():
    with Server(IMAGE, {'blob-404': 0}) as s:
        s.faults['redirect-raw'] = s.url + '/elsewhere?signature=s3cr3t-signature'
        bad(run(s.host + '/a/b:1'), r'not found: .*')


def closed_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


@http
def a_closed_port_is_named_and_not_tried_again():
    r = bad(run(f'127.0.0.1:{closed_port()}/a/b:1'),
            r'network failure: 127.0.0.1:\d+: cannot connect: Connection refused')
    check(not r.lines('note'), r.out)


@http
def an_unknown_host_is_named():
    bad(run('registry.invalid/a/b:1', scheme=''), r'network failure: registry.invalid: host name not found')


@http
def plain_http_without_leave_is_refused_with_a_hint():
    with Server(IMAGE) as s:
        bad(run(s.host + '/a/b:1', scheme=''), rf'network failure: {s.host}: TLS failed: .*',
            r'a registry without TLS needs --tls-verify=false')
        check(not s.log, 'asked by http')


@http
def tls_verify_overrules_the_configuration():
    with Server(IMAGE) as s:
        conf = f'[[registry]]\nlocation = "{s.host}"\ninsecure = true\n'
        good(run(s.host + '/a/b:1', scheme='', conf=conf))
        bad(run(s.host + '/a/b:1', scheme='-k', conf=conf), rf'network failure: {s.host}: TLS failed: .*')


def certificate(name, subject='IP:127.0.0.1', folder=TMP):
    cert, key = os.path.join(folder, name + '.crt'), os.path.join(folder, name + '-key.pem')
    if not os.path.exists(cert):
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
                        '-nodes', '-days', '2', '-subj', '/CN=' + name, '-addext', 'subjectAltName=' + subject,
                        '-keyout', key, '-out', cert], check=True, stderr=subprocess.DEVNULL)
    return cert, key


def tls_server(image=IMAGE, faults=None, name='server', subject='IP:127.0.0.1', client_ca=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate(name, subject))
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    return Server(image, faults, tls=context)


def certs_folder(*files):
    folder = tempfile.mkdtemp(dir=TMP)
    for source, name in files:
        shutil.copy(source, os.path.join(folder, name))
    return folder


@http
def a_self_signed_certificate_is_refused():
    with tls_server() as s:
        bad(run(s.host + '/a/b:1', scheme=''), rf'network failure: {s.host}: TLS certificate not accepted: .*',
            rf'put its authority into /etc/containers/certs.d/{s.host}/ca.crt')
        check(not s.log, 'asked all the same')


@http
def a_self_signed_certificate_is_taken_without_verification():
    with tls_server() as s:
        good(run(s.host + '/a/b:1'))


@http
def a_certificate_of_certs_d_is_trusted():
    with tls_server() as s:
        good(run(s.host + '/a/b:1', '-C', certs_folder((certificate('server')[0], 'ca.crt')), scheme=''))

        def env(home):
            folder = os.path.join(home, '.config/containers/certs.d', s.host)
            os.makedirs(folder)
            shutil.copy(certificate('server')[0], os.path.join(folder, 'x.crt'))
            return {}
        good(run(s.host + '/a/b:1', scheme='', env=env))


@http
def a_trusted_certificate_for_another_host_is_refused():
    with tls_server(name='other', subject='DNS:other.example') as s:
        bad(run(s.host + '/a/b:1', '-C', certs_folder((certificate('other')[0], 'ca.crt')), scheme=''),
            rf'network failure: {s.host}: TLS certificate not accepted: .*')


@http
def a_client_certificate_is_shown():
    cert, key = certificate('client')
    with tls_server(client_ca=cert) as s:
        ca = (certificate('server')[0], 'ca.crt')
        good(run(s.host + '/a/b:1', '-C', certs_folder(ca, (cert, 'c.cert'), (key, 'c.key')), scheme=''))
        bad(run(s.host + '/a/b:1', '-n', '1', '-C', certs_folder(ca), scheme=''), r'network failure: .*')
        bad(run(s.host + '/a/b:1', '-C', certs_folder(ca, (cert, 'c.cert')), scheme=''),
            r"not found: '.*/c.cert' has no 'c.key' beside it")
        bad(run(s.host + '/a/b:1', '-C', certs_folder(ca, (key, 'c.key')), scheme=''),
            r"not found: '.*/c.key' has no 'c.cert' beside it")
        bad(run(s.host + '/a/b:1', '-C', TMP + '/nowhere', scheme=''),
            r"not found: certificates folder '.*/nowhere' does not exist")


@http
def a_redirect_from_https_to_http_is_refused():
    with Server(IMAGE) as plain, tls_server(faults={'redirect': plain.url}) as s:
        bad(run(s.host + '/a/b:1'), rf'not permitted: {s.host}: redirect from https to http is refused \(to {plain.host}\)')
        check(not plain.log, 'asked all the same')


@http
def a_token_server_without_tls_for_a_registry_with_it_is_refused():
    with Server(IMAGE) as plain, tls_server(faults={'401-token': True, 'realm': plain.url + '/token'}) as s:
        bad(run(s.host + '/a/b:1', '-u', USER, '-p', PASSWORD),
            rf'not permitted: registry {s.host}: token server 127.0.0.1: plain http is refused')
        check(not plain.log, 'asked all the same')


@http
def a_registry_with_tls_gives_tokens_and_blobs():
    with tls_server(faults={'401-token': True, 'truncate': 1}) as s:
        good(run(s.host + '/a/b:1', '-j', '2'))


@http
def several_challenges_are_understood():
    for text in ('Negotiate, Basic realm="x", Bearer realm="URL/token",service="a, b"',
                 'Negotiate abc==, Bearer realm = "URL/token" , scope="repository:a/b:pull"',
                 'BEARER REALM="URL/tok\\en"'):
        with Server(IMAGE, {'401-token': True}) as s:
            s.faults['challenge'] = text.replace('URL', s.url)
            good(run(s.host + '/a/b:1'))


@http
def a_broken_run_is_resumed_by_the_next():
    folder = tempfile.mkdtemp(dir=TMP)
    with Server(IMAGE, {'truncate': True, 'no-range': True}) as s:
        bad(run(s.host + '/a/b:1', '-n', '1', '-P', folder), r'network failure: .*')
        kept = os.path.join(folder, LARGE.replace(':', '-'))
        check(os.path.getsize(kept) == HALF, 'not kept')
        check(stat.S_IMODE(os.stat(kept).st_mode) == 0o600, 'mode')
        s.faults.clear()
        s.log.clear()
        good(run(s.host + '/a/b:1', '-P', folder))
        resumed_from(HALF)(s, None)
        check(os.listdir(folder) == [], f'left behind: {os.listdir(folder)}')


def with_kept(data, faults=None):
    folder = tempfile.mkdtemp(dir=TMP)
    with open(os.path.join(folder, LARGE.replace(':', '-')), 'wb') as f:
        f.write(data)
    return folder, Server(IMAGE, faults)


@http
def a_kept_part_that_is_wrong_is_dropped():
    folder, server = with_kept(b'x' * 1000)
    with server as s:
        bad(run(s.host + '/a/b:1', '-P', folder), rf'digest mismatch: blob {LARGE_SHORT}: the bytes are .*')
        check(LARGE.replace(':', '-') not in os.listdir(folder), 'not dropped')
        good(run(s.host + '/a/b:1', '-P', folder))


@http
def a_kept_part_that_is_longer_than_the_blob_is_emptied():
    folder, server = with_kept(b'x' * (SIZE + 1))
    with server as s:
        good(run(s.host + '/a/b:1', '-P', folder))


@http
def a_kept_part_that_is_whole_needs_no_request():
    folder, server = with_kept(IMAGE.blobs[LARGE])
    with server as s:
        good(run(s.host + '/a/b:1', '-P', folder))
        check(not s.asked(LARGE), 'asked')


@http
def a_kept_part_that_another_process_holds_is_left_alone():
    import fcntl
    folder, server = with_kept(b'theirs')
    name = os.path.join(folder, LARGE.replace(':', '-'))
    with server as s, open(name, 'r+b') as f:
        lock = __import__('struct').pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 0, 0)
        fcntl.fcntl(f, 37, lock)  # F_OFD_SETLK
        good(run(s.host + '/a/b:1', '-P', folder))
        with open(name, 'rb') as g:
            check(g.read() == b'theirs', 'touched')


@http
def a_kept_part_that_is_a_link_is_not_followed():
    folder, server = with_kept(b'')
    name = os.path.join(folder, LARGE.replace(':', '-'))
    target = os.path.join(TMP, 'target')
    os.unlink(name)
    os.symlink(target, name)
    with server as s:
        good(run(s.host + '/a/b:1', '-P', folder))
        check(not os.path.exists(target), 'followed the link')


# --- credentials ---

def auth_file(auths=None, mode=0o600, **members):
    path = tempfile.mktemp(dir=TMP)
    with open(path, 'w') as f:
        json.dump(dict(members, **({'auths': auths} if auths is not None else {})), f)
    os.chmod(path, mode)
    return path


def entry(user=USER, password=PASSWORD):
    return {'auth': base64.b64encode(f'{user}:{password}'.encode()).decode()}


def helper(home, name, script):
    folder = os.path.join(home, 'bin')
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, 'docker-credential-' + name)
    with open(path, 'w') as f:
        f.write('#!/bin/sh\n' + script)
    os.chmod(path, 0o755)
    return folder + ':/usr/bin:/bin'


def put(home, name, text, mode=0o600):
    path = os.path.join(home, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w') as f:
        f.write(text)
    os.chmod(path, mode)
    return path


@credentials
def a_user_name_given_works_by_basic_and_by_token():
    for faults in ({'basic': True}, {'401-token': True, 'token-needs-login': True}):
        with Server(IMAGE, faults) as s:
            good(run(s.host + '/a/b:1', '-u', USER, '-p', PASSWORD))


@credentials
def a_wrong_password_is_said_without_the_password():
    for faults in ({'basic': True}, {'401-token': True, 'token-needs-login': True}):
        with Server(IMAGE, faults) as s:
            bad(run(s.host + '/a/b:1', '-u', USER, '-p', 's3cr3t-wrong'),
                rf"not permitted: registry {s.host} says: unauthorized \((with the credentials from the command line|manifest '1')\)",
                rf'.*podman login {s.host}')


@credentials
def credentials_are_sent_only_when_asked_for():
    with Server(IMAGE) as s:
        good(run(s.host + '/a/b:1', '-u', USER, '-p', PASSWORD))
        no_authorization_at('')(s, None)


@credentials
def an_authfile_is_used():
    with Server(IMAGE, {'basic': True}) as s:
        good(run(s.host + '/a/b:1', '-a', auth_file({s.host: entry()})))


@credentials
def the_most_specific_key_wins():
    with Server(IMAGE, {'basic': True}) as s:
        wrong = entry(password='s3cr3t-wrong')
        good(run(s.host + '/a/b:1', '-a', auth_file({s.host: wrong, s.host + '/a': wrong, s.host + '/a/b': entry()})))
        good(run(s.host + '/a/b:1', '-a', auth_file({s.host: wrong, s.host + '/a': entry(), s.host + '/ab': wrong})))
        bad(run(s.host + '/a/b:1', '-a', auth_file({s.host + '/ab': entry()})), r'not permitted: .*')


@credentials
def old_keys_with_a_scheme_are_understood():
    with Server(IMAGE, {'basic': True}) as s:
        good(run(s.host + '/a/b:1', '-a', auth_file({f'https://{s.host}/v1/': entry()})))


@credentials
def another_port_is_another_registry():
    with Server(IMAGE, {'basic': True}) as s:
        bad(run(s.host + '/a/b:1', '-a', auth_file({'127.0.0.1': entry(), '127.0.0.1:1': entry()})),
            rf'not permitted: registry {s.host} says: unauthorized')


@credentials
def places_are_looked_at_in_order():
    text = json.dumps({'auths': {'HOST': entry()}})
    with Server(IMAGE, {'basic': True}) as s:
        text = text.replace('HOST', s.host)
        wrong = text.replace(entry()['auth'], entry(password='s3cr3t-wrong')['auth'])
        places = ['run/containers/auth.json', '.config/containers/auth.json', '.docker/config.json']
        for i, place in enumerate(places):
            def env(home, i=i):
                for j in range(i, len(places)):
                    put(home, places[j], text if j == i else wrong)
                return {}
            good(run(s.host + '/a/b:1', env=env))
        good(run(s.host + '/a/b:1', env=lambda home: {'REGISTRY_AUTH_FILE': put(home, 'x.json', text)}))
        good(run(s.host + '/a/b:1', env=lambda home: {'DOCKER_CONFIG': os.path.dirname(put(home, 'd/config.json', text))}))


@credentials
def an_identity_token_is_exchanged_by_post():
    with Server(IMAGE, {'401-token': True, 'token-needs-login': True}) as s:
        good(run(s.host + '/a/b:1', '-a', auth_file({s.host: {'identitytoken': IDENTITY}})))
        check(len(s.asked('/token', 'POST')) == 1, 'no POST')
        check(not any(IDENTITY in e[1] for e in s.log), 'the token is in a URL')


@credentials
def a_file_that_others_may_write_is_refused():
    with Server(IMAGE, {'basic': True}) as s:
        path = auth_file({s.host: entry()}, mode=0o622)
        bad(run(s.host + '/a/b:1', '-a', path),
            rf"not permitted: credentials file '{path}' can be written by others \(mode 0622\)", rf'chmod 600 {path}')


@credentials
def a_file_that_others_may_read_is_noted():
    with Server(IMAGE, {'basic': True}) as s:
        path = auth_file({s.host: entry()}, mode=0o644)
        r = good(run(s.host + '/a/b:1', '-a', path))
        check(f"credentials file '{path}' can be read by others" in r.lines('note'), r.out)


@credentials
def a_link_to_a_file_is_followed():
    with Server(IMAGE, {'basic': True}) as s:
        link = tempfile.mktemp(dir=TMP)
        os.symlink(auth_file({s.host: entry()}), link)
        good(run(s.host + '/a/b:1', '-a', link))


@credentials
def what_is_no_file_of_credentials_is_refused():
    fifo, folder = tempfile.mktemp(dir=TMP), tempfile.mkdtemp(dir=TMP)
    os.mkfifo(fifo, 0o600)
    rows = [
        (fifo, r"malformed input: credentials file 'PATH' is not a regular file"),
        (folder, r"malformed input: credentials file 'PATH' is not a regular file"),
        (put(TMP, 'junk', 'not json'), r"malformed input: credentials file 'PATH': credentials.*"),
        (put(TMP, 'twice', '{"auths":{},"auths":{}}'), r"malformed input: credentials file 'PATH': .*twice.*"),
        (put(TMP, 'big', ' ' * 1_100_000), r"limit exceeded: credentials file 'PATH' exceeds 1048576 bytes"),
        (put(TMP, 'type', '{"auths":{"HOST":{"auth":7}}}'), r"malformed input: credentials file 'PATH': .*expected a string.*"),
        (put(TMP, 'b64', '{"auths":{"HOST":{"auth":"%%%"}}}'), r"malformed input: credentials file 'PATH': an 'auth' entry is not base64"),
        (put(TMP, 'colon', '{"auths":{"HOST":{"auth":"YWJj"}}}'), r"malformed input: credentials file 'PATH': an 'auth' entry is not user:password"),
        (put(TMP, 'nul', '{"auths":{"HOST":{"auth":"YTpiAGM="}}}'), r"malformed input: credentials file 'PATH': an 'auth' entry is not user:password"),
        (TMP + '/absent', r"not found: credentials file 'PATH': No such file or directory"),
    ]
    with Server(IMAGE, {'basic': True}) as s:
        for path, message in rows:
            if os.path.isfile(path):
                with open(path) as f:
                    text = f.read()
                put(TMP, os.path.basename(path), text.replace('HOST', s.host))
            bad(run(s.host + '/a/b:1', '-a', path), message.replace('PATH', re.escape(path)))


@credentials
def an_empty_file_and_an_empty_entry_hold_nothing():
    with Server(IMAGE, {'basic': True}) as s:
        for path in (put(TMP, 'empty', ''), auth_file({s.host: {}}), auth_file({}), auth_file()):
            bad(run(s.host + '/a/b:1', '-a', path), rf'not permitted: registry {s.host} says: unauthorized')


ANSWER = f'read server; printf \'{{"ServerURL":"%s","Username":"{USER}","Secret":"{PASSWORD}"}}\' "$server"\n'


def with_helper(s, script, members, name='test'):
    return run(s.host + '/a/b:1', '-a', auth_file({s.host: {}}, **members),
               env=lambda home: {'PATH': helper(home, name, script)})


@credentials
def a_credential_helper_is_asked():
    with Server(IMAGE, {'basic': True}) as s:
        good(with_helper(s, ANSWER, {'credHelpers': {s.host: 'test'}}))
        good(with_helper(s, ANSWER, {'credsStore': 'test'}))
        good(with_helper(s, f'test "$1" = get || exit 9\nread s; test "$s" = {s.host} || exit 9\n' +
                         ANSWER.replace('read server', 'server=x'), {'credHelpers': {s.host: 'test'}}))


@credentials
def a_helper_may_give_an_identity_token():
    with Server(IMAGE, {'401-token': True, 'token-needs-login': True}) as s:
        script = f'echo \'{{"Username":"<token>","Secret":"{IDENTITY}"}}\'\n'
        good(with_helper(s, script, {'credHelpers': {s.host: 'test'}}))


@credentials
def a_helper_that_misbehaves_is_named():
    rows = [
        ('echo s3cr3t-junk', r"malformed input: credential helper 'docker-credential-test' printed no credentials"),
        ('echo "{}"', r"malformed input: credential helper 'docker-credential-test' printed no credentials"),
        ('echo s3cr3t-oops; exit 3', r"failed: credential helper 'docker-credential-test' failed with status 3"),
        ('head -c 300000 /dev/zero', r"limit exceeded: credential helper 'docker-credential-test': .*"),
        ('kill -9 $$', r"failed: credential helper 'docker-credential-test' failed with status 137"),
    ]
    with Server(IMAGE, {'basic': True}) as s:
        for script, message in rows:
            bad(with_helper(s, script + '\n', {'credHelpers': {s.host: 'test'}}), message)


@credentials
def a_helper_that_knows_nothing_leaves_it_to_others():
    with Server(IMAGE, {'basic': True}) as s:
        script = 'echo "credentials not found in native keychain"; exit 1\n'
        bad(with_helper(s, script, {'credHelpers': {s.host: 'test'}}), rf'not permitted: registry {s.host} says: unauthorized')
        path = auth_file({s.host: entry()}, credHelpers={s.host: 'test'})
        good(run(s.host + '/a/b:1', '-a', path, env=lambda home: {'PATH': helper(home, 'test', script)}))


@credentials
def a_helper_name_that_is_a_path_is_refused():
    with Server(IMAGE, {'basic': True}) as s:
        for name in ('../../bin/sh', 'a b', 'x;id', 'a' * 100):
            bad(run(s.host + '/a/b:1', '-a', auth_file({}, credHelpers={s.host: name})),
                rf"invalid argument: '{re.escape(name[:80])}' is not the name of a credential helper")


@credentials
def a_missing_helper_is_an_error_and_a_missing_store_a_note():
    with Server(IMAGE, {'401-token': True}) as s:
        bad(run(s.host + '/a/b:1', '-a', auth_file({}, credHelpers={s.host: 'gone'})),
            r"not found: credential helper 'docker-credential-gone' is not installed")
        path = auth_file({}, credsStore='gone')
        r = good(run(s.host + '/a/b:1', '-a', path))
        check(f"credentials file '{path}' names a credsStore whose program is not installed" in r.lines('note'), r.out)


@credentials
def a_helper_in_the_working_directory_is_not_run():
    with Server(IMAGE, {'basic': True}) as s:
        bad(run(s.host + '/a/b:1', '-a', auth_file({}, credHelpers={s.host: 'test'}),
                env=lambda home: {'PATH': ':.:bin:' + os.path.relpath(os.path.join(home, 'bin'))}),
            r"not found: credential helper 'docker-credential-test' is not installed")


def with_netrc(s, text, mode=0o600, message=None):
    r = run(s.host + '/a/b:1', env=lambda home: [put(home, '.netrc', text, mode), {}][1])
    return good(r) if message is None else bad(r, message)


@credentials
def a_netrc_is_read():
    rows = [
        f'machine 127.0.0.1 login {USER} password {PASSWORD}\n',
        f'machine x login a password b\nmachine 127.0.0.1\n  login {USER}\n  account z\n  password {PASSWORD}',
        f'# machine 127.0.0.1 login a password b\nmachine 127.0.0.1 login "{USER}" password "{PASSWORD}"',
        f'macdef init\nmachine 127.0.0.1 login a password b\n\nmachine 127.0.0.1 login {USER} password {PASSWORD}',
        f'machine 127.0.0.1:1 login a password b machine HOST login {USER} password {PASSWORD}',
    ]
    with Server(IMAGE, {'basic': True}) as s:
        for text in rows:
            with_netrc(s, text.replace('HOST', s.host))
        good(run(s.host + '/a/b:1', env=lambda home: {'NETRC': put(home, 'other', rows[0])}))


@credentials
def a_netrc_is_never_evaluated():
    victim = os.path.join(TMP, 'victim')
    with Server(IMAGE, {'basic': True}) as s:
        with_netrc(s, f'machine 127.0.0.1 login {USER} password $(touch${{IFS}}{victim})',
                   message=rf".*unauthorized \(manifest '1'\)")
        check(not os.path.exists(victim), 'evaluated')


@credentials
def a_default_entry_of_netrc_is_not_given_to_any_registry():
    with Server(IMAGE, {'basic': True}) as s:
        with_netrc(s, f'default login {USER} password {PASSWORD}', message=rf'not permitted: registry {s.host} says: unauthorized')


@credentials
def a_malformed_netrc_names_the_line():
    rows = [
        ('machine 127.0.0.1\nlogin', r"malformed input: credentials file '.*/.netrc': line 2: nothing follows 'login'"),
        ('\nmachine 127.0.0.1 login "s3cr3t', r"malformed input: credentials file '.*/.netrc': line 2: a quoted word does not end"),
        ('s3cr3t', r"malformed input: credentials file '.*/.netrc': line 1: unknown word"),
        ('machine a\0b', r"malformed input: credentials file '.*/.netrc': a NUL byte"),
    ]
    with Server(IMAGE, {'basic': True}) as s:
        for text, message in rows:
            with_netrc(s, text, message=message)
        with_netrc(s, 'machine 127.0.0.1 login a password b', mode=0o666, message=r"not permitted: .*can be written by others.*")


@credentials
def credentials_of_one_registry_are_not_given_to_its_mirror():
    with Server(IMAGE, {'basic': True}) as mirror, Server(IMAGE, {'basic': True}) as s:
        conf = f'[[registry]]\nlocation="{s.host}"\ninsecure=true\n[[registry.mirror]]\nlocation="{mirror.host}"\ninsecure=true\n'
        good(run(s.host + '/a/b:1', '-a', auth_file({s.host: entry()}), conf=conf))
        no_authorization_at('')(mirror, None)


# --- registries.conf ---

def mirrored(origin, mirrors, more=''):
    text = f'[[registry]]\nprefix = "reg.example/team"\nlocation = "{origin}/a"\ninsecure = true\n'
    for m in mirrors:
        text += f'[[registry.mirror]]\nlocation = "{m}/a"\ninsecure = true\n{more}'
    return text


@config
def a_location_replaces_the_prefix_and_not_the_name():
    with Server(IMAGE) as s:
        r = good(run('reg.example/team/b:1', scheme='', conf=mirrored(s.host, [])))
        check(r.lines('name') == ['reg.example/team/b:1'], r.out)
        check(s.asked('/v2/a/b/manifests/1'), 'wrong path')


@config
def a_mirror_is_asked_first_and_then_serves_the_blobs():
    with Server(IMAGE) as mirror, Server(IMAGE) as s:
        good(run('reg.example/team/b:1', scheme='', conf=mirrored(s.host, [mirror.host])))
        check(not s.log and mirror.asked(LARGE), 'the origin was asked')


@config
def mirrors_that_fail_leave_it_to_the_next():
    with Server(Image()) as empty, Server(IMAGE) as s:
        r = run('reg.example/team/b:1', scheme='', conf=mirrored(s.host, [empty.host, f'127.0.0.1:{closed_port()}']))
        good(r)
        check(len(empty.asked('manifests')) == 1 and not empty.asked('blobs'), 'the mirror was asked for blobs')


@config
def a_blob_that_breaks_at_a_mirror_goes_on_at_the_origin():
    with Server(IMAGE, {'truncate': 1, '416': True}) as mirror, Server(IMAGE) as s:
        good(run('reg.example/team/b:1', scheme='', conf=mirrored(s.host, [mirror.host])))
        resumed_from(HALF)(s, None)


@config
def all_that_was_tried_is_listed():
    with Server(Image()) as empty, Server(IMAGE, {'manifest-403': True}) as s:
        bad(run('reg.example/team/b:1', scheme='', conf=mirrored(s.host, [empty.host])),
            rf"not permitted: all 2 sources failed: registry {empty.host}: manifest '1' not found .*; registry {s.host}: manifest '1': access denied .*")


@config
def mirrors_may_serve_only_digests_or_only_tags():
    with Server(IMAGE) as mirror, Server(IMAGE) as s:
        for use, by_tag, by_digest in (('digest-only', 0, 1), ('tag-only', 1, 0), ('all', 1, 1)):
            conf = mirrored(s.host, [mirror.host], f'pull-from-mirror = "{use}"\n')
            for ref, n in ((':1', by_tag), ('@' + SINGLE['digest'], by_digest)):
                mirror.log.clear()
                good(run('reg.example/team/b' + ref, scheme='', conf=conf))
                check(len(mirror.asked('manifests')) == n, f'{use} {ref}')


@config
def a_blocked_registry_is_refused():
    bad(run('reg.example/x:1', conf='[[registry]]\nlocation = "reg.example"\nblocked = true\n'),
        r"not permitted: registry 'reg.example' is blocked by registries.conf")


@config
def a_wildcard_covers_subdomains_only():
    conf = '[[registry]]\nprefix = "*.example.com"\nblocked = true\n[[registry]]\nlocation = "good.example.com"\ninsecure = true\n'
    bad(run('a.b.example.com/x:1', conf=conf), r"not permitted: registry '\*.example.com' is blocked by registries.conf")
    bad(run('a.example.com:5000/x:1', conf=conf), r"not permitted: registry '\*.example.com' is blocked .*")
    bad(run('example.com.invalid/x:1', conf=conf, scheme=''), r'network failure: example.com.invalid: host name not found')


@config
def a_short_name_is_resolved_by_its_alias():
    with Server(IMAGE) as s:
        conf = f'[aliases]\n"tool" = "{s.host}/a/b"\n'
        r = good(run('tool:1', '-s', conf=conf))
        check(r.lines('name') == [s.host + '/a/b:1'], r.out)


@config
def a_short_name_is_looked_for_in_the_search_registries():
    with Server(Image()) as empty, Server(IMAGE) as s:
        conf = f'unqualified-search-registries = ["{empty.host}", "{s.host}"]\n'
        r = good(run('tool:1', '-s', conf=conf))
        check(r.lines('name') == [s.host + '/tool:1'], r.out)
        bad(run('tool:none', '-s', conf=conf), r"not found: registry .*: manifest 'none' not found .*; registry .*: manifest 'none' not found .*")


@config
def an_ambiguous_short_name_is_refused_when_enforcing():
    head = 'short-name-mode = "enforcing"\nunqualified-search-registries = '
    bad(run('tool', '-s', conf=head + '["a.example", "b.example"]\n'),
        r"invalid argument: short name 'tool' is ambiguous: a.example/tool, b.example/tool", r'name the registry, .*')
    with Server(IMAGE) as s:
        good(run('tool:1', '-s', conf=head + f'["{s.host}"]\n'))


@config
def a_short_name_without_any_registry_is_refused():
    bad(run('tool', '-s'), r"invalid argument: short name 'tool' has no alias, and no unqualified-search-registries are set",
        r'name the registry, as in docker.io/library/alpine')


@config
def malformed_configuration_names_the_place():
    rows = [
        ('[[registry]]\nprefix = "x.example"\n', r"malformed input: .*registries.conf:1:\d+: registry 'x.example' has no location"),
        ('[[registry]]\nlocation = "https://x"\n', r"malformed input: .*:1:\d+: prefix of a registry 'https://x' has a scheme, .*"),
        ('[[registry]]\nprefix = "a.*.b"\nlocation = "x"\n', r"malformed input: .*: prefix 'a.\*.b': a wildcard is '\*.' before a host only"),
        ('[[registry]]\nlocation = 5\n', r'malformed input: .*:2:\d+: .*'),
        ('[registries.search]\nregistries = ["x"]\n', r'malformed input: .*: this is the old version 1 of the format, which is not supported'),
        ('short-name-mode = "maybe"\n', r"malformed input: .*: short-name-mode 'maybe' is not known"),
        ('[[registry]]\nlocation="x"\n[[registry.mirror]]\nlocation="y"\npull-from-mirror="no"\n', r"malformed input: .*pull-from-mirror 'no' is not known"),
        ('[[registry]]\nlocation="x"\nmirror-by-digest-only=true\n[[registry.mirror]]\nlocation="y"\npull-from-mirror="all"\n',
         r'malformed input: .*pull-from-mirror and mirror-by-digest-only exclude each other'),
        ('oops', r'malformed input: .*registries.conf:1:.*'),
    ]
    for text, message in rows:
        bad(run('x/y:1', conf=text), message)


def main():
    wanted = sys.argv[2:]
    failed = n = 0
    try:
        for group, function in CASES:
            if wanted and group not in wanted and function.__name__ not in wanted:
                continue
            n += 1
            try:
                function()
            except (Failure, subprocess.TimeoutExpired) as e:
                failed += 1
                print(f'FAILED {group}: {function.__name__.replace("_", " ")}: {e}', flush=True)
    finally:
        shutil.rmtree(TMP, ignore_errors=True)
    print(f'{n} cases, {failed} failed')
    return 1 if failed or not n else 0


if __name__ == '__main__':
    sys.exit(main())
