"""content_ids.py [--items | --list] REPOSITORY ARCHIVE - the ids of an archive's file content, sorted, one a line; or its item
stream, as it is; or the ids of every file in their order, with sizes. Read with stock borg's own modules.
content_ids.py --differ FILE FILE tells two item streams apart."""
import sys

from borg.archive import Archive
from borg.constants import *  # noqa: F401,F403
from borg.helpers import Manifest, msgpack
from borg.logger import setup_logging
from borg.repository import Repository

setup_logging(level='error')
if sys.argv[1] == '--differ':
    def unpacked(path):
        with open(path, 'rb') as f:
            return list(msgpack.Unpacker(f, raw=True, strict_map_key=False))
    for a, b in zip(unpacked(sys.argv[2]), unpacked(sys.argv[3])):
        for key in sorted(set(a) | set(b)):
            if a.get(key) != b.get(key):
                print(a[b'path'], key, a.get(key), b.get(key))
    sys.exit()
items = sys.argv[1] == '--items'
path, name = sys.argv[-2:]
with Repository(path, lock=False) as repository:
    manifest, key = Manifest.load(repository, Manifest.NO_OPERATION_CHECK)
    archive = Archive(repository, key, manifest, name)
    if items:
        for chunk_id in archive.metadata.items:
            sys.stdout.buffer.write(key.decrypt(chunk_id, repository.get(chunk_id)))
    elif '--list' in sys.argv:
        for item in archive.iter_items():
            for chunk in item.get('chunks', ()):
                print(chunk.id.hex(), chunk.size)
    else:
        for line in sorted({chunk.id.hex() for item in archive.iter_items() for chunk in item.get('chunks', ())}):
            print(line)
