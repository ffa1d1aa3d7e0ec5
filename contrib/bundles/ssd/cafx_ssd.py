"""Single shot detectors: the layers, fields and tools of SSD and MobileNet-SSD.

Nets of weiliu89/caffe's branch ssd and of MobileNet-SSD run, train and are evaluated with these plugins. The module
itself is empty: what it needs is installed with it.
"""
