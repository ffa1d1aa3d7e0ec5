"""PyTorch's side of ``lstm.py``: nn.LSTM, forward and backward. The interpreter needs PyTorch but not cafx."""

from __future__ import annotations

import json
import sys

import torch
from measuring import serve
from torch import nn


def main() -> None:
    """Read the shape from the first line of input and run passes on request."""
    setup = json.loads(sys.stdin.readline())
    torch.set_num_threads(setup["threads"])
    torch.manual_seed(0)
    shape = setup["shape"]
    lstm = nn.LSTM(shape["inputs"], shape["hidden"])
    x = torch.randn(shape["steps"], shape["streams"], shape["inputs"], requires_grad=not setup["test"])

    def train() -> None:
        lstm.zero_grad(set_to_none=True)
        x.grad = None
        lstm(x)[0].sum().backward()

    def test() -> None:
        with torch.inference_mode():
            lstm(x)

    serve(test if setup["test"] else train)


if __name__ == "__main__":
    main()
