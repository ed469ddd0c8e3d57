"""The time of an event loop, moved by hand: what takes minutes is due at once, and no pause of the machine counts."""

import asyncio


class LoopClock:
    """Takes the place of the time of the running loop, which goes on."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._time, self._more = loop.time, 0.0
        loop.time = self  # type: ignore[method-assign]

    def __call__(self) -> float:
        return self._time() + self._more

    async def forward(self, seconds: float) -> None:
        """Let it be later, and what is due by then happen."""
        self._more += seconds
        for _ in range(5):
            await asyncio.sleep(0)
