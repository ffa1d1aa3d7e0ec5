"""Segmentation with SegNet: its layers and fields.

Nets of alexgkendall/caffe-segnet run and train with these plugins. The module itself is empty: what it needs is
installed with it.
"""
