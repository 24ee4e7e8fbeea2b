"""faults.py [OPTION...] SCENARIO - a program whose disk fails, or whose power goes, at every change that it makes.

The scenario's command runs with tests/support/faults.c preloaded, once to count its changes, then once for each n: it is
killed after the n-th, or that one fails.  What then is in the folder (kill), what a power cut would have left (all, half
of what was not synced), is judged by stock borg's own code, and the command is run again.

    --bin DIR       where alcove and tests/support/ are built     --work DIR     kept; default: made in /dev/shm
    --every K       each K-th n only, the first drawn             --kinds A,B    of KINDS, default all, drawn for each n
    --each          every kind at every n                         --seed N       repeats a run
    --only N        this n alone                                  --borg14 PATH  looks at some of the results, too
    --times N       instead: N runs, killed whenever it happens

The scenario `turns` is another kind of test: --times N commands of both programs in turn, some of them killed, and no
AES-CTR counter is used twice.
"""
import argparse
import gc
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

import borg.archiver  # once: what borg does is done in children
import borg.crypto.key

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), '..', 'support'))
import counters  # noqa: E402

KINDS = ['kill', 'all', 'half', 'EIO', 'ENOSPC', 'EIO+', 'ENOSPC+']
KILLS = ['kill', 'all', 'half']
INTERRUPTS = ['INT', 'INT-all', 'INT-half']  # for create, whose answer is a checkpoint; and a power cut soon after


class Wrong(Exception):
    pass


def demand(condition, what):
    if not condition:
        raise Wrong(what)


def in_child(function, *args):
    """Runs it in a process of its own, so that no state of borg's modules stays; its output, and whether it failed."""
    read, write = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(read)
            os.dup2(write, 1)
            os.dup2(write, 2)
            sys.__stdout__, sys.__stderr__ = (os.fdopen(fd, 'w', buffering=1, closefd=False) for fd in (1, 2))
            sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
            code = function(*args) or 0
        except SystemExit as e:
            code = e.code
        except BaseException:
            traceback.print_exc()
        finally:
            try:
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)
    os.close(write)
    with os.fdopen(read, errors='replace') as f:
        said = f.read()
    status = os.waitpid(pid, 0)[1]
    return os.waitstatus_to_exitcode(status), said


class Work:
    """start/ is copied to live/ and disk/ before each run; the program works in live/."""

    def __init__(self, options):
        self.dir = os.path.realpath(options.work)
        self.bin = os.path.realpath(options.bin)
        self.borg14 = options.borg14
        self.start, self.live, self.disk, self.log = (os.path.join(self.dir, x) for x in ('start', 'live', 'disk', 'log'))

    def clean(self):
        for path in self.live, self.disk, self.disk + '.nodes':
            shutil.rmtree(path, ignore_errors=True)
        if os.path.exists(self.log):
            os.unlink(self.log)

    def reset(self):
        self.clean()
        for path in self.live, self.disk:
            subprocess.run(['cp', '-a', self.start, path], check=True)

    def keep_as_start(self):
        shutil.rmtree(self.start, ignore_errors=True)
        os.rename(self.live, self.start)

    def run_for(self, seconds, argv, stdin=''):
        """Killed after that time."""
        program = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            out, said = program.communicate(stdin, timeout=seconds)
        except subprocess.TimeoutExpired:
            program.kill()
            out, said = program.communicate()
        return subprocess.CompletedProcess(argv, program.returncode, out, said)

    def run(self, argv, stdin='', fault=None):
        if fault and fault[1] == 'time':
            return self.run_for(fault[0], argv, stdin)
        env = dict(os.environ)
        if fault:
            n, kind, seed = fault
            env.update(LD_PRELOAD=self.bin + '/tests/support/faults.so', FAULTS_FOLDER=self.live, FAULTS_DISK=self.disk,
                       FAULTS_N=str(n), FAULTS_MODE='kill' if kind in KILLS else kind, FAULTS_SEED=str(seed),
                       FAULTS_LOSE='half' if kind.endswith('half') else 'all', FAULTS_LOG=self.log)
            if kind in INTERRUPTS:
                env.update(FAULTS_MODE='INT', FAULTS_THEN='0' if kind == 'INT' else str(1 + seed % 50))
            env['ASAN_OPTIONS'] = env.get('ASAN_OPTIONS', '') + ':verify_asan_link_order=0'
        done = subprocess.run(argv, input=stdin, text=True, capture_output=True, env=env, timeout=120)
        demand('faults:' not in done.stderr and 'Sanitizer' not in done.stderr, done.stderr)
        demand(done.returncode >= 0 or fault and fault[1] in KILLS + INTERRUPTS and done.returncode == -signal.SIGKILL,
               'died of signal %d: %s' % (-done.returncode, done.stderr))
        return done

    def run_then_cut_power(self, argv, stdin=''):
        shutil.rmtree(self.disk + '.nodes')
        done = self.run(argv, stdin, fault=(0, 'all', 0))
        self.cut_power()
        return done

    def cut_power(self):
        shutil.rmtree(self.live)
        os.rename(self.disk, self.live)

    def changes(self):
        with open(self.log) as f:
            return f.read().splitlines()


# --- the repository alone: operations on objects, played by repo_script ---

def borg_looks(path):
    """All objects of a repository that borg's checker finds in order."""
    from borg.logger import setup_logging
    from borg.repository import Repository
    setup_logging(level='warning')
    with Repository(path, exclusive=True, lock_wait=1) as r:
        demand(r.check(), 'borg finds damage')
    with Repository(path, exclusive=True, lock_wait=1) as r:
        for key in r.list(limit=10000) if r.get_transaction_id() is not None else []:
            data = r.get(key)
            print('object', int.from_bytes(key[:4], 'little'), len(data), data[0])


def objects_of(said):
    found, rest = {}, []
    for line in said.splitlines():
        if line.startswith('object '):
            n, length, value = map(int, line.split()[1:])
            found[n] = (length, value)
        elif 'tale lock' not in line and 'stale' not in line:
            rest.append(line)
    return found, '\n'.join(rest)


class Repository:
    """Puts, deletes, commits, compactions.  The objects are those of the last commit that was reported, or of the one
    under way."""
    ids = 20

    def __init__(self, work, rng):
        self.work, self.rng = work, rng
        self.path = work.live + '/repo'
        self.argv = [work.bin + '/tests/support/repo_script', self.path]

    def some(self, now, count):
        lines = []
        for _ in range(count):
            n = self.rng.randrange(self.ids)
            if n in now and self.rng.random() < 0.35:
                del now[n]
                lines.append('delete %d' % n)
            else:
                now[n] = (self.rng.choice([1, 100, 2000, 5000, 140000]), self.rng.randrange(256))
                lines.append('put %d %d %d' % (n, *now[n]))
        return lines

    def prepare(self):
        os.makedirs(self.work.live)
        done = self.work.run(self.argv, 'init\n')
        demand(done.returncode == 0, done.stderr)
        with open(self.path + '/config') as f:
            text = f.read().replace('= 524288000', '= 20000').replace('per_dir = 1000', 'per_dir = 5')
        with open(self.path + '/config', 'w') as f:
            f.write(text)
        now = {}
        lines = ['open', 'lock', *self.some(now, 25), 'commit', *self.some(now, 10), 'commit', 'unlock', 'close']
        done = self.work.run(self.argv, '\n'.join(lines) + '\n')
        demand(done.returncode == 0, done.stderr)
        self.work.keep_as_start()
        self.before = dict(now)
        self.lines, self.models = [], [dict(now)]  # models[i]: what is committed before line i
        committed = dict(now)
        plan = ['open', 'lock', 6, 'commit', 4, 'rollback', 6, 'commit', 'compact 10', 'unlock', 'lock', 3, 'commit', 'compact 50', 5,
                'commit', 'unlock', 'close']
        for step in plan:
            for line in self.some(now, step) if isinstance(step, int) else [step]:
                if line == 'commit':
                    committed = dict(now)
                elif line == 'rollback':
                    now = dict(committed)
                self.lines.append(line)
                self.models.append(dict(committed))

    def command(self, fault):
        return self.work.run(self.argv, '\n'.join(self.lines) + '\n', fault=fault)

    def look(self):
        code, said = in_child(borg_looks, self.path)
        found, rest = objects_of(said)
        demand(code == 0 and not rest, 'borg: %s' % said)
        return found

    def verify(self, done, kind):
        reported = len(done.stdout.splitlines())
        found = self.look()
        allowed = [self.models[reported]] + ([self.models[reported + 1]] if reported < len(self.lines) else [])
        demand(found in allowed, 'line %d: objects are %s, not %s' % (reported, found, allowed))
        again = {**found, 7: (3333, 77)}
        done = self.work.run(self.argv, 'open\nlock\nput 7 3333 77\ncommit\ncompact 0\nunlock\nclose\n')
        demand(done.returncode == 0, 'not again: ' + done.stderr)
        found = self.look()
        demand(found == again, 'afterwards, objects are %s, not %s' % (found, again))


class RepositoryFirst(Repository):
    """Ours is the first to come after the fault: borg has not tidied up.  What it commits is there after a power cut,
    though it stands on what a killed one had not synced."""

    def verify(self, done, kind):
        reported = len(done.stdout.splitlines())
        allowed = [self.models[reported]] + ([self.models[reported + 1]] if reported < len(self.lines) else [])
        allowed = [{**m, 7: (3333, 77)} for m in allowed]
        run = self.work.run_then_cut_power if kind == 'kill' else self.work.run
        done = run(self.argv, 'open\nlock\nput 7 3333 77\ncommit\n' + self.rng.choice(['', 'unlock\nlock\ncompact 0\nunlock\n']))
        demand(done.returncode == 0, 'not again: ' + done.stderr)
        found = self.look()
        demand(found in allowed, 'line %d: objects are %s, not %s' % (reported, found, allowed))


# --- the program: a repository that borg has made, and one command of ours ---

def borg_main(cwd, argv):
    os.chdir(cwd)
    sys.argv = ['borg', *argv]
    borg.crypto.key.PBKDF2_ITERATIONS = 1  # where a key is made
    borg.archiver.main()


def facts(folder):
    """What a tree holds, times of folders left out: extraction of a part sets them as it likes."""
    found = {}
    for above, folders, files in os.walk(folder):
        for name in files:
            path = os.path.join(above, name)
            st = os.lstat(path)
            with open(path, 'rb') as f:
                digest = hashlib.sha256(f.read()).hexdigest()
            found[os.path.relpath(path, folder)] = (st.st_mode, st.st_mtime_ns, st.st_size, digest)
        for name in folders:
            found[os.path.relpath(os.path.join(above, name), folder)] = None
    return found


class Program:
    """The archives a, b, c, made by borg of overlapping trees, in small segments."""
    modes = ['repokey', 'repokey-blake2', 'keyfile', 'authenticated']

    def __init__(self, work, rng):
        self.work, self.rng = work, rng
        self.repo = work.live + '/repo'
        os.environ.update(HOME=work.live + '/home', BORG_BASE_DIR=work.live + '/base', BORG_PASSPHRASE='test', TZ='UTC',
                          BORG_RELOCATED_REPO_ACCESS_IS_OK='yes', BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK='yes')
        self.start_seen = {}
        self.unsynced = False  # after a kill: the next run's end is a power cut

    def borg(self, *argv, cwd=None):
        code, said = in_child(borg_main, cwd or self.work.dir, argv)
        said = '\n'.join(x for x in said.splitlines() if 'tale lock' not in x and 'stale' not in x)
        demand(code == 0, 'borg %s: %d: %s' % (' '.join(argv), code, said))
        return said

    def program(self, path, *argv, fault=None):
        here = os.getcwd()
        os.chdir(self.work.dir)
        try:
            return self.work.run([path, *(x.replace('REPO', self.repo) for x in argv)], fault=fault)
        finally:
            os.chdir(here)

    def alcove(self, *argv, fault=None):
        return self.program(self.work.bin + '/alcove', *argv, fault=fault)

    def make_tree(self, name, base=None):
        path = os.path.join(self.work.dir, name)
        shutil.rmtree(path, ignore_errors=True)
        if base:
            shutil.copytree(os.path.join(self.work.dir, base), path)
        os.makedirs(path + '/dir', exist_ok=True)
        for i in range(5):
            data = self.rng.randbytes(self.rng.choice([0, 10, 3000, 40000]))
            with open('%s/%s%s%d' % (path, self.rng.choice(['', 'dir/']), name, i), 'wb') as f:
                f.write(data)

    def prepare(self):
        for path in ('', '/home', '/base'):
            os.makedirs(self.work.live + path)
        self.borg('init', '-e', self.rng.choice(self.modes), self.repo)
        for name, value in ('max_segment_size', 60000), ('segments_per_dir', 5):
            self.borg('config', self.repo, name, str(value))
        self.trees = {}
        for name, base in ('a', None), ('b', 'a'), ('c', 'b'), ('new', 'c'):
            self.make_tree(name, base)
            self.trees[name] = facts(os.path.join(self.work.dir, name))
            if name != 'new':
                self.borg('create', '--chunker-params', '10,16,12,4095', '%s::%s' % (self.repo, name), name)
        self.prepare_more()
        self.work.keep_as_start()
        demand(not counters.check(self.work.start + '/repo', self.start_seen), 'borg reuses counters?')

    def prepare_more(self):
        pass

    def command(self, fault):
        done = self.alcove(*self.argv, fault=fault)
        self.seen = dict(self.start_seen)
        self.count_counters()  # of all that anybody may have seen, before the power goes
        return done

    def count_counters(self):
        wrong = counters.check(self.repo, self.seen)
        demand(not wrong, wrong)

    def archives(self):
        return self.borg('list', '--short', '--consider-checkpoints', self.repo).split()

    def is_right(self, name):
        out = self.work.dir + '/out'
        shutil.rmtree(out, ignore_errors=True)
        os.makedirs(out)
        said = self.borg('extract', '%s::%s' % (self.repo, name), cwd=out)
        demand(not said, 'extract: ' + said)
        tree = name.split('.')[0]
        found, want = facts(os.path.join(out, tree)), self.trees[tree]
        if '.checkpoint' in name:  # a part of it
            want = {k: v for k, v in want.items() if k in found}
            found = {k: v for k, v in found.items() if '.borg_part_' not in k}
        demand(found == want, 'archive %s is another' % name)

    def is_clean(self, must, may):
        """Borg has nothing to say of it, and its archives are all of must and some of may; two of them are looked at."""
        said = self.borg('check', '--verify-data', self.repo)
        demand(not said, 'check: ' + said)
        there = self.archives()
        demand(set(must) <= set(there) <= set(must) | set(may), 'archives: %s' % there)
        for name in {*self.rng.sample(there, min(2, len(there))), *(x for x in there if 'checkpoint' in x)}:
            self.is_right(name)
        if self.work.borg14 and self.rng.random() < 0.2:
            done = self.program(self.work.borg14, 'check', '--verify-data', self.repo)
            demand(done.returncode == 0 and not done.stderr, 'borg 1.4: ' + done.stderr)

    def again(self, *argv):
        cut, self.unsynced = self.unsynced, False
        if cut:
            shutil.rmtree(self.work.disk + '.nodes')
        done = self.alcove(*argv, fault=(0, 'all', 0) if cut else None)
        demand(done.returncode == 0, 'not again: %d: %s' % (done.returncode, done.stderr))
        self.count_counters()
        if cut:
            self.work.cut_power()

    def verify(self, done, kind):
        """Borg looks, the command is run again, borg looks; or, as often, without borg's first look."""
        must, may = self.expected(done)
        if kind is None or self.rng.random() < 0.5:
            self.is_clean(must, may)
        else:
            self.unsynced = kind == 'kill'
        must, may = self.run_again(must, may)
        self.unsynced = False
        self.is_clean(must, may)
        self.alcove_goes_on()

    def alcove_goes_on(self):
        """Its caches, too, are of this repository: what it believes to be stored, is."""
        self.make_tree('next', 'new')
        self.trees['next'] = facts(os.path.join(self.work.dir, 'next'))
        self.again('create', 'REPO::next', 'next')
        said = self.borg('check', '--verify-data', self.repo)
        demand(not said, 'check: ' + said)
        self.is_right('next')


class Create(Program):
    argv = ['create', '--chunker-params', '10,16,12,4095', 'REPO::new', 'new']

    def expected(self, done):
        must, may = ['a', 'b', 'c'], ['new.checkpoint', 'new.2.checkpoint', 'new.checkpoint.1']
        (must if done.returncode == 0 else may).append('new')
        return must, may

    def run_again(self, must, may):
        there = self.alcove('list', '--short', 'REPO')
        demand(there.returncode == 0, there.stderr)
        if 'new' in there.stdout.split():
            demand('new' in must + may, 'new is there')
            self.trees['new2'] = self.trees['new']
            self.again('create', '--chunker-params', '10,16,12,4095', 'REPO::new.2', 'new')
            return must + ['new', 'new.2'], may
        self.again(*self.argv)
        return must + ['new'], may


class Turns(Program):
    """Both programs on one repository."""
    modes = ['repokey', 'repokey-blake2', 'keyfile', 'keyfile-blake2']

    def turn(self, i):
        ours = self.rng.random() < 0.5
        program = self.work.bin + '/alcove' if ours else '/usr/bin/borg'
        there = self.archives() if i % 3 == 2 else []
        if len(there) > 4:
            argv = ['delete', 'REPO::' + there[0]] if self.has_delete or not ours else ['compact', 'REPO']
        elif i % 5 == 4:
            argv = ['compact', 'REPO']
        else:
            tree = self.rng.choice(['a', 'b', 'c', 'new'])
            self.make_tree('x%d' % i, tree)
            self.trees['x%d' % i] = facts('%s/x%d' % (self.work.dir, i))
            argv = ['create', 'REPO::x%d' % i, 'x%d' % i]
        killed = self.rng.random() < 0.6
        shutil.rmtree(self.work.disk + '.nodes', ignore_errors=True)
        shutil.rmtree(self.work.disk, ignore_errors=True)
        subprocess.run(['cp', '-a', self.work.live, self.work.disk], check=True)
        kind = self.rng.choice(KILLS) if ours else 'kill'  # after a power cut, borg is not always clean
        done = self.program(program, *argv, fault=(self.rng.randrange(1, 130) if killed else 0, kind, self.rng.randrange(1 << 30)))
        demand(done.returncode == 0 or killed, '%s: %d: %s' % (argv, done.returncode, done.stderr))
        self.count_counters()
        if killed and kind != 'kill':
            self.work.cut_power()
        if self.rng.random() < 0.2:
            said = self.borg('check', '--repository-only', self.repo)
            demand(not said, 'turn %d, %s, %s: %s' % (i, argv, kind if killed else 'not killed', said))

    def play(self, count):
        self.work.reset()
        self.seen = dict(self.start_seen)
        self.has_delete = self.alcove('delete', '--help').returncode == 0
        for i in range(count):
            self.turn(i)
        self.is_clean([], self.archives())
        print('turns: %d, %d payloads' % (count, len(self.seen)))


class CreateKnown(Create):
    """Ours has been here before: with its caches."""

    def prepare_more(self):
        self.again_without_counting('create', '--chunker-params', '10,16,12,4095', 'REPO::d', 'c')

    def again_without_counting(self, *argv):
        done = self.alcove(*argv)
        demand(done.returncode == 0, done.stderr)
        self.trees['d'] = self.trees['c']

    def is_right(self, name):
        if name != 'd':
            super().is_right(name)

    def expected(self, done):
        must, may = super().expected(done)
        return must + ['d'], may


class Compact(Program):
    argv = ['compact', 'REPO', '--threshold', '0']

    def prepare_more(self):
        self.borg('delete', self.repo + '::b')

    def expected(self, done):
        return ['a', 'c'], []

    def run_again(self, must, may):
        self.again(*self.argv)
        return must, may


class Rename(Program):
    argv = ['rename', 'REPO::b', 'b.2']

    def expected(self, done):
        return (['a', 'b.2', 'c'], []) if done.returncode == 0 else (['a', 'c'], ['b', 'b.2'])

    def run_again(self, must, may):
        there = self.alcove('list', '--short', 'REPO').stdout.split()
        if 'b' in there:
            self.again(*self.argv)
        return ['a', 'b.2', 'c'], []


class Delete(Program):
    argv = ['delete', 'REPO::b']

    def expected(self, done):
        return ['a', 'c'], ['b'] if done.returncode else []

    def run_again(self, must, may):
        there = self.alcove('list', '--short', 'REPO').stdout.split()
        if 'b' in there:
            self.again(*self.argv)
        return ['a', 'c'], []


class Prune(Delete):
    argv = ['prune', '--keep-last', '1', 'REPO']

    def expected(self, done):
        return ['c'], ['a', 'b'] if done.returncode else []

    def run_again(self, must, may):
        self.again(*self.argv)
        return ['c'], []


class Repair(Program):
    """A damaged segment, and one that is gone: what borg makes of it is what there must be in the end.  In between, borg
    may well see damage."""
    argv = ['check', '--repair', 'REPO']

    def prepare_more(self):
        os.environ['BORG_CHECK_I_KNOW_WHAT_I_AM_DOING'] = 'YES'
        large = sorted(self.segments(), key=os.path.getsize)[-4:]
        damaged, gone = self.rng.sample(large, 2)
        with open(damaged, 'r+b') as f:
            f.seek(self.rng.randrange(100, os.path.getsize(damaged) - 100))
            f.write(bytes(100))
        os.unlink(gone)
        undamaged = self.work.dir + '/damaged'
        shutil.rmtree(undamaged, ignore_errors=True)
        shutil.copytree(self.work.live, undamaged, symlinks=True)
        in_child(borg_main, self.work.dir, ['check', '--repair', self.repo])
        self.repaired = {name: self.extracted(name) for name in self.archives()}
        shutil.rmtree(self.work.live)
        os.rename(undamaged, self.work.live)

    def segments(self):
        for folder, _, names in os.walk(self.repo + '/data'):
            yield from (os.path.join(folder, name) for name in names)

    def extracted(self, name):
        out = self.work.dir + '/out'
        shutil.rmtree(out, ignore_errors=True)
        os.makedirs(out)
        in_child(borg_main, out, ['extract', '%s::%s' % (self.repo, name)])
        return facts(out)

    def is_right(self, name):
        if name in self.repaired:
            demand(self.extracted(name) == self.repaired[name], 'archive %s is not as borg repairs it' % name)
        else:
            super().is_right(name)

    def verify(self, done, kind):
        self.again(*self.argv)
        self.is_clean(self.repaired, [])
        self.alcove_goes_on()


SCENARIOS = {
    'repository': Repository,
    'repository-first': RepositoryFirst,
    'create': Create,
    'create-known': CreateKnown,
    'compact': Compact,
    'rename': Rename,
    'delete': Delete,
    'prune': Prune,
    'repair': Repair,
    'turns': Turns,
}


def once(work, scenario, n, kind, seed):
    work.reset()
    done = scenario.command((n, kind, seed))
    if kind.endswith(('all', 'half')):
        work.cut_power()
    scenario.verify(done, kind)


def total_of(work, scenario):
    """Changes that the command makes, and its seconds."""
    work.reset()
    start = time.monotonic()
    done = scenario.command((0, 'kill', 0))
    seconds = time.monotonic() - start
    demand(done.returncode == 0, 'without a fault: ' + done.stderr)
    changes = work.changes()
    scenario.verify(done, None)
    return len(changes), seconds


def faults_of(options, rng, total, seconds):
    if options.times:
        for _ in range(options.times):
            yield rng.random() * seconds, 'time'
        return
    kinds = options.kinds.split(',') if options.kinds else KINDS + (INTERRUPTS if 'create' in options.scenario else [])
    # One more than there are: the power goes after the program has ended.
    for n in [options.only] if options.only else range(1 + rng.randrange(options.every), total + 2, options.every):
        for kind in kinds if options.each else [rng.choice(kinds)]:
            yield n, kind


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('scenario', choices=SCENARIOS)
    parser.add_argument('--bin', required=True)
    parser.add_argument('--work')
    parser.add_argument('--every', type=int, default=1)
    parser.add_argument('--kinds')
    parser.add_argument('--each', action='store_true')
    parser.add_argument('--seed', type=int, default=random.randrange(1 << 30))
    parser.add_argument('--only', type=int)
    parser.add_argument('--times', type=int)
    parser.add_argument('--borg14')
    options = parser.parse_args()
    if options.work:
        return play(options)
    options.work = tempfile.mkdtemp(prefix='alcove-faults.', dir='/dev/shm')
    try:
        return play(options)
    finally:
        shutil.rmtree(options.work)


def play(options):
    work, rng = Work(options), random.Random(options.seed)
    scenario = SCENARIOS[options.scenario](work, rng)
    print('seed %d' % options.seed)
    work.clean()
    gc.freeze()  # children share what is there
    scenario.prepare()
    if options.scenario == 'turns':
        scenario.play(options.times or 10)
        return 0
    total, seconds = total_of(work, scenario)
    faults = list(faults_of(options, rng, total, seconds))
    wrong = 0
    for n, kind in faults:
        rng.seed('%d %s %s' % (options.seed, n, kind))  # as with --only
        try:
            once(work, scenario, n, kind, rng.randrange(1 << 30))
        except Wrong as e:
            wrong += 1
            changes = work.changes() if kind != 'time' else []
            print('wrong: %s at %g: %s\n%s' % (kind, n, changes[n - 1] if 0 < n <= len(changes) else '', e))
    print('%s: %d changes, %d runs, %d wrong' % (options.scenario, total, len(faults), wrong))
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
