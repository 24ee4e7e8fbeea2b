"""borg_stops.py ARGUMENTS - stock borg that stops itself (SIGSTOP) after each commit and before each segment it deletes."""
import os
import signal
import sys

from borg.archiver import main
from borg.repository import LoggedIO


def stop():
    os.kill(os.getpid(), signal.SIGSTOP)


commit, delete = LoggedIO.write_commit, LoggedIO.delete_segment


def write_commit(self, *args, **kwargs):
    result = commit(self, *args, **kwargs)
    stop()
    return result


def delete_segment(self, segment):
    stop()
    delete(self, segment)


LoggedIO.write_commit, LoggedIO.delete_segment = write_commit, delete_segment
sys.exit(main())
