"""faults.py [OPTION...] SCENARIO - a program whose disk fails, or whose power goes, at every change that it makes.

The scenario's command runs with tests/support/faults.c preloaded, once to count its changes, then once for each n: it is
killed after the n-th, or that one fails.  What then is in the folder (kill), what a power cut would have left (all, half
of what was not synced), is judged by stock borg's own code, and the command is run again.

    --bin DIR       where alcove and tests/support/ are built     --work DIR     kept; default: made in /dev/shm
    --every K       each K-th n only, the first drawn; 0: none    --kinds A,B    of KINDS, default all, drawn for each n
    --each          every kind at every n                         --seed N       repeats a run
    --only N        this n alone                                  --borg14 PATH  looks at some of the results, too
    --times N       and N runs, killed whenever it happens        --jobs N       workers, default: one a processor

Two scenarios are of another kind, --times N commands of both programs.  In `turns` some are killed, and no AES-CTR counter
is used twice; in `copies` the repository is exchanged for copies of it, and the caches invent no chunk.  Each worker has
--seed's repository and random turns of its own: to repeat them, give the same --jobs, too.
"""
import argparse
import collections
import ctypes
import json
import os
import random
import shutil
import sys
import tempfile

from fault_scenarios import SCENARIOS
from fault_staging import SCENARIOS as OF_MOUNTS
from fault_work import INTERRUPTS, KINDS, Work, Wrong, changes_of, once, seconds_of

SCENARIOS = {**SCENARIOS, **OF_MOUNTS}
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
    """How many runs were wrong, and how many the fault has ended."""
    wrong = ended = 0
    for n, kind in faults:
        scenario.rng.seed('%d %s %s' % (options.seed, n, kind))  # as with --only
        try:
            ended += once(work, scenario, n, kind, scenario.rng.randrange(1 << 30))
        except Wrong as e:
            wrong += 1
            changes = work.changes() if kind != 'time' else []
            print('wrong: %s at %g: %s\n%s' % (kind, n, changes[n - 1] if 0 < n <= len(changes) else '', e), flush=True)
    return {'ended by it': ended, 'wrong': wrong}


def play_turns(options, scenario, worker, count):
    """How many were wrong, and what was counted."""
    scenario.rng.seed('%d %d' % (options.seed, worker))
    try:
        return {'wrong': 0, **scenario.play(count)}
    except Wrong as e:
        print('wrong: worker %d: %s' % (worker, e), flush=True)
        return {'wrong': 1}


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


def close_borgs(scenario):
    for borg in scenario.borgs:
        borg.close()


def in_workers(jobs, work, scenario, play):
    """play(worker) in processes; its answers.  A worker that dies has failed.  Each has borgs of its own, that see what it
    sees."""
    if jobs == 1:
        return [play(0)]
    close_borgs(scenario)
    workers = []
    for i in range(jobs):
        read, write = os.pipe()
        sys.stdout.flush()
        if os.fork() == 0:
            code = 1
            try:
                room_of_its_own(work)
                os.write(write, json.dumps(play(i)).encode())
                close_borgs(scenario)
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
            answers.append(json.loads(f.read() or '{"wrong": 1}'))
        os.wait()
    return answers


def report(what, answers):
    """A line of all that was counted; the exit code."""
    counts = collections.Counter()
    for answer in answers:
        counts.update(answer)
    print(', '.join([what, *('%d %s' % (n, word) for word, n in counts.items())]))
    return 1 if counts['wrong'] else 0


def play(options):
    work, rng = Work(options), random.Random(options.seed)
    scenario = SCENARIOS[options.scenario](work, rng)
    print('seed %d' % options.seed)
    work.clean()
    scenario.prepare()
    if options.scenario in ('turns', 'copies'):
        count = options.times or 10
        jobs = min(options.jobs, 1 + count // FEW)
        answers = in_workers(jobs, work, scenario, lambda i: play_turns(options, scenario, i, count // jobs))
        return report('%s: %d in %d repositories' % (options.scenario, count // jobs * jobs, jobs), answers)
    total = changes_of(work, scenario)
    faults = faults_of(options, rng, total, seconds_of(work, scenario) if options.times else 0)
    jobs = max(1, min(options.jobs, len(faults) // FEW))
    answers = in_workers(jobs, work, scenario, lambda i: play_faults(options, work, scenario, faults[i::jobs]))
    close_borgs(scenario)
    return report('%s: %d changes, %d runs and %d killed at a time' % (
        options.scenario, total, len(faults) - options.times, options.times), answers)


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
