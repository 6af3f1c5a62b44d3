"""Objects of one kind as last seen, never older than what was seen before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from lora_operator.core.observe.owner import Owner, controller_of
from lora_operator.effects.kinds import Key

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """What is kept of an object. `owner`: its controller; `seen`: the turn at which its table took it."""

    key: Key
    uid: str
    version: int
    seen: int
    owner: Owner | None
    value: T


class Table(Generic[T]):
    """Entries by key, by uid within their namespace, and by their controller.

    Answers to our own writes are put in at once, so a decision never rests on a state from before them. A watch
    that lags behind cannot undo that: resource versions are compared as numbers, which the Kubernetes API allows
    for objects of one kind (KEP-5504). A complete list can: the API server reads it after it was asked for, so what
    it says of an object that was known before is true now, also where its version is lower, or a removed object is
    back. Then etcd was restored to an earlier moment.

    `turn` counts what was taken and removed. A list is compared with what was known at the turn it was asked for.
    """

    def __init__(self, read: Callable[[Mapping[str, Any]], T]) -> None:
        self._read = read
        self._entries: dict[Key, Entry[T]] = {}
        self._by_uid: dict[tuple[str, str], Entry[T]] = {}
        self._by_owner: dict[Owner, dict[Key, Entry[T]]] = {}
        #: By uid: the turn at which an object was removed. The watch may deliver it once more.
        self._removed: dict[str, int] = {}
        self._last_list = 0
        self.turn = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Entry[T] | None:
        """Find the entry of a key."""
        return self._entries.get(key)

    def by_uid(self, namespace: str, uid: str) -> Entry[T] | None:
        """Find the entry of a namespace with a uid."""
        return self._by_uid.get((namespace, uid))

    def entries(self) -> Iterable[Entry[T]]:
        """List all entries."""
        return self._entries.values()

    def owned_by(self, owner: Owner) -> list[Entry[T]]:
        """List the entries that an object controls."""
        return list(self._by_owner.get(owner, {}).values())

    def put(self, body: Mapping[str, Any], *, list_turn: int | None = None) -> Entry[T] | None:
        """Keep an object; None where nothing newer was said than is known.

        `list_turn`: it comes from a list that was asked for at this turn.
        """
        metadata = body["metadata"]
        key, uid = Key(metadata["namespace"], metadata["name"]), metadata["uid"]
        version = int(metadata["resourceVersion"])
        listed_after = -1 if list_turn is None else list_turn
        removed = self._removed.get(uid)
        if removed is not None and removed > listed_after:
            return None
        known = self._entries.get(key)
        if known is not None and (known.version == version or (known.version > version and known.seen > listed_after)):
            return None
        self._removed.pop(uid, None)
        if known is not None:
            self._drop(known)
        self.turn += 1
        entry = Entry(key, uid, version, self.turn, controller_of(metadata), self._read(body))
        self._entries[key] = self._by_uid[key.namespace, uid] = entry
        if entry.owner is not None:
            self._by_owner.setdefault(entry.owner, {})[key] = entry
        return entry

    def remove(self, key: Key, uid: str) -> Entry[T] | None:
        """Forget the object with this uid, also if the watch delivers it once more; None if it was not known."""
        self.turn += 1
        self._removed[uid] = self.turn
        known = self._entries.get(key)
        if known is None or known.uid != uid:
            return None
        self._drop(known)
        return known

    def keep_only(self, listed: set[Key], *, list_turn: int, version: int, within: str | None) -> list[Entry[T]]:
        """Forget what a complete list (of one namespace, or of all) does not hold; what was dropped.

        The list was asked for at `list_turn` and is as of `version`; what was seen since and is newer stays.
        """
        gone = [
            entry
            for entry in self._entries.values()
            if entry.key not in listed
            and (entry.seen <= list_turn or entry.version <= version)
            and within in (None, entry.key.namespace)
        ]
        # A watch that lags behind may still deliver what was removed shortly before this list, not before the last.
        self._removed = {uid: turn for uid, turn in self._removed.items() if turn > self._last_list}
        self._last_list = list_turn
        for entry in gone:
            self.remove(entry.key, entry.uid)
        return gone

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._by_uid.clear()
        self._by_owner.clear()

    def _drop(self, entry: Entry[T]) -> None:
        del self._entries[entry.key]
        del self._by_uid[entry.key.namespace, entry.uid]
        if entry.owner is not None:
            siblings = self._by_owner[entry.owner]
            del siblings[entry.key]
            if not siblings:
                del self._by_owner[entry.owner]
