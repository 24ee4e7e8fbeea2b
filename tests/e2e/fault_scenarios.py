"""What faults.py plays: a command, what there must be after it, whatever befell it, and what runs again."""
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), '..', 'support'))
import counters  # noqa: E402
from fault_work import KILLS, demand  # noqa: E402
from stock_borg import StockBorg  # noqa: E402


# --- the repository alone: operations on objects, played by repo_script ---

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
        self.stock = StockBorg()
        self.borgs = [self.stock]
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
        code, said = self.stock.objects(self.path)
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
    remarks = ['tale lock', 'stale']  # borg removes the locks of the dead, and tells

    def __init__(self, work, rng):
        self.work, self.rng = work, rng
        self.repo = work.live + '/repo'
        os.environ.update(HOME=work.live + '/home', BORG_BASE_DIR=work.live + '/base', BORG_PASSPHRASE='test', TZ='UTC',
                          BORG_RELOCATED_REPO_ACCESS_IS_OK='yes', BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK='yes')
        self.stock = StockBorg()
        self.stock14 = StockBorg(work.borg14) if work.borg14 else None
        self.faulty = StockBorg(preload=work.faults)
        self.borgs = [x for x in (self.stock, self.stock14, self.faulty) if x]
        self.start_seen = {}
        self.unsynced = False  # after a kill: the next run's end is a power cut

    # --- both programs ---

    def ask_borg(self, *argv, cwd=None):
        code, said = self.stock.run(*argv, cwd=cwd or self.work.dir)
        return code, self.without_remarks(said)

    def without_remarks(self, said):
        return '\n'.join(x for x in said.splitlines() if not any(r in x for r in self.remarks))

    def borg(self, *argv, cwd=None):
        code, said = self.ask_borg(*argv, cwd=cwd)
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

    # --- trees, as they are and as an archive has them ---

    def place(self, name):
        """Where a tree is: with the others that are made once, or in the room."""
        return name if name in ('a', 'b', 'c', 'new') else 'room/' + name

    def make_tree(self, name, base=None):
        path = os.path.join(self.work.dir, self.place(name))
        shutil.rmtree(path, ignore_errors=True)
        if base:
            shutil.copytree(os.path.join(self.work.dir, base), path)
        os.makedirs(path + '/dir', exist_ok=True)
        for i in range(5):
            data = self.rng.randbytes(self.rng.choice([0, 10, 3000, 40000]))
            with open('%s/%s%s%d' % (path, self.rng.choice(['', 'dir/']), name, i), 'wb') as f:
                f.write(data)
        self.trees[name] = facts(path)

    def extracted(self, name):
        out = self.work.room + '/out'
        shutil.rmtree(out, ignore_errors=True)
        os.makedirs(out)
        code, said = self.ask_borg('extract', '%s::%s' % (self.repo, name), cwd=out)
        return code, said, out

    def is_right(self, name):
        code, said, out = self.extracted(name)
        demand(code == 0 and not said, 'extract: %d: %s' % (code, said))
        tree = name.split('.')[0]
        found, want = facts(os.path.join(out, self.place(tree))), self.trees[tree]
        if '.checkpoint' in name:  # a part of it
            want = {k: v for k, v in want.items() if k in found}
            found = {k: v for k, v in found.items() if '.borg_part_' not in k}
        demand(found == want, 'archive %s is another' % name)

    # --- what is there before ---

    def prepare(self):
        for path in ('', '/home', '/base'):
            os.makedirs(self.work.live + path)
        self.trees = {}
        self.make_repository()
        self.prepare_more()
        self.work.keep_as_start()
        demand(not counters.check(self.work.start + '/repo', self.start_seen), 'borg reuses counters?')

    def make_repository(self):
        self.borg('init', '-e', self.rng.choice(self.modes), self.repo)
        for name, value in ('max_segment_size', 60000), ('segments_per_dir', 5):
            self.borg('config', self.repo, name, str(value))
        for name, base in ('a', None), ('b', 'a'), ('c', 'b'), ('new', 'c'):
            self.make_tree(name, base)
            if name != 'new':
                self.borg('create', '--chunker-params', '10,16,12,4095', '%s::%s' % (self.repo, name), name)

    def prepare_more(self):
        pass

    # --- the command, and what is there after it ---

    def command(self, fault):
        done = self.alcove(*self.argv, fault=fault)
        self.seen = dict(self.start_seen)
        self.count_counters()  # of all that anybody may have seen, before the power goes
        return done

    def count_counters(self):
        wrong = counters.check(self.repo, self.seen)
        demand(not wrong, wrong)

    def archives(self):
        said = self.borg('list', '--short', '--consider-checkpoints', self.repo)
        return re.findall(r'^[\w.]+$', said, re.MULTILINE)  # borg's remarks on the repository are sentences

    def expected(self, done):
        """Archives that must be there, and that may be."""
        return ['a', 'b', 'c'], []

    def checked(self):
        """Borg finds nothing to complain of; the archives that it has analyzed."""
        said = self.borg('check', '--verify-data', '--info', '--log-json', self.repo)
        lines = [json.loads(line) for line in said.splitlines() if line.startswith('{')]
        wrong = [x for x in said.splitlines() if not x.startswith('{')] + [
            x['message'] for x in lines if x['levelname'] != 'INFO']
        demand(not wrong and said.count('no problems found') == 2, 'check: ' + '\n'.join(wrong or [said]))
        return [x['message'].split()[2] for x in lines if x['message'].startswith('Analyzing archive ')]

    def is_clean(self, must, may):
        """The archives are all of must and some of may; mostly one of them, and every checkpoint, is extracted."""
        there = self.checked()
        demand(set(must) <= set(there) <= set(must) | set(may), 'archives: %s' % there)
        some = self.rng.sample(there, 1) if there and self.rng.random() < 0.7 else []
        for name in {*some, *(x for x in there if 'checkpoint' in x)}:
            self.is_right(name)
        if self.stock14 and self.rng.random() < 0.1:
            code, said = self.stock14.run('check', '--verify-data', self.repo)
            demand(code == 0 and not self.without_remarks(said), 'borg 1.4: ' + said)

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
        """The command is run again, and ours goes on with its caches.  Borg looks at the end, but only now and then before
        that: it would tidy up behind the dead where ours has to."""
        must, may = self.expected(done)
        if kind is None or self.rng.random() < 0.35:
            self.is_clean(must, may)
        else:
            self.unsynced = kind == 'kill'
        must, may = self.run_again(must, may)
        self.unsynced = False
        self.goes_on(must, may)

    def goes_on(self, must, may):
        if self.rng.random() < 0.1:
            self.is_clean(must, may)
        self.make_tree('next', 'new')
        self.again('create', 'REPO::next', self.place('next'))  # what its caches believe to be stored, is
        self.is_clean([*must, 'next'], may)


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
            self.again('create', '--chunker-params', '10,16,12,4095', 'REPO::new.2', 'new')
            return must + ['new', 'new.2'], may
        self.again(*self.argv)
        return must + ['new'], may


class Turns(Program):
    """Both programs on one repository, each killed now and then, or the power goes under it.  What borg's own check says
    after each turn is held against the one whose turn it was: after a power cut, borg is not always clean, and goes on
    from where it was before."""
    modes = ['repokey', 'repokey-blake2', 'keyfile', 'keyfile-blake2']

    def choose(self, i):
        there = self.archives() if i % 3 == 2 else []
        if len(there) > 4:
            return ['delete', 'REPO::' + there[0]]
        if i % 5 == 4:
            return ['compact', 'REPO']
        self.make_tree('x%d' % i, self.rng.choice(['a', 'b', 'c', 'new']))
        return ['create', 'REPO::x%d' % i, self.place('x%d' % i)]

    def copy(self, source, target):
        shutil.rmtree(target, ignore_errors=True)
        subprocess.run(['cp', '-a', source, target], check=True)

    def act(self, ours, argv, fault):
        """The turn; its exit code."""
        if ours:
            done = self.alcove(*argv, fault=fault)
            return done.returncode, done.stderr
        argv = [x.replace('REPO', self.repo) for x in argv]
        code, said = self.faulty.run(*argv, cwd=self.work.dir, env=self.work.order(*fault))
        demand('faults:' not in said, said)
        return code, said

    def damage(self):
        """What borg says of a copy, so that nobody tidies up before the next turn."""
        self.copy(self.repo, self.work.room + '/copy')
        code, said = self.ask_borg('check', '--repository-only', self.work.room + '/copy')
        return said or (code and 'exit code %d' % code)

    def turn(self, i):
        argv, ours, killed = self.choose(i), self.rng.random() < 0.5, self.rng.random() < 0.6
        shutil.rmtree(self.work.disk + '.nodes', ignore_errors=True)
        self.copy(self.work.live, self.work.disk)
        self.copy(self.work.live, self.work.room + '/before')
        kind, seen = self.rng.choice(KILLS), dict(self.seen)
        fault = (self.rng.randrange(1, 130) if killed else 0, kind, self.rng.randrange(1 << 30))
        code, said = self.act(ours, argv, fault)
        fate = '%s at %d' % (kind, fault[0]) if killed else 'left alone'
        what = 'turn %d: %s %s, %s: ' % (i, 'ours' if ours else 'borg', ' '.join(argv), fate)
        demand(code == 0 or killed, '%s%d: %s' % (what, code, said))
        wrong = counters.check(self.repo, self.seen)
        demand(not wrong, '%s%s' % (what, wrong))
        if killed and kind != 'kill':
            self.work.cut_power()
        if killed and not ours:
            shutil.rmtree(self.work.live + '/base/.cache/borg', ignore_errors=True)  # borg does not always open its own
        wrong = self.damage()
        if not wrong:
            return
        demand(not ours and killed and kind != 'kill', what + wrong)
        self.borgs_own += 1
        self.copy(self.work.room + '/before', self.work.live)
        self.seen = seen

    def play(self, count):
        self.work.reset()
        self.seen, self.borgs_own = dict(self.start_seen), 0
        for i in range(count):
            self.turn(i)
        self.is_clean([], self.archives())
        return {'payloads': len(self.seen), 'power cuts under borg that harmed it': self.borgs_own}


class Copies(Program):
    """The repository goes behind the back of our caches: copies of it go their own ways, an older one is put back, borg
    deletes and compacts.  What ours then believes to be stored, is."""
    modes = ['repokey', 'keyfile-blake2', 'authenticated', 'none']
    copies = 2

    def exchange(self):
        """Another copy takes its place: nothing but our caches remembers the one of before."""
        copy = '%s/copy%d' % (self.work.room, self.rng.randrange(self.copies))
        if not os.path.exists(copy) or self.rng.random() < 0.5:
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(self.repo, copy)
            return
        if self.rng.random() < 0.5:
            os.rename(self.repo, self.work.room + '/old')
            os.rename(copy, self.repo)
            os.rename(self.work.room + '/old', copy)
        else:
            shutil.rmtree(self.repo)
            shutil.copytree(copy, self.repo)
        for memory in '.config/borg/security', '.cache/borg':
            shutil.rmtree('%s/base/%s' % (self.work.live, memory), ignore_errors=True)

    def change(self, name):
        """A command of either program, that creates nothing of ours."""
        there = self.archives()
        argv = self.rng.choice([['create', 'REPO::' + name, 'c'], ['compact', 'REPO', '--threshold', '0'],
                                *[['delete', 'REPO::' + x] for x in self.rng.sample(there, min(2, len(there)))]])
        if argv[0] != 'create' and self.rng.random() < 0.5:
            done = self.alcove(*argv)
            demand(done.returncode == 0, done.stderr)
        else:
            self.borg(*(x.replace('REPO', self.repo) for x in argv))

    def turn(self, i):
        what = self.rng.random()
        if what < 0.25:
            self.exchange()
        elif what < 0.55:
            self.change('c.%d' % i)
        else:
            name = 'x%d' % i
            self.make_tree(name, self.place(self.rng.choice([*self.trees][-6:])))
            done = self.alcove('create', '--chunker-params', '10,16,12,4095', 'REPO::' + name, self.place(name))
            demand(done.returncode == 0, done.stderr)
            self.checked()
            self.is_right(name)

    def play(self, count):
        self.work.reset(False)
        for i in range(count):
            self.turn(i)
        self.checked()
        return {}


class CreateKnown(Create):
    """Ours has been here before: with its caches."""

    def prepare_more(self):
        done = self.alcove('create', '--chunker-params', '10,16,12,4095', 'REPO::d', 'c')
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
        self.ask_borg('check', '--repair', self.repo)
        self.repaired = {name: facts(self.extracted(name)[2]) for name in self.archives()}
        shutil.rmtree(self.work.live)
        os.rename(undamaged, self.work.live)

    def segments(self):
        for folder, _, names in os.walk(self.repo + '/data'):
            yield from (os.path.join(folder, name) for name in names)

    def is_right(self, name):
        if name in self.repaired:
            demand(facts(self.extracted(name)[2]) == self.repaired[name], 'archive %s is not as borg repairs it' % name)
        else:
            super().is_right(name)

    def verify(self, done, kind):
        if done.returncode == 0:
            self.is_clean(self.repaired, [])
        self.unsynced = kind == 'kill' and self.rng.random() < 0.5
        self.again(*self.argv)
        self.unsynced = False
        self.goes_on([*self.repaired], [])


OLD_CONFIG = 'Old config file not securely erased on previous config update'  # and then it does


class Init(Program):
    """There is a repository, or what nobody takes for one and somebody tells how to get rid of."""
    modes = ['repokey', 'repokey-blake2', 'authenticated', 'none']
    remarks = Program.remarks + [OLD_CONFIG]

    def make_repository(self):
        self.argv = ['init', '-e', self.rng.choice(self.modes), 'REPO']
        self.make_tree('new')

    def verify(self, done, kind):
        if done.returncode == 0:
            demand(not os.path.exists(self.repo + '/config.old'), 'config.old is there')
        code, said = self.ask_borg('list', self.repo)
        ours = self.alcove('list', 'REPO')
        demand(code == 0 or done.returncode != 0, 'borg: ' + said)
        demand((ours.returncode == 0) == (code == 0), 'ours: %d, borg: %s' % (ours.returncode, said))
        if code == 0:
            self.is_clean([], [])
        else:
            self.repeat()
        self.goes_on([], [])

    def repeat(self):
        """Of what is no repository."""
        done = self.alcove(*self.argv)
        if done.returncode != 0:
            demand(self.repo in done.stderr and 'emove' in done.stderr, 'what is to be done? ' + done.stderr)
            shutil.rmtree(self.repo)
            done = self.alcove(*self.argv)
            demand(done.returncode == 0, 'not again: ' + done.stderr)
        self.seen = {}  # it has another key
        said = self.borg('list', self.repo)
        demand(not said, said)


class InitKeyfile(Init):
    modes = ['keyfile', 'keyfile-blake2']


class ChangePassphrase(Program):
    """The key opens with the old passphrase or with the new one, and with one only."""
    modes = ['repokey', 'repokey-blake2', 'authenticated', 'authenticated-blake2']
    argv = ['key', 'change-passphrase', 'REPO']
    remarks = Program.remarks + [OLD_CONFIG]

    def command(self, fault):
        os.environ.update(BORG_PASSPHRASE='test', BORG_NEW_PASSPHRASE='new')
        return super().command(fault)

    def opens(self, passphrase):
        os.environ['BORG_PASSPHRASE'] = passphrase
        code, said = self.ask_borg('list', self.repo)
        demand(code == 0 or said == 'passphrase supplied in BORG_PASSPHRASE, by BORG_PASSCOMMAND or via '
               'BORG_PASSPHRASE_FD is incorrect.', said)
        os.environ['BORG_PASSPHRASE'] = 'test'
        return code == 0

    def verify(self, done, kind):
        right = [p for p in ('test', 'new') if self.opens(p)]
        demand(len(right) == 1, 'opened by %s' % right)
        demand(right == ['new'] or done.returncode != 0, 'still opened by the old passphrase')
        os.environ.update(BORG_PASSPHRASE=right[0], BORG_NEW_PASSPHRASE='third')
        self.again(*self.argv)
        demand(not self.opens(right[0]), 'still opened by the passphrase of before')
        os.environ['BORG_PASSPHRASE'] = 'third'
        self.goes_on(*self.expected(done))
        os.environ['BORG_PASSPHRASE'] = 'test'


class ChangePassphraseKeyfile(ChangePassphrase):
    modes = ['keyfile', 'keyfile-blake2']


class MigrateToRepokey(Program):
    """The secrets come from the passphrase, or from the key."""
    argv = ['key', 'migrate-to-repokey', 'REPO']
    remarks = Program.remarks + [OLD_CONFIG]

    def make_repository(self):
        self.borg('init', '-e', 'repokey', self.repo)
        code, said = self.stock.make_passphrase_mode(self.repo)
        demand(code == 0, said)
        self.make_tree('new')

    def command(self, fault):
        os.environ.update(BORG_PASSPHRASE='test', BORG_NEW_PASSPHRASE='new')
        return super().command(fault)

    def verify(self, done, kind):
        with open(self.repo + '/config') as f:
            has_key = any(line.startswith('key = ') and line.strip() != 'key =' for line in f)
        demand(has_key or done.returncode != 0, 'there is no key')
        if not has_key:
            self.again(*self.argv)
        os.environ['BORG_PASSPHRASE'] = 'new'
        self.goes_on([], [])
        os.environ['BORG_PASSPHRASE'] = 'test'


class Config(Program):
    """The value is the old one or the new one."""
    argv = ['config', 'REPO', 'max_segment_size', '70000']
    remarks = Program.remarks + [OLD_CONFIG]

    def verify(self, done, kind):
        value = self.borg('config', self.repo, 'max_segment_size')
        demand(value == '70000' or value == '60000' and done.returncode != 0, 'it is %s' % value)
        super().verify(done, kind)

    def run_again(self, must, may):
        self.again(*self.argv)
        value = self.borg('config', self.repo, 'max_segment_size')
        demand(value == '70000', 'it is %s' % value)
        return must, may


class BreakLock(Program):
    """Locks of another machine, of the repository and of borg's cache.  After a power cut they may be back."""
    argv = ['break-lock', 'REPO']

    def prepare_more(self):
        caches = self.work.live + '/base/.cache/borg'
        for path in self.repo, *(caches + '/' + x for x in os.listdir(caches) if len(x) == 64):
            os.mkdir(path + '/lock.exclusive')
            with open(path + '/lock.exclusive/elsewhere@1.4711-0', 'w'):
                pass
            with open(path + '/lock.roster', 'w') as f:
                json.dump({'exclusive': [['elsewhere@1', 4711, 0]]}, f)

    def verify(self, done, kind):
        if done.returncode != 0 or kind in ('all', 'half'):
            self.again(*self.argv)
        super().verify(done, None)

    def run_again(self, must, may):
        self.again(*self.argv)
        return must, may


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
    'init': Init,
    'init-keyfile': InitKeyfile,
    'passphrase': ChangePassphrase,
    'passphrase-keyfile': ChangePassphraseKeyfile,
    'migrate': MigrateToRepokey,
    'config': Config,
    'break-lock': BreakLock,
    'turns': Turns,
    'copies': Copies,
}
