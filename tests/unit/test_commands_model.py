"""Two lond children on the same user, in any order, against a plain model in memory."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from common.escape import escape
from tests.helpers.dispatching import NOW, Lond, make_site
from tests.helpers.soaking import TIMES

CHILDREN = st.integers(0, 1)
NAMESPACES = st.sampled_from(["data", "nohist_x"])
KEYS = st.sampled_from([b"a", b"b", b"a b", b"%", b"", b"&=:\n\0\xff"]).map(escape)
NAMED = KEYS.filter(bool)
WORDS = [b"con_lost", b"con_delayed", b"con_failed", b"no_such_host", b"refused", b"unknown_cmd"]
VALUES = st.binary(max_size=6).map(escape) | st.sampled_from(WORDS)
PAIRS = st.dictionaries(NAMED, VALUES, max_size=3)
RIDS = st.sampled_from([b"res%2fone", b"r2", b"enc", b"error"])

Pairs = dict[bytes, bytes]


def joined(pairs: Pairs) -> bytes:
    return b"&".join(key + b"=" + value for key, value in pairs.items())


def spelled(reply: bytes) -> bytes:
    """A list as it is sent: its first byte escaped, where it could be taken for something else."""
    if reply in WORDS or reply.startswith((b"enc:", b"error:")):
        return b"%%%x" % reply[0] + reply[1:]
    return reply


class Model(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        site = make_site(Path(self.directory.name))
        self.lond = [Lond(site, users=["smith"]), Lond(site, users=[])]
        self.entries: dict[str, Pairs] = {}
        self.versions: dict[str, dict[bytes, list[Pairs]]] = {}
        # Requests of each child that go out together, with the expected replies.
        self.batch: defaultdict[int, list[tuple[bytes, bytes]]] = defaultdict(list)

    def teardown(self) -> None:
        if hasattr(self, "directory"):
            for lond in self.lond:
                lond.storage.close()
            self.directory.cleanup()

    def known(self, namespace: str) -> tuple[Pairs, dict[bytes, list[Pairs]]]:
        return self.entries.setdefault(namespace, {}), self.versions.setdefault(namespace, {})

    def expect(self, child: int, line: bytes, reply: bytes) -> None:
        """Adds to the child's batch; the other one's is sent first, for only one can be before the other."""
        self.flush(1 - child)
        self.batch[child].append((line, reply))

    def flush(self, child: int) -> None:
        requests = self.batch.pop(child, [])
        if requests:
            replies = self.lond[child].batch(*[line for line, _ in requests])
            assert replies == [reply for _, reply in requests]

    @rule(child=CHILDREN, namespace=NAMESPACES, pairs=PAIRS)
    def put(self, child: int, namespace: str, pairs: Pairs) -> None:
        self.known(namespace)[0].update(pairs)
        self.expect(child, b"put:msu:smith:%b:%b" % (namespace.encode(), joined(pairs)), b"ok")

    @rule(child=CHILDREN, namespace=NAMESPACES, pairs=PAIRS)
    def newput(self, child: int, namespace: str, pairs: Pairs) -> None:
        entries, _ = self.known(namespace)
        taken = [key for key in pairs if key in entries]
        if not taken:
            entries.update(pairs)
        reply = b"key_exists: " + taken[0] if taken else b"ok"
        self.expect(child, b"newput:msu:smith:%b:%b" % (namespace.encode(), joined(pairs)), reply)

    @rule(child=CHILDREN, amount=st.integers(-5, 5))
    def inc(self, child: int, amount: int) -> None:
        entries, _ = self.known("counters")
        entries[b"n"] = escape(b"%d" % (int(entries.get(b"n", b"0").replace(b"%2d", b"-")) + amount))
        self.expect(child, b"inc:msu:smith:counters:n=" + escape(b"%d" % amount), b"ok")

    @rule(child=CHILDREN, namespace=NAMESPACES, keys=st.lists(KEYS, max_size=3))
    def delete(self, child: int, namespace: str, keys: list[bytes]) -> None:
        entries, _ = self.known(namespace)
        for key in keys:
            entries.pop(key, None)
        self.expect(child, b"del:msu:smith:%b:%b" % (namespace.encode(), b"&".join(keys)), b"ok")

    @rule(child=CHILDREN, namespace=NAMESPACES, rid=RIDS, pairs=PAIRS)
    def store(self, child: int, namespace: str, rid: bytes, pairs: Pairs) -> None:
        _, versions = self.known(namespace)
        versions.setdefault(rid, []).append({**pairs, b"timestamp": b"%d" % NOW})
        self.expect(child, b"store:msu:smith:%b:%b:%b" % (namespace.encode(), rid, joined(pairs)), b"ok")

    @rule(child=CHILDREN, namespace=NAMESPACES, keys=st.lists(KEYS, min_size=1, max_size=4))
    def get(self, child: int, namespace: str, keys: list[bytes]) -> None:
        if namespace in self.entries:
            reply = b"&".join(self.entries[namespace].get(key, b"") for key in keys)
            self.expect(child, b"get:msu:smith:%b:%b" % (namespace.encode(), b"&".join(keys)), spelled(reply))

    @rule(child=CHILDREN, namespace=NAMESPACES, rid=RIDS)
    def restore(self, child: int, namespace: str, rid: bytes) -> None:
        if namespace in self.entries:
            versions = self.versions[namespace].get(rid, [])
            parts = [b"version=%d" % len(versions)]
            for number, values in enumerate(versions, 1):
                parts.append(b"%d:keys=%b" % (number, b":".join(values)))
                parts += [b"%d:%b=%b" % (number, *item) for item in values.items()]
            self.expect(child, b"restore:msu:smith:%b:%b" % (namespace.encode(), rid), b"&".join(parts))

    @rule(child=CHILDREN, namespace=NAMESPACES)
    def current(self, child: int, namespace: str) -> None:
        if namespace in self.entries:
            latest: Pairs = {}
            for rid, versions in sorted(self.versions[namespace].items()):
                latest |= {rid + b":" + key: value for values in versions for key, value in values.items()}
            self.expect(child, b"currentdump:msu:smith:" + namespace.encode(), spelled(joined(latest)))

    @rule(child=CHILDREN, namespace=NAMESPACES)
    def dump(self, child: int, namespace: str) -> None:
        if namespace in self.entries and not self.versions[namespace]:
            expected = dict(sorted(self.entries[namespace].items()))
            self.expect(child, b"dump:msu:smith:%b" % namespace.encode(), joined(expected))

    @rule(child=CHILDREN)
    def forget_open_databases(self, child: int) -> None:
        self.flush(child)
        self.lond[child].storage.close()

    @invariant()
    def batches_stay_short(self) -> None:
        for child, requests in list(getattr(self, "batch", {}).items()):
            if len(requests) >= 4:
                self.flush(child)


Model.TestCase.settings = settings(max_examples=60 * TIMES, stateful_step_count=25)
TestModel = Model.TestCase
