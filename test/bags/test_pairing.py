from hypothesis import given
from hypothesis import strategies as st
import pytest

from mtl_perception.bags.pairing import paired, Recorded


def recorded(*times: int, stamp: int = 0) -> list[Recorded]:
    return [Recorded(time, stamp) for time in times]


def times(images: list[Recorded], *topics: list[Recorded]) -> list[tuple[int, ...]]:
    """Return the times of recording of each pair."""
    names = [f'/{number}' for number in range(len(topics))]
    result = paired(images, dict(zip(names, topics, strict=True)))
    return [(pair.image.time, *(pair.messages[name].time for name in names))
            for pair in result.pairs]


def test_stamps_pair_whatever_the_time_of_recording() -> None:
    images = [Recorded(10, 1), Recorded(20, 2), Recorded(30, 3)]
    truth = [Recorded(99, 3), Recorded(5, 1), Recorded(50, 7)]
    result = paired(images, {'/t': truth})
    assert [(pair.image, pair.messages, pair.unique) for pair in result.pairs] == [
        (images[0], {'/t': truth[1]}, True), (images[2], {'/t': truth[0]}, True)]
    assert (result.images, result.messages, result.ambiguous) == (1, 1, {})


@pytest.mark.parametrize('stamp', [0, 7])
def test_equal_stamps_pair_by_time(stamp: int) -> None:
    images, truth = recorded(10, 20, 30, stamp=stamp), recorded(11, 25, 99, stamp=stamp)
    assert times(images, truth) == [(10, 11), (20, 25), (30, 99)]
    assert times(images[::-1], truth[1:] + truth[:1]) == [(10, 11), (20, 25), (30, 99)]
    assert times(images, truth, recorded(10, 20, 30, stamp=stamp)) == [
        (10, 11, 10), (20, 25, 20), (30, 99, 30)]


def test_equal_times_pair_although_some_images_have_no_truth() -> None:
    result = paired(recorded(10, 20, 30), {'/t': recorded(30, 10)})
    assert [(pair.image.time, pair.messages['/t'].time) for pair in result.pairs] == [
        (10, 10), (30, 30)]
    assert not any(pair.unique for pair in result.pairs)
    assert (result.images, result.messages) == (1, 0)


@pytest.mark.parametrize('truth', [
    recorded(11, 25), recorded(21, 22, 31), recorded(5, 15, 25), recorded(11, 12, 31),
    recorded(20, 30, 40), recorded(10, 10, 10)])
def test_what_cannot_be_told_apart_is_ambiguous(truth: list[Recorded]) -> None:
    images = [*recorded(10, 20, 30), Recorded(40, 9)]
    result = paired(images, {'/t': [*truth, Recorded(50, 9)]})
    assert [pair.image.stamp for pair in result.pairs] == [9]
    assert result.ambiguous == {0: f'3 images, {len(truth)} of /t'}


def test_two_messages_of_one_image_are_ambiguous() -> None:
    assert paired(recorded(10), {'/t': recorded(11, 12)}).ambiguous == {0: '1 images, 2 of /t'}


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), max_size=12),
       st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), max_size=12))
def test_nothing_is_in_two_pairs_and_all_is_counted(
        images: list[tuple[int, int]], truth: list[tuple[int, int]]) -> None:
    result = paired([Recorded(*item) for item in images], {'/t': [Recorded(*t) for t in truth]})
    stamps = set(result.ambiguous)
    for found, other, lost in ((images, [p.image for p in result.pairs], result.images),
                               (truth, [p.messages['/t'] for p in result.pairs],
                                result.messages)):
        assert len(other) == len(set(other))
        assert all((item.time, item.stamp) in found for item in other)
        assert len(other) + lost + sum(stamp in stamps for _, stamp in found) == len(found)
    for pair in result.pairs:
        assert pair.image.stamp == pair.messages['/t'].stamp not in stamps
