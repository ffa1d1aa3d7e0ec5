"""The same net without the LSTM, which sees one frame at a time: ``cafx train frames.py``."""

from net import answer, clips, solved, trunk

from cafx.dsl import NetSpec
from cafx.dsl import layers as L

n = NetSpec("frames")
clips(n)
answer(n, trunk(n))
n.unread = L.Silence(n.cont, ntop=0)
solver = solved(n, "frames")
