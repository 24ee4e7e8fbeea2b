"""forge.py - looks into a repository, and writes what no honest borg writes, with the installed borg 1.2's own modules.

  locate REPO manifest | archive NAME | items NAME [N] | file NAME PATH [N] | commit    prints FILE OFFSET SIZE of the entry
  lose REPO WHAT...          deletes that object, WHAT as for locate
  spoil REPO WHAT...         makes it one that is not authentic, with a good checksum
  orphan REPO                adds an object that nobody refers to
  twin REPO NAME             adds another archive of this name, and loses the manifest
  crc FILE OFFSET            makes the checksum of the entry there agree again
  feature REPO NAME          makes the feature mandatory for every operation
  long REPO NAME TIMES       adds an archive whose stream has the same ten thousand items so often: it takes its time to decode
  hostile REPO KIND          adds archive "bad" of that KIND (see KINDS) to an existing repository, next to its others

Everything runs with the environment of the caller: BORG_PASSPHRASE, BORG_BASE_DIR.
"""
import os
import struct
import sys
import zlib
from datetime import datetime

from borg.archive import CHUNKER_PARAMS
from borg.compress import CompressionSpec
from borg.crypto.key import key_factory
from borg.helpers import Manifest, msgpack
from borg.item import ArchiveItem, Item
from borg.logger import setup_logging
from borg.repository import Repository

NOW = '2026-01-02T03:04:05.000000'


def opened(path, exclusive=False):
    repository = Repository(os.path.abspath(path), exclusive=exclusive, lock=exclusive)
    repository.__enter__()
    manifest, key = Manifest.load(repository, Manifest.NO_OPERATION_CHECK)
    return repository, manifest, key


def entry_of(repository, id_):
    if not repository.index:
        repository.index = repository.open_index(repository.get_transaction_id())
    segment, offset = repository.index[id_]
    path = repository.io.segment_filename(segment)
    with open(path, 'rb') as f:
        f.seek(offset)
        size = struct.unpack('<II', f.read(8))[1]
    return path, offset, size


def items_of(repository, key, name, manifest):
    meta = msgpack.unpackb(key.decrypt(manifest.archives[name].id, repository.get(manifest.archives[name].id)))
    return meta[b'items']


def find(repository, manifest, key, what, *more):
    if what == 'manifest':
        return Manifest.MANIFEST_ID
    if what == 'archive':
        return manifest.archives[more[0]].id
    if what == 'items':
        return items_of(repository, key, more[0], manifest)[int(more[1]) if len(more) > 1 else 0]
    unpacker = msgpack.Unpacker(use_list=False, object_hook=lambda d: Item(internal_dict=d))
    for id_ in items_of(repository, key, more[0], manifest):
        unpacker.feed(key.decrypt(id_, repository.get(id_)))
    item = next(item for item in unpacker if item.path == more[1])
    return item.chunks[int(more[2]) if len(more) > 2 else 0][0]


def locate(path, what, *more):
    repository, manifest, key = opened(path)
    if what == 'commit':
        print(repository.io.segment_filename(repository.io.get_latest_segment()), 8, 9)
    else:
        print(*entry_of(repository, find(repository, manifest, key, what, *more)))


def harm(path, how, what, *more):
    repository, manifest, key = opened(path, exclusive=True)
    id_ = find(repository, manifest, key, what, *more)
    if how == 'lose':
        repository.delete(id_)
    else:
        repository.put(id_, repository.get(id_) + b'spoiled')
    repository.commit(compact=False)
    repository.__exit__(None, None, None)


def fix_crc(path, offset):
    with open(path, 'r+b') as f:
        f.seek(int(offset))
        crc, size = struct.unpack('<II', f.read(8))
        body = struct.pack('<I', size) + f.read(size - 8)
        f.seek(int(offset))
        f.write(struct.pack('<I', zlib.crc32(body)))


class Forger:
    def __init__(self, path):
        self.repository, self.manifest, self.key = opened(path, exclusive=True)
        self.key.compressor = CompressionSpec('zlib').compressor

    def put(self, data, id_=None):
        id_ = id_ or self.key.id_hash(data)
        self.repository.put(id_, self.key.encrypt(data))
        return id_

    def item(self, path, **fields):
        base = dict(path=path, mode=0o100644, uid=0, gid=0, user='root', group='root', mtime=10 ** 18)
        base.update(fields)
        return base

    def file(self, path, data, **fields):
        return self.item(path, chunks=[(self.put(data), len(data), len(data))], size=len(data), **fields)

    def archive(self, records, name='bad', raw=None, **fields):
        stream = b''.join(msgpack.packb(i) for i in records) if raw is None else raw
        ids = [self.put(stream[at:at + 500000]) for at in range(0, len(stream), 500000)]
        meta = dict(version=1, name=name, items=ids, cmdline=['forge'], hostname='h', username='u', time=NOW, time_end=NOW,
                    comment='', chunker_params=CHUNKER_PARAMS)
        meta.update(fields)
        id_ = self.put(self.key.pack_and_authenticate_metadata(meta, context=b'archive'))
        self.manifest.archives[name] = (id_, datetime(2026, 1, 2, 3, 4, 5))

    def done(self):
        self.manifest.write()
        self.repository.commit(compact=False)
        self.repository.__exit__(None, None, None)


def names(f):
    """Names that would leave the archive's folder, or that no folder can have."""
    f.archive([f.file(p, b'evil') for p in ('../evil', '/abs/evil', 'a/../../evil', 'a/./b', 'x//y', '..', 'nul\0byte',
                                            'n' * 300, 'ok')] + [f.item('', mode=0o40755), f.item('d', mode=0o40755),
                                                                 f.file('d', b'twice, now a file'), f.file('d/inside', b'file below a file')])


def cycles(f):
    """Hard links to themselves, to each other, to nothing, to a folder."""
    f.archive([f.item('self', source='self'), f.item('a', source='b'), f.item('b', source='a'),
               f.item('nowhere', source='missing'), f.item('dir', mode=0o40755), f.item('todir', source='dir'),
               f.file('ok', b'fine')])


def sizes(f):
    """Sizes that lie: of the file, of its chunks, absurd ones."""
    id_ = f.put(b'twelve bytes')
    f.archive([f.item('longer', chunks=[(id_, 12, 12)], size=10 ** 15), f.item('shorter', chunks=[(id_, 12, 12)], size=3),
               f.item('chunk-longer', chunks=[(id_, 10 ** 6, 12)]), f.item('chunk-shorter', chunks=[(id_, 3, 12)]),
               f.item('huge', chunks=[(id_, 2 ** 32 - 1, 12)] * 1000, size=2 ** 62),
               f.file('ok', b'fine')])


def negative(f):
    """A size below zero: not an item that any borg wrote."""
    f.archive([f.item('negative', chunks=[(f.put(b'twelve bytes'), 12, 12)], size=-1), f.file('ok', b'fine')])


def swapped(f):
    """A chunk stored under the id of another: authentic, but not what was asked for."""
    a, b = b'the contents of a' * 100, b'the contents of b' * 100
    first = f.file('a', a)
    second = f.file('b', b)
    f.archive([first, second, f.file('ok', b'fine')])
    f.put(b, f.key.id_hash(a))


def bomb(f):
    """A few bytes that decompress to a gigabyte; as a file's chunk and as item stream."""
    f.key.compressor = CompressionSpec('zlib,9').compressor
    zeros = bytes(1 << 30)
    id_ = f.put(zeros)
    f.archive([f.item('bomb', chunks=[(id_, 1 << 30, 1000)], size=1 << 30), f.item('lying', chunks=[(id_, 12, 12)], size=12),
               f.file('ok', b'fine')])


def counts(f):
    """Counts that promise billions: of items, of chunks, of map entries; nesting without end."""
    good = msgpack.packb(f.file('ok', b'fine'))
    array32, map32, bin32 = b'\xdd\xff\xff\xff\xf0', b'\xdf\xff\xff\xff\xf0', b'\xc6\xff\xff\xff\xf0'
    chunks = b'\x82\xa4path\xa1x\xa6chunks' + array32
    f.archive([], raw=good + chunks + good + map32 + good + b'\x91' * 100000 + bin32 + good)


def archive_object(f):
    """An archive object that is not what it should be."""
    f.archive([f.file('ok', b'fine')], items=[b'x' * 32] * 10, time='not a time', chunker_params='?', cmdline=17)


def long(f, name, times):
    records = [f.item('file-%05d' % n, chunks=[], size=0) for n in range(10000)]
    f.archive([], name=name, items=[f.put(b''.join(msgpack.packb(i) for i in records))] * times)


KINDS = {f.__name__: f for f in (names, cycles, sizes, negative, swapped, bomb, counts, archive_object)}


def main():
    setup_logging()
    command, path, *more = sys.argv[1:]
    if command == 'locate':
        locate(path, *more)
    elif command in ('lose', 'spoil'):
        harm(path, command, *more)
    elif command == 'orphan':
        forger = Forger(path)
        forger.put(b'nobody needs this')
        forger.done()
    elif command == 'twin':
        forger = Forger(path)
        forger.archive([forger.file('twin', b'of another archive')], name=more[0])
        forger.repository.delete(Manifest.MANIFEST_ID)
        forger.repository.commit(compact=False)
    elif command == 'crc':
        fix_crc(path, more[0])
    elif command == 'feature':
        forger = Forger(path)
        forger.manifest.config[b'feature_flags'] = {b'read': {b'mandatory': [more[0].encode()]}}
        forger.done()
    elif command == 'long':
        forger = Forger(path)
        long(forger, more[0], int(more[1]))
        forger.done()
    elif command == 'hostile':
        forger = Forger(path)
        KINDS[more[0]](forger)
        forger.done()
    else:
        sys.exit('forge: no command ' + command)


main()
