"""Objects of one kind as last seen, never older than what was seen before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Key(NamedTuple):
    """Namespace and name of an object."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """As kubectl prints it."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """What is kept of an object. `owner`: uid of its controller; `index`: the property that its table groups by."""

    key: Key
    uid: str
    version: int
    owner: str
    index: str | None
    value: T


class Table(Generic[T]):
    """Entries by key, by uid, by the uid of their controller, and by one more property if `index` is given.

    Answers to our own writes are put in at once, so a decision never rests on a state from before them. A watch
    that lags behind cannot undo that: resource versions are compared as numbers, which the Kubernetes API allows
    for objects of one kind (KEP-5504).
    """

    def __init__(
        self, read: Callable[[Mapping[str, Any]], T], index: Callable[[T], str | None] = lambda _: None
    ) -> None:
        self._read = read
        self._index = index
        self._entries: dict[Key, Entry[T]] = {}
        self._by_uid: dict[str, Entry[T]] = {}
        self._by_owner: dict[str, dict[Key, Entry[T]]] = {}
        self._by_index: dict[str, dict[Key, Entry[T]]] = {}
        self._removed: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Entry[T] | None:
        """The entry of a key."""
        return self._entries.get(key)

    def by_uid(self, uid: str) -> Entry[T] | None:
        """The entry with a uid."""
        return self._by_uid.get(uid)

    def entries(self) -> Iterable[Entry[T]]:
        """All entries."""
        return self._entries.values()

    def owned_by(self, uid: str) -> list[Entry[T]]:
        """The entries whose controller has this uid."""
        return list(self._by_owner.get(uid, {}).values())

    def indexed(self, value: str) -> list[Entry[T]]:
        """The entries whose index has this value."""
        return list(self._by_index.get(value, {}).values())

    def put(self, body: Mapping[str, Any]) -> Entry[T] | None:
        """Keep an object; None where nothing newer was said than is known."""
        metadata = body["metadata"]
        key = Key(metadata["namespace"], metadata["name"])
        version = int(metadata["resourceVersion"])
        known = self._entries.get(key)
        if metadata["uid"] in self._removed or (known is not None and known.version >= version):
            return None
        if known is not None:
            self._drop(known)
        value = self._read(body)
        entry = Entry(key, metadata["uid"], version, controller(metadata), self._index(value), value)
        self._entries[key] = self._by_uid[entry.uid] = entry
        for table, name in self._groups(entry):
            table.setdefault(name, {})[key] = entry
        return entry

    def remove(self, key: Key, uid: str) -> Entry[T] | None:
        """Forget the object with this uid, also if the watch tells of it once more; None if it was not known."""
        known = self._entries.get(key)
        self._removed[uid] = known.version if known is not None else 0
        if known is None or known.uid != uid:
            return None
        self._drop(known)
        return known

    def keep_only(self, listed: set[Key], version: int, within: str | None) -> list[Entry[T]]:
        """Forget what a complete list as of `version` (of one namespace, or of all) does not hold; what was dropped."""
        gone = [
            entry
            for entry in self._entries.values()
            if entry.key not in listed and entry.version <= version and within in (None, entry.key.namespace)
        ]
        for entry in gone:
            self._drop(entry)
        self._removed = {uid: seen for uid, seen in self._removed.items() if seen > version}
        return gone

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._by_uid.clear()
        self._by_owner.clear()
        self._by_index.clear()

    def _drop(self, entry: Entry[T]) -> None:
        del self._entries[entry.key]
        del self._by_uid[entry.uid]
        for table, name in self._groups(entry):
            siblings = table[name]
            del siblings[entry.key]
            if not siblings:
                del table[name]

    def _groups(self, entry: Entry[T]) -> list[tuple[dict[str, dict[Key, Entry[T]]], str]]:
        """The groups that an entry belongs to."""
        groups = ((self._by_owner, entry.owner), (self._by_index, entry.index))
        return [(table, name) for table, name in groups if name]


def controller(metadata: Mapping[str, Any]) -> str:
    """The uid of the object that controls another, given the metadata of the latter; empty where none does."""
    owners = metadata.get("ownerReferences") or ()
    return next((str(owner["uid"]) for owner in owners if owner.get("controller")), "")
