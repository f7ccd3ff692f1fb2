"""How the demonstration is ended."""

from __future__ import annotations

import signal

import pytest

from tests.demo import end_as_by_ctrl_c
from tests.helpers.in_child import in_child

ENDS = (signal.SIGTERM, signal.SIGHUP)


@pytest.mark.parametrize("number", ENDS, ids=lambda number: number.name)
def test_a_signal_ends_it_as_ctrl_c_does_and_disturbs_no_cleaning_up(number: signal.Signals) -> None:
    def demonstration() -> str:
        signal.signal(number, signal.SIG_DFL)  # whoever runs the tests may have ignored it, as nohup does
        end_as_by_ctrl_c()
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            for again in ENDS:
                signal.raise_signal(again)
            return "cleaned up"
        return "went on"

    assert in_child(demonstration) == "cleaned up"


def test_what_nohup_has_ignored_stays_ignored() -> None:
    def demonstration() -> str:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        end_as_by_ctrl_c()
        signal.raise_signal(signal.SIGHUP)
        return "goes on"

    assert in_child(demonstration) == "goes on"
