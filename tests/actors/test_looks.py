"""Who does not get on is stuck: by counts of what each has done, from look to look."""

from __future__ import annotations

from millrace.actors.looks import DOUBTFUL_LOOKS, MOST_PATIENCE_SECONDS, PATIENCE_SECONDS, Looks


def test_one_look_says_nothing() -> None:
    assert Looks[str]().look({"a": 0}, doubtful=False) == []


def test_who_has_done_nothing_between_two_looks_is_stuck() -> None:
    looks: Looks[str] = Looks()
    looks.look({"a": 7, "b": 7}, doubtful=False)

    assert looks.look({"a": 7, "b": 8}, doubtful=False) == ["a"]


def test_who_gets_on_never_is() -> None:
    looks: Looks[str] = Looks()

    assert not any(looks.look({"a": count}, doubtful=False) for count in range(100))


def test_who_was_not_there_at_the_last_look_is_not() -> None:
    looks: Looks[str] = Looks()
    looks.look({"a": 7}, doubtful=False)
    looks.look({}, doubtful=False)

    assert looks.look({"a": 7}, doubtful=False) == []


def test_looks_that_are_doubtful_count_less() -> None:
    looks: Looks[str] = Looks()

    said = [looks.look({"a": 7}, doubtful=True) for _ in range(DOUBTFUL_LOOKS + 1)]

    assert said == [[]] * DOUBTFUL_LOOKS + [["a"]]


def test_doubts_are_over_as_soon_as_somebody_gets_on() -> None:
    looks: Looks[str] = Looks()
    counts = [7] * DOUBTFUL_LOOKS + [8] * DOUBTFUL_LOOKS

    assert not any(looks.look({"a": count}, doubtful=True) for count in counts)


def test_the_longer_all_get_on_the_less_often_anybody_looks() -> None:
    looks: Looks[str] = Looks()
    waits = []
    for count in range(8):
        waits.append(looks.patience)
        looks.look({"a": count}, doubtful=False)

    assert waits[:3] == [PATIENCE_SECONDS, 2 * PATIENCE_SECONDS, 4 * PATIENCE_SECONDS]
    assert waits[-1] == MOST_PATIENCE_SECONDS


def test_where_somebody_may_be_stuck_the_next_look_comes_soon() -> None:
    looks: Looks[str] = Looks()
    for count in range(8):
        looks.look({"a": count, "b": count}, doubtful=False)

    looks.look({"a": 7, "b": 8}, doubtful=True)

    assert looks.patience == PATIENCE_SECONDS
