#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Does the client pull from docker-registry what skopeo pushed there?
# usage: test_real.sh REGISTRY-CLIENT SOURCE-DIR
set -eu
client=$1
here=$2
for program in docker-registry skopeo python3; do
	if ! command -v $program >/dev/null; then
		echo "skipped: $program is not installed"
		exit 77
	fi
done
dir=$(mktemp -d)
registry=
cleanup() {
	[ -z "$registry" ] || kill "$registry" 2>/dev/null || true
	[ -z "$registry" ] || wait "$registry" 2>/dev/null || true
	rm -rf "$dir"
}
trap cleanup EXIT
python3 "$here/make_layout.py" "$dir/layout"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$dir/registry.yml" <<END
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $dir/data}}
http: {addr: 127.0.0.1:$port}
END
docker-registry serve "$dir/registry.yml" >"$dir/log" 2>&1 &
registry=$!
python3 - "$port" <<'END'
import socket, sys, time
end = time.monotonic() + 10
while True:
    try:
        socket.create_connection(('127.0.0.1', int(sys.argv[1]))).close()
        break
    except OSError:
        if time.monotonic() > end:
            sys.exit('docker-registry does not listen')
        time.sleep(0.01)
END
echo '{"default":[{"type":"insecureAcceptAnything"}]}' >"$dir/policy.json"
printf '' >"$dir/registries.conf"
for format in oci v2s2; do
	skopeo --policy "$dir/policy.json" copy -q --format "$format" --dest-tls-verify=false \
		"oci:$dir/layout:1" "docker://127.0.0.1:$port/team/$format:1"
	"$client" -i -R "$dir/registries.conf" -j 2 "127.0.0.1:$port/team/$format:1" >"$dir/out"
	cat "$dir/out"
	[ "$(grep -c '^blob .* ok$' "$dir/out")" = 4 ]
done
if "$client" -i -R "$dir/registries.conf" "127.0.0.1:$port/team/oci:2" >"$dir/out"; then
	echo "a tag that is not there was found"
	exit 1
fi
grep "^error not found: registry 127.0.0.1:$port: manifest '2' not found (MANIFEST_UNKNOWN: manifest unknown)" "$dir/out"
