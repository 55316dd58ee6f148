#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does every call of the library that changes a disk pass the seam?

usage: test_seam.py WRAPPED... -- ARCHIVE...
"""
import re
import shutil
import subprocess
import sys

CHANGES = re.compile(
    r'(open|openat|creat|mkdir|mkdirat|mknod|mknodat|mkfifo|mkfifoat|symlink|symlinkat|link|linkat|'
    r'rename|renameat|renameat2|unlink|unlinkat|rmdir|remove|write|writev|pwrite|pwritev|pwritev2|'
    r'sendfile|splice|copy_file_range|f?truncate|fallocate|posix_fallocate|f?chmod|fchmodat|f?chown|'
    r'lchown|fchownat|futimens|utimensat|utimes|lutimes|futimes|[lf]?setxattr|[lf]?removexattr|'
    r'f(data)?sync|syncfs|sync|msync|fopen|fdopen|fwrite|mount|umount2?|move_mount|ioctl|'
    r'mkstemps?|mkdtemp)(64)?')
# Used where no store is: a spool file without a name in the place for temporary files.
ELSEWHERE = {'mkostemp64'}


def main():
    if not shutil.which('nm'):
        print('nm is not installed')
        sys.exit(77)
    split = sys.argv.index('--')
    wrapped, archives = set(sys.argv[1:split]), sys.argv[split + 1:]
    out = subprocess.run(['nm', '-u', *archives], stdout=subprocess.PIPE, check=True,
                         text=True).stdout
    used = {line.split()[1] for line in out.splitlines() if line.startswith(' ' * 17)}
    missing = sorted(n for n in used - wrapped - ELSEWHERE if CHANGES.fullmatch(n))
    for name in missing:
        print(f'{name}() changes files and does not pass the seam of tests/fault')
    if len(used) < 100:
        print(f'only {len(used)} symbols seen')
    sys.exit(1 if missing or len(used) < 100 else 0)


main()
