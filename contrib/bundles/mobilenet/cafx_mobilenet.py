"""Small classifiers: the layers and fields of MobileNet, ShuffleNet and SENet.

Nets with depthwise convolutions, shuffled channels or squeeze and excitation run and train with these plugins. The
module itself is empty: what it needs is installed with it.
"""
