"""The slot between the thread that receives and the thread that works."""

import threading

from mtl_perception.nodes.newest_frame import NewestFrame


def test_a_newer_frame_takes_the_place_of_the_one_that_waits():
    slot = NewestFrame()
    assert [slot.put(frame) for frame in 'abc'] == [False, True, True]
    assert slot.take() == 'c'
    assert slot.put('d') is False
    assert slot.take() == 'd'


def test_take_waits_for_a_frame():
    slot = NewestFrame()
    threading.Timer(0.05, slot.put, ['late']).start()
    assert slot.take() == 'late'


def test_close_lets_the_worker_go_and_drops_what_waits():
    slot = NewestFrame()
    taken = []
    worker = threading.Thread(target=lambda: taken.append(slot.take()))
    worker.start()
    assert slot.close() is False
    worker.join(5)
    assert not worker.is_alive() and taken == [None]
    slot.put('too late')
    assert slot.take() is None


def test_close_tells_of_a_frame_that_waited():
    slot = NewestFrame()
    slot.put('waits')
    assert slot.close() is True
    assert slot.take() is None


def test_every_frame_is_either_taken_in_order_or_dropped():
    slot = NewestFrame()
    taken = []

    def work():
        while (frame := slot.take()) is not None:
            taken.append(frame)

    worker = threading.Thread(target=work)
    worker.start()
    dropped = sum(slot.put(number) for number in range(1, 20001))
    threading.Timer(0.2, slot.close).start()
    worker.join(5)
    assert taken == sorted(taken) and taken[-1] == 20000
    assert len(taken) + dropped == 20000
