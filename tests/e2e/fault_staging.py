"""What faults.py plays on the staging directory of a mount: copies, checkpoints, a publishing, and the program that serves them
under a fault.  What was reported as stored is there after it, and the copy goes on from there."""
import os
import shutil
import signal
import subprocess
import threading
import time

from fault_scenarios import Program
from fault_work import KILLS, demand

PATIENCE_S = 60  # for one step of a mount that lives


def is_mounted(path):
    with open('/proc/self/mountinfo') as f:
        return any(line.split()[4] == path for line in f)


def compared(source, shown):
    """Differences, as rsync tells them."""
    done = subprocess.run(['rsync', '-aHAXnic', '--numeric-ids', '--delete', source + '/', shown + '/'], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE_S)
    demand(done.returncode == 0, 'rsync: ' + done.stdout)
    return done.stdout.replace('.d..t...... ./\n', '')  # nobody restores the folder itself


def attempt(step):
    """Its error."""
    try:
        step()
    except OSError as e:
        return e
    return None


class Mount:
    """The program in the foreground, under a fault or not."""

    def __init__(self, scenario, fault=None):
        work = scenario.work
        self.path, self.said, self.off = (work.room + x for x in ('/mnt', '/said', '/off'))
        os.makedirs(self.path, exist_ok=True)
        if os.path.exists(self.off):
            os.unlink(self.off)
        env = dict(os.environ)
        if fault and fault[1] != 'time':
            env.update(work.order(*fault), FAULTS_OFF=self.off, LD_PRELOAD=work.faults)
            env['ASAN_OPTIONS'] = env.get('ASAN_OPTIONS', '') + ':verify_asan_link_order=0'
        with open(self.said, 'w') as said:
            self.program = subprocess.Popen([work.bin + '/alcove', 'mount', '-f', '-o', scenario.options, scenario.repo, self.path],
                                            env=env, cwd=work.dir, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        self.timer = threading.Timer(fault[0], self.program.kill) if fault and fault[1] == 'time' else None
        if self.timer:
            self.timer.start()
        self.wait(lambda: is_mounted(self.path) or not self.lives(), 'neither mounted nor refused')

    def places(self, name):
        """Of an archive in the making, and of the same when it is published."""
        return self.path + '/new/' + name, self.path + '/' + name

    def lives(self):
        return self.program.poll() is None

    def wait(self, condition, what):
        end = time.monotonic() + PATIENCE_S
        while not condition():
            demand(time.monotonic() < end, 'in vain: %s' % what)
            time.sleep(0.002)

    def fault_ends(self):
        """From now on the disk is well."""
        with open(self.off, 'w'):
            pass

    def unmount(self, alcove):
        """The exit code.  A program that is killed before it is asked leaves nothing to be asked."""
        done = subprocess.run([alcove, 'umount', self.path], text=True, capture_output=True, timeout=PATIENCE_S)
        if not is_mounted(self.path):
            self.wait(lambda: not self.lives(), 'unmounted, and does not end')
        return done.returncode

    def ended(self):
        """What it has said, after its end."""
        if self.timer:
            self.timer.cancel()
        if self.lives():
            self.program.kill()
        code = self.program.wait()
        demand(code in (0, 1, 2, -signal.SIGKILL), 'exit code %d' % code)
        if is_mounted(self.path):
            subprocess.run(['umount', '-l', self.path], check=True)
        with open(self.said, errors='replace') as f:
            said = f.read()
        demand('faults:' not in said and 'Sanitizer' not in said, said)
        return code, said


class Outcome:
    """How many steps were reported as done, how the program ended, and what it has said."""

    def __init__(self, done, returncode, stderr):
        self.done, self.returncode, self.stderr = done, returncode, stderr


class Staging(Program):
    """A tree is copied, checkpointed, copied again as it is later, checkpointed, and published.  Where the disk fails, who
    asked is told; once it works again the same goes on, with nothing lost."""
    options = r'rw,chunker_params=10\,16\,12\,4095'
    name = 'n'
    sizes = [0, 10, 3000, 40000]
    files = 5

    # --- the trees: what is copied first, and later ---

    def make_source(self, path):
        os.makedirs(path + '/dir/deep')
        for i in range(self.files):
            with open('%s/%sf%d' % (path, ['', 'dir/', 'dir/deep/'][i % 3], i), 'wb') as f:
                f.write(self.rng.randbytes(self.rng.choice(self.sizes)))
        os.link(path + '/f0', path + '/link')
        os.symlink('dir/f1', path + '/symlink')
        os.setxattr(path + '/dir/f1', 'user.color', b'green')

    def change_source(self, path):
        with open(path + '/f0', 'ab') as f:
            f.write(self.rng.randbytes(20000))
        with open(path + '/dir/f1', 'r+b') as f:
            f.write(self.rng.randbytes(5))
        os.utime(path + '/dir/f1', (10 ** 9, 10 ** 9))  # rsync asks size and time whether it is another
        os.unlink(path + '/dir/deep/f2')
        os.rename(path + '/f3', path + '/dir/deep/moved')
        with open(path + '/more', 'wb') as f:
            f.write(self.rng.randbytes(30000))
        os.chown(path + '/dir', 1, 2)

    def prepare_more(self):
        self.sources = [self.work.dir + '/source%d' % i for i in range(2)]
        self.make_source(self.sources[0])
        subprocess.run(['cp', '-a', *self.sources], check=True)
        self.change_source(self.sources[1])

    # --- the steps; each may be done again ---

    def steps(self, staged, published):
        """What is done, and the source that it stores."""
        yield lambda: os.makedirs(staged, exist_ok=True), None
        for i, source in enumerate(self.sources):
            yield lambda: self.copy(i, source, staged), None
            yield lambda: self.sync(staged), source
        yield lambda: self.publish(staged, published), None

    def copy(self, i, source, staged):
        self.run_in(staged, ['rsync', '-aHAX', '--numeric-ids', '--delete', *(['--inplace'] if i % 2 else []), source + '/',
                             staged + '/'])

    def run_in(self, staged, argv):
        """A program, until it ends, or cannot: the processes of rsync wait for each other for ever, at times, where the
        file system has ended under them."""
        end = time.monotonic() + PATIENCE_S
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True) as child:
            while True:
                try:
                    said = child.communicate(timeout=3)[0]
                    break
                except subprocess.TimeoutExpired:
                    if attempt(lambda: os.statvfs(staged)) or time.monotonic() > end:
                        os.killpg(child.pid, signal.SIGKILL)
        if child.returncode:
            raise OSError(said)

    def sync(self, staged):
        fd = os.open(staged, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def publish(self, staged, published):
        if not os.path.exists(published):  # it may have become one, before the error
            os.rename(staged, published)

    # --- under a fault ---

    def command(self, fault):
        start = time.monotonic()
        self.at, self.kind = fault[:2]
        mount = Mount(self, fault)
        try:
            outcome = self.play_steps(mount, fault[1] in [*KILLS, 'time'])
        finally:
            code, said = mount.ended()
        self.work.seconds = time.monotonic() - start
        outcome.returncode, outcome.stderr = code or outcome.returncode, outcome.stderr + said
        self.seen = dict(self.start_seen)
        self.count_counters()
        return outcome

    def play_steps(self, mount, kills):
        done, self.stored, self.twice = 0, [None], False  # stored: what the checkpoint may be
        if not mount.lives():
            return Outcome(0, 1, '')
        for step, source in self.steps(*mount.places(self.name)):
            if source:
                self.stored.append(source)
            error = attempt(step)
            if error and kills:
                mount.wait(lambda: not mount.lives(), error)
                return Outcome(done, -signal.SIGKILL, '')
            if error:
                mount.fault_ends()
                demand(mount.lives(), 'it has ended: %s' % error)
                again = attempt(step) and self.after_the_commit(step, error)
                demand(not again, 'step %d fails on a disk that works: %s, before that %s' % (done, again, error))
            if source:
                self.stored = [source]
            done += 1
        return Outcome(self.all_steps, mount.unmount(self.work.bin + '/alcove'), '')

    def after_the_commit(self, step, before):
        """What cannot simply go on after an error: an archive whose COMMIT was written, could not be synced, and could not
        be taken back.  The error."""
        error = attempt(step)
        if isinstance(error, FileExistsError):
            self.twice = True
            print('told: published, though the rename has failed: %s at %d: %s' % (self.kind, self.at, before.strerror))
            return None
        return error

    # --- after it ---

    @property
    def all_steps(self):
        return 2 * len(self.sources) + 2

    def expected(self, done):
        """Of the checkpoint and the archive there is one."""
        checkpoint = self.name + '.checkpoint'
        if done.done == self.all_steps:
            return ['a', 'b', 'c', self.name], [checkpoint] if self.twice else []
        if None in self.stored:
            return ['a', 'b', 'c'], [checkpoint]
        if done.done < self.all_steps - 1:
            return ['a', 'b', 'c', checkpoint], []
        there = {checkpoint, self.name} & set(self.archives())
        demand(len(there) == 1, 'publishing has left %s' % there)
        return ['a', 'b', 'c', *there], []

    def is_right(self, name):
        if name.split('.')[0] != self.name:
            super().is_right(name)
            return
        allowed = self.sources[-1:] if name == self.name else [x for x in self.stored if x]
        self.is_one_of(allowed, self.restored(name), name)

    def restored(self, name, borg14=False):
        out = self.work.room + '/out'
        shutil.rmtree(out, ignore_errors=True)
        os.makedirs(out)
        borg = self.stock14 if borg14 else self.stock
        code, said = borg.run('extract', '--numeric-ids', '%s::%s' % (self.repo, name), cwd=out)
        said = self.without_remarks(said)
        demand(code == 0 and not said, 'extract %s: %d: %s' % (name, code, said))
        return out

    def is_one_of(self, sources, shown, name):
        differences = [compared(x, shown) for x in sources]
        demand('' in differences, '%s is another: %s' % (name, differences))

    def verify(self, done, kind):
        must, may = self.expected(done)
        if kind is None or self.rng.random() < 0.4:
            self.is_clean(must, may)
        else:
            self.unsynced = kind == 'kill' and self.name not in must
        if done.done < self.all_steps:
            self.goes_on_here(must)
        self.is_clean(['a', 'b', 'c', self.name], [self.name + '.checkpoint'] if self.twice else [])
        self.is_one_of(self.sources[-1:], self.restored(self.name, self.stock14 and self.rng.random() < 0.2), self.name)

    def goes_on_here(self, must):
        """A new mount has what was reported, and the same copy goes on to the end."""
        cut, self.unsynced = self.unsynced, False
        if cut:
            shutil.rmtree(self.work.disk + '.nodes')
        mount = Mount(self, (0, 'all', 0) if cut else None)
        staged, published = mount.places(self.name)
        try:
            if self.name + '.checkpoint' in must:
                mount.wait(lambda: os.path.exists(staged), 'the checkpoint is not staged again')
            if os.path.exists(staged):
                self.is_one_of([x for x in self.stored if x], staged, 'what is staged again')
            if self.name not in must:
                os.makedirs(staged, exist_ok=True)
                self.copy(0, self.sources[-1], staged)
                self.publish(staged, published)
            self.is_one_of(self.sources[-1:], published, 'what is shown as published')
            left = mount.unmount(self.work.bin + '/alcove')
        finally:
            code, said = mount.ended()
        demand((left, code, self.without_remarks(said)) == (0, 0, ''), 'going on: %d %d: %s' % (left, code, said))
        self.count_counters()
        if cut:
            self.work.cut_power()


class StagingCopies(Staging):
    """A larger tree, by rsync and by cp, again and again with a checkpoint in between: for kill -9 at any moment."""
    sizes = [0, 10, 3000, 40000, 300000, 2000000]
    files = 40
    rounds = 4

    def prepare_more(self):
        super().prepare_more()
        for i in range(2, self.rounds):
            self.sources.append(self.work.dir + '/source%d' % i)
            subprocess.run(['cp', '-a', *self.sources[i - 1:]], check=True)
            with open(self.sources[i] + '/more', 'ab') as f:
                f.write(self.rng.randbytes(700000))
            os.rename(self.sources[i] + '/f%d' % (3 * i), self.sources[i] + '/dir/again%d' % i)

    def copy(self, i, source, staged):
        if i != self.rounds - 2:
            super().copy(i, source, staged)
            return
        attempt(lambda: self.run_in(staged, ['find', staged, '-mindepth', '1', '-delete']))
        self.run_in(staged, ['cp', '-a', source + '/.', staged])

    def verify(self, done, kind):
        super().verify(done, kind)
        if self.stock14:
            self.is_one_of(self.sources[-1:], self.restored(self.name, True), self.name)


SCENARIOS = {'staging': Staging, 'staging-copies': StagingCopies}
