"""All layers learn, at a tenth of the rate: ``cafx train fine.py --weights last_iter_200.caffemodel``."""

from net import RATE, SECOND_STAGE, solved, trained

n = trained("fine", rate=1)
solver = solved(n, "fine", SECOND_STAGE, RATE / 10)
