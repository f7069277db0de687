"""How many fit, found by trying."""

from __future__ import annotations

from collections.abc import Awaitable, Callable


async def most_that(holds: Callable[[int], Awaitable[bool]], start: int, most: int, step: int = 0) -> int:
    """The largest number up to ``most`` that holds; 0 if ``start`` does not.

    step: so many more each time, until one does not hold. 0: half as many again until then, and after it in between,
    until the answer is known within an eighth.
    """
    good, bad, number = 0, most + 1, min(start, most)
    while number > good and bad - good > max(1, good // 8):
        if await holds(number):
            good = number
        else:
            bad = number
        if step:
            number = min(good + step, most) if bad > most else good
        else:
            number = min(good * 3 // 2 + 1, most) if bad > most else (good + bad) // 2
        if good == 0 and bad <= start:
            break
    return good
