#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Has the virtual machine what the other suites rely on?
set -eu
cd "$TMPDIR"
dir=$(mktemp -d machine.XXXXXX)
cd "$dir"

say() {
	echo "$1"
}
say 'the root is the host'\''s, and what is written to it stays here'
[ "$(stat -f -c %T /)" = overlayfs ]
touch /tmp/imbrex-written-in-the-machine
say 'scratch is an ext4 with fs-verity'
[ "$(stat -f -c %T .)" = ext2/ext3 ]
grep -q verity /sys/fs/ext4/features/verity 2>/dev/null || [ -e /sys/fs/ext4/features/verity ]
say 'project quotas are kept, on XFS and on ext4'
"$(dirname "$0")/../loopfs" --size 512M --options prjquota xfs true
"$(dirname "$0")/../loopfs" --size 64M --mkfs '-O quota,project' --options prjquota ext4 true
say 'OpenZFS: a pool, a snapshot, a clone'
modprobe() {
	/run/vm/busybox modprobe "$@"
}
modprobe zfs
truncate -s 256M pool
zpool create -m none imbrex-machine "$PWD/pool"
trap 'zpool destroy -f imbrex-machine; rm -rf "$TMPDIR/$dir"' EXIT
zfs create -o mountpoint=legacy imbrex-machine/a
zfs snapshot imbrex-machine/a@b
zfs clone -o mountpoint=legacy imbrex-machine/a@b imbrex-machine/c
mkdir c
mount -t zfs imbrex-machine/c c
umount c
