"""Which process is at work: that of this machine, told from another one that got its number later."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys

from wharf.connectors import machine
from wharf.connectors.machine import _began_at_by_ps


def test_a_process_of_this_machine_is_known_by_its_number() -> None:
    assert machine.id_here(machine.process()) == os.getpid()
    assert machine.id_here("another-machine:1") is None
    assert machine.id_here("") is None
    assert not machine.is_gone(machine.process())
    assert not machine.is_gone("another-machine:99999999")


def test_a_process_that_nobody_has_waited_for_is_gone_all_the_same() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    name = f"{machine.process().rpartition(':')[0]}:{process.pid}"
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert machine.is_gone(name)
    process.wait()
    assert machine.is_gone(name)


def test_the_beginning_of_a_process_is_known_to_the_second() -> None:
    before = dt.datetime.now(dt.UTC)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        second = dt.timedelta(seconds=2)
        for began in (machine.began_at(process.pid), _began_at_by_ps(process.pid)):
            assert began
            assert before - second <= began <= dt.datetime.now(dt.UTC) + second
    assert machine.began_at(process.pid) is None
    assert _began_at_by_ps(process.pid) is None
