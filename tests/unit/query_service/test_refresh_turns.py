"""One projector refreshes for all; nobody is needed for that to go on."""

from query_service.handlers.notices.refresh_turns import RefreshTurns


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def turns(own: str) -> tuple[RefreshTurns, Clock]:
    clock = Clock()
    return RefreshTurns(own, clock, lasts=10.0), clock


def test_a_turn_that_nobody_has_is_ours() -> None:
    ours, _ = turns("b")
    assert ours.elsewhere is None
    ours.begun("b")
    assert ours.elsewhere is None


def test_who_began_has_the_turn_until_it_is_not_used() -> None:
    ours, clock = turns("b")
    ours.begun("c")
    clock.now += 9
    assert ours.elsewhere == "c"
    ours.begun("c")
    clock.now += 9
    assert ours.elsewhere == "c"
    clock.now += 1
    assert ours.elsewhere is None


def test_of_two_that_began_at_once_both_agree_on_the_lesser_name() -> None:
    for first, second in (("a", "c"), ("c", "a")):
        for own in ("a", "b", "c"):
            ours, _ = turns(own)
            ours.begun(first)
            ours.begun(second)
            assert ours.elsewhere == (None if own == "a" else "a")


def test_whoever_does_not_answer_has_no_turn() -> None:
    ours, _ = turns("b")
    ours.begun("a")
    ours.gone("c")
    assert ours.elsewhere == "a"
    ours.gone("a")
    assert ours.elsewhere is None


def test_whoever_is_only_slow_keeps_the_turn() -> None:
    ours, clock = turns("b")
    ours.begun("a")
    clock.now += 0.9
    ours.late("a")
    assert ours.elsewhere == "a"
    clock.now += 0.1
    ours.late("c")
    assert ours.elsewhere == "a"
    ours.late("a")
    assert ours.elsewhere is None
