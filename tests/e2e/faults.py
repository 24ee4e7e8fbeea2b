"""faults.py [OPTION...] SCENARIO - a program whose disk fails, or whose power goes, at every change that it makes.

The scenario's command runs with tests/support/faults.c preloaded, once to count its changes, then once for each n: it is
killed after the n-th, or that one fails.  What then is in the folder (kill), what a power cut would have left (all, half
of what was not synced), is judged by stock borg's own code, and the command is run again.

    --bin DIR       where alcove and tests/support/ are built     --work DIR     kept; default: made in /dev/shm
    --every K       each K-th n only, the first drawn; 0: none    --kinds A,B    of KINDS, default all, drawn for each n
    --each          every kind at every n                         --seed N       repeats a run
    --only N        this n alone                                  --borg14 PATH  looks at some of the results, too
    --times N       and N runs, killed whenever it happens        --jobs N       workers, default: one a processor

The scenario `turns` is another kind of test: --times N commands of both programs in turn, some of them killed, and no
AES-CTR counter is used twice.  Each worker has --seed's repository and random turns of its own: --jobs counts.
"""
import argparse
import ctypes
import json
import os
import random
import shutil
import sys
import tempfile

from fault_scenarios import SCENARIOS
from fault_work import INTERRUPTS, KINDS, Work, Wrong, changes_of, once, seconds_of

FEW = 6  # runs that are not worth a worker


def places_of(options, rng, total):
    """The n.  One more than there are: the power goes after the program has ended."""
    if options.only or not options.every:
        return [options.only] if options.only else []
    return range(1 + rng.randrange(options.every), total + 2, options.every)


def faults_of(options, rng, total, seconds):
    kinds = options.kinds.split(',') if options.kinds else KINDS + (INTERRUPTS if 'create' in options.scenario else [])
    faults = [(n, kind) for n in places_of(options, rng, total) for kind in (kinds if options.each else [rng.choice(kinds)])]
    return faults + [((i + rng.random()) / options.times * seconds, 'time') for i in range(options.times)]


def play_faults(options, work, scenario, faults):
    """How many were wrong, and how many runs the fault has ended."""
    wrong = ended = 0
    for n, kind in faults:
        scenario.rng.seed('%d %s %s' % (options.seed, n, kind))  # as with --only
        try:
            ended += once(work, scenario, n, kind, scenario.rng.randrange(1 << 30))
        except Wrong as e:
            wrong += 1
            changes = work.changes() if kind != 'time' else []
            print('wrong: %s at %g: %s\n%s' % (kind, n, changes[n - 1] if 0 < n <= len(changes) else '', e), flush=True)
    return wrong, ended


def play_turns(options, scenario, worker, count):
    """Was it wrong, how many payloads were seen, how often borg was wrong."""
    scenario.rng.seed('%d %d' % (options.seed, worker))
    try:
        return 0, *scenario.play(count)
    except Wrong as e:
        print('wrong: worker %d: %s' % (worker, e), flush=True)
        return 1, 0, 0


# --- workers ---

def system_call(result, what):
    if result != 0:
        raise OSError(ctypes.get_errno(), what)


def room_of_its_own(work):
    """The same paths as the other workers', and another file system there: trees and their inodes are shared."""
    libc = ctypes.CDLL(None, use_errno=True)
    newns, rec, private = 0x20000, 0x4000, 0x40000
    system_call(libc.unshare(newns), 'unshare')
    system_call(libc.mount(b'none', b'/', None, rec | private, None), 'mount')
    system_call(libc.mount(b'tmpfs', work.room.encode(), b'tmpfs', 0, b'mode=755'), 'mount')


def in_workers(jobs, work, play):
    """play(worker) in processes; its answers.  A worker that dies has failed."""
    if jobs == 1:
        return [play(0)]
    workers = []
    for i in range(jobs):
        read, write = os.pipe()
        sys.stdout.flush()
        if os.fork() == 0:
            code = 1
            try:
                room_of_its_own(work)
                os.write(write, json.dumps(play(i)).encode())
                code = 0
            except Exception as e:
                print('worker %d: %r' % (i, e))
            finally:
                sys.stdout.flush()
                os._exit(code)
        os.close(write)
        workers.append(read)
    answers = []
    for read in workers:
        with os.fdopen(read) as f:
            answers.append(json.loads(f.read() or '[1, 0, 0]'))
        os.wait()
    return answers


def play(options):
    work, rng = Work(options), random.Random(options.seed)
    scenario = SCENARIOS[options.scenario](work, rng)
    print('seed %d' % options.seed)
    work.clean()
    scenario.prepare()
    if options.scenario == 'turns':
        count = options.times or 10
        jobs = min(options.jobs, 1 + count // FEW)
        scenario.stock.close()
        answers = in_workers(jobs, work, lambda i: play_turns(options, scenario, i, count // jobs))
        wrong, payloads, borgs_own = (sum(x) for x in zip(*answers))
        print('turns: %d in %d repositories, %d payloads, %d wrong, borg harmed by a power cut of its own %d times' % (
            count // jobs * jobs, jobs, payloads, wrong, borgs_own))
        return 1 if wrong else 0
    total = changes_of(work, scenario)
    faults = faults_of(options, rng, total, seconds_of(work, scenario) if options.times else 0)
    jobs = max(1, min(options.jobs, len(faults) // FEW))
    if jobs > 1:
        scenario.stock.close()  # each worker has its own, that sees what it sees
    answers = in_workers(jobs, work, lambda i: play_faults(options, work, scenario, faults[i::jobs]))
    wrong, ended = (sum(x[i] for x in answers) for i in range(2))
    print('%s: %d changes, %d runs and %d at a time, %d ended by it, %d wrong' % (
        options.scenario, total, len(faults) - options.times, options.times, ended, wrong))
    return 1 if wrong else 0


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
    parser.add_argument('--times', type=int, default=0)
    parser.add_argument('--borg14')
    parser.add_argument('--jobs', type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    if options.work:
        options.jobs = 1  # its room is to be seen afterwards
        return play(options)
    options.work = tempfile.mkdtemp(prefix='alcove-faults.', dir='/dev/shm')
    try:
        return play(options)
    finally:
        shutil.rmtree(options.work)


if __name__ == '__main__':
    sys.exit(main())
