"""Scene parsing: the layers and fields of PSPNet and DeepLab.

Nets of hszhao/PSPNet and of DeepLab run and train with these plugins. The module itself is empty: what it needs is
installed with it.
"""
