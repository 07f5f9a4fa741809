"""Finding the version of a time by bisection gives what reading everything gives, in few rounds."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from query_service.storage.physical.entry_search import version_in_force


@given(
    st.lists(st.integers(0, 1000), max_size=300, unique=True),
    st.integers(-1, 1001),
    st.integers(1, 70),
    st.sets(st.integers(1, 300)),
)
async def test_it_finds_what_reading_everything_finds(times: list[int], time: int, width: int, holes: set[int]) -> None:
    recorded = dict(enumerate(sorted(times), start=1))
    present = {version: at for version, at in recorded.items() if version not in holes}

    async def fetch(versions: Sequence[int]) -> list[int | None]:
        assert 0 < len(versions) <= width
        return [present.get(version) for version in versions]

    found, missing = await version_in_force(fetch, len(recorded), time, width=width)
    before = [version for version, at in present.items() if at <= time]
    after = [version for version, at in present.items() if at > time]
    assert found == max(before, default=0)
    unknown = [v for v in recorded if v in holes and found < v < min(after, default=len(recorded) + 1)]
    assert missing == max(unknown, default=None)


async def test_a_long_history_takes_few_rounds() -> None:
    rounds = 0

    async def fetch(versions: Sequence[int]) -> list[int | None]:
        nonlocal rounds
        rounds += 1
        return [version * 10 for version in versions]

    assert await version_in_force(fetch, 100_000, 654_321) == (65_432, None)
    assert rounds <= 4
