"""tar_facts.py - what a tar, or an archive listed by borg as JSON lines, holds: a line for each entry, for diff.

    tar_facts.py tar FILE       headers and a hash of the content
    borg list --json-lines ... | tar_facts.py lines     keys sorted, times to the microsecond
"""
import hashlib
import json
import sys
import tarfile


def of_tar(path):
    with tarfile.open(path, errors='surrogateescape') as tar:
        for m in tar:
            content = hashlib.sha256(tar.extractfile(m).read()).hexdigest() if m.isreg() else ''
            yield repr((m.name, m.type, oct(m.mode), m.uid, m.gid, m.uname, m.gname, m.mtime, m.linkname, m.size,
                        m.devmajor, m.devminor, m.pax_headers, content))


def of_lines():
    for line in sys.stdin:
        yield json.dumps(json.loads(line), sort_keys=True)


for fact in of_tar(sys.argv[2]) if sys.argv[1] == 'tar' else of_lines():
    print(fact)
