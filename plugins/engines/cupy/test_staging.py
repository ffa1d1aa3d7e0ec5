"""Data layers on the GPU: batches are sent ahead, and every one arrives as it was read."""

import numpy as np
import pytest

from cafx.kernel import HOST, Net, Phase, registry, schema
from cafx_lib_feed.prefetch import Batch, Source

SHAPE = (4, 3, 5, 5)


class Counting(Source):
    """Batch number n holds n, n + 1, … and labels n."""

    workers = 2

    def fetch(self, batch):
        return batch

    def fill(self, fetched, number, batch: Batch):
        data, labels = batch.shape(SHAPE, SHAPE[:1])
        data[...] = np.arange(data.size).reshape(data.shape) + number
        labels[...] = number


@pytest.fixture
def net(make_engine, monkeypatch):
    made = Counting(), [SHAPE, SHAPE[:1]]
    monkeypatch.setattr(registry().load("layer", "Data"), "make_source", lambda *_: made)
    text = """
    layer { name: "d" type: "Data" top: "data" top: "label" data_param { source: "none" batch_size: 4 } }
    layer { name: "p" type: "Power" bottom: "data" top: "twice" power_param { scale: 2 } }
    layer { name: "l" type: "Power" bottom: "label" top: "next" power_param { shift: 1 } }"""
    engine = make_engine()
    with Net(schema().parse_text(text, "NetParameter"), Phase.TRAIN, engine=engine) as built:
        yield built


def test_every_batch_arrives(net):
    for number in range(20):
        found = net.forward()
        np.testing.assert_array_equal(found["twice"], 2 * (np.arange(300).reshape(SHAPE) + number))
        assert (found["next"] == number + 1).all()


def test_batches_come_from_pinned_memory_and_leave_no_copy_to_the_stream(net, cuda):
    for _ in range(4):
        net.run_forward()
    before = cuda.graph_launches
    net.run_forward()
    assert cuda.graph_launches == before + 1
    assert isinstance(net.blobs["data"].synced_data.read(HOST), np.ndarray)
    places = {place.name for place in net.blobs["data"].synced_data.current}
    assert places == {"host", "cuda", "cuda (sent ahead)"}


def test_a_restored_net_reads_the_same_batches_again(net):
    for _ in range(3):
        net.run_forward()
    state = net.state()
    expected = [net.forward()["next"][0] for _ in range(3)]
    net.restore(state)
    assert [net.forward()["next"][0] for _ in range(3)] == expected == [4, 5, 6]
