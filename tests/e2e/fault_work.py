"""Where faults.py lets programs run: a folder with a start that is copied for each run, and the program under a fault."""
import os
import shutil
import signal
import subprocess
import time

KINDS = ['kill', 'all', 'half', 'EIO', 'ENOSPC', 'EIO+', 'ENOSPC+']
KILLS = ['kill', 'all', 'half']
INTERRUPTS = ['INT', 'INT-all', 'INT-half']  # for create, whose answer is a checkpoint; and a power cut soon after


class Wrong(Exception):
    pass


def demand(condition, what):
    if not condition:
        raise Wrong(what)


class Work:
    """dir/ is the same for all workers, and after the preparation nobody writes to it: the trees, and start/.  dir/room/ is
    a worker's own: start/ is copied to live/ and disk/ before each run, and the program works in live/."""

    def __init__(self, options):
        self.dir = os.path.realpath(options.work)
        self.bin = os.path.realpath(options.bin)
        self.borg14 = options.borg14
        self.faults = self.bin + '/tests/support/faults.so'
        self.start, self.room = self.dir + '/start', self.dir + '/room'
        self.live, self.disk, self.log = (self.room + '/' + x for x in ('live', 'disk', 'log'))
        os.makedirs(self.room, exist_ok=True)

    def clean(self):
        for path in self.live, self.disk, self.disk + '.nodes':
            shutil.rmtree(path, ignore_errors=True)
        if os.path.exists(self.log):
            os.unlink(self.log)

    def reset(self, with_disk=True):
        self.clean()
        for path in (self.live, self.disk) if with_disk else (self.live,):
            subprocess.run(['cp', '-a', self.start, path], check=True)

    def keep_as_start(self):
        shutil.rmtree(self.start, ignore_errors=True)
        os.rename(self.live, self.start)

    def run_for(self, seconds, argv, stdin=''):
        """Killed after that time."""
        start = time.monotonic()
        program = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            out, said = program.communicate(stdin, timeout=seconds)
        except subprocess.TimeoutExpired:
            program.kill()
            out, said = program.communicate()
        self.seconds = time.monotonic() - start
        return subprocess.CompletedProcess(argv, program.returncode, out, said)

    def order(self, n, kind, seed):
        """What faults.c is to do."""
        env = {'FAULTS_FOLDER': self.live, 'FAULTS_DISK': self.disk, 'FAULTS_N': str(n), 'FAULTS_SEED': str(seed),
               'FAULTS_MODE': 'kill' if kind in KILLS else kind, 'FAULTS_LOG': self.log,
               'FAULTS_LOSE': 'half' if kind.endswith('half') else 'all'}
        if kind in INTERRUPTS:
            env.update(FAULTS_MODE='INT', FAULTS_THEN='0' if kind == 'INT' else str(1 + seed % 50))
        return env

    def run(self, argv, stdin='', fault=None):
        """fault: the n of the change, the kind, a seed; or the seconds, and 'time'."""
        if fault and fault[1] == 'time':
            return self.run_for(fault[0], argv, stdin)
        env = dict(os.environ)
        if fault:
            env.update(self.order(*fault), LD_PRELOAD=self.faults)
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


def once(work, scenario, n, kind, seed):
    """One run; whether the fault came before the end of it."""
    work.reset(kind != 'time')
    done = scenario.command((n, kind, seed))
    if kind.endswith(('all', 'half')):
        work.cut_power()
    scenario.verify(done, kind)
    return done.returncode != 0


def changes_of(work, scenario):
    """How many changes the command makes without a fault."""
    work.reset()
    done = scenario.command((0, 'kill', 0))
    demand(done.returncode == 0, 'without a fault: ' + done.stderr)
    changes = work.changes()
    scenario.verify(done, None)
    return len(changes)


def seconds_of(work, scenario):
    """How long the command takes, the median of some."""
    taken = []
    for _ in range(5):
        work.reset(False)
        done = scenario.command((60, 'time', 0))
        taken.append(work.seconds)
        demand(done.returncode == 0, 'without a fault: ' + done.stderr)
    return sorted(taken)[2]
