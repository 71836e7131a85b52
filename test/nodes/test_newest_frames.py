"""The slots between the thread that receives and the thread that works."""

import threading

from mtl_perception.nodes.newest_frames import NewestFrames


def test_newer_frame_replaces_waiting_frame():
    frames = NewestFrames()
    assert [frames.put('', frame) for frame in 'abc'] == [False, True, True]
    assert frames.take() == [('', 'c')]
    assert frames.put('', 'd') is False
    assert frames.take(4) == [('', 'd')]


def test_waiting_frames_of_all_cameras_are_taken_together():
    frames = NewestFrames()
    for camera, frame in (('front', 1), ('down', 2), ('front', 3), ('rear', 4)):
        frames.put(camera, frame)
    assert dict(frames.take(4)) == {'front': 3, 'down': 2, 'rear': 4}


def test_least_recently_served_camera_is_first():
    frames = NewestFrames()
    frames.put('slow', 0)
    served = []
    for number in range(6):
        frames.put('fast', number)
        if number == 3:
            frames.put('slow', number)
        served += frames.take()
    assert served == [('slow', 0), ('fast', 1), ('fast', 2), ('slow', 3), ('fast', 4), ('fast', 5)]


def test_take_waits_for_a_frame():
    frames = NewestFrames()
    threading.Timer(0.05, frames.put, ['', 'late']).start()
    assert frames.take() == [('', 'late')]


def test_close_releases_worker():
    frames = NewestFrames()
    taken = []
    worker = threading.Thread(target=lambda: taken.append(frames.take()))
    worker.start()
    assert frames.close() == []
    worker.join(5)
    assert not worker.is_alive() and taken == [[]]
    frames.put('', 'too late')
    assert frames.take() == []


def test_close_reports_waiting_frames():
    frames = NewestFrames()
    frames.put('front', 'waits')
    assert frames.close() == ['front']
    assert frames.take() == []


def test_frames_are_taken_in_order_or_dropped():
    frames = NewestFrames()
    taken = {'front': [], 'down': []}

    def work():
        while batch := frames.take(2):
            for camera, frame in batch:
                taken[camera].append(frame)

    worker = threading.Thread(target=work)
    worker.start()
    dropped = {camera: sum(frames.put(camera, number) for number in range(1, 20001))
               for camera in taken}
    threading.Timer(0.2, frames.close).start()
    worker.join(5)
    for camera, numbers in taken.items():
        assert numbers == sorted(numbers) and numbers[-1] == 20000
        assert len(numbers) + dropped[camera] == 20000
