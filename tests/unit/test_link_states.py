"""The table of states: a link moves as the table says and never otherwise, and nothing in the table is idle."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from common.errors import LocalProtocolError, PeerProtocolError
from common.link_states import (
    TABLE,
    Accepted,
    Challenged,
    Departed,
    Echoed,
    Event,
    Failed,
    Greeted,
    Identified,
    KeyBuilt,
    Refused,
    Replies,
    Requests,
    State,
)
from common.protocol import Connection
from tests.helpers.dialogues import LONC, LOND, Step
from tests.helpers.link_ends import KEY, MAX_REPLY, STAGES, a_lonc, a_lond, keyed_lonc, open_lond

ALL_EVENTS = (
    Greeted(""),
    Challenged(),
    Echoed(),
    Accepted(),
    Refused(""),
    Identified("x"),
    KeyBuilt(KEY),
    Requests([]),
    Replies([]),
    Departed(),
    Failed(PeerProtocolError("")),
)


@pytest.mark.parametrize("event", ALL_EVENTS, ids=lambda event: type(event).__name__)
@pytest.mark.parametrize("state", State)
def test_a_move_is_made_if_and_only_if_it_is_in_the_table(state: State, event: Event) -> None:
    for connection in (a_lonc(), a_lond()):
        connection.state = state
        wanted = TABLE.get((state, type(event)))
        if wanted is None:
            with pytest.raises(LocalProtocolError, match=f"{type(event).__name__} has no place in state {state.value}"):
                connection._moved(event)
            assert connection.state is state
        else:
            assert connection._moved(event) is event
            assert connection.state is wanted


def moves_of(connection: Connection, script: Iterable[bytes]) -> set[tuple[State, type[Event]]]:
    """The moves that a connection makes when it is fed the script line by line."""
    made: set[tuple[State, type[Event]]] = set()
    original = connection._moved

    def recording(event: Event) -> Event:
        made.add((connection.state, type(event)))
        return original(event)

    connection._moved = recording  # type: ignore[method-assign]
    for data in script:
        before = connection.state
        made |= {(before, type(e)) for e in connection.receive(data) if isinstance(e, Requests | Replies)}
    return made


def moves_of_all_dialogues() -> set[tuple[State, type[Event]]]:
    made: set[tuple[State, type[Event]]] = set()
    for steps in LOND.values():
        made |= moves_of(a_lond(), (step.received for step in steps))
    for script in LONC.values():
        made |= moves_of(a_lonc(), (step.received for step in script if isinstance(step, Step)))
    made |= moves_of(keyed_lonc(1), [b"x\n"])
    made |= moves_of(open_lond(), [b"exit\n"])
    for connection in STAGES.values():
        made |= moves_of(connection(), [b"x" * (MAX_REPLY + 1)])  # too long for every stage
    return made


def test_every_entry_of_the_table_is_reached() -> None:
    assert moves_of_all_dialogues() >= TABLE.keys()


def test_every_move_is_in_the_table() -> None:
    assert moves_of_all_dialogues() <= TABLE.keys()
