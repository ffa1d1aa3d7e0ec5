"""YOLO in Caffe's form: the layers and fields of MobileNet-YOLO.

Nets of eric612/MobileNet-YOLO, YOLOv2 and YOLOv3 run, train and are evaluated with these plugins. The module itself
is empty: what it needs is installed with it.
"""
