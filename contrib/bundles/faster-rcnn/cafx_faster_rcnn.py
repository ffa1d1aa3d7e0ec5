"""Region based detectors: the layers and fields of Fast and Faster R-CNN and R-FCN.

Nets of fast-rcnn, py-faster-rcnn and py-R-FCN run and train with these plugins, without those projects' Python
modules. The module itself is empty: what it needs is installed with it.
"""
