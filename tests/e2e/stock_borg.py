"""Stock borg without its start: one interpreter imports it once, and forks a child for each command.

What runs in the child is borg's own main(), with arguments, environment and folder of the caller.  Of a process of its own
it differs in three things: the self test of borg's C modules has been done by the first, the parser of arguments is made
already, and a key that it makes is kept with one round of PBKDF2.

    stock = StockBorg('/usr/bin/borg')
    code, said = stock.run('list', repository)

As a program, that interpreter: a request a line on standard input, an answer a line on standard output, both JSON.
"""
import ctypes
import gc
import json
import os
import subprocess
import sys
import time
import traceback

PYTHON = '/usr/bin/python3'
SYSTEMS_OWN = '/usr/bin/borg'


def modules_of(program):
    """Where Python finds that program's modules: beside it, where scripts/borg14 has unpacked them."""
    beside = os.path.join(os.path.dirname(os.path.realpath(program)), 'usr/lib/python3/dist-packages')
    return beside if os.path.isdir(beside) else None


class StockBorg:
    """One borg; started when first asked.  One whose modules are nowhere to be seen is run as it is, each time."""

    def __init__(self, program=SYSTEMS_OWN, preload=None):
        self.program, self.modules, self.preload, self.server = program, modules_of(program), preload, None

    def start(self):
        env = {**os.environ, 'LC_ALL': 'C.UTF-8', 'PYTHONDONTWRITEBYTECODE': '1',
               'GLIBC_TUNABLES': 'glibc.malloc.hugetlb=1'}  # most of a small command is zeroed pages
        if self.preload:
            env['LD_PRELOAD'] = self.preload
        if self.modules:
            env['PYTHONPATH'] = self.modules
        self.server = subprocess.Popen([PYTHON, os.path.realpath(__file__)], env=env, text=True, bufsize=1,
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, what, argv, cwd, env=None):
        if not self.server:
            self.start()
        self.server.stdin.write(json.dumps([what, argv, cwd or os.getcwd(), {**os.environ, **(env or {})}]) + '\n')
        answer = self.server.stdout.readline()
        if not answer:
            raise RuntimeError('the interpreter for borg has ended')
        return tuple(json.loads(answer))

    def run(self, *argv, cwd=None, env=None):
        """Exit code, and what it has said on both outputs.  With faults.so preloaded, env may say what fails."""
        if not self.modules and self.program != SYSTEMS_OWN:
            done = subprocess.run([self.program, *argv], cwd=cwd, env={**os.environ, **(env or {})}, text=True,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            return done.returncode, done.stdout
        return self.ask('borg', argv, cwd, env)

    def objects(self, repository):
        """Checks a repository; a line for each object in it."""
        return self.ask('objects', [repository], None)

    def make_passphrase_mode(self, repository):
        """Turns an empty repository into one of the mode that had no key, as borg made them before 1.0."""
        return self.ask('passphrase mode', [repository], None)

    def close(self):
        if self.server:
            self.server.stdin.close()
            self.server.wait()
            self.server = None


# --- in the interpreter ---

def start():
    """What every borg does first, once for all."""
    import borg.archiver
    import borg.crypto.key
    import borg.selftest
    from borg.logger import setup_logging
    sys.argv = ['borg']
    borg.crypto.key.PBKDF2_ITERATIONS = 1
    the = borg.archiver.Archiver()
    parser = the.build_parser()
    the.build_parser = lambda: parser
    borg.archiver.Archiver = lambda: the
    pid = os.fork()
    if pid == 0:
        os.dup2(2, 1)
        setup_logging(level='warning')
        borg.selftest.selftest(borg.archiver.logger)
        os._exit(0)
    if os.waitpid(pid, 0)[1] != 0:
        sys.exit('the self test fails')
    return the


def run_main(the, argv):
    import borg.archiver
    the.last_checkpoint = time.monotonic()
    os.environ['BORG_SELFTEST'] = 'disabled'
    sys.argv = ['borg', *argv]
    borg.archiver.main()


def list_objects(the, argv):
    from borg.logger import setup_logging
    from borg.repository import Repository
    setup_logging(level='warning')
    with Repository(argv[0], exclusive=True, lock_wait=1) as r:
        if not r.check():
            sys.exit('borg finds damage')
    with Repository(argv[0], exclusive=True, lock_wait=1) as r:
        for key in r.list(limit=10000) if r.get_transaction_id() is not None else []:
            data = r.get(key)
            print('object', int.from_bytes(key[:4], 'little'), len(data), data[0])


def make_passphrase_mode(the, argv):
    from borg.crypto.key import Passphrase, PassphraseKey
    from borg.helpers import Manifest
    from borg.logger import setup_logging
    from borg.repository import Repository
    setup_logging(level='warning')
    with Repository(argv[0], exclusive=True) as repository:
        key = PassphraseKey(repository)
        key.init(repository, Passphrase(os.environ['BORG_PASSPHRASE']))
        key.init_ciphers()
        Manifest(key, repository).write()
        repository.save_key(b'')
        repository.commit(compact=False)


WORK = {'borg': run_main, 'objects': list_objects, 'passphrase mode': make_passphrase_mode}


def child(out, the, what, argv, cwd, env):
    """As a process that has just been started; does not return."""
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.closerange(3, 64)
        first = [os.fdopen(fd, mode, closefd=False) for fd, mode in enumerate('rww')]
        sys.__stdin__, sys.__stdout__, sys.__stderr__ = first  # kept: borg wraps the others' buffers
        sys.stdin, sys.stdout, sys.stderr = first
        os.environ.clear()
        os.environ.update(env)
        time.tzset()
        os.chdir(cwd)
        if 'FAULTS_FOLDER' in env:
            ctypes.CDLL(None).faults_begin()
        WORK[what](the, argv)
        code = 0
    except SystemExit as e:
        if isinstance(e.code, str):
            print(e.code, file=sys.stderr)
        else:
            code = e.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
            if 'FAULTS_FOLDER' in env:
                ctypes.CDLL(None).faults_end()
        finally:
            os._exit(code)


def answer(the, request):
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        child(write, the, *request)
    os.close(write)
    with os.fdopen(read, errors='replace') as f:
        said = f.read()
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said]


def serve():
    requests, answers = sys.stdin, os.fdopen(os.dup(1), 'w', buffering=1)
    os.dup2(2, 1)
    the = start()
    gc.collect()
    gc.freeze()  # children share what is there
    for line in requests:
        answers.write(json.dumps(answer(the, json.loads(line))) + '\n')


if __name__ == '__main__':
    serve()
