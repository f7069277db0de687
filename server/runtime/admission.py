"""How many sessions run at once: the next one is told so at the door."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from models.base import CapacityError


class Admission:
    """A bound on sessions over all doors."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.active = 0
        self.draining = False

    @property
    def full(self) -> bool:
        """Whether the next session would be refused."""
        return self.draining or self.active >= self._limit

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Hold a place for a session. Raises CapacityError when there is none, or the server is going down."""
        if self.draining:
            raise CapacityError("The server is shutting down; connect again in a moment.")
        if self.active >= self._limit:
            raise CapacityError(f"All {self._limit} sessions of this server are in use; try again later.")
        self.active += 1
        try:
            yield
        finally:
            self.active -= 1
